"""CIFAR files, sound, unsound and hostile: pickles, the binary form, and archives of either."""

import gzip
import hashlib
import io
import os
import pickle
import tarfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from depthbench.data import load
from depthbench.data.cifar import CIFAR10, CIFAR100
from depthbench.data.cifar_files import BatchFile, Labelling, read_batch
from depthbench.data.pickles import PickledArray, read_pickle
from depthbench.data.tarballs import read_members
from depthbench.errors import DataError
from depthbench.grammar import DatasetSettings
from tests.test_data import REAL_DATA

PARTIAL = DatasetSettings(name="cifar10", allow_partial=True)
PARTIAL_100 = DatasetSettings(name="cifar100", allow_partial=True)
TRAIN_NAMES = [f"data_batch_{number}" for number in range(1, 6)]
NUM_PER_FILE = 12
FILE = BatchFile("data_batch_1", 10_000, False, "md5:0")
LABELS = Labelling(num_classes=10, key="labels", label_bytes=1)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Keep searches in the test's own folders, and downloads out."""
    folder = tmp_path / "cache"
    monkeypatch.delenv("DEPTHBENCH_DATA", raising=False)
    monkeypatch.setattr("depthbench.data.locate.cache_root", lambda: folder)
    monkeypatch.setattr("depthbench.data.locate.SYSTEM_ROOTS", ())

    def refuse(*_):
        raise DataError("no network in tests")

    monkeypatch.setattr("depthbench.data.cifar.fetch", refuse)
    return folder


def examples(seed: int, num_classes: int = 10) -> tuple[np.ndarray, list[int]]:
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (NUM_PER_FILE, 3072), dtype=np.uint8)
    return pixels, generator.integers(0, num_classes, NUM_PER_FILE).tolist()


def batch_pickle(pixels, labels, protocol=2, key="labels", **extra) -> bytes:
    """Return a batch as the official files have it, but that Python 3 wrote it."""
    entries = {b"batch_label": b"a batch", key.encode(): labels, b"data": pixels, **extra}
    return pickle.dumps(entries, protocol)


def python_set() -> dict[str, bytes]:
    names = [*TRAIN_NAMES, "test_batch"]
    return {name: batch_pickle(*examples(seed)) for seed, name in enumerate(names)}


def binary_set() -> dict[str, bytes]:
    names = [*(f"{name}.bin" for name in TRAIN_NAMES), "test_batch.bin"]
    contents = {}
    for seed, name in enumerate(names):
        pixels, labels = examples(seed)
        contents[name] = np.column_stack([np.array(labels, np.uint8), pixels]).tobytes()
    return contents


def write_set(folder: Path, contents: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def write_archive(path: Path, contents: dict[str, bytes], *members: tarfile.TarInfo) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
        for name, content in contents.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def error_of(folder: Path, settings: DatasetSettings = PARTIAL) -> str:
    with pytest.raises(DataError) as caught:
        load(settings, folder)
    return str(caught.value)


# --- sound copies ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "folder", ["cifar-10", "CIFAR10", "cifar_10/a/b", "cifar-10-batches-py", "cifar10/raw"]
)
def test_pickles_are_found_anywhere_below_their_folder(tmp_path, folder):
    write_set(tmp_path / "data" / folder, python_set())
    dataset = load(PARTIAL, tmp_path / "data")
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (50, 10, 12)
    assert (dataset.is_complete, dataset.is_official) == (False, False)
    pixels, labels = examples(5)
    np.testing.assert_array_equal(dataset.test.images, pixels.reshape(-1, 3, 32, 32))
    assert dataset.test.labels.tolist() == labels


def test_every_form_of_the_same_examples_is_the_same_data_set(tmp_path):
    contents = python_set()
    write_set(tmp_path / "a" / "cifar-10", contents)
    write_set(tmp_path / "b" / "cifar-10", binary_set())
    write_archive(tmp_path / "c" / "cifar-10" / "cifar-10-python.tar.gz", contents)
    write_archive(tmp_path / "d" / "cifar-10" / "cifar-10-binary.tar", binary_set())
    packed = {f"{name}.gz": gzip.compress(content) for name, content in contents.items()}
    write_set(tmp_path / "e" / "cifar-10", packed)
    found = [load(PARTIAL, tmp_path / name) for name in "abcde"]
    assert len({dataset.digest for dataset in found}) == 1
    for dataset in found[1:]:
        np.testing.assert_array_equal(dataset.train.images, found[0].train.images)
        np.testing.assert_array_equal(dataset.train.labels, found[0].train.labels)


