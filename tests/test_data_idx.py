"""idx files, sound and unsound, and where they are found."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from depthbench.data import load, survey
from depthbench.data.checksums import OFFICIAL, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from depthbench.data.checksums import Checksums as Sums
from depthbench.data.idx import read_idx
from depthbench.errors import DataError
from depthbench.grammar import DatasetSettings

PARTIAL = DatasetSettings(name="mnist", allow_partial=True)
FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)


def idx_bytes(array: np.ndarray) -> bytes:
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


def small_set(num_train: int = 60, num_test: int = 10) -> dict[str, bytes]:
    generator = np.random.default_rng(7)
    contents = {}
    for images, labels, number in (
        (TRAIN_IMAGES, TRAIN_LABELS, num_train),
        (TEST_IMAGES, TEST_LABELS, num_test),
    ):
        contents[images] = idx_bytes(generator.integers(0, 256, (number, 28, 28)))
        contents[labels] = idx_bytes(np.arange(number) % 10)
    return contents


def write_set(folder: Path, contents: dict[str, bytes], suffix: str = ".gz") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        packed = gzip.compress(content, 1) if suffix == ".gz" else content
        (folder / f"{name}{suffix}").write_bytes(packed)
    return folder


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Keep searches in the test's own folders, and downloads out."""
    folder = tmp_path / "cache"
    monkeypatch.delenv("DEPTHBENCH_DATA", raising=False)
    for module in ("locate", "mnist"):
        monkeypatch.setattr(f"depthbench.data.{module}.cache_root", lambda: folder)
    monkeypatch.setattr("depthbench.data.locate.SYSTEM_ROOTS", (tmp_path / "system",))

    def refuse(*_):
        raise DataError("no network in tests")

    monkeypatch.setattr("depthbench.data.mnist.fetch", refuse)
    return folder


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("folder", ["mnist", "MNIST/raw", "M-nist/a/b"])
def test_files_are_found_anywhere_below_their_folder(tmp_path, folder, suffix):
    write_set(tmp_path / "data" / folder, small_set(), suffix)
    dataset = load(PARTIAL, tmp_path / "data")
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (50, 10, 10)
    assert not dataset.is_complete
    assert not dataset.is_official


@pytest.mark.parametrize("folder", ["fashion-mnist", "fashion_mnist", "FashionMNIST"])
def test_folders_may_be_written_with_hyphens_underscores_or_neither(tmp_path, folder):
    write_set(tmp_path / folder, small_set())
    settings = DatasetSettings(name="fashion_mnist", allow_partial=True)
    assert len(load(settings, tmp_path).test) == 10
    with pytest.raises(DataError, match="mnist: 4 of its 4 files are missing"):
        load(PARTIAL, tmp_path)


def test_dots_in_file_names_are_accepted(tmp_path):
    renamed = {name.replace("-idx", ".idx"): content for name, content in small_set().items()}
    write_set(tmp_path / "mnist", renamed, "")
    assert len(load(PARTIAL, tmp_path).test) == 10


def test_gzip_and_plain_copies_are_the_same_data(tmp_path):
    write_set(tmp_path / "a" / "mnist", small_set())
    write_set(tmp_path / "b" / "mnist", small_set(), "")
    one, two = load(PARTIAL, tmp_path / "a"), load(PARTIAL, tmp_path / "b")
    assert one.digest == two.digest
    np.testing.assert_array_equal(one.train.images, two.train.images)


def test_images_keep_their_labels(tmp_path):
    labels = np.arange(60) % 10
    contents = small_set() | {
        TRAIN_IMAGES: idx_bytes(np.broadcast_to(labels[:, None, None], (60, 28, 28))),
        TRAIN_LABELS: idx_bytes(labels),
    }
    write_set(tmp_path / "mnist", contents)
    dataset = load(PARTIAL, tmp_path)
    for split in (dataset.train, dataset.validation):
        np.testing.assert_array_equal(split.images[:, 0, 13, 7], split.labels)


def test_places_are_searched_in_order(tmp_path, monkeypatch, cache):
    places = {"system": tmp_path / "system", "cache": cache, "variable": tmp_path / "variable"}
    places["option"] = tmp_path / "option"
    for number, folder in enumerate(places.values()):
        write_set(folder / "mnist", small_set(num_test=number + 1))
        if folder.name == "variable":
            monkeypatch.setenv("DEPTHBENCH_DATA", str(folder))
        option = folder if folder.name == "option" else None
        assert len(load(PARTIAL, option).test) == number + 1


