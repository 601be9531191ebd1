"""A user's own .npz file: what is recognised, and what is refused with a reason."""

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthbench import read_run, run_suite
from depthbench.data import load, problem_of
from depthbench.data.npz_layout import CLASS_NAMES, NAMES, read_layout
from depthbench.errors import DataError
from depthbench.grammar import DatasetSettings, TaskSettings

CLASSIFY = TaskSettings(name="classify")


def arrays(image_shape=(6, 5), num_train=30, num_test=8, num_val=0, dtype=np.uint8):
    generator = np.random.default_rng(3)
    found = {}
    for split, number in (("train", num_train), ("test", num_test), ("val", num_val)):
        if number:
            values = generator.integers(0, 200, (number, *image_shape))
            found[f"x_{split}"] = values.astype(dtype)
            found[f"y_{split}"] = np.arange(number) % 4
    return found


def saved(tmp_path, contents, compressed=False, **options):
    path = tmp_path / "own.npz"
    (np.savez_compressed if compressed else np.savez)(path, **contents)
    return DatasetSettings(name="npz", path=str(path), **options)


def refusal(dataset_settings):
    """Return the message with which both the plan and the load refuse a file."""
    with pytest.raises(DataError) as planned:
        problem_of(dataset_settings, CLASSIFY)
    with pytest.raises(DataError) as loaded:
        load(dataset_settings)
    assert str(planned.value) == str(loaded.value)
    return str(loaded.value)


