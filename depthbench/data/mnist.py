"""MNIST and Fashion-MNIST: four idx files each, of the same names and shapes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depthbench.data.base import (
    Dataset,
    DatasetStatus,
    Split,
    cut,
    default_validation,
    digest_of_parts,
    fixed_order,
    split_sizes,
)
from depthbench.data.checksums import (
    OFFICIAL,
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    owner_of,
)
from depthbench.data.download import RemoteFile, fetch
from depthbench.data.idx import IdxArray, read_idx
from depthbench.data.locate import Finding, cache_root, find, listing
from depthbench.data.survey import survey
from depthbench.errors import DataError
from depthbench.grammar import DatasetSettings

SIDE = 28
NUM_CLASSES = 10
NUM_TRAIN = 60_000
NUM_TEST = 10_000
# Shape of an item and official number of items.
LAYOUT: dict[str, tuple[tuple[int, ...], int]] = {
    TRAIN_IMAGES: ((SIDE, SIDE), NUM_TRAIN),
    TRAIN_LABELS: ((), NUM_TRAIN),
    TEST_IMAGES: ((SIDE, SIDE), NUM_TEST),
    TEST_LABELS: ((), NUM_TEST),
}


@dataclass(frozen=True, slots=True)
class Contents:
    """Hold the four files of a set as they were read, by name, and how they were found."""

    arrays: dict[str, IdxArray]
    folder: Path | None
    differing: tuple[str, ...]
    is_complete: bool

    @property
    def num_examples(self) -> tuple[int, int]:
        """Return how many examples there are for training and validation, and for testing."""
        train, test = (self.arrays[name].values for name in (TRAIN_LABELS, TEST_LABELS))
        return len(train), len(test)

    def counts(self) -> str:
        """Return how many examples there are, of how many."""
        num_train, num_test = self.num_examples
        train = f"{num_train:,} of {NUM_TRAIN:,} training"
        return f"{train} and {num_test:,} of {NUM_TEST:,} test examples"

    def split(self, images: str, labels: str) -> Split:
        """Return the examples of two files, with a channel axis."""
        pixels = self.arrays[images].values[:, None]  # (N, 1, H, W)
        return Split(pixels, self.arrays[labels].values.astype(np.int64))


@dataclass(frozen=True, slots=True)
class MnistSet:
    """Read one data set of MNIST's layout; `mirrors` are folders on the web, ending in a slash."""

    name: str
    licence: str
    mirrors: tuple[str, ...]

    def shapes(self, settings: DatasetSettings) -> tuple[tuple[int, int, int], int]:
        """Return (C, H, W) and the number of classes; refuse splits larger than the set."""
        split_sizes(settings, NUM_TRAIN, default_validation(NUM_TRAIN))
        return (1, SIDE, SIDE), NUM_CLASSES

    def sizes(self, settings: DatasetSettings) -> tuple[int, int, int]:
        """Return the sizes of the splits that are cut from the complete set."""
        return (*split_sizes(settings, NUM_TRAIN, default_validation(NUM_TRAIN)), NUM_TEST)

    def load(self, settings: DatasetSettings, data_dir: Path | None) -> Dataset:
        """Read the four files, downloading those that are nowhere on this machine.

        Raises:
            DataError: A file is missing, corrupt or not what its name says, or holds fewer examples
                than the official one and the suite does not accept that.
        """
        contents = self._read(self._all_files(data_dir))
        if not contents.is_complete and not settings.allow_partial:
            raise DataError(
                f"{self.name}: the copy in {contents.folder} is incomplete: {contents.counts()}; "
                "get the official files, or accept it with "
                f"dataset: {{name: {self.name}, allow_partial: true}}"
            )
        pool = contents.split(TRAIN_IMAGES, TRAIN_LABELS)
        sizes = split_sizes(settings, len(pool), default_validation(len(pool)))
        train, validation = cut(pool, sizes, fixed_order(len(pool)))
        parts = {name: array.sha256 for name, array in contents.arrays.items()}
        return Dataset(
            name=self.name,
            train=train,
            validation=validation,
            test=contents.split(TEST_IMAGES, TEST_LABELS),
            num_classes=NUM_CLASSES,
            digest=digest_of_parts(parts),
            is_official=not contents.differing,
            is_complete=contents.is_complete,
        )

    def survey(self, data_dir: Path | None) -> DatasetStatus:
        """Look for the files and read them, without downloading; a bad file becomes a note."""
        finding = find(self.name, tuple(LAYOUT), data_dir)
        return survey(self.name, self.licence, finding, self._read, self._absence)

    def _all_files(self, data_dir: Path | None) -> Finding:
        """Return where all files are, after downloading what is missing."""
        finding = find(self.name, tuple(LAYOUT), data_dir)
        if not finding.missing:
            return finding
        if finding.place and finding.place.is_chosen:
            raise DataError(self._absence(finding, ""))
        cache = cache_root() / _folder_name(self.name)
        is_begun = finding.place is not None and finding.place.root == cache_root()
        paths = dict(finding.paths) if is_begun else {}
        for file in (file for file in LAYOUT if file not in paths):
            remote = RemoteFile(f"{file}.gz", OFFICIAL[self.name][file].packed)
            try:
                paths[file] = fetch(remote, self.mirrors, cache)
            except DataError as error:
                raise DataError(self._absence(finding, f"\n{error}")) from error
        return Finding(cache, None, paths, (), finding.places)

    def _read(self, finding: Finding) -> Contents:
        arrays = {
            name: read_idx(finding.paths[name], item_shape, num_official)
            for name, (item_shape, num_official) in LAYOUT.items()
        }
        for name, array in arrays.items():
            _check_owner(finding.paths[name], array, (self.name, name))
        for images, labels in ((TRAIN_IMAGES, TRAIN_LABELS), (TEST_IMAGES, TEST_LABELS)):
            _check_pair(finding.paths, arrays, images, labels)
        official = OFFICIAL[self.name]
        differing = (name for name in LAYOUT if arrays[name].sha256 != official[name].unpacked)
        is_complete = all(len(arrays[name].values) == num for name, (_, num) in LAYOUT.items())
        return Contents(arrays, finding.folder, tuple(differing), is_complete)

    def _absence(self, finding: Finding, failure: str) -> str:
        urls = (f"{self.mirrors[0]}{file}.gz" for file in finding.missing)
        target = finding.folder or cache_root() / _folder_name(self.name)
        return (
            f"{self.name}: {len(finding.missing)} of its {len(LAYOUT)} files are missing:"
            f"{listing(f'{file}.gz' for file in finding.missing)}\n"
            f"looked for a folder {_folder_name(self.name)} in:{listing(finding.places)}{failure}\n"
            f"put the files, gzipped or not, into {target}, "
            f"or into a folder {_folder_name(self.name)} of --data-dir or DEPTHBENCH_DATA; "
            f"they are at:{listing(urls)}"
        )


