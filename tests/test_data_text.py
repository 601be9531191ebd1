"""Text sets: files, encodings, splits by story, tokens, their cache."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from depthbench.data import DATASETS, load, problem_of
from depthbench.data import token_cache as cache_module
from depthbench.data.stories import END_OF_TEXT, read_stories
from depthbench.data.story_splits import normalised, split_stories
from depthbench.data.tokens import (
    ByteTokenizer,
    encode_stories,
    token_dtype,
    train_tokenizer,
    unigram_entropy,
)
from depthbench.errors import DataError
from depthbench.grammar import DatasetSettings, TaskSettings
from tests.test_data import REAL_DATA

LANGUAGE_MODEL = TaskSettings(name="language_model")
STORIES = [f"once there were {n} cats.\n\nthey ate {n * 7} fish — and slept." for n in range(40)]
PATH = Path("stories.txt")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.delenv("DEPTHBENCH_DATA", raising=False)
    for module in ("locate", "token_cache"):
        monkeypatch.setattr(f"depthbench.data.{module}.cache_root", lambda: tmp_path / "cache")
    monkeypatch.setattr("depthbench.data.locate.SYSTEM_ROOTS", ())
    return tmp_path / "cache" / "tokens"


def write(folder, stories=STORIES, name="stories.txt"):
    path = folder / name
    path.write_text(f"\n{END_OF_TEXT}\n".join(stories), encoding="utf-8")
    return path


def settings_of(path, **options):
    options = {"context": 16, "vocabulary": 300} | options
    return DatasetSettings(name="text", path=str(path), **options)


def stories_of(dataset, split):
    """Return the stories of a split, from its tokens alone."""
    tokens = getattr(dataset, split).tokens
    ends = np.flatnonzero(tokens == dataset.end_of_text)
    pieces = np.split(tokens, ends)[1:-1]
    return [dataset.tokenizer.decode(piece.tolist()) for piece in pieces]


def test_text_and_parquet_hold_the_same_stories(tmp_path):
    text = write(tmp_path)
    parquet = tmp_path / "stories.parquet"
    pq.write_table(pa.table({"id": range(40), "text": STORIES}), parquet)
    assert read_stories(text) == read_stories(parquet) == STORIES


def test_marks_at_the_ends_and_empty_stories_are_left_out(tmp_path):
    path = tmp_path / "t.txt"
    text = f"\ufeff{END_OF_TEXT}\n a b \n{END_OF_TEXT}\n\n{END_OF_TEXT}c{END_OF_TEXT}\r\nd\r\n"
    path.write_bytes(text.encode())
    assert read_stories(path) == ["a b", "c", "d"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"  \n ", "holds no story"),
        (b"one story, no separator", "holds one story; splits are by story"),
        (b"a<|endoftext|>b", "holds 2 stories"),
        ("caf\u00e9\n<|endoftext|>".encode("latin-1"), r"byte 0xe9 at 3, line 1\).*iconv"),
        ("a\n<|endoftext|>b".encode("utf-16"), "UTF-16"),
        (b"a<|endoftext|>a <|endoftext|>\na", "are copies of stories in an earlier split"),
    ],
)
def test_what_cannot_be_a_set_of_stories_is_refused(content, message, tmp_path):
    path = tmp_path / "t.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(settings_of(path))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"story": ["a", "b"]}, "no column 'text'; its columns: story"),
        ({"text": [1, 2]}, "is int64; it must be text"),
        ({"text": ["a", None, "b"]}, "lacks 1 of its texts"),
    ],
)
def test_parquet_without_texts_is_refused(table, message, tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table(table), path)
    with pytest.raises(DataError, match=message):
        load(settings_of(path))


def test_truncated_parquet_and_missing_files_are_data_errors(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"text": STORIES}), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="not a sound parquet file"):
        load(settings_of(path))
    with pytest.raises(DataError, match="no such file"):
        load(settings_of(tmp_path / "none.txt"))


def test_splits_are_by_story_a_tenth_each_and_no_text_is_lost(tmp_path):
    dataset = load(settings_of(write(tmp_path)))
    splits = [stories_of(dataset, name) for name in ("train", "validation", "test")]
    assert [len(split) for split in splits] == [32, 4, 4]
    assert sorted(story for split in splits for story in split) == sorted(STORIES)
    assert (dataset.is_complete, dataset.is_official) == (True, False)


def test_copies_are_left_out_of_the_later_split_and_counted(tmp_path):
    copies = [story.replace("\n\n", "  \n") for story in STORIES[:30]]
    dataset = load(settings_of(write(tmp_path, [*STORIES, *copies])))
    splits = [
        {normalised(story) for story in stories_of(dataset, name)}
        for name in ("train", "validation", "test")
    ]
    assert splits[0].isdisjoint(splits[1] | splits[2])
    assert splits[1].isdisjoint(splits[2])
    num_left = sum(len(stories_of(dataset, n)) for n in ("train", "validation", "test"))
    assert dataset.num_duplicates == len(STORIES) + len(copies) - num_left > 0


def test_validation_does_not_depend_on_how_many_stories_train():
    few, many = (
        split_stories(STORIES, settings_of("t", train_examples=n, validation_examples=6), PATH)
        for n in (5, 20)
    )
    assert few.validation == many.validation
    assert few.test == many.test
    assert few.train == many.train[:5]
    assert (len(few.validation), len(few.test)) == (6, 4)


def test_more_stories_than_there_are_is_an_error():
    with pytest.raises(DataError, match="the 36 there are"):
        split_stories(STORIES, settings_of("t", train_examples=33), PATH)


def test_bpe_spells_every_text_exactly_and_knows_the_bytes_of_its_tokens():
    tokenizer = train_tokenizer(STORIES, 300)
    strange = ["  tabs\tand\n\n\nlines ", "na\u00efve \u2014 \U0001f600 \u00e2\u20ac\u0153", "\x00"]
    for text, ids in zip(strange, tokenizer.encode(strange), strict=True):
        assert tokenizer.decode(ids.tolist()) == text
        assert tokenizer.token_bytes()[ids].sum() == len(text.encode())
        assert tokenizer.end_of_text not in ids
    assert tokenizer.token_bytes()[tokenizer.end_of_text] == 0
    assert len(tokenizer.token_bytes()) == 300


def test_the_same_stories_give_the_same_tokens_in_another_process():
    code = (
        "from tests.test_data_text import STORIES; from depthbench.data.tokens import *;"
        "print(hash(train_tokenizer(STORIES, 320).to_json()))"
    )
    environment = {"PYTHONHASHSEED": "0", "PYTHONPATH": ":".join(filter(None, sys.path))}
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(seen) == 1


def test_bytes_need_no_training():
    tokenizer = ByteTokenizer()
    (ids,) = tokenizer.encode(["h\u00e9"])
    assert ids.tolist() == [104, 0xC3, 0xA9]
    assert tokenizer.decode([104, 0xC3, 0xA9, tokenizer.end_of_text]) == "h\u00e9"
    assert encode_stories(["a", "b"], tokenizer, np.uint16).tolist() == [256, 97, 256, 98, 256]
    assert [token_dtype(n) for n in (1 << 16, (1 << 16) + 1)] == [np.uint16, np.uint32]


def test_the_tokenizer_learns_from_training_stories_alone(tmp_path, monkeypatch):
    seen = []
    real = cache_module.train_tokenizer
    monkeypatch.setattr(cache_module, "train_tokenizer", lambda s, v: seen.extend(s) or real(s, v))
    dataset = load(settings_of(write(tmp_path)))
    assert seen == stories_of(dataset, "train")


def test_tokens_are_made_once_and_memory_mapped(tmp_path, monkeypatch, cache):
    path = write(tmp_path)
    first = load(settings_of(path))
    monkeypatch.setattr(cache_module, "read_stories", lambda _: pytest.fail("read again"))
    again = load(settings_of(path, context=8))
    moved = tmp_path / "moved.txt"
    shutil.copy(path, moved)
    load(settings_of(moved))
    assert isinstance(again.train.tokens, np.memmap)
    assert again.train.tokens.dtype == np.uint16
    np.testing.assert_array_equal(first.train.tokens, again.train.tokens)
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("file", ["train.npy", "tokenizer.json", "facts.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_cache_is_made_again(file, damage, tmp_path, cache):
    path = write(tmp_path)
    before = np.array(load(settings_of(path)).train.tokens)
    (folder,) = cache.iterdir()
    if damage == "gone":
        (folder / file).unlink()
    else:
        (folder / file).write_bytes((folder / file).read_bytes()[:-9])
    np.testing.assert_array_equal(load(settings_of(path)).train.tokens, before)
    assert [f.name for f in cache.iterdir()] == [folder.name]


def test_other_settings_and_other_text_have_other_tokens(tmp_path, cache):
    for number, options in enumerate([{}, {"vocabulary": "bytes"}, {"train_examples": 9}]):
        load(settings_of(write(tmp_path), **options))
        assert len(list(cache.iterdir())) == number + 1
    digest = load(settings_of(write(tmp_path))).digest
    assert load(settings_of(write(tmp_path, [*STORIES, "more"]))).digest != digest


def test_a_cache_that_cannot_be_written_is_a_data_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr("depthbench.data.token_cache.cache_root", lambda: tmp_path / "file")
    with pytest.raises(DataError, match="XDG_CACHE_HOME"):
        load(settings_of(write(tmp_path)))


def test_one_of_several_files_must_be_named(tmp_path):
    for name in ("a.txt", "b.txt", "readme.txt"):
        write(tmp_path, [*STORIES, name], name)
    with pytest.raises(DataError, match=r"several texts; choose one with file:\n  a.txt\n  b.txt$"):
        load(settings_of(tmp_path))
    with pytest.raises(DataError, match=r"holds no file 'c.txt'.*:\n  a.txt"):
        load(settings_of(tmp_path, file="c.txt"))
    a, b = (load(settings_of(tmp_path, file=name)) for name in ("a.txt", "b.txt"))
    assert a.digest != b.digest


def test_tinystories_takes_a_part_only_where_that_is_allowed(tmp_path):
    folder = tmp_path / "tiny-stories"
    folder.mkdir()
    path = write(folder)
    settings = DatasetSettings(name="tinystories", context=16, vocabulary=300)
    with pytest.raises(DataError, match=r"(?s)TinyStories-train.txt.*allow_partial: true"):
        load(settings, tmp_path)
    partial = settings.model_copy(update={"allow_partial": True})
    dataset = load(partial, tmp_path)
    assert (dataset.is_complete, dataset.is_official) == (False, False)
    status = DATASETS["tinystories"].survey(tmp_path)
    assert (status.is_present, status.is_complete, status.path) == (True, False, folder)
    assert path.name in status.note
    with pytest.raises(DataError, match="no file of it is here"):
        load(partial)


def test_a_file_with_an_official_checksum_is_complete(tmp_path, monkeypatch):
    path = write(tmp_path)
    official = {"stories.txt": load(settings_of(path)).digest}
    reader = DATASETS["tinystories"]
    monkeypatch.setitem(
        DATASETS, "tinystories", type(reader)(reader.name, "", official, "somewhere")
    )
    (tmp_path / "tinystories").mkdir()
    write(tmp_path / "tinystories")
    dataset = load(DatasetSettings(name="tinystories", context=16), tmp_path)
    assert (dataset.is_complete, dataset.is_official) == (True, True)


def test_the_problem_is_known_without_the_data():
    def problem(**options):
        settings = DatasetSettings(name="text", path="nowhere.txt", **options)
        return problem_of(settings, LANGUAGE_MODEL)

    assert problem().input_shape == (256,)
    assert problem().output_shape == (256, 4096)
    assert problem().vocabulary == 4096
    assert problem(vocabulary="bytes", context=9).output_shape == (9, 257)
    with pytest.raises(DataError, match="at least that, or vocabulary: bytes"):
        problem(vocabulary=256)
    with pytest.raises(DataError, match="set task: language_model"):
        problem_of(DatasetSettings(name="text", path="t"), TaskSettings(name="classify"))
    with pytest.raises(DataError, match="task language_model"):
        problem_of(DatasetSettings(name="digits"), LANGUAGE_MODEL)


def test_a_small_text_leaves_the_last_ids_of_its_vocabulary_unused(tmp_path):
    dataset = load(settings_of(write(tmp_path), vocabulary=4096))
    assert dataset.num_classes == 4096
    assert max(split.tokens.max() for split in (dataset.train, dataset.test)) < 4096
    assert len(dataset.token_bytes) < 4096


def test_training_text_shorter_than_a_window_is_refused(tmp_path):
    with pytest.raises(DataError, match="set a smaller context, at most"):
        load(settings_of(write(tmp_path), context=100_000))


def test_unigram_entropy_of_a_hand_worked_stream():
    stream = np.array([9, 0, 0, 1, 2], dtype=np.uint16)
    expected = -(0.5 * np.log(0.5) + 2 * 0.25 * np.log(0.25))
    assert unigram_entropy(stream) == pytest.approx(expected)


def test_the_part_of_tinystories_reads_whole():
    if not (REAL_DATA / "tinystories").is_dir():
        pytest.skip(f"tinystories is not in {REAL_DATA}")
    settings = DatasetSettings(
        name="tinystories",
        file="TinyStories-train-head.txt",
        vocabulary="bytes",
        allow_partial=True,
    )
    dataset = load(settings, REAL_DATA)
    sizes = [len(split) for split in (dataset.train, dataset.validation, dataset.test)]
    assert sizes == [777, 96, 96]
    assert sum(sizes) + dataset.num_duplicates == 969
    assert not dataset.is_complete
