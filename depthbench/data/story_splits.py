"""Split stories into training, validation and test, so that no story is in two of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from depthbench.data.base import fixed_order, split_sizes
from depthbench.data.stories import MIN_STORIES
from depthbench.errors import DataError
from depthbench.grammar import DatasetSettings

# One story in this many is tested on; as many are held out for validation unless a suite says.
HELD_OUT_SHARE = 10


@dataclass(frozen=True, slots=True)
class StorySplits:
    """Hold the stories of each split; `num_duplicates` counts those left out as copies."""

    train: list[str]
    validation: list[str]
    test: list[str]
    num_duplicates: int


def split_stories(stories: Sequence[str], settings: DatasetSettings, path: Path) -> StorySplits:
    """Cut stories into splits: of the fixed order the first tenth is test, the next validation.

    A story that equals one of an earlier split, white space aside, is left out of the later one
    (test comes first, then validation), so that nothing is learned that is tested. Validation does
    not depend on how many stories train, and fewer training stories are the first of more.

    Raises:
        DataError: There are fewer stories than the suite asks for, or a split has none.
    """
    order = fixed_order(len(stories))
    num_test = max(1, len(stories) // HELD_OUT_SHARE)
    num_pool = len(stories) - num_test
    num_validation = split_sizes(settings, num_pool, num_test)[1]
    cuts = (order[:num_test], order[num_test:][:num_validation], order[num_test + num_validation :])
    seen: set[str] = set()
    kept = []
    for cut in cuts:
        own = [stories[index] for index in cut]
        kept.append([story for story in own if normalised(story) not in seen])
        seen.update(map(normalised, own))
    test, validation, train = kept
    num_duplicates = len(stories) - sum(map(len, kept))
    _check(path, settings, (len(train), len(validation)), num_duplicates)
    return StorySplits(train[: settings.train_examples], validation, test, num_duplicates)


def normalised(story: str) -> str:
    """Return a story with every run of white space as one space; copies have equal ones."""
    return " ".join(story.split())


def _check(
    path: Path, settings: DatasetSettings, sizes: tuple[int, int], num_duplicates: int
) -> None:
    num_train, num_validation = sizes
    wanted = settings.train_examples or 1
    if num_validation and num_train >= wanted:
        return
    raise DataError(
        f"{path}: {num_train:,} training and {num_validation:,} validation stories are left, since "
        f"{num_duplicates:,} are copies of stories in an earlier split; "
        f"ask for fewer train_examples, or give at least {MIN_STORIES} different stories"
    )
