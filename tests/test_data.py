"""The contract that every data set keeps, and how pools are split."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from depthbench.data import DATASETS, Dataset, load, problem_of, survey
from depthbench.data.base import (
    Split,
    cut,
    digest_of_array,
    digest_of_parts,
    fixed_order,
    split_sizes,
)
from depthbench.data.checksums import OFFICIAL
from depthbench.data.cifar import CIFAR10, CIFAR100
from depthbench.data.locate import find
from depthbench.errors import DataError
from depthbench.grammar import AVAILABLE, TEXT_SETS, DatasetSettings, TaskSettings

CLASSIFY = TaskSettings(name="classify")
CIFAR = {"cifar10": CIFAR10, "cifar100": CIFAR100}
# Examples for training, validation and test where a suite does not say.
SIZES = {
    "digits": (1_100, 300, 397),
    "mnist": (50_000, 10_000, 10_000),
    "fashion_mnist": (50_000, 10_000, 10_000),
    "cifar10": (45_000, 5_000, 10_000),
    "cifar100": (45_000, 5_000, 10_000),
    "npz": (50, 10, 12),
}
REAL_DATA = Path(
    os.environ.get("DEPTHBENCH_DATA") or Path(__file__).parents[1] / ".." / "shared" / "data"
)


@pytest.fixture(autouse=True)
def _no_other_places(monkeypatch, tmp_path):
    monkeypatch.delenv("DEPTHBENCH_DATA", raising=False)
    for module in ("locate", "mnist"):
        monkeypatch.setattr(f"depthbench.data.{module}.cache_root", lambda: tmp_path / "cache")
    monkeypatch.setattr("depthbench.data.locate.SYSTEM_ROOTS", ())


def settings_of(name: str, tmp_path: Path) -> DatasetSettings:
    """Return settings under which a data set can be read here, or skip."""
    if name == "npz":
        generator = np.random.default_rng(0)
        arrays = {}
        for split, number in (("train", 60), ("test", 12)):
            arrays[f"x_{split}"] = generator.integers(0, 256, (number, 5, 4), dtype=np.uint8)
            arrays[f"y_{split}"] = np.arange(number) % 3
        np.savez(tmp_path / "own.npz", **arrays)
        return DatasetSettings(name=name, path=str(tmp_path / "own.npz"))
    if name in CIFAR:
        if CIFAR[name].find(real_data()).missing:
            pytest.skip(f"{name} is not in {REAL_DATA}")
        return DatasetSettings(name=name, allow_partial=True)
    if name != "digits" and find(name, tuple(OFFICIAL[name]), real_data()).missing:
        pytest.skip(f"{name} is not in {REAL_DATA}")
    return DatasetSettings(name=name)


def real_data() -> Path | None:
    return REAL_DATA if REAL_DATA.is_dir() else None


def rows(split: Split) -> set[bytes]:
    return {image.tobytes() + label.tobytes() for image, label in zip(*pair(split), strict=True)}


def pair(split: Split) -> tuple[np.ndarray, np.ndarray]:
    return split.images, split.labels


def splits(dataset: Dataset) -> tuple[Split, Split, Split]:
    return dataset.train, dataset.validation, dataset.test


@pytest.mark.parametrize("name", [name for name in DATASETS if name not in TEXT_SETS])
def test_every_data_set_keeps_the_contract(name, tmp_path):
    settings = settings_of(name, tmp_path)
    dataset = load(settings, real_data())
    problem = problem_of(settings, CLASSIFY)
    assert problem.output_shape == (dataset.num_classes,)
    for split in splits(dataset):
        assert split.images.shape == (len(split), *problem.input_shape)
        assert split.images.dtype in (np.uint8, np.float32)
        assert split.images.flags.c_contiguous
        assert split.images.flags.writeable
        assert split.labels.shape == (len(split),)
        assert split.labels.dtype == np.int64
        assert 0 <= split.labels.min() <= split.labels.max() < dataset.num_classes
    assert load(settings, real_data()).digest == dataset.digest
    # What was found of the CIFAR sets may be a part, and says so.
    assert dataset.is_complete or name in CIFAR
    assert dataset.is_official == (name != "npz" and dataset.is_complete)
    if dataset.is_complete:
        assert tuple(len(split) for split in splits(dataset)) == SIZES[name]
    assert len(bytes.fromhex(dataset.digest)) == 32
    assert DATASETS[name].name == dataset.name == name
    assert not np.shares_memory(dataset.train.images, dataset.validation.images)


def test_every_available_data_set_has_a_reader():
    assert set(AVAILABLE["dataset"]) == set(DATASETS)


def test_splits_share_no_example(tmp_path):
    dataset = load(settings_of("digits", tmp_path))
    parts = [rows(split) for split in splits(dataset)]
    assert sum(len(part) for part in parts) == len(set.union(*parts)) == 1_797


def test_validation_does_not_depend_on_how_many_train(tmp_path):
    few = load(DatasetSettings(name="digits", train_examples=10))
    many = load(DatasetSettings(name="digits", train_examples=500))
    np.testing.assert_array_equal(few.validation.images, many.validation.images)
    np.testing.assert_array_equal(few.train.images, many.train.images[:10])
    assert few.digest == many.digest


def test_the_order_is_frozen():
    # A change here changes every number ever measured.
    assert fixed_order(12).tolist() == [0, 2, 4, 7, 1, 8, 10, 11, 9, 5, 3, 6]


def test_the_digits_split_is_frozen():
    dataset = load(DatasetSettings(name="digits"))
    assert dataset.test.labels[:12].tolist() == [3, 1, 9, 1, 0, 5, 1, 3, 6, 9, 9, 5]
    assert dataset.validation.labels[:12].tolist() == [1, 9, 0, 2, 7, 1, 5, 6, 8, 0, 4, 5]


def test_digits_are_scaled_to_one():
    images = load(DatasetSettings(name="digits")).train.images
    assert images.dtype == np.float32
    assert (images.min(), images.max()) == (0.0, 1.0)
    assert np.array_equal(images * 16, np.round(images * 16))


@pytest.mark.parametrize(
    ("asked", "sizes"),
    [
        ({}, (50, 10)),
        ({"train_examples": 5}, (5, 10)),
        ({"validation_examples": 1}, (59, 1)),
        ({"train_examples": 40, "validation_examples": 20}, (40, 20)),
    ],
)
def test_split_sizes_follow_the_suite(asked, sizes):
    assert split_sizes(DatasetSettings(name="mnist", **asked), 60, 10) == sizes


@pytest.mark.parametrize(
    "asked",
    [
        {"train_examples": 51},
        {"validation_examples": 60},
        {"train_examples": 41, "validation_examples": 20},
        {"validation_examples": 10**12},
    ],
)
def test_more_examples_than_there_are_is_an_error(asked):
    with pytest.raises(DataError, match="the 60 there are"):
        split_sizes(DatasetSettings(name="mnist", **asked), 60, 10)


@pytest.mark.parametrize(
    "settings",
    [
        DatasetSettings(name="digits", train_examples=1_101),
        DatasetSettings(name="mnist", train_examples=60_000),
    ],
)
def test_too_many_examples_are_refused_without_reading_data(settings):
    with pytest.raises(DataError, match=f"{settings.train_examples:,} training"):
        problem_of(settings, CLASSIFY)


def test_cut_puts_validation_first_and_copies():
    pool = Split(np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1), np.arange(6))
    train, validation = cut(pool, (3, 2), np.array([5, 3, 1, 0, 2, 4]))
    assert validation.labels.tolist() == [5, 3]
    assert train.images.ravel().tolist() == [1, 0, 2]


def test_digest_sees_values_shape_and_type_but_not_byte_order():
    array = np.arange(6, dtype=np.int32)
    digest = digest_of_array(array)
    assert digest == digest_of_array(array.astype(">i4"))
    others = (array[::-1], array.reshape(2, 3), array.astype(np.int64), array.view(np.uint32))
    assert digest not in {digest_of_array(other) for other in others}
    assert digest_of_parts({"a": "1", "b": "2"}) == digest_of_parts({"b": "2", "a": "1"})
    assert digest_of_parts({"a": "1", "b": "2"}) != digest_of_parts({"a": "2", "b": "1"})


def test_other_tasks_and_sets_are_refused_by_name():
    with pytest.raises(DataError, match="task language_model"):
        problem_of(DatasetSettings(name="digits"), TaskSettings(name="language_model"))
    with pytest.raises(DataError, match=r"dataset imagenet: .* digits"):
        load(DatasetSettings.model_construct(name="imagenet"))


def test_importing_data_loads_neither_torch_nor_sklearn():
    code = (
        "import sys, depthbench.data; "
        "print([m for m in ('torch', 'sklearn', 'pooch', 'requests') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_survey_never_downloads_and_lists_every_set(monkeypatch):
    monkeypatch.setattr("depthbench.data.mnist.fetch", lambda *_: pytest.fail("downloaded"))
    statuses = {status.name: status for status in survey()}
    assert list(statuses) == list(DATASETS)
    assert statuses["digits"].is_official
    assert statuses["digits"].num_train_examples == 1_400
    assert not statuses["mnist"].is_present
    assert "train-images-idx3-ubyte.gz" in statuses["mnist"].note


def test_survey_of_real_files_reports_what_load_reports(tmp_path):
    settings_of("mnist", tmp_path)
    status = DATASETS["mnist"].survey(real_data())
    assert (status.is_complete, status.is_official, status.note) == (True, True, "")
    assert (status.num_train_examples, status.num_test_examples) == (60_000, 10_000)