def test_cifar100_has_fine_labels_in_both_forms(tmp_path):
    pickles, binaries = {}, {}
    for seed, name in enumerate(("train", "test")):
        pixels, fine = examples(seed, 100)
        coarse = [label // 5 for label in fine]
        extra = {b"coarse_labels": coarse}
        pickles[name] = batch_pickle(pixels, fine, key="fine_labels", **{"extra": extra})
        columns = [np.array(coarse, np.uint8), np.array(fine, np.uint8), pixels]
        binaries[f"{name}.bin"] = np.column_stack(columns).tobytes()
    write_set(tmp_path / "a" / "cifar-100-python", pickles)
    write_set(tmp_path / "b" / "cifar100", binaries)
    first, second = (load(PARTIAL_100, tmp_path / name) for name in "ab")
    assert first.digest == second.digest
    assert first.num_classes == 100
    assert first.test.labels.tolist() == examples(1, 100)[1]
    assert (len(first.train), len(first.validation), len(first.test)) == (10, 2, 12)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_batch_of_any_protocol_and_order_is_read(protocol, order):
    pixels, labels = examples(0)
    content = batch_pickle(np.asarray(pixels, order=order), labels, protocol)
    batch = read_batch(content, "f", FILE, LABELS)
    np.testing.assert_array_equal(batch.examples.images.reshape(-1, 3072), pixels)
    assert batch.examples.labels.tolist() == labels
    assert batch.examples.labels.dtype == np.int64


def test_what_python_2_wrote_is_read():
    # Python 2's strings, which have opcodes of their own: U is a short one, T a long one.
    pixels, _ = examples(0)
    raw = pixels[:2].tobytes()
    content = (
        b"\x80\x02}(U\x06labels](K\x03K\x07eU\x04data"
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + len(raw).to_bytes(4, "little")
        + raw
        + b"tbu."
    )
    batch = read_batch(content, "f", FILE, LABELS)
    np.testing.assert_array_equal(batch.examples.images.reshape(2, 3072), pixels[:2])
    assert batch.examples.labels.tolist() == [3, 7]


def test_labels_may_be_an_array_of_integers():
    pixels, labels = examples(0)
    content = batch_pickle(pixels, np.array(labels, dtype=">i4"))
    assert read_batch(content, "f", FILE, LABELS).examples.labels.tolist() == labels


def test_a_whole_set_has_5000_for_validation_and_its_checksums_make_it_official(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("depthbench.data.cifar.NUM_TRAIN", 60)
    monkeypatch.setattr("depthbench.data.cifar.NUM_TEST", 12)
    monkeypatch.setattr("depthbench.data.cifar.NUM_VALIDATION", 5)
    contents = python_set()
    write_set(tmp_path / "cifar-10", contents)
    dataset = load(DatasetSettings(name="cifar10"), tmp_path)
    assert (dataset.is_complete, dataset.is_official) == (True, False)
    assert (len(dataset.train), len(dataset.validation)) == (55, 5)
    form = CIFAR10.forms[0]
    files = tuple(
        replace(file, checksum=f"md5:{hashlib.md5(contents[file.name]).hexdigest()}")
        for file in form.files
    )
    official = replace(CIFAR10, forms=(replace(form, files=files),))
    assert official.load(DatasetSettings(name="cifar10"), tmp_path).is_official
    assert official.survey(tmp_path).note == ""
    assert "data_batch_1" in CIFAR10.survey(tmp_path).note


def test_the_official_files_are_those_that_others_have():
    files = {file.name: file for form in CIFAR10.forms for file in form.files}
    assert len(files) == 12
    assert sum(file.num_official for file in CIFAR10.forms[0].files) == 60_000
    assert sum(file.num_official for file in CIFAR100.forms[1].files) == 60_000
    for form in (*CIFAR10.forms, *CIFAR100.forms):
        assert len(bytes.fromhex(form.archive.sha256)) == 32
        for file in form.files:
            algorithm, digest = file.checksum.split(":")
            assert len(bytes.fromhex(digest)) == hashlib.new(algorithm).digest_size
    assert len({f.checksum for s in (CIFAR10, CIFAR100) for m in s.forms for f in m.files}) == 16


# --- absent and partial copies --------------------------------------------------------------------


def test_a_partial_copy_needs_allow_partial_and_says_how_much_there_is(tmp_path):
    write_set(tmp_path / "cifar-10", python_set())
    message = error_of(tmp_path, DatasetSettings(name="cifar10"))
    assert "60 of 50,000 training and 12 of 10,000 test examples" in message
    assert "allow_partial: true" in message


def test_an_absent_set_is_named_with_places_and_where_to_get_it(tmp_path):
    (tmp_path / "data").mkdir()
    message = error_of(tmp_path / "data")
    for part in ("data_batch_1", "test_batch", "cifar-10-python.tar.gz", "no network in tests"):
        assert part in message
    assert f"--data-dir: {tmp_path / 'data'}" in message
    assert "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz" in message


def test_a_missing_file_in_a_chosen_place_is_no_reason_to_look_elsewhere(tmp_path, cache):
    contents = python_set()
    write_set(cache / "cifar-10", contents)
    del contents["data_batch_3"]
    write_set(tmp_path / "data" / "cifar-10", contents)
    message = error_of(tmp_path / "data")
    assert "1 of its files are missing:\n  data_batch_3\n" in message
    (tmp_path / "empty").mkdir()
    assert len(load(PARTIAL, tmp_path / "empty").test) == 12


def test_an_archive_is_downloaded_by_its_checksum_and_read(tmp_path, monkeypatch):
    archive = write_archive(tmp_path / "cifar-10-python.tar.gz", python_set())
    asked = []

    def fetched(file, mirrors, folder):
        asked.append((file.name, file.sha256[:8], mirrors, folder.name))
        return archive

    monkeypatch.setattr("depthbench.data.cifar.fetch", fetched)
    assert len(load(PARTIAL).train) == 50
    mirrors = ("https://www.cs.toronto.edu/~kriz/",)
    assert asked == [("cifar-10-python.tar.gz", "6d958be0", mirrors, "cifar-10")]


def test_survey_reads_but_never_downloads(tmp_path, monkeypatch):
    monkeypatch.setattr("depthbench.data.cifar.fetch", lambda *_: pytest.fail("downloaded"))
    write_set(tmp_path / "cifar-10", python_set())
    (tmp_path / "cifar-100").mkdir()
    (tmp_path / "cifar-100" / "train").write_bytes(b"")
    (tmp_path / "cifar-100" / "test").write_bytes(b"junk")
    ten, hundred = CIFAR10.survey(tmp_path), CIFAR100.survey(tmp_path)
    assert (ten.num_train_examples, ten.num_test_examples, ten.is_complete) == (60, 12, False)
    assert ten.note.startswith("cifar10: incomplete: ")
    assert "allow_partial" in ten.note
    assert "Krizhevsky" in ten.licence
    assert hundred.is_present
    assert hundred.num_train_examples is None
    assert "empty" in hundred.note


# --- unsound files --------------------------------------------------------------------------------


def message_of(content: bytes, file: BatchFile = FILE) -> str:
    with pytest.raises(DataError) as caught:
        read_batch(content, "folder/data_batch_1", file, LABELS)
    message = str(caught.value)
    assert message.startswith("folder/data_batch_1: ")
    return message


def test_a_pickle_cut_anywhere_is_an_error_never_less_data():
    content = batch_pickle(*examples(0))
    for length in [*range(60), *range(60, len(content), 997), len(content) - 1]:
        message_of(content[:length])


def test_a_flipped_byte_gives_a_data_error_or_other_examples_but_no_crash():
    content = bytearray(batch_pickle(*examples(0)))
    head = bytes(content).index(b"numpy")
    for position in [*range(200), *range(head, head + 200)]:
        broken = bytearray(content)
        broken[position] ^= 0x41
        try:
            batch = read_batch(bytes(broken), "f", FILE, LABELS)
        except DataError:
            continue
        assert batch.examples.images.shape == (NUM_PER_FILE, 3, 32, 32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [1] * 11}, "11 labels for 12 images"),
        ({"labels": [1] * 11 + [10]}, "label at row 11 is outside 0 to 9"),
        ({"labels": [-1] + [1] * 11}, "label at row 0 is outside 0 to 9"),
        ({"labels": [1] * 11 + [1 << 80]}, "label at row 11 is outside"),
        ({"labels": [1.0] * 12}, "no list of integers"),
        ({"labels": ["1"] * 12}, "no list of integers"),
        ({"labels": [True] * 12}, "no list of integers"),
        ({"labels": None}, "no list of integers"),
        ({"labels": np.zeros(12)}, "no list of integers"),
        ({"labels": np.zeros((12, 1), int)}, "no list of integers"),
        ({"labels": np.full(12, 200, np.uint8)}, "label at row 0 is outside"),
        ({"pixels": np.zeros((12, 3071), np.uint8)}, r"\(12, 3071\) where uint8 \(N, 3072\)"),
        ({"pixels": np.zeros((12, 3, 32, 32), np.uint8)}, r"\(12, 3, 32, 32\) where"),
        ({"pixels": np.zeros((12, 3072), np.int8)}, "int8"),
        ({"pixels": np.zeros((12, 3072), np.float32)}, "float32"),
        ({"pixels": np.zeros((12, 3072), object)}, "other values than numbers"),
        ({"pixels": np.zeros((12, 3072), "S4")}, "other values than numbers"),
        ({"pixels": np.zeros((12, 3072), [("a", "u1")])}, "other values than numbers"),
        ({"pixels": [[0] * 3072] * 12}, "is a list, not an array"),
        (
            {"pixels": np.zeros((0, 3072), np.uint8), "labels": [], "protocol": 3},
            "0 images where 1 to 10,000",
        ),
        ({"key": "fine_labels"}, "no 'labels' but batch_label, data, fine_labels"),
    ],
)
def test_a_batch_that_is_not_one_is_refused_by_name(change, message):
    pixels, labels = examples(0)
    given = {"pixels": pixels, "labels": labels} | change
    with pytest.raises(DataError, match=message):
        read_batch(batch_pickle(**given), "f", FILE, LABELS)


