"""Data sets: where they lie, how they are read and checked, and how they are split.

Adding a data set is one module and one line of DATASETS. No torch here: arrays are NumPy's.
"""

from __future__ import annotations

from pathlib import Path

from depthbench.data.base import Dataset, DatasetReader, DatasetStatus, Split
from depthbench.data.cifar import CIFAR10, CIFAR100
from depthbench.data.digits import DIGITS
from depthbench.data.locate import check_folder
from depthbench.data.mnist import FASHION_MNIST, MNIST
from depthbench.data.npz import NPZ
from depthbench.data.problems import image_problem
from depthbench.data.text import TEXT, TextDataset, TextSet
from depthbench.data.tinystories import TINYSTORIES
from depthbench.errors import DataError
from depthbench.grammar import DatasetSettings, TaskSettings
from depthbench.spec import Problem

__all__ = [
    "DATASETS",
    "Dataset",
    "DatasetStatus",
    "Split",
    "load",
    "problem_of",
    "sizes_of",
    "survey",
]

DATASETS: dict[str, DatasetReader | TextSet] = {
    "digits": DIGITS,
    "mnist": MNIST,
    "fashion_mnist": FASHION_MNIST,
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
    "tinystories": TINYSTORIES,
    "npz": NPZ,
    "text": TEXT,
}


def problem_of(settings: DatasetSettings, task: TaskSettings) -> Problem:
    """Return what a network maps to what, without reading images or text.

    Raises:
        DataError: The splits are larger than the set, or a user's own file is not as it should be.
    """
    reader = _reader(settings)
    if isinstance(reader, TextSet):
        return reader.problem(settings, task.name)
    image_shape, num_classes = reader.shapes(settings)
    return image_problem(settings.name, image_shape, num_classes, task.name)


def sizes_of(settings: DatasetSettings) -> tuple[int, int, int]:
    """Return the sizes of the train, validation and test splits, without reading images.

    Of a set with published sizes these are those of the complete one. Text has none before it is
    read.

    Raises:
        DataError: The splits are larger than the set, or a user's own file is not as it should be.
    """
    reader = _reader(settings)
    assert not isinstance(reader, TextSet)
    return reader.sizes(settings)


def load(settings: DatasetSettings, data_dir: Path | None = None) -> Dataset | TextDataset:
    """Read a data set and cut its splits, which are the same whatever the seed.

    Args:
        settings: Which data set, and how much of it.
        data_dir: A folder with one folder a data set, searched first.

    Raises:
        DataError: The data is missing, incomplete, corrupt or not what its name says.
    """
    return _reader(settings).load(settings, _checked(data_dir))


def survey(data_dir: Path | None = None) -> tuple[DatasetStatus, ...]:
    """Return what is on this machine, one value a data set; never downloads.

    Raises:
        DataError: A folder that the user named does not exist.
    """
    folder = _checked(data_dir)
    return tuple(reader.survey(folder) for reader in DATASETS.values())


def _reader(settings: DatasetSettings) -> DatasetReader | TextSet:
    if settings.name not in DATASETS:
        raise DataError(
            f"dataset {settings.name}: not available yet; this version has: {', '.join(DATASETS)}"
        )
    return DATASETS[settings.name]


def _checked(data_dir: Path | None) -> Path | None:
    if data_dir is not None:
        check_folder(Path(data_dir).expanduser(), "--data-dir")
    return data_dir
