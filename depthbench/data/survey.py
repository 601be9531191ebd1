"""Say what is here of a data set of known files: all of it, a part, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from depthbench.data.base import DatasetStatus
from depthbench.data.locate import Finding
from depthbench.errors import DataError


class Contents(Protocol):
    """What was read of a set, and which of its files differ from the official ones."""

    @property
    def differing(self) -> tuple[str, ...]:
        """Return the names of the files that are not the official ones."""

    @property
    def is_complete(self) -> bool:
        """Say whether no official example is missing."""

    @property
    def num_examples(self) -> tuple[int, int]:
        """Return how many examples there are for training and validation, and for testing."""

    def counts(self) -> str:
        """Return how many examples there are, of how many."""


def survey(
    name: str,
    licence: str,
    finding: Finding,
    read: Callable[[Finding], Contents],
    absence: Callable[[Finding, str], str],
) -> DatasetStatus:
    """Read a set where all of it was found, without downloading; a bad file becomes a note.

    Args:
        name: of the set.
        licence: of the set.
        finding: where its files are, as far as they are anywhere.
        read: reads and checks them; raises DataError.
        absence: says in words what is missing of a finding, and what to do.
    """
    contents, note = None, ""
    if finding.missing:
        note = absence(finding, "")
    else:
        try:
            contents = read(finding)
            note = _remark(name, contents)
        except DataError as error:
            note = str(error)
    num_train, num_test = contents.num_examples if contents else (None, None)
    return DatasetStatus(
        name=name,
        path=finding.folder,
        is_present=not finding.missing,
        is_complete=contents is not None and contents.is_complete,
        is_official=contents is not None and not contents.differing,
        num_train_examples=num_train,
        num_test_examples=num_test,
        licence=licence,
        note=note,
        is_corrupt=not finding.missing and contents is None,
    )


def _remark(name: str, contents: Contents) -> str:
    if not contents.is_complete:
        return f"{name}: incomplete: {contents.counts()}; allow_partial: true accepts it"
    if contents.differing:
        return f"{name}: differs from the official files: {', '.join(contents.differing)}"
    return ""