def test_an_incomplete_copy_needs_consent(tmp_path):
    write_set(tmp_path / "mnist", small_set())
    with pytest.raises(DataError, match=r"incomplete: 60 of 60,000 .*allow_partial: true"):
        load(DatasetSettings(name="mnist"), tmp_path)
    status = survey(tmp_path)[1]
    assert (status.is_present, status.is_complete, status.num_test_examples) == (True, False, 10)
    assert "60 of 60,000" in status.note


def test_missing_files_are_named_with_where_they_go(tmp_path, cache):
    with pytest.raises(DataError) as caught:
        load(DatasetSettings(name="mnist"))
    message = str(caught.value)
    for name in FILES:
        assert f"{name}.gz" in message
    for text in (str(cache / "mnist"), "https://", "DEPTHBENCH_DATA", "no network in tests"):
        assert text in message


def test_a_copy_the_user_chose_is_never_completed_from_elsewhere(tmp_path, cache):
    write_set(cache / "mnist", small_set())
    folder = write_set(tmp_path / "mine" / "mnist", small_set())
    (folder / f"{TEST_LABELS}.gz").unlink()
    with pytest.raises(DataError, match=f"1 of its 4 files are missing:\n  {TEST_LABELS}"):
        load(PARTIAL, tmp_path / "mine")


def test_a_corrupt_copy_never_gives_way_to_another(tmp_path, cache):
    write_set(cache / "mnist", small_set())
    folder = write_set(tmp_path / "mine" / "mnist", small_set())
    (folder / f"{TEST_LABELS}.gz").write_bytes(b"")
    with pytest.raises(DataError, match=rf"{TEST_LABELS}\.gz: empty"):
        load(PARTIAL, tmp_path / "mine")
    assert "empty" in survey(tmp_path / "mine")[1].note


def test_a_named_folder_that_is_not_there_is_an_error(tmp_path, monkeypatch):
    for name in ("digits", "mnist"):
        with pytest.raises(DataError, match=r"--data-dir names .*does not exist"):
            load(DatasetSettings(name=name), tmp_path / "typo")
    with pytest.raises(DataError, match="--data-dir"):
        survey(tmp_path / "typo")
    monkeypatch.setenv("DEPTHBENCH_DATA", str(tmp_path / "typo"))
    with pytest.raises(DataError, match="DEPTHBENCH_DATA names"):
        load(PARTIAL)


def test_only_missing_files_of_the_cache_are_downloaded(tmp_path, monkeypatch, cache):
    contents = small_set()
    folder = write_set(cache / "mnist", contents)
    (folder / f"{TEST_LABELS}.gz").unlink()
    fetched = []

    def fetch(file, mirrors, target):
        fetched.append((file.name, file.sha256))
        write_set(target, {TEST_LABELS: contents[TEST_LABELS]})
        return target / file.name

    monkeypatch.setattr("depthbench.data.mnist.fetch", fetch)
    assert len(load(PARTIAL).test) == 10
    assert fetched == [(f"{TEST_LABELS}.gz", OFFICIAL["mnist"][TEST_LABELS].packed)]


def test_official_means_the_bytes_inside_are_the_published_ones(tmp_path, monkeypatch):
    contents = small_set()
    sums = {name: Sums("", hashlib.sha256(data).hexdigest()) for name, data in contents.items()}
    monkeypatch.setitem(OFFICIAL, "mnist", sums)
    folder = write_set(tmp_path / "mnist", contents)
    assert load(PARTIAL, tmp_path).is_official
    (folder / f"{TEST_LABELS}.gz").write_bytes(gzip.compress(idx_bytes(np.zeros(10))))
    assert not load(PARTIAL, tmp_path).is_official


def test_another_known_file_under_this_name_is_refused(tmp_path, monkeypatch):
    contents = small_set()
    sums = {name: Sums("", hashlib.sha256(data).hexdigest()) for name, data in contents.items()}
    monkeypatch.setitem(OFFICIAL, "fashion_mnist", sums)
    write_set(tmp_path / "mnist", contents)
    with pytest.raises(DataError, match="holds train-images-idx3-ubyte of fashion_mnist") as caught:
        load(PARTIAL, tmp_path)
    assert str(caught.value).endswith("; move it to a folder fashion-mnist")