def test_more_images_than_the_official_file_has_are_refused():
    assert "where 1 to 11 are expected" in message_of(
        batch_pickle(*examples(0)), replace(FILE, num_official=11)
    )


@pytest.mark.parametrize("value", [[1, 2], b"bytes", 7, None])
def test_a_pickle_of_something_else_is_refused(value):
    assert "not of a batch" in message_of(pickle.dumps(value))


@pytest.mark.parametrize("content", [b"", b"junk", b"\x80", b".", b"\x80\x02.", b"\x80\x09N."])
def test_junk_is_a_data_error(content):
    message_of(content)


def test_binary_files_of_a_wrong_length_or_label_are_refused():
    content = binary_set()["data_batch_1.bin"]
    file = replace(FILE, name="data_batch_1.bin")
    assert "no multiple of the 3,073" in message_of(content[:-1], file)
    assert "outside 0 to 9" in message_of(b"\x0a" + content[1:], file)
    assert "empty" in message_of(b"", file)


def test_a_gzipped_file_that_is_cut_or_corrupt_names_itself(tmp_path):
    contents = {f"{name}.gz": gzip.compress(c) for name, c in python_set().items()}
    whole = contents["data_batch_2.gz"]
    for broken, word in ((whole[:-9], "truncated"), (whole[:-8] + b"x" * 8, "corrupt")):
        contents["data_batch_2.gz"] = broken
        message = error_of(write_set(tmp_path / word / "cifar-10", contents).parent)
        assert f"data_batch_2.gz: {word}" in message


