"""Plain lines, for a file, a pipe or the log of a job."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from depthbench.progress.tally import Ending, Tally, Work

PLAIN_INTERVAL_SECONDS = 10.0


class PlainLines:
    """Write a line when a stage begins and ends, and at most one every ten seconds between.

    Args:
        write: takes each line (default: to standard error).
        clock: returns seconds that only grow.
    """

    def __init__(
        self,
        write: Callable[[str], Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.write = write or _write_line
        self.clock = clock
        self.tally: Tally | None = None
        self.spoke = 0.0

    def begin(
        self, stage: str, todo: Iterable[Work], former: Iterable[tuple[Work, Ending]] = ()
    ) -> None:
        """Write what begins and how much of it there is."""
        self.tally = Tally(stage, todo, former, self.clock)
        self.spoke = self.clock()
        resumed = f", {self.tally.done:,} already done" if self.tally.done else ""
        self.write(f"{stage}: {self.tally.total:,} to do{resumed}")

    def move(self, work: Work, share: float, loss: float | None) -> None:
        """Write a line if the last one is long enough ago."""
        if self.tally is not None:
            self.tally.move(work, share, loss)
            self._speak_in_time()

    def advance(self, work: Work, endings: Sequence[Ending]) -> None:
        """Count, and write a line if the last one is long enough ago."""
        if self.tally is not None:
            self.tally.advance(work, endings)
            self._speak_in_time()

    def end(self) -> None:
        """Write how the stage ended, once."""
        if self.tally is not None:
            best = self.tally.best()
            took = f"in {self.tally.elapsed_seconds:.1f} s"
            self.write(f"{_counts(self.tally)} {took}" + (f"; {best}" if best else ""))
            self.tally = None

    def _speak_in_time(self) -> None:
        now = self.clock()
        if self.tally is not None and now - self.spoke >= PLAIN_INTERVAL_SECONDS:
            self.spoke = now
            self.write(_state(self.tally))


def _state(tally: Tally) -> str:
    parts = [_counts(tally)]
    if tally.num_running:
        parts.append(f"{tally.num_running:,} running")
    left = tally.left()
    parts += [part for part in (tally.rate(), f"{left} left" if left else None) if part]
    now, last = tally.now(), tally.last_label
    what = f"now: {now}" if now else f"last: {last}" if last else None
    return "; ".join(part for part in (", ".join(parts), tally.best(), what) if part)


def _counts(tally: Tally) -> str:
    failed = f", {tally.num_failed:,} failed" if tally.num_failed else ""
    return f"{tally.stage}: {tally.done:,}/{tally.total:,} done{failed}"


def _write_line(line: str) -> None:
    """Write to standard error; whoever closed it is not to end a run by that."""
    with suppress(OSError):
        sys.stderr.write(line + "\n")