def test_a_file_under_the_name_of_another_of_its_set_is_to_be_renamed(tmp_path, monkeypatch):
    contents = small_set()
    sums = {name: Sums("", hashlib.sha256(data).hexdigest()) for name, data in contents.items()}
    monkeypatch.setitem(OFFICIAL, "mnist", sums)
    write_set(tmp_path / "mnist", contents | {TRAIN_IMAGES: contents[TEST_IMAGES]})
    with pytest.raises(DataError, match=f"holds {TEST_IMAGES} of mnist") as caught:
        load(PARTIAL, tmp_path)
    assert str(caught.value).endswith(f"; rename it to {TEST_IMAGES}.gz")


def test_what_is_not_whole_says_which_set_it_is(tmp_path):
    write_set(tmp_path / "mnist", small_set())
    notes = {status.name: status.note for status in survey(tmp_path)}
    assert notes["mnist"].startswith("mnist: incomplete: 60 of 60,000")


def _cut(data: bytes) -> bytes:
    return data[:-100]


def _with_label(data: bytes) -> bytes:
    return data[:-1] + b"\x0a"


def _flip(data: bytes) -> bytes:
    packed = bytearray(gzip.compress(data))
    packed[len(packed) // 2] ^= 0xFF
    return bytes(packed)


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        (TRAIN_IMAGES, _cut, "truncated: its header says 60 items, 47,040 bytes"),
        (TRAIN_IMAGES, lambda data: gzip.compress(data)[:-100], "truncated: its gzip stream"),
        (TRAIN_IMAGES, lambda data: gzip.compress(data)[:12], "truncated"),
        (TRAIN_IMAGES, lambda data: gzip.compress(data)[:-8] + b"\0" * 8, "corrupt gzip"),
        (TRAIN_IMAGES, _flip, "corrupt gzip|truncated"),
        (TRAIN_IMAGES, lambda data: gzip.compress(data) + b"more", "corrupt gzip"),
        (TRAIN_IMAGES, lambda data: b"", "empty"),
        (TRAIN_IMAGES, lambda data: gzip.compress(b""), "empty"),
        (TRAIN_IMAGES, lambda data: data[:7], "only 7 bytes long"),
        (TRAIN_IMAGES, lambda data: b"<html>not found, sorry</html>", "begins with 0x3c68746d"),
        (TRAIN_IMAGES, lambda data: data[:2] + b"\x0d" + data[3:], "begins with 0x00000d03"),
        (TRAIN_IMAGES, lambda data: data + b"x", "more bytes follow"),
        (TRAIN_IMAGES, lambda data: idx_bytes(np.zeros((60, 28))), "not an idx3"),
        (TRAIN_IMAGES, lambda data: idx_bytes(np.zeros((60, 32, 32))), "32 x 32 pixels"),
        (TRAIN_IMAGES, lambda data: data[:4] + b"\xff" * 4 + data[8:], "4,294,967,295 items"),
        (TRAIN_IMAGES, lambda data: idx_bytes(np.zeros((0, 28, 28))), "says 0 items"),
        (TRAIN_LABELS, lambda data: idx_bytes(np.zeros(59)), "59 labels for the 60 images"),
        (TRAIN_LABELS, _with_label, "label 10 at row 59"),
        (TEST_LABELS, lambda data: idx_bytes(np.zeros((10, 28, 28))), "not an idx1"),
    ],
)
def test_an_unsound_file_is_named_and_never_read_as_data(tmp_path, name, spoil, message):
    contents = small_set()
    folder = write_set(tmp_path / "mnist", contents, "")
    (folder / name).write_bytes(spoil(contents[name]))
    with pytest.raises(DataError, match=message) as caught:
        load(PARTIAL, tmp_path)
    assert str(folder / name) in str(caught.value)


def test_no_change_of_a_byte_goes_unseen_or_escapes_as_another_error(tmp_path):
    data = idx_bytes(np.arange(40) % 10)
    packed = gzip.compress(data, mtime=0)
    path = tmp_path / TEST_LABELS
    expected = np.arange(40) % 10
    for position in range(len(packed)):
        path.write_bytes(
            packed[:position] + bytes([packed[position] ^ 0x55]) + packed[position + 1 :]
        )
        try:
            values = read_idx(path, (), 100).values
        except DataError as error:
            assert str(path) in str(error)
        else:
            np.testing.assert_array_equal(values, expected)


def test_no_cut_goes_unseen(tmp_path):
    data = idx_bytes(np.arange(40) % 10)
    path = tmp_path / TEST_LABELS
    for whole in (data, gzip.compress(data)):
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            with pytest.raises(DataError, match=TEST_LABELS):
                read_idx(path, (), 100)


def test_a_folder_in_place_of_a_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path, (), 100)
