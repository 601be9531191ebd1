"""Two runs against each other: what got slower, worse, or stopped working. Begin at `runs`."""
