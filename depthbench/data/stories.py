"""Read a file of stories: UTF-8 text with end-of-text lines between them, or parquet."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from depthbench.errors import DataError

END_OF_TEXT = "<|endoftext|>"
TEXT_COLUMN = "text"
CHUNK_BYTES = 1 << 24
# One for each split; splits are by story.
MIN_STORIES = 3
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")
_SPLIT_ADVICE = (
    f"splits are by story, so it takes at least {MIN_STORIES}: put a line {END_OF_TEXT} between "
    "stories, chapters or paragraphs"
)


@dataclass(frozen=True, slots=True)
class FileContent:
    """Say what a file is: its size, and the sha256 of its bytes in hex."""

    num_bytes: int
    sha256: str


def content_of(path: Path) -> FileContent:
    """Return size and sha256 of a file, read in chunks.

    Raises:
        DataError: The file is missing, empty or cannot be read.
    """
    digest, num_bytes = hashlib.sha256(), 0
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
                num_bytes += len(chunk)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; name your text in dataset: path") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not num_bytes:
        raise DataError(f"{path}: is empty; a text set needs at least {MIN_STORIES} stories")
    return FileContent(num_bytes, digest.hexdigest())


def read_stories(path: Path) -> list[str]:
    """Return the stories of a file in its order, without white space at their ends.

    Inside a story the text stays as it is found. Stories without any text are left out.

    Raises:
        DataError: The file is not UTF-8, not a sound parquet file, or holds too few stories.
    """
    texts = _read_parquet(path) if path.suffix == ".parquet" else [_read_text(path)]
    parts = (part.strip() for text in texts for part in text.split(END_OF_TEXT))
    stories = [part for part in parts if part]
    if len(stories) < MIN_STORIES:
        found = {0: "no story", 1: "one story"}.get(len(stories), f"{len(stories)} stories")
        raise DataError(f"{path}: holds {found}; {_SPLIT_ADVICE}")
    return stories


def _read_text(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith(_WIDE_MARKS):
        raise DataError(_encoding_problem(path, "its first bytes are those of UTF-16", "UTF-16"))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{content[error.start]:02x} at {error.start:,}, line {line:,}"
        raise DataError(_encoding_problem(path, found, "LATIN1")) from error


def _encoding_problem(path: Path, found: str, encoding: str) -> str:
    return (
        f"{path}: is not UTF-8 text ({found}); save it as UTF-8, such as with: "
        f"iconv -f {encoding} -t UTF-8"
    )


def _read_parquet(path: Path) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
        if TEXT_COLUMN not in schema.names:
            raise DataError(
                f"{path}: has no column {TEXT_COLUMN!r}; its columns: {', '.join(schema.names)}"
            )
        column = pq.read_table(path, columns=[TEXT_COLUMN]).column(TEXT_COLUMN)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: not a sound parquet file ({reason})") from error
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise DataError(f"{path}: column {TEXT_COLUMN!r} is {column.type}; it must be text")
    if column.null_count:
        raise DataError(f"{path}: column {TEXT_COLUMN!r} lacks {column.null_count:,} of its texts")
    return [str(text) for text in column.to_pylist()]
