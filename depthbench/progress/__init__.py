"""Tell people how a run goes, on standard error: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys

from depthbench.progress.bar import Bar
from depthbench.progress.lines import PlainLines
from depthbench.progress.listener import Progress, Quiet
from depthbench.progress.silence import silence
from depthbench.progress.tally import Ending, Work

__all__ = ["Bar", "Ending", "PlainLines", "Progress", "Quiet", "Work", "progress_for", "silence"]


def progress_for(*, is_quiet: bool) -> Progress:
    """Return what fits standard error: nothing, a bar, or plain lines."""
    if is_quiet:
        return Quiet()
    return Bar() if sys.stderr.isatty() else PlainLines()
