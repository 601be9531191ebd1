"""Text sets: a file of stories, cut by story, as token ids; TinyStories and a user's own file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depthbench.data.base import DatasetStatus
from depthbench.data.locate import listing
from depthbench.data.stories import END_OF_TEXT, content_of
from depthbench.data.text_files import find_text, find_texts
from depthbench.data.token_cache import EncodedText, encoded_text
from depthbench.data.tokens import MIN_VOCABULARY, Tokenizer
from depthbench.errors import DataError
from depthbench.grammar import DatasetSettings
from depthbench.spec import Problem, context_of, vocabulary_of

TASK = "language_model"


@dataclass(frozen=True, slots=True)
class TextSplit:
    """Hold the stories of a split as one stream, an end-of-text token before and after each.

    Shapes:
        tokens: (number of tokens,), uint16 or uint32, memory-mapped.
    """

    tokens: np.ndarray
    num_stories: int

    def __len__(self) -> int:
        return self.num_stories


@dataclass(frozen=True, slots=True)
class TextDataset:
    """Hold a text cut into its three splits, and what is needed to learn from it.

    `num_classes` is the vocabulary that networks are built for; a tokenizer that came out smaller
    leaves its last ids unused. `digest` is the sha256 of the file. `num_duplicates` stories were
    left out of a split, as copies of stories in another. `token_bytes` is (K,): bytes of text a
    token.
    """

    name: str
    train: TextSplit
    validation: TextSplit
    test: TextSplit
    num_classes: int
    digest: str
    is_official: bool
    is_complete: bool
    context: int
    is_document_masked: bool
    num_duplicates: int
    token_bytes: np.ndarray
    tokenizer: Tokenizer

    @property
    def end_of_text(self) -> int:
        """Return the id of the end-of-text token."""
        return self.tokenizer.end_of_text


@dataclass(frozen=True)
class TextSet:
    """Read a file of stories: UTF-8 text with end-of-text lines between them, or parquet.

    The test set is a tenth of the stories, validation another tenth unless the suite says how many,
    the rest trains; the tokenizer is trained on the training stories alone.

    `official` has the sha256 of each complete official file by name; empty for a user's own text.
    """

    name: str
    licence: str
    official: Mapping[str, str]
    source: str

    def problem(self, settings: DatasetSettings, task: str) -> Problem:
        """Return what a network maps to what, by the settings alone.

        Raises:
            DataError: The task is none of text, or the vocabulary is too small for BPE.
        """
        if task != TASK:
            raise DataError(
                f"task {task}: not available for {settings.name}, a set of text; set task: {TASK}"
            )
        vocabulary, context = vocabulary_of(settings), context_of(settings)
        if vocabulary == "bytes":
            vocabulary = MIN_VOCABULARY
        if int(vocabulary) < MIN_VOCABULARY:
            raise DataError(
                f"{settings.name}: a vocabulary of {vocabulary} is too small: every byte and "
                f"end-of-text take {MIN_VOCABULARY}; give at least that, or vocabulary: bytes"
            )
        return Problem((context,), (context, int(vocabulary)), vocabulary=int(vocabulary))

    def load(self, settings: DatasetSettings, data_dir: Path | None) -> TextDataset:
        """Read the file, or its tokens from the cache.

        Raises:
            DataError: The file is missing, one of several, incomplete without `allow_partial`, not
                UTF-8, or holds too few stories.
        """
        problem = self.problem(settings, TASK)
        path = find_text(self.name, settings, data_dir, self.source)
        content = content_of(path)
        is_official = content.sha256 in self.official.values()
        if self.official and not is_official and not settings.allow_partial:
            raise DataError(
                f"{path}: {content.num_bytes:,} bytes that are none of the complete official files "
                f"of {self.name}:{listing(self.official)}\n"
                f"they are at {self.source}; allow_partial: true accepts the file as it is, and "
                "marks every row"
            )
        encoded = encoded_text(path, content.sha256, settings)
        _check_length(path, encoded, problem.input_shape[0])
        splits = {
            name: TextSplit(stream, encoded.num_stories[name])
            for name, stream in encoded.streams.items()
        }
        assert problem.vocabulary is not None
        return TextDataset(
            name=self.name,
            **splits,
            num_classes=problem.vocabulary,
            digest=content.sha256,
            is_official=is_official,
            is_complete=is_official or not self.official,
            context=problem.input_shape[0],
            is_document_masked=settings.document_mask,
            num_duplicates=encoded.num_duplicates,
            token_bytes=encoded.tokenizer.token_bytes(),
            tokenizer=encoded.tokenizer,
        )

    def survey(self, data_dir: Path | None) -> DatasetStatus:
        """Say which file of the set is here, without reading it but for its checksum."""
        folder, files = find_texts(self.name, data_dir)
        is_official = False
        if not self.official:
            note = (
                "your own text: dataset: {name: text, path: FILE}, UTF-8 with a line "
                f"{END_OF_TEXT} between stories, or parquet with a column text"
            )
        elif not files:
            note = (
                f"{self.name}: not here; get one of {', '.join(self.official)} from {self.source}"
            )
        else:
            whole = [file for file in files if content_of(file).sha256 in self.official.values()]
            is_official = bool(whole)
            note = f"{self.name}: {_survey_note(files, whole)}"
        return DatasetStatus(
            name=self.name,
            path=folder,
            is_present=bool(files),
            is_complete=is_official,
            is_official=is_official,
            num_train_examples=None,
            num_test_examples=None,
            licence=self.licence,
            note=note,
        )


def _survey_note(files: list[Path], whole: list[Path]) -> str:
    """Say which files a suite has to choose from, and which are parts."""
    notes = []
    if len(files) > 1:
        notes.append(f"choose one with file: {', '.join(file.name for file in files)}")
    if parts := [file.name for file in files if file not in whole]:
        notes.append(f"not complete: {', '.join(parts)}; allow_partial: true accepts that")
    return "; ".join(notes)


def _check_length(path: Path, encoded: EncodedText, context: int) -> None:
    """Refuse a training text that does not fill one window."""
    num_tokens = len(encoded.streams["train"])
    if num_tokens <= context:
        raise DataError(
            f"{path}: its training stories are {num_tokens:,} tokens, fewer than one window of "
            f"context {context:,}; set a smaller context, at most {num_tokens - 1:,}"
        )


TEXT = TextSet(name="text", licence="your own", official={}, source="your own files")
