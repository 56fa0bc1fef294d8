"""How fast the simulator is, in bare SimPy timeouts measured in the same run, so that machines can be compared.

A *timeout* is the cost of one event of a SimPy process that does nothing but wait. ``make bench`` prints what each of
the `cases` costs beside the `baseline`, and which of the `limits` are kept.
"""
