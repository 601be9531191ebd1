"""The errors a user can cause, and nothing else.

Every message says where, what was found, what is allowed, and what to do next. ``cli.py`` is the
only place that catches `DepthbenchError`; a defect of depthbench itself is never one of these.
"""

from __future__ import annotations

from typing import Any


class DepthbenchError(Exception):
    """State what a user can mend; the command line prints it without a traceback, exit 2."""

    exit_code = 2


class SuiteError(DepthbenchError):
    """Report every mistake of a suite, one a line, each with file:line:column.

    `remainder` is what stands of the suite without them, if anything: more may be wrong there.
    """

    def __init__(self, message: str, remainder: Any = None) -> None:
        super().__init__(message)
        self.remainder = remainder


class BlockError(SuiteError):
    """Report a user's own block that cannot be imported, built, or laid out."""


class MatchError(SuiteError):
    """Report a budget that no integer width meets; names the two nearest widths."""


class DataError(DepthbenchError):
    """Report data that is missing, incomplete, corrupt or not what its name says."""


class TrialError(DepthbenchError):
    """Report a trial that cannot be built or trained; it becomes a row, never a lost run."""


class ResultError(DepthbenchError):
    """Report results that are missing, unreadable or of another suite."""


class NothingToCompareError(ResultError):
    """Report that a comparison or a judgement found nothing to work on; exit 5."""

    exit_code = 5