def test_a_file_larger_than_any_official_one_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("depthbench.data.cifar_files.MAX_FILE_BYTES", 20_000)
    write_set(tmp_path / "cifar-10", python_set())
    assert "larger than 20,000 bytes" in error_of(tmp_path)


# --- hostile pickles ------------------------------------------------------------------------------


class Calls:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.made = (function, arguments)

    def __reduce__(self):
        return self.made


def hostile(mark: Path) -> dict[str, bytes]:
    """Return pickles that would each leave a mark if they ran."""
    touch, code = f"touch {mark}", f"open({str(mark)!r}, 'w').close()"
    calls = {
        "os.system": Calls(os.system, touch),
        "eval": Calls(eval, code),
        "exec": Calls(exec, code),
        "open": Calls(open, str(mark), "w"),
        "getattr": Calls(getattr, 1, "real"),
        "import": Calls(__import__, "antigravity"),
        "path": Calls(Path.touch, mark),
        "numpy.load": Calls(np.load, str(mark)),
        "numpy.fromfile": Calls(np.fromfile, str(mark)),
        "numpy.frombuffer": Calls(np.frombuffer, b"a"),
        "partial": Calls(partial, os.system, touch),
    }
    found = {f"{name} {p}": pickle.dumps(calls[name], p) for name in calls for p in (0, 2, 4)}
    system = f"V{touch}\n"
    found |= {
        "inst": f"(S'{touch}'\nios\nsystem\n.".encode(),
        "obj": b"(cos\nsystem\n" + system.encode() + b"o.",
        "reduce": b"cos\nsystem\n(" + system.encode() + b"tR.",
        "posix": b"cposix\nsystem\n(" + system.encode() + b"tR.",
        "stack_global": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04" + b"true\x85R.",
        "dotted": b"\x80\x04\x8c\x05numpy\x8c\x0dos.system.foo\x93.",
        "numpy dotted": b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93.",
        "newobj": b"\x80\x02cos\nsystem\n" + system.encode() + b"\x85\x81.",
        "persistent": b"\x80\x02U\x02osQ.",
        "extension": b"\x80\x02\x82\x01.",
        "codec": b"\x80\x02c_codecs\nencode\nV%s\nVrot13\n\x86R." % touch.encode(),
        "no data": b"cnumpy\nndarray\n(tR.",
        "change a name": b"cnumpy\nndarray\n}S'_makes'\nI1\nsb.",
        "change a name's slots": b"cnumpy\nndarray\n(N}S'_makes'\nI1\nstb.",
    }
    return found


