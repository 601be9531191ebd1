"""Text to token ids and back: byte-level BPE, or bytes, always with an end-of-text token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from depthbench.data.stories import END_OF_TEXT
from depthbench.errors import DataError

NUM_BYTES = 256
# Every byte and the end-of-text token: the fewest tokens that can spell any text.
MIN_VOCABULARY = NUM_BYTES + 1
STORIES_A_BATCH = 4096


class Tokenizer(Protocol):
    """What turns text into ids and back; no text turns into `end_of_text`."""

    end_of_text: int

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the ids of each text."""

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids; end-of-text tokens have none."""

    def token_bytes(self) -> np.ndarray:
        """Return how many bytes of text each token stands for, end-of-text none; shape (K,)."""

    def to_json(self) -> str:
        """Return what `load_tokenizer` reads."""


class ByteTokenizer:
    """Take the bytes of UTF-8 as tokens 0 to 255; 256 is the end of a text."""

    end_of_text = NUM_BYTES

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the bytes of each text."""
        return [np.frombuffer(text.encode(), dtype=np.uint8) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text; bytes that are no UTF-8 show as the replacement character."""
        return bytes(token for token in ids if token < NUM_BYTES).decode(errors="replace")

    def token_bytes(self) -> np.ndarray:
        """Return 1 for each byte, 0 for the end of a text."""
        return np.array([1] * NUM_BYTES + [0], dtype=np.int64)

    def to_json(self) -> str:
        """Return nothing: bytes need no training."""
        return ""


class BPETokenizer:
    """Wrap a trained byte-level BPE of the `tokenizers` package; it spells any text exactly."""

    def __init__(self, trained: Any) -> None:
        self._trained = trained
        self.end_of_text = int(trained.token_to_id(END_OF_TEXT))

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the ids of each text."""
        encoded = self._trained.encode_batch(list(texts), add_special_tokens=False)
        return [np.asarray(one.ids, dtype=np.uint32) for one in encoded]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text; bytes that are no UTF-8 show as the replacement character."""
        return str(self._trained.decode(list(ids), skip_special_tokens=True))

    def token_bytes(self) -> np.ndarray:
        """Return the bytes of each token: byte-level BPE writes every byte as one character."""
        vocabulary = self._trained.get_vocab()
        lengths = np.zeros(len(vocabulary), dtype=np.int64)
        for token, index in vocabulary.items():
            lengths[index] = 0 if index == self.end_of_text else len(token)
        return lengths

    def to_json(self) -> str:
        """Return the tokenizer in the format of the `tokenizers` package."""
        return str(self._trained.to_str())


def train_tokenizer(stories: Sequence[str], vocabulary: int | str) -> Tokenizer:
    """Return a tokenizer learned from stories; the same stories give the same one.

    Splitting into words is GPT-2's; nothing is normalised. Few stories may hold fewer pairs than
    the vocabulary asks for: then it stays smaller.

    Args:
        stories: those of the training split alone.
        vocabulary: number of tokens, end-of-text among them, or bytes.

    Source: "Language Models are Unsupervised Multitask Learners" (Radford et al. 2019), 2.2.
    """
    if vocabulary == "bytes":
        return ByteTokenizer()
    from tokenizers import Tokenizer as Trained
    from tokenizers import decoders, models, pre_tokenizers, trainers

    trained = Trained(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=int(vocabulary),
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    trained.train_from_iterator(batched(stories), trainer, length=len(stories))
    return BPETokenizer(trained)


def load_tokenizer(path: Path, vocabulary: int | str) -> Tokenizer:
    """Return a tokenizer that was written before.

    Raises:
        DataError: The file is missing or not a tokenizer.
    """
    if vocabulary == "bytes":
        return ByteTokenizer()
    from tokenizers import Tokenizer as Trained

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    try:
        return BPETokenizer(Trained.from_str(text))
    except Exception as error:
        # The package raises plain Exception for whatever it cannot read.
        raise DataError(f"{path}: not a tokenizer ({error}); remove its folder") from error


def encode_stories(
    stories: Sequence[str], tokenizer: Tokenizer, dtype: type[np.unsignedinteger[Any]]
) -> np.ndarray:
    """Return stories as one stream of ids: end-of-text, story, end-of-text, story, end-of-text.

    Shapes:
        returns: (number of tokens,), of the given unsigned type.
    """
    end = np.array([tokenizer.end_of_text], dtype=dtype)
    pieces = [end]
    for batch in batched(stories):
        for ids in tokenizer.encode(batch):
            pieces += [ids.astype(dtype), end]
    return np.concatenate(pieces)


def batched(stories: Sequence[str]) -> Iterator[list[str]]:
    """Yield stories in lists of a size that encodes quickly."""
    iterator = iter(stories)
    while batch := list(islice(iterator, STORIES_A_BATCH)):
        yield batch


def token_dtype(num_tokens: int) -> type[np.unsignedinteger[Any]]:
    """Return the smallest type that holds the ids of a vocabulary."""
    return np.uint16 if num_tokens <= 1 << 16 else np.uint32


def unigram_entropy(stream: np.ndarray) -> float:
    """Return the entropy of a stream's tokens in nats a token: what knowing no context costs.

    The stream's first token is not counted, since nothing predicts it.
    """
    _, counts = np.unique(stream[1:], return_counts=True)
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())
