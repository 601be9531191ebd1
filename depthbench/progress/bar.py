"""A bar on a terminal: one line of numbers, and below it what is best and what is under way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from depthbench.progress.tally import Ending, Tally, Work, in_words

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions

BAR_WIDTHS = (24, 8)
# What a bar leaves free at the right: a terminal shows Ctrl-C as ^C, which on a line of its own
# would move the bar's last drawing below the one before.
MARGIN = 3
DRAWINGS_PER_SECOND = 4
_GAP = "  "


class Bar:
    """Draw a bar with counts, failures, the rate, the time left, the best, and what is under way.

    It is drawn four times a second, however often work moves. Where a terminal is too narrow the
    bar shrinks, then the rate and what is running go; the second line is cut at its end.

    Args:
        console: where to draw (default: standard error).
        clock: returns seconds that only grow.
    """

    def __init__(
        self, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.console, self.clock = console, clock
        self.tally: Tally | None = None
        self.live: Any = None
        self.has_ended = False
        self.lock = threading.Lock()  # drawings come from a thread of their own

    def begin(
        self, stage: str, todo: Iterable[Work], former: Iterable[tuple[Work, Ending]] = ()
    ) -> None:
        """Start drawing."""
        from rich.console import Console
        from rich.live import Live

        self.tally, self.has_ended = Tally(stage, todo, former, self.clock), False
        self.live = Live(
            self,
            console=self.console or Console(stderr=True),
            refresh_per_second=DRAWINGS_PER_SECOND,
            redirect_stdout=False,
        )
        self.live.start()

    def move(self, work: Work, share: float, loss: float | None) -> None:
        """Take in how far a work is; the next drawing shows it."""
        with self.lock:
            if self.tally is not None:
                self.tally.move(work, share, loss)

    def advance(self, work: Work, endings: Sequence[Ending]) -> None:
        """Take in how a work ended; the next drawing shows it."""
        with self.lock:
            if self.tally is not None:
                self.tally.advance(work, endings)

    def end(self) -> None:
        """Leave the finished bar on the screen."""
        if self.live is not None:
            self.has_ended = True
            self.live.stop()
            self.live = self.tally = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        """Yield the two lines as they are now."""
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        if self.tally is None:
            return
        width = max(0, options.max_width - MARGIN)
        with self.lock:
            bar_width, numbers = _first_line(self.tally, width, has_ended=self.has_ended)
            labels = _labels(self.tally, has_ended=self.has_ended)
            stage, share = self.tally.stage, self.tally.share
        if bar_width:
            yield Text(f"{stage} ", style="bold", end="")
            bar = ProgressBar(total=1.0, completed=share, width=bar_width)
            # Padded, since without colours the part that is not done yet is not drawn.
            yield from console.render_lines(bar, options.update(width=bar_width), pad=True)[0]
            yield Text(f" {numbers}")
        else:
            yield Text(f"{stage} {numbers}"[:width])
        if labels or not self.has_ended:  # as many lines in every drawing: none jumps
            yield Text(labels if len(labels) <= width else _cut(labels, width, options.ascii_only))


def _first_line(tally: Tally, width: int, *, has_ended: bool) -> tuple[int, str]:
    """Return the width of the bar and the numbers after it that fit a line together."""
    room = width - len(tally.stage) - 2
    for parts in _numbers(tally, has_ended=has_ended):
        text = _GAP.join(part for part in parts if part)
        if room - len(text) >= BAR_WIDTHS[1]:
            return min(BAR_WIDTHS[0], room - len(text)), text
    return 0, text


def _numbers(tally: Tally, *, has_ended: bool) -> Iterator[list[str | None]]:
    """Yield what is said in numbers: all of it, then ever less, as terminals are narrower."""
    count = f"{tally.done:,}/{tally.total:,}"
    failed = f"{tally.num_failed:,} failed" if tally.num_failed else None
    if has_ended:
        yield [count, failed, f"in {in_words(tally.elapsed_seconds)}"]
        return
    running = f"{tally.num_running:,} running" if tally.num_running else None
    left = tally.left()
    time_left = f"{left} left" if left else None
    yield [count, failed, running, tally.rate(), time_left]
    yield [count, failed, running, time_left]
    yield [count, failed, time_left]
    yield [count, failed, left]


def _cut(text: str, width: int, is_ascii: bool) -> str:
    dots = "..." if is_ascii else "…"
    return (text[: max(0, width - len(dots))] + dots)[:width]


def _labels(tally: Tally, *, has_ended: bool) -> str:
    now = None if has_ended else tally.now()
    last = None if has_ended or not tally.last_label else f"last {tally.last_label}"
    shown = (tally.best(), f"now {now}" if now else last)
    return _GAP.join(part for part in shown if part)
