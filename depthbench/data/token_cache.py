"""Token ids of a text, made once and kept in the user cache, memory-mapped."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from depthbench.data.locate import cache_root
from depthbench.data.stories import read_stories
from depthbench.data.story_splits import split_stories
from depthbench.data.tokens import (
    ByteTokenizer,
    Tokenizer,
    encode_stories,
    load_tokenizer,
    token_dtype,
    train_tokenizer,
)
from depthbench.errors import DataError
from depthbench.grammar import DatasetSettings
from depthbench.spec import vocabulary_of

# Raise when the same text and settings would give other tokens.
CACHE_VERSION = 1
SPLITS = ("train", "validation", "test")
_TOKENIZER, _FACTS = "tokenizer.json", "facts.json"


@dataclass(frozen=True)
class EncodedText:
    """Hold a text's splits as streams of token ids, and the tokenizer that made them.

    `num_stories` counts those of each split, `num_duplicates` those left out as copies.

    Shapes:
        streams: each (number of tokens,), uint16 or uint32, read-only.
    """

    streams: dict[str, np.ndarray]
    num_stories: dict[str, int]
    num_duplicates: int
    tokenizer: Tokenizer


def encoded_text(path: Path, sha256: str, settings: DatasetSettings) -> EncodedText:
    """Return a file's splits as tokens: from the cache, or made and put there.

    Args:
        path: A file of stories.
        sha256: Of the file's bytes.
        settings: Which stories train and how large the vocabulary is.

    Raises:
        DataError: The file is not as it should be, or the cache cannot be written.
    """
    folder = cache_folder(sha256, settings)
    return _read(folder, settings) or _made(path, folder, settings)


def cache_folder(sha256: str, settings: DatasetSettings) -> Path:
    """Return where the tokens of a text are kept: named by its content and all that shapes them."""
    key = json.dumps(
        {
            "cache": CACHE_VERSION,
            "content": sha256,
            "vocabulary": vocabulary_of(settings),
            "train_examples": settings.train_examples,
            "validation_examples": settings.validation_examples,
            "tokenizers": "" if settings.vocabulary == "bytes" else _tokenizers_version(),
        },
        sort_keys=True,
    )
    return cache_root() / "tokens" / hashlib.sha256(key.encode()).hexdigest()[:32]


def cached_tokenizer(sha256: str, settings: DatasetSettings) -> Tokenizer | None:
    """Return the tokenizer of a text, by the text's digest; None where the cache has none."""
    if vocabulary_of(settings) == "bytes":
        return ByteTokenizer()
    path = cache_folder(sha256, settings) / _TOKENIZER
    return load_tokenizer(path, vocabulary_of(settings)) if path.exists() else None


def _tokenizers_version() -> str:
    from importlib.metadata import version

    return version("tokenizers")


def _made(path: Path, folder: Path, settings: DatasetSettings) -> EncodedText:
    """Encode a text into a folder of its own, which then takes its place in the cache at once."""
    splits = split_stories(read_stories(path), settings, path)
    stories = {name: getattr(splits, name) for name in SPLITS}
    tokenizer = train_tokenizer(stories["train"], vocabulary_of(settings))
    dtype = token_dtype(len(tokenizer.token_bytes()))
    streams = {name: encode_stories(own, tokenizer, dtype) for name, own in stories.items()}
    facts = {
        "num_stories": {name: len(own) for name, own in stories.items()},
        "num_tokens": {name: len(stream) for name, stream in streams.items()},
        "num_duplicates": splits.num_duplicates,
    }
    try:
        _write(folder, streams, facts, tokenizer)
    except OSError as error:
        raise DataError(
            f"{folder}: the tokens of {path} cannot be kept here ({error.strerror or error}); "
            "free some space, or set XDG_CACHE_HOME to another folder"
        ) from error
    found = _read(folder, settings)
    assert found is not None, f"{folder} was just written"
    return found


def _write(
    folder: Path, streams: dict[str, np.ndarray], facts: dict[str, Any], tokenizer: Tokenizer
) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    try:
        for name, stream in streams.items():
            np.save(scratch / f"{name}.npy", stream, allow_pickle=False)
        (scratch / _TOKENIZER).write_text(tokenizer.to_json(), encoding="utf-8")
        (scratch / _FACTS).write_text(json.dumps(facts), encoding="utf-8")
        scratch.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)  # what is there could not be read
        try:
            scratch.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster, with the same tokens
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _read(folder: Path, settings: DatasetSettings) -> EncodedText | None:
    """Return what the cache holds; None where it is missing or not whole, to be made again."""
    try:
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        streams = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in SPLITS
        }
        tokenizer = load_tokenizer(folder / _TOKENIZER, vocabulary_of(settings))
        is_whole = all(len(streams[name]) == facts["num_tokens"][name] for name in SPLITS)
    except (OSError, ValueError, LookupError, TypeError, DataError):
        return None
    if not is_whole:
        return None
    return EncodedText(streams, facts["num_stories"], facts["num_duplicates"], tokenizer)