def _check_owner(path: Path, array: IdxArray, expected: tuple[str, str]) -> None:
    """Refuse a file that is known to be another one."""
    owner = owner_of(array.sha256)
    if owner is not None and owner != expected:
        name = owner[1] + (".gz" if path.suffix == ".gz" else "")
        moves = [f"move it to a folder {_folder_name(owner[0])}"] if owner[0] != expected[0] else []
        moves += [f"rename it to {name}"] if owner[1] != expected[1] else []
        raise DataError(
            f"{path}: holds {owner[1]} of {owner[0]}, not {expected[1]} of {expected[0]}; "
            f"{' and '.join(moves)}"
        )


def _check_pair(
    paths: dict[str, Path], arrays: dict[str, IdxArray], images: str, labels: str
) -> None:
    """Refuse labels that cannot belong to the images beside them."""
    num_images, num_labels = len(arrays[images].values), len(arrays[labels].values)
    if num_images != num_labels:
        raise DataError(
            f"{paths[labels]}: {num_labels:,} labels for the {num_images:,} images of "
            f"{paths[images]}; the two files are of different copies"
        )
    highest = int(arrays[labels].values.max())
    if highest >= NUM_CLASSES:
        row = int(arrays[labels].values.argmax())
        raise DataError(
            f"{paths[labels]}: label {highest} at row {row:,}; labels are 0 to {NUM_CLASSES - 1}"
        )


def _folder_name(name: str) -> str:
    return name.replace("_", "-")


MNIST = MnistSet(
    name="mnist",
    licence="CC BY-SA 3.0",
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://raw.githubusercontent.com/fgnt/mnist/master/",
    ),
)

FASHION_MNIST = MnistSet(
    name="fashion_mnist",
    licence="MIT",
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
)
