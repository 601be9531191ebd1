"""Where the program meets its user: the only place that catches and exits, and how it writes."""

from __future__ import annotations

import io
import os
import sys
import unicodedata
from typing import Any

import typer
from typer.core import TyperGroup

from depthbench.errors import DepthbenchError
from depthbench.interruption import INTERRUPTED, ended_by_another_interrupt


class Boundary(TyperGroup):
    """Turn what a user can mend into one clear message and an exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program; an output that nobody can write to is the user's to mend."""
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a locale may know few characters
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            if error.filename is not None:  # a file's, not standard output's
                raise
            _drop_output()
            _complain(f"standard output cannot be written: {error.strerror or error}")
            raise SystemExit(2) from None

    def invoke(self, ctx: Any) -> Any:
        """Run a command; what it raises for the user becomes a message and an exit code."""
        try:
            return super().invoke(ctx)
        except DepthbenchError as error:
            _complain(str(error), *getattr(error, "__notes__", ()))
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt as error:
            with ended_by_another_interrupt():
                _complain("interrupted; what was finished is kept", *_notes(error))
            raise typer.Exit(INTERRUPTED) from None


def write(text: str) -> None:
    """Write to standard output, and bear that its reader has gone."""
    try:
        sys.stdout.write(text.rstrip("\n") + "\n")
        sys.stdout.flush()
    except BrokenPipeError:  # who reads has seen enough, as `head` does; the exit code stands
        _drop_output()


def _drop_output() -> None:
    """Send what is still to be written nowhere, so that leaving does not fail on it again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _complain(*messages: str) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text("error: ", style="bold red") + Text(_tamed("\n".join(messages))))


def _tamed(text: str) -> str:
    """Return a message in which no name from a file can command a terminal."""
    return "".join(
        c if c in "\n\t" or unicodedata.category(c)[0] != "C" else "\N{REPLACEMENT CHARACTER}"
        for c in text
    )


def _notes(error: BaseException | None) -> list[str]:
    """Return what to do next: an interrupt of the tidying after an interrupt says nothing new."""
    notes: list[str] = []
    while error is not None and not notes:
        notes = list(getattr(error, "__notes__", ()))
        error = error.__context__
    return notes
