"""Tell people how a run goes, on standard error: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from pathlib import Path
from typing import Any, Protocol

PLAIN_INTERVAL_SECONDS = 10.0
BAR_WIDTH = 24
# What a bar leaves free at the right: a terminal shows Ctrl-C as ^C, which on a line of its own
# would move the bar's last drawing below the one before.
MARGIN = 3
BAR_INTERVAL_SECONDS = 0.2


class Progress(Protocol):
    """Hear of each stage of a run and of each piece of work that ends."""

    def begin(self, stage: str, total: int, done: int) -> None:
        """Begin a stage of `total` pieces, `done` of which a former session finished."""

    def move(self, label: str, share: float, loss: float | None) -> None:
        """Hear how far a piece is; called so often that it must cost next to nothing."""

    def advance(self, label: str, *, is_failure: bool) -> None:
        """Count one piece as finished."""

    def end(self) -> None:
        """End the stage, finished or not; without a stage, do nothing."""


class Quiet:
    """Say nothing."""

    def begin(self, stage: str, total: int, done: int) -> None:
        """Say nothing."""

    def move(self, label: str, share: float, loss: float | None) -> None:
        """Say nothing."""

    def advance(self, label: str, *, is_failure: bool) -> None:
        """Say nothing."""

    def end(self) -> None:
        """Say nothing."""


class PlainLines:
    """Write a line when a stage begins and ends, and at most one every ten seconds between."""

    def __init__(
        self,
        write: Callable[[str], Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.write = write or _write_line
        self.clock = clock
        self.stage = ""
        self.total = self.done = self.finished_here = self.num_failed = 0
        self.began = self.spoke = self.share = 0.0

    def begin(self, stage: str, total: int, done: int) -> None:
        """Write what begins and how much of it there is."""
        self.stage, self.total, self.done = stage, total, done
        self.finished_here = self.num_failed = 0
        self.began = self.spoke = self.clock()
        self.share = 0.0
        resumed = f", {done:,} already done" if done else ""
        self.write(f"{stage}: {total:,} to do{resumed}")

    def move(self, label: str, share: float, loss: float | None) -> None:
        """Write a line if the last one is long enough ago."""
        self.share = share
        if self._is_time():
            self._speak(f"now: {standing(label, share, loss)}")

    def advance(self, label: str, *, is_failure: bool) -> None:
        """Count, and write a line if the last one is long enough ago."""
        self.done += 1
        self.finished_here += 1
        self.num_failed += is_failure
        self.share = 0.0
        if self._is_time():
            self._speak(f"last: {label}")

    def _is_time(self) -> bool:
        return self.clock() - self.spoke >= PLAIN_INTERVAL_SECONDS

    def _speak(self, what: str) -> None:
        self.spoke = self.clock()
        self.write(f"{self._state()}, {self._left(self.spoke)} left; {what}")

    def end(self) -> None:
        """Write how the stage ended, once."""
        if self.stage:
            self.write(f"{self._state()} in {self.clock() - self.began:.1f} s")
            self.stage = ""

    def _state(self) -> str:
        failed = f", {self.num_failed:,} failed" if self.num_failed else ""
        return f"{self.stage}: {self.done:,}/{self.total:,} done{failed}"

    def _left(self, now: float) -> str:
        finished_here = self.finished_here + self.share
        if finished_here <= 0:
            return "unknown time"
        seconds = (now - self.began) / finished_here * (self.total - self.done - self.share)
        return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def standing(label: str, share: float, loss: float | None) -> str:
    """Return how far a piece of work is: deep L 2 d 8 seed 0 40%, val loss 0.31."""
    return f"{label} {share:.0%}" + ("" if loss is None else f", val loss {loss:.3g}")


def _write_line(line: str) -> None:
    """Write to standard error; whoever closed it is not to end a run by that."""
    with suppress(OSError):
        sys.stderr.write(line + "\n")


class Bar:
    """Draw a bar with counts, failures, the time left, and what ended last."""

    def __init__(self) -> None:
        self.bar: Any = None
        self.task: Any = None
        self.num_failed = self.done = self.taken = 0
        self.drew = 0.0

    def begin(self, stage: str, total: int, done: int) -> None:
        """Start drawing."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self.num_failed, self.done = 0, done
        count, left = len(f"{total}/{total}"), len("00:00:00")
        self.taken = len(stage) + BAR_WIDTH + count + left + 4 + MARGIN
        self.bar = RichProgress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=BAR_WIDTH),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[label]}", markup=False),
            console=Console(stderr=True),
        )
        self.bar.start()
        self.task = self.bar.add_task(stage, total=total, completed=done, label="")

    def move(self, label: str, share: float, loss: float | None) -> None:
        """Move the bar by a part of a piece, if the last time is long enough ago."""
        now = time.monotonic()
        if now - self.drew >= BAR_INTERVAL_SECONDS:
            self.drew = now
            self._draw(self.done + share, standing(label, share, loss))

    def advance(self, label: str, *, is_failure: bool) -> None:
        """Move the bar on."""
        self.num_failed += is_failure
        self.done += 1
        self._draw(self.done, label)

    def _draw(self, completed: float, label: str) -> None:
        failed = f"{self.num_failed:,} failed  " if self.num_failed else ""
        room = max(0, self.bar.console.width - self.taken)
        self.bar.update(self.task, completed=completed, label=(failed + label)[:room])

    def end(self) -> None:
        """Leave the finished bar on the screen."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def progress_for(*, is_quiet: bool) -> Progress:
    """Return what fits standard error: nothing, a bar, or plain lines."""
    if is_quiet:
        return Quiet()
    return Bar() if sys.stderr.isatty() else PlainLines()


@contextmanager
def silence() -> Iterator[None]:
    """Keep standard error free of what libraries tell while inside: downloads, warnings."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # loggers made before hold the true standard error
    try:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
            yield
    finally:
        logging.disable(before)