@pytest.mark.parametrize(
    ("given_shape", "image_shape"),
    [
        ((6, 5), (1, 6, 5)),
        ((1, 6, 5), (1, 6, 5)),
        ((3, 6, 5), (3, 6, 5)),
        ((6, 5, 3), (3, 6, 5)),
        ((6, 5, 4), (4, 6, 5)),
        ((7,), (1, 1, 7)),
        ((3, 4, 5), (3, 4, 5)),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_layouts_are_recognised(tmp_path, given_shape, image_shape, compressed):
    own = saved(tmp_path, arrays(given_shape), compressed)
    problem = problem_of(own, CLASSIFY)
    assert (problem.input_shape, problem.output_shape) == (image_shape, (4,))
    dataset = load(own)
    assert dataset.train.images.shape == (25, *image_shape)
    assert dataset.validation.images.shape == (5, *image_shape)
    assert dataset.test.images.shape == (8, *image_shape)


def test_channels_last_is_the_same_data_as_channels_first(tmp_path):
    last = arrays((6, 5, 3))
    first = {k: v.transpose(0, 3, 1, 2) if k[0] == "x" else v for k, v in last.items()}
    one, two = (load(saved(tmp_path, contents)) for contents in (last, first))
    np.testing.assert_array_equal(one.train.images, two.train.images)
    assert one.digest == two.digest
    assert one.train.images.flags.c_contiguous


def test_images_keep_their_labels(tmp_path):
    labels = np.arange(30) % 4
    contents = arrays() | {"y_train": labels, "x_train": np.repeat(labels, 30).reshape(30, 6, 5)}
    contents["x_train"] = contents["x_train"].astype(np.uint8)
    dataset = load(saved(tmp_path, contents))
    for split in (dataset.train, dataset.validation):
        np.testing.assert_array_equal(split.images[:, 0, 3, 2], split.labels)


def test_names_of_images_and_labels_are_accepted(tmp_path):
    renamed = {
        f"{name[2:]}_{'images' if name[0] == 'x' else 'labels'}": array
        for name, array in arrays(num_val=7).items()
    }
    dataset = load(saved(tmp_path, renamed))
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (30, 7, 8)


def test_own_validation_is_used_and_may_be_cut(tmp_path):
    contents = arrays(num_val=7)
    dataset = load(saved(tmp_path, contents, train_examples=20, validation_examples=4))
    assert (len(dataset.train), len(dataset.validation)) == (20, 4)
    own = {image.tobytes() for image in contents["x_val"]}
    assert {image.tobytes() for image in dataset.validation.images} <= own
    everything = load(saved(tmp_path, contents))
    np.testing.assert_array_equal(everything.train.images[:20], dataset.train.images)


@pytest.mark.parametrize("options", [{"train_examples": 31}, {"validation_examples": 8}])
def test_more_than_the_file_has_is_refused(tmp_path, options):
    message = refusal(saved(tmp_path, arrays(num_val=7), **options))
    assert f"{next(iter(options))} is" in message


def test_more_than_there_is_beside_validation_is_refused(tmp_path):
    assert "the 30 there are" in refusal(saved(tmp_path, arrays(), train_examples=26))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_floats_become_float32_with_their_values(tmp_path, dtype):
    dataset = load(saved(tmp_path, arrays(dtype=dtype)))
    assert dataset.train.images.dtype == np.float32
    assert dataset.train.images.max() > 1
    assert not dataset.is_official
    assert dataset.is_complete


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_values_that_are_not_finite_are_refused_with_their_row(tmp_path, bad):
    contents = arrays(dtype=np.float64)
    contents["x_test"][5, 2, 2] = bad
    with pytest.raises(DataError, match=r"x_test holds NaN, .*row 5"):
        load(saved(tmp_path, contents))


@pytest.mark.parametrize(
    "labels",
    [
        np.arange(30, dtype=np.uint8) % 4,
        (np.arange(30) % 4).reshape(30, 1),
        np.eye(4)[np.arange(30) % 4],
        np.eye(4, dtype=bool)[np.arange(30) % 4],
        np.asfortranarray(np.eye(4, dtype=np.int8)[np.arange(30) % 4]),
    ],
)
def test_labels_may_be_numbers_columns_or_one_hot(tmp_path, labels):
    own = saved(tmp_path, arrays() | {"y_train": labels})
    plain = load(saved(tmp_path, arrays()))
    own = saved(tmp_path, arrays() | {"y_train": labels})
    np.testing.assert_array_equal(load(own).train.labels, plain.train.labels)
    assert load(own).digest == plain.digest
    assert problem_of(own, CLASSIFY).output_shape == (4,)


def test_classes_are_as_set_then_as_named_then_as_found(tmp_path):
    names = {"class_names": np.array(["a", "b", "c", "d", "e", "f"], dtype=object)}
    for contents, options, expected in (
        (arrays() | names, {"num_classes": 9}, 9),
        (arrays() | names, {}, 6),
        (arrays(), {}, 4),
    ):
        own = saved(tmp_path, contents, **options)
        assert problem_of(own, CLASSIFY).output_shape == (expected,)
        assert load(own).num_classes == expected


def test_labels_are_not_read_where_the_header_tells_the_classes(tmp_path, monkeypatch):
    own = saved(tmp_path, arrays() | {"class_names": np.array(["a", "b", "c", "d"])})
    monkeypatch.setattr("depthbench.data.npz.read_arrays", lambda *_: pytest.fail("read"))
    assert problem_of(own, CLASSIFY).output_shape == (4,)


def test_a_plan_never_reads_images(tmp_path, monkeypatch):
    own = saved(tmp_path, arrays())
    asked = []
    from depthbench.data import npz

    original = npz.read_arrays

    def spy(path, headers, names):
        asked.extend(names)
        return original(path, headers, names)

    monkeypatch.setattr(npz, "read_arrays", spy)
    assert problem_of(own, CLASSIFY).output_shape == (4,)
    assert asked == ["y_train", "y_test"]


ONES = np.ones((30, 6, 5), np.uint8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_test": None, "y_test": None}, "x_test, y_test missing"),
        ({"y_train": None}, "y_train missing"),
        ({"x_val": ONES}, "y_val missing"),
        ({"train_images": ONES}, "arrays must be named"),
        ({"x_train": ONES[:29]}, "x_train has 29 examples but y_train has 30"),
        ({"x_train": ONES.astype(np.int64)}, "x_train is int64; save uint8"),
        ({"x_train": ONES.astype(bool)}, "x_train is bool; save uint8"),
        ({"x_train": ONES.astype(np.complex64)}, "x_train is complex64; save uint8"),
        ({"x_train": ONES.astype(np.float32)}, "save both with one dtype"),
        ({"x_train": ONES[:, :5]}, "save both with one dtype and image shape"),
        ({"x_train": ONES[:, :0]}, "there is nothing in it"),
        ({"x_train": ONES[0, 0, 0]}, "there is nothing in it"),
        ({"x_train": ONES[:, 0, 0]}, "channels cannot be told"),
        ({"x_train": ONES[:, :, :, None, None]}, "channels cannot be told"),
        ({"x_train": ONES[:, :2, :, None].repeat(2, 3)}, "channels cannot be told"),
        ({"x_train": ONES[:, :3, :, None].repeat(3, 3)}, "channels cannot be told"),
        ({"y_train": np.arange(30) / 2}, "y_train is float64"),
        ({"y_train": np.array(["a"] * 30)}, "y_train is <U1"),
        ({"y_train": np.zeros((30, 2, 2), int)}, r"y_train is int64 \(30, 2, 2\)"),
        ({"y_train": np.arange(30) - 1}, "ranges from -1 to 28"),
        ({"y_train": np.full(30, 2**63, np.uint64)}, "classes count from 0"),
        ({"y_train": np.array([0, None] * 15, dtype=object)}, "y_train is object"),
        ({"y_train": np.zeros(30, int), "y_test": np.zeros(8, int)}, "at least two classes"),
        ({"class_names": np.array("abcd")}, "class_names has shape"),
        ({"y_train": np.eye(5)[:4].repeat(8, 0)[:30], "y_test": np.eye(6)[:4].repeat(2, 0)}, "5"),
    ],
)
def test_what_does_not_fit_is_refused_when_planned(tmp_path, changes, message):
    contents = {k: v for k, v in (arrays() | changes).items() if v is not None}
    own = saved(tmp_path, contents)
    found = refusal(own)
    assert str(own.path) in found
    with pytest.raises(DataError, match=message):
        load(own)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"y_train": np.full((30, 4), 0.25)}, {}, "one-hot, but row 0"),
        ({"y_train": np.arange(30)}, {"num_classes": 4}, "label 29 at row 29, but there are 4"),
        ({"class_names": np.array(["a", "b"])}, {}, "y_train has label 3"),
    ],
)
def test_labels_outside_their_classes_are_refused_when_loaded(tmp_path, changes, options, message):
    with pytest.raises(DataError, match=message):
        load(saved(tmp_path, arrays() | changes, **options))