NAMES = sorted(hostile(Path("mark")))


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_pickle_runs_nothing(tmp_path, name):
    mark = tmp_path / "mark"
    content = hostile(mark)[name]
    with pytest.raises(DataError, match="folder/file: "):
        read_pickle(content, "folder/file")
    assert not mark.exists()


def test_the_hostile_pickles_do_run_where_nothing_stops_them(tmp_path):
    ran = []
    for name in ("os.system 2", "eval 0", "exec 4", "inst", "reduce", "obj"):
        mark = tmp_path / name.replace(" ", "-")
        pickle.loads(hostile(mark)[name])
        ran.append(mark.exists())
    assert all(ran)


def test_a_hostile_value_inside_a_sound_batch_runs_nothing(tmp_path):
    mark = tmp_path / "mark"
    contents = python_set()
    contents["data_batch_4"] = batch_pickle(*examples(0), extra=Calls(os.system, f"touch {mark}"))
    message = error_of(write_set(tmp_path / "cifar-10", contents).parent)
    assert "data_batch_4: not plain data: it wants posix.system" in message
    assert not mark.exists()


def test_a_pickle_cannot_change_what_the_next_one_may():
    before = read_pickle(pickle.dumps(np.arange(3), 2), "f").values("f")
    for content in hostile(Path("mark")).values():
        with pytest.raises(DataError):
            read_pickle(content, "f")
    np.testing.assert_array_equal(
        read_pickle(pickle.dumps(np.arange(3), 2), "f").values("f"), before
    )


@pytest.mark.parametrize(
    "state",
    [
        (1, (2, 3072), "u1", False, b"short"),
        (1, (-1, 3072), None, False, b""),
        (1, (1 << 62, 1 << 62), None, False, b""),
        (1, "shape", None, False, b""),
        (1, (2.0, 1), None, False, b"ab"),
        (1, (1,) * 40, None, False, b"a"),
        (1, (2,), None, False, ["a", "b"]),
    ],
)
def test_an_array_that_contradicts_itself_is_refused(state):
    array = PickledArray()
    template = read_pickle(pickle.dumps(np.zeros(1, np.uint8), 2), "f")
    array.__setstate__((*state[:2], template.dtype if state[2] is None else state[2], *state[3:]))
    with pytest.raises(DataError, match="f: "):
        array.values("f")


# --- archives -------------------------------------------------------------------------------------


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0):
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.size = kind, link, size
    return found


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (member("../data_batch_1", size=3), "outside"),
        (member("a/../../b"), "outside"),
        (member("/etc/passwd"), "outside"),
        (member("C:\\x"), "outside"),
        (member("a\\..\\b"), "outside"),
        (member("link", tarfile.SYMTYPE, "/etc/passwd"), "link"),
        (member("data_batch_1", tarfile.SYMTYPE, "../../x"), "link"),
        (member("link", tarfile.LNKTYPE, "data_batch_1"), "link"),
        (member("device", tarfile.CHRTYPE), "device"),
        (member("device", tarfile.BLKTYPE), "device"),
        (member("pipe", tarfile.FIFOTYPE), "device"),
        (member("large", size=2_000_001), "2,000,001 bytes where at most 2,000,000"),
    ],
)
@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_an_unsafe_member_anywhere_refuses_the_archive(tmp_path, bad, reason, suffix):
    path = write_archive(tmp_path / f"a{suffix}", {"data_batch_1": b"x"}, bad)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=reason) as caught:
        read_members(path, ["data_batch_1"], 2_000_000)
    assert "unsafe: its member" in str(caught.value)
    assert str(path) in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_archive_is_read_without_writing_and_other_members_are_left(tmp_path):
    path = write_archive(
        tmp_path / "a.tar.gz", {"one": b"1", "readme.html": b"h", "two": b"22"}, member("empty")
    )
    assert read_members(path, ["two", "one"], 100) == {"one": b"1", "two": b"22"}
    assert [found.name for found in tmp_path.iterdir()] == ["a.tar.gz"]


