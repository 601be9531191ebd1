"""What a run tells whoever watches it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from depthbench.progress.tally import Ending, Work


class Progress(Protocol):
    """Hear of each stage of a run and of each piece of work that ends.

    Works may be under way several at once. The first `move` of one says that it has begun; of work
    that never moves, it is taken to have begun when the one before it ended.
    """

    def begin(
        self, stage: str, todo: Iterable[Work], former: Iterable[tuple[Work, Ending]] = ()
    ) -> None:
        """Begin a stage: what is to do in it, and what a former session has done of it."""

    def move(self, work: Work, share: float, loss: float | None) -> None:
        """Hear how far a work is; called so often that it must cost next to nothing."""

    def advance(self, work: Work, endings: Sequence[Ending]) -> None:
        """Take a work off those under way, and count those of it that have ended.

        A cohort ends with an ending a trial. Work that was lost, and will be done again in other
        pieces of the same shape, ends with none.
        """

    def end(self) -> None:
        """End the stage, finished or not; without a stage, do nothing."""


class Quiet:
    """Say nothing."""

    def begin(
        self, stage: str, todo: Iterable[Work], former: Iterable[tuple[Work, Ending]] = ()
    ) -> None:
        """Say nothing."""

    def move(self, work: Work, share: float, loss: float | None) -> None:
        """Say nothing."""

    def advance(self, work: Work, endings: Sequence[Ending]) -> None:
        """Say nothing."""

    def end(self) -> None:
        """Say nothing."""