def test_objects_are_never_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    contents = arrays() | {"x_train": np.array([Trap()] * 30, dtype=object).reshape(30, 1)}
    assert "x_train is object" in refusal(saved(tmp_path, contents))


def test_missing_files_and_other_files_are_refused(tmp_path):
    assert "no such file" in refusal(DatasetSettings(name="npz", path=str(tmp_path / "none.npz")))
    assert "which file" in refusal(DatasetSettings(name="npz"))
    assert "cannot be read" in refusal(DatasetSettings(name="npz", path=str(tmp_path)))
    text = tmp_path / "text.npz"
    text.write_text("x_train, y_train")
    assert "not a sound .npz" in refusal(DatasetSettings(name="npz", path=str(text)))
    np.save(tmp_path / "one.npy", np.zeros(3))
    assert "not a sound" in refusal(DatasetSettings(name="npz", path=str(tmp_path / "one.npy")))
    np.savez(tmp_path / "empty.npz")
    assert "holds no arrays" in refusal(
        DatasetSettings(name="npz", path=str(tmp_path / "empty.npz"))
    )


def rewritten(tmp_path, own, name, change):
    """Write the file again with one member changed."""
    other = tmp_path / "changed.npz"
    with zipfile.ZipFile(own.path) as source, zipfile.ZipFile(other, "w") as target:
        for info in source.infolist():
            data = source.read(info)
            target.writestr(info.filename, change(data) if info.filename == name else data)
    return own.model_copy(update={"path": str(other)})


@pytest.mark.parametrize("change", [lambda data: data[:-7], lambda data: data + b"more"])
def test_an_array_of_another_size_than_its_header_says_is_refused(tmp_path, change):
    own = rewritten(tmp_path, saved(tmp_path, arrays()), "x_train.npy", change)
    with pytest.raises(DataError, match="x_train has another size than its header says"):
        load(own)