def test_an_archive_without_a_file_or_with_it_twice_is_refused(tmp_path):
    path = write_archive(tmp_path / "a.tar", {"one": b"1"}, member("elsewhere/one", size=1))
    with pytest.raises(DataError, match="has one twice"):
        read_members(path, ["one"], 100)
    with pytest.raises(DataError, match=r"a\.tar: has no two, three"):
        read_members(path, ["two", "three"], 100)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_an_archive_cut_anywhere_is_a_data_error(tmp_path, suffix):
    contents = {"one": os.urandom(3_000), "two": os.urandom(3_000)}
    whole = write_archive(tmp_path / f"a{suffix}", contents).read_bytes()
    end = len(whole) - 1 if suffix == ".tar.gz" else 512 + 3_072 + 512 + 3_000
    cut = tmp_path / f"cut{suffix}"
    for length in [0, 1, 2, 100, *range(101, end, 173), end - 1]:
        cut.write_bytes(whole[:length])
        with pytest.raises(DataError, match="cut"):
            read_members(cut, ["one", "two"], 100_000)


def test_a_corrupt_archive_is_a_data_error(tmp_path):
    path = write_archive(tmp_path / "a.tar.gz", {"one": os.urandom(3_000)})
    whole = path.read_bytes()
    path.write_bytes(whole[:-8] + bytes(8))
    with pytest.raises(DataError, match="not a sound tar archive"):
        read_members(path, ["one"], 100_000)
    path.write_bytes(b"junk" * 1_000)
    with pytest.raises(DataError, match="not a sound tar archive"):
        read_members(path, ["one"], 100_000)


def test_an_archive_that_unpacks_without_end_is_refused(tmp_path):
    path = tmp_path / "bomb.tar.gz"
    with gzip.open(path, "wb") as stream:
        stream.write(bytes(3_000_000))
    with pytest.raises(DataError, match="unpacks to more than 1,148,576 bytes"):
        read_members(path, ["one"], 100_000)


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("depthbench.data.tarballs.MAX_MEMBERS", 5)
    path = write_archive(tmp_path / "a.tar", {}, *(member(f"m{i}") for i in range(7)))
    with pytest.raises(DataError, match="more than 5 members"):
        read_members(path, ["one"], 100_000)


def test_an_archive_with_a_hostile_pickle_runs_nothing(tmp_path):
    mark = tmp_path / "mark"
    contents = python_set() | {"test_batch": hostile(mark)["os.system 2"]}
    write_archive(tmp_path / "cifar-10" / "cifar-10-python.tar.gz", contents)
    assert "cifar-10-python.tar.gz: test_batch: not plain data" in error_of(tmp_path)
    assert not mark.exists()


# --- the real files -------------------------------------------------------------------------------


def test_the_real_part_is_read_as_it_is():
    if not (REAL_DATA / "cifar-10").is_dir():
        pytest.skip(f"cifar-10 is not in {REAL_DATA}")
    dataset = load(PARTIAL, REAL_DATA)
    if dataset.is_complete:
        pytest.skip("a complete CIFAR-10 is here")
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (6_724, 1_344, 1_017)
    assert not dataset.is_official
    mean = dataset.train.images.mean(axis=(0, 2, 3)) / 255
    np.testing.assert_allclose(mean, [0.4914, 0.4822, 0.4465], atol=0.01)
    assert dataset.test.labels[:5].tolist() == [3, 8, 8, 0, 6]
    with pytest.raises(DataError, match="8,068 of 50,000 training and 1,017 of 10,000 test"):
        load(DatasetSettings(name="cifar10"), REAL_DATA)
