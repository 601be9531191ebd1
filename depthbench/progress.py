"""Tell people how a run goes, on standard error: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

PLAIN_INTERVAL_SECONDS = 10.0


class Progress(Protocol):
    """Hear of each stage of a run and of each piece of work that ends."""

    def begin(self, stage: str, total: int, done: int) -> None:
        """Begin a stage of `total` pieces, `done` of which a former session finished."""

    def advance(self, label: str, *, is_failure: bool) -> None:
        """Count one piece as finished."""

    def end(self) -> None:
        """End the stage, finished or not; without a stage, do nothing."""


class Quiet:
    """Say nothing."""

    def begin(self, stage: str, total: int, done: int) -> None:
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
        self.write = write or (lambda line: sys.stderr.write(line + "\n"))
        self.clock = clock
        self.stage = ""
        self.total = self.done = self.finished_here = self.num_failed = 0
        self.began = self.spoke = 0.0

    def begin(self, stage: str, total: int, done: int) -> None:
        """Write what begins and how much of it there is."""
        self.stage, self.total, self.done = stage, total, done
        self.finished_here = self.num_failed = 0
        self.began = self.spoke = self.clock()
        resumed = f", {done:,} already done" if done else ""
        self.write(f"{stage}: {total:,} to do{resumed}")

    def advance(self, label: str, *, is_failure: bool) -> None:
        """Count, and write a line if the last one is long enough ago."""
        self.done += 1
        self.finished_here += 1
        self.num_failed += is_failure
        now = self.clock()
        if now - self.spoke >= PLAIN_INTERVAL_SECONDS:
            self.spoke = now
            self.write(f"{self._state()}, {self._left(now)} left; last: {label}")

    def end(self) -> None:
        """Write how the stage ended, once."""
        if self.stage:
            self.write(f"{self._state()} in {self.clock() - self.began:.1f} s")
            self.stage = ""

    def _state(self) -> str:
        failed = f", {self.num_failed:,} failed" if self.num_failed else ""
        return f"{self.stage}: {self.done:,}/{self.total:,} done{failed}"

    def _left(self, now: float) -> str:
        seconds = (now - self.began) / self.finished_here * (self.total - self.done)
        return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


class Bar:
    """Draw a bar with counts, failures, the time left, and what ended last."""

    def __init__(self) -> None:
        self.bar: Any = None
        self.task: Any = None
        self.num_failed = 0

    def begin(self, stage: str, total: int, done: int) -> None:
        """Start drawing."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self.num_failed = 0
        self.bar = RichProgress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[label]}", markup=False),
            console=Console(stderr=True),
        )
        self.bar.start()
        self.task = self.bar.add_task(stage, total=total, completed=done, label="")

    def advance(self, label: str, *, is_failure: bool) -> None:
        """Move the bar on."""
        self.num_failed += is_failure
        failed = f"{self.num_failed:,} failed  " if self.num_failed else ""
        self.bar.update(self.task, advance=1, label=failed + label)

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
