"""CIFAR-10 and CIFAR-100: as python pickles, as binary files, or as the archives of either."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depthbench.data import locate
from depthbench.data.base import (
    Dataset,
    DatasetStatus,
    Split,
    cut,
    default_validation,
    digest_of_array,
    digest_of_parts,
    fixed_order,
    split_sizes,
)
from depthbench.data.cifar_files import (
    CHANNELS,
    MAX_FILE_BYTES,
    SIDE,
    Batch,
    Labelling,
    file_bytes,
    read_batch,
)
from depthbench.data.cifar_forms import CIFAR10_FORMS, CIFAR100_FORMS, NUM_TEST, NUM_TRAIN, Form
from depthbench.data.download import fetch
from depthbench.data.locate import Finding, listing
from depthbench.data.survey import survey
from depthbench.data.tarballs import read_members
from depthbench.errors import DataError
from depthbench.grammar import DatasetSettings

NUM_VALIDATION = 5_000
MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)


@dataclass(frozen=True, slots=True)
class Contents:
    """Hold what was read, how it was found, and which files differ from the official ones."""

    pool: Split
    test: Split
    folder: Path | None
    differing: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Say whether no official example is missing."""
        return (len(self.pool), len(self.test)) == (NUM_TRAIN, NUM_TEST)

    @property
    def num_examples(self) -> tuple[int, int]:
        """Return how many examples there are for training and validation, and for testing."""
        return len(self.pool), len(self.test)

    def counts(self) -> str:
        """Return how many examples there are, of how many."""
        return (
            f"{len(self.pool):,} of {NUM_TRAIN:,} training and "
            f"{len(self.test):,} of {NUM_TEST:,} test examples"
        )

    def digest(self) -> str:
        """Return the sha256 of all examples and labels, the same whatever form they came in."""
        arrays = {
            "train_images": self.pool.images,
            "train_labels": self.pool.labels,
            "test_images": self.test.images,
            "test_labels": self.test.labels,
        }
        return digest_of_parts({name: digest_of_array(array) for name, array in arrays.items()})