def test_a_header_that_claims_too_much_is_refused_before_it_is_read(tmp_path, monkeypatch):
    own = rewritten(
        tmp_path,
        saved(tmp_path, arrays()),
        "x_train.npy",
        lambda data: data.replace(b"(30, 6, 5), }", b"(30, 6000, 5000), }", 1),
    )
    with pytest.raises(DataError, match=r"x_train"):
        load(own)
    monkeypatch.setattr("depthbench.data.archive.memory_bytes", lambda: 1_000)
    with pytest.raises(DataError, match="more than this machine's memory"):
        load(saved(tmp_path, arrays()))


def test_the_order_of_bytes_in_the_file_is_no_part_of_the_digest(tmp_path):
    digests = {
        load(saved(tmp_path, arrays(dtype=dtype), compressed)).digest
        for dtype in ("<f4", ">f4", "<f8")
        for compressed in (False, True)
    }
    assert len(digests) == 1
    assert load(saved(tmp_path, arrays())).digest not in digests


def test_no_cut_of_a_file_goes_unseen(tmp_path):
    own = saved(tmp_path, arrays((2,), 6, 4), compressed=True)
    path = Path(own.path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"own\.npz"):
            load(own)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), compressed=st.booleans())
def test_a_changed_byte_gives_the_same_data_or_a_data_error(tmp_path_factory, data, compressed):
    tmp_path = tmp_path_factory.mktemp("fuzz")
    own = saved(tmp_path, arrays((2,), 6, 4), compressed)
    digest = load(own).digest
    whole = bytearray(Path(own.path).read_bytes())
    position = data.draw(st.integers(0, len(whole) - 1))
    whole[position] ^= data.draw(st.integers(1, 255))
    Path(own.path).write_bytes(whole)
    try:
        found = load(own).digest
        problem_of(own, CLASSIFY)
    except DataError as error:
        assert "own.npz" in str(error)
    else:
        assert found == digest


def test_a_layout_names_only_the_arrays_it_uses(tmp_path):
    own = saved(tmp_path, arrays() | {"notes": np.array([{}], dtype=object)})
    layout = read_layout(own.path)
    assert set(layout.parts) == {"train", "test"}
    assert layout.image_shape == (1, 6, 5)
    assert len(load(own).train) == 25


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"y_train": np.arange(30) % 4 + 1, "y_test": np.arange(8) % 4 + 1},
            "no example of class 0",
        ),
        ({"y_train": np.arange(30) % 4 * 2, "y_test": np.arange(8) % 2 * 2}, "class 1, 3, 5: "),
        ({"y_test": np.arange(8)}, "y_train has no example of class 4, 5, 6, 7"),
    ],
)
def test_a_class_without_a_training_example_is_refused_unless_it_is_meant(
    tmp_path, changes, message
):
    found = refusal(saved(tmp_path, arrays() | changes))
    assert message in found
    assert "num_classes: " in found
    meant = saved(tmp_path, arrays() | changes, num_classes=9)
    assert load(meant).num_classes == 9


def test_one_huge_label_is_refused_at_once(tmp_path):
    labels = np.arange(30) % 4
    labels[7] = 1 << 60
    assert "no example of class 4, 5, 6" in refusal(saved(tmp_path, arrays() | {"y_train": labels}))


def test_a_named_class_that_no_split_has_is_accepted_but_not_one_that_only_the_test_set_has(
    tmp_path,
):
    named = arrays() | {"class_names": np.array(list("abcdef"))}
    assert load(saved(tmp_path, named)).num_classes == 6
    with pytest.raises(DataError, match=r"no example of class 5: .*num_classes: 6"):
        load(saved(tmp_path, named | {"y_test": np.full(8, 5)}))


def test_the_example_of_the_guide_runs(tmp_path, monkeypatch):
    guide = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL)
    (text,) = re.findall(r"```yaml\n(.*?)```", guide, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(script, "docs/data.md", "exec"), {})
    (tmp_path / "shapes.yaml").write_text(text)
    summary = run_suite("shapes.yaml", out=tmp_path / "results", run="r")
    assert summary.trials_by_status == {"ok": 6}
    trials = read_run(summary.folder).trials
    assert set(trials["train_examples"]) == {360}
    assert trials["test_accuracy"].min() > 0.9


def test_the_guide_names_every_array():
    guide = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
    names = [name for names in NAMES for pair in names.values() for name in pair]
    assert [name for name in [*names, CLASS_NAMES] if f"`{name}`" not in guide] == []
