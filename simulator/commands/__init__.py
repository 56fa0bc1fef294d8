"""Bodies of the command line's sub-commands, one module per group."""