@dataclass(frozen=True, slots=True)
class CifarSet:
    """Read one of the CIFAR sets; the first form is the one that is downloaded."""

    name: str
    folder_names: tuple[str, ...]
    labelling: Labelling
    forms: tuple[Form, ...]
    licence: str = "none stated; cite A. Krizhevsky, 2009"

    def shapes(self, settings: DatasetSettings) -> tuple[tuple[int, int, int], int]:
        """Return (C, H, W) and the number of classes; refuse splits larger than the set."""
        split_sizes(settings, NUM_TRAIN, NUM_VALIDATION)
        return (CHANNELS, SIDE, SIDE), self.labelling.num_classes

    def sizes(self, settings: DatasetSettings) -> tuple[int, int, int]:
        """Return the sizes of the splits that are cut from the complete set."""
        return (*split_sizes(settings, NUM_TRAIN, NUM_VALIDATION), NUM_TEST)

    def load(self, settings: DatasetSettings, data_dir: Path | None) -> Dataset:
        """Read the files, downloading the archive where there is none on this machine.

        Raises:
            DataError: A file is missing, corrupt, unsafe or not what its name says, or there are
                fewer examples than official ones and the suite does not accept that.
        """
        contents = self._read(self._all_files(data_dir))
        if not contents.is_complete and not settings.allow_partial:
            raise DataError(
                f"{self.name}: the copy in {contents.folder} is incomplete: {contents.counts()}; "
                "get the official files, or accept it with "
                f"dataset: {{name: {self.name}, allow_partial: true}}"
            )
        num_pool = len(contents.pool)
        num_held_out = NUM_VALIDATION if num_pool == NUM_TRAIN else default_validation(num_pool)
        sizes = split_sizes(settings, num_pool, num_held_out)
        train, validation = cut(contents.pool, sizes, fixed_order(num_pool))
        return Dataset(
            name=self.name,
            train=train,
            validation=validation,
            test=contents.test,
            num_classes=self.labelling.num_classes,
            digest=contents.digest(),
            is_official=not contents.differing,
            is_complete=contents.is_complete,
        )

    def survey(self, data_dir: Path | None) -> DatasetStatus:
        """Look for the files and read them, without downloading; a bad file becomes a note."""
        finding = self.find(data_dir)
        return survey(self.name, self.licence, finding, self._read, self._absence)

    def find(self, data_dir: Path | None) -> Finding:
        """Return where the files or an archive of them are, never downloading."""
        unpacked = (form.file_names for form in self.forms)
        packed = ((form.archive.name.removesuffix(".gz"),) for form in self.forms)
        return locate.find_any(self.folder_names, (*unpacked, *packed), data_dir)

    def _all_files(self, data_dir: Path | None) -> Finding:
        """Return where all files are, after downloading the archive where they are nowhere."""
        finding = self.find(data_dir)
        if not finding.missing:
            return finding
        if finding.place and finding.place.is_chosen:
            raise DataError(self._absence(finding, ""))
        archive = self.forms[0].archive
        folder = locate.cache_root() / self.folder_names[0]
        try:
            path = fetch(archive, MIRRORS, folder)
        except DataError as error:
            raise DataError(self._absence(finding, f"\n{error}")) from error
        return Finding(folder, None, {archive.name.removesuffix(".gz"): path}, (), finding.places)

    def _read(self, finding: Finding) -> Contents:
        for form in self.forms:
            archive = finding.paths.get(form.archive.name.removesuffix(".gz"))
            if archive is not None:
                members = read_members(archive, form.file_names, MAX_FILE_BYTES)
                # Taken out one by one, so that no more than one file is in memory twice.
                sources = ((f"{archive}: {name}", members.pop(name)) for name in form.file_names)
                return self._contents(form, sources, finding.folder)
            if all(name in finding.paths for name in form.file_names):
                paths = (finding.paths[name] for name in form.file_names)
                sources = ((str(path), file_bytes(path)) for path in paths)
                return self._contents(form, sources, finding.folder)
        raise AssertionError(f"{self.name}: {finding} is of no form")

    def _contents(
        self, form: Form, sources: Iterable[tuple[str, bytes]], folder: Path | None
    ) -> Contents:
        batches = {
            file: read_batch(content, source, file, self.labelling)
            for file, (source, content) in zip(form.files, sources, strict=True)
        }
        differing = (file.name for file, batch in batches.items() if not batch.is_official)
        return Contents(
            pool=_joined(batch for file, batch in batches.items() if not file.is_test),
            test=_joined(batch for file, batch in batches.items() if file.is_test),
            folder=folder,
            differing=tuple(differing),
        )

    def _absence(self, finding: Finding, failure: str) -> str:
        archive = self.forms[0].archive.name
        target = finding.folder or locate.cache_root() / self.folder_names[0]
        return (
            f"{self.name}: {len(finding.missing)} of its files are missing:"
            f"{listing(finding.missing)}\n"
            f"looked for a folder {' or '.join(self.folder_names)} in:"
            f"{listing(finding.places)}{failure}\n"
            f"put the files or the archive {archive} into {target}, or into a folder "
            f"{self.folder_names[0]} of --data-dir or DEPTHBENCH_DATA; it is at:"
            f"{listing([MIRRORS[0] + archive])}"
        )


def _joined(batches: Iterable[Batch]) -> Split:
    """Return the examples of several files as one split, always a copy and writable."""
    splits = [batch.examples for batch in batches]
    return Split(
        np.concatenate([split.images for split in splits]),  # (N, 3, 32, 32)
        np.concatenate([split.labels for split in splits]),
    )


CIFAR10 = CifarSet(
    name="cifar10",
    folder_names=("cifar-10", "cifar-10-batches-py", "cifar-10-batches-bin"),
    labelling=Labelling(num_classes=10, key="labels", label_bytes=1),
    forms=CIFAR10_FORMS,
)

CIFAR100 = CifarSet(
    name="cifar100",
    folder_names=("cifar-100", "cifar-100-python", "cifar-100-binary"),
    # The binary form has the coarse label first, then the fine one.
    labelling=Labelling(num_classes=100, key="fine_labels", label_bytes=2),
    forms=CIFAR100_FORMS,
)
