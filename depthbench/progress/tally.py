"""What is known of a stage while it runs: counts, what is under way, the best so far."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

from depthbench.progress.time_left import TimeLeft
from depthbench.units import significant

_UNITS = ((1.0, "s"), (60.0, "min"), (3600.0, "h"))


@dataclass(frozen=True, slots=True)
class Work:
    """Describe a piece of work as people hear of it, and what it costs.

    Args:
        label: for people, such as "deep L 8 d 64 seed 0".
        count: how many of the stage's total it is: the trials of a cohort.
        shape: works of one shape take about as long, one for one; None: like nothing else.
        cost: of one, predicted in a unit of the stage's own.
        variant: what is trained, in short, such as "deep L8 d64".
        group: losses can be compared within one.
        key: tells works apart that are under way at once and have all else in common.
    """

    label: str
    count: int = 1
    shape: Hashable = None
    cost: float = 1.0
    variant: str = ""
    group: Hashable = None
    key: Hashable = None


@dataclass(frozen=True, slots=True)
class Ending:
    """Say how one trial or cell ended; `loss` on validation, where it has one."""

    status: str = "ok"
    is_failure: bool = False
    loss: float | None = None


@dataclass(slots=True)
class _Running:
    """Say when a work was first heard of, how far it is, and its last loss."""

    began: float
    share: float = 0.0
    loss: float | None = None


class Tally:
    """Keep the numbers of one stage, for whoever draws them.

    Args:
        clock: returns seconds that only grow.
    """

    def __init__(
        self,
        stage: str,
        todo: Iterable[Work],
        former: Iterable[tuple[Work, Ending]],
        clock: Callable[[], float],
    ) -> None:
        self.stage, self.clock = stage, clock
        self.began = self.last_ended = clock()
        self.done = self.finished_here = self.num_failed = 0
        self.running: dict[Work, _Running] = {}
        self.last_label = ""
        self.time_left = TimeLeft()
        self._best: tuple[float, str] | None = None
        self._groups: set[Hashable] = set()
        for work in todo:
            self._groups.add(work.group)
            self.time_left.add(work.shape, work.cost, work.count)
        for work, ending in former:
            self._groups.add(work.group)
            self._count(work, ending)
        self.num_former = self.done
        self.total = self.done + self.time_left.num_left

    def move(self, work: Work, share: float, loss: float | None) -> None:
        """Take in how far a work is."""
        state = self.running.get(work)
        if state is None:
            state = self.running[work] = _Running(self.clock())
        state.share, state.loss = share, loss

    def advance(self, work: Work, endings: Sequence[Ending]) -> None:
        """Take in how a work ended."""
        now = self.clock()
        state = self.running.pop(work, None)
        seconds = now - (state.began if state else self.last_ended)
        self.last_ended = now
        if not endings:
            return
        self.time_left.learn(work.shape, len(endings), seconds)
        self.finished_here += len(endings)
        for ending in endings:
            self._count(work, ending)
        odd = sorted({ending.status for ending in endings} - {"ok"})
        self.last_label = " ".join((work.label, *odd))

    def _count(self, work: Work, ending: Ending) -> None:
        self.done += 1
        self.num_failed += ending.is_failure
        is_judged = ending.loss is not None and ending.status == "ok"
        if is_judged and (self._best is None or ending.loss < self._best[0]):  # type: ignore[operator]
            self._best = (ending.loss, work.variant)  # type: ignore[assignment]

    @property
    def elapsed_seconds(self) -> float:
        """Return the seconds since the stage began."""
        return self.clock() - self.began

    @property
    def num_running(self) -> int:
        """Return how many trials are under way."""
        return sum(work.count for work in self.running)

    @property
    def share(self) -> float:
        """Return how much is done, from 0 to 1, what is under way included, by number."""
        parts = sum(work.count * state.share for work, state in self.running.items())
        return min(1.0, (self.done + parts) / self.total) if self.total else 1.0

    def best(self) -> str | None:
        """Return the best so far, or None where losses of several groups say nothing together."""
        if self._best is None or len(self._groups) > 1:
            return None
        loss, variant = self._best
        return f"best {variant} val loss {significant(loss)}"

    def now(self) -> str | None:
        """Return what is under way: the work that was heard of first, and how far it is."""
        for work, state in self.running.items():
            loss = "" if state.loss is None else f", val loss {significant(state.loss)}"
            return f"{state.share:.0%} of {work.label}{loss}"
        return None

    def rate(self) -> str | None:
        """Return how many end a second, minute or hour; None before the first."""
        elapsed = self.elapsed_seconds
        if not self.finished_here or elapsed <= 0:
            return None
        a_second = self.finished_here / elapsed
        for seconds, unit in ((1.0, "s"), (60.0, "min")):
            if a_second * seconds >= 1:
                return f"{significant(a_second * seconds, 2)}/{unit}"
        return f"{significant(a_second * 3600, 2)}/h"

    def left(self) -> str | None:
        """Return about how long it still takes, in words; None without evidence."""
        now = self.clock()
        under_way = [
            (work.shape, work.count, state.share, now - state.began)
            for work, state in self.running.items()
        ]
        found = self.time_left.seconds(now - self.began, under_way)
        return None if found is None else in_words(*found)


def in_words(low: float, high: float | None = None) -> str:
    """Return seconds in words: 41 s; with another end, as far as both agree: 5 to 20 min."""
    most = low if high is None else high
    size, unit = next((u for u in _UNITS if most < 120 * u[0]), _UNITS[-1])
    if high is None:
        return f"{_rounded(low / size)} {unit}"
    ends = _rounded(low / size), _rounded(high / size)
    if high > 1.5 * low and ends[0] != ends[1]:
        return f"{ends[0]} to {ends[1]} {unit}"
    return f"about {_rounded((low + high) / 2 / size)} {unit}"


def _rounded(amount: float) -> str:
    return f"{amount:.1f}" if 0.05 <= amount < 2.95 else f"{amount:,.0f}"
