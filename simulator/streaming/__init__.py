"""Video streaming: super-resolution networks and what they cost on a phone."""
