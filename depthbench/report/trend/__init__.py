"""The runs of a suite over nights: what has changed, and when. Begin at `alarms`."""
