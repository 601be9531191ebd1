"""Read wanted files of a tar archive into memory; nothing is ever written to disk.

What an archive has no honest use for is refused, wherever it stands: members outside the
archive's own folder, links, devices, members larger than the data set's largest file.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import IO, cast

from depthbench.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
READ_AGAIN = "delete the file and get it again"
MAX_MEMBERS = 1_000
# For headers, padding and the readme of an archive.
OTHER_BYTES = 1 << 20
CHUNK_BYTES = 1 << 20


def read_members(path: Path, wanted: Collection[str], max_bytes: int) -> dict[str, bytes]:
    """Return the contents of files of a .tar or .tar.gz archive, by their names without folders.

    Args:
        path: The archive; whether it is gzipped is seen from its first bytes.
        wanted: File names to read; the archive must have each once.
        max_bytes: A larger member is refused.

    Raises:
        DataError: The archive is missing, truncated, corrupt or unsafe, or lacks a file.
    """
    try:
        with path.open("rb") as packed:
            is_gzip = packed.read(2) == GZIP_MAGIC
            packed.seek(0)
            stream = cast("IO[bytes]", gzip.GzipFile(fileobj=packed)) if is_gzip else packed
            bounded = _Bounded(path, stream, max_bytes * len(wanted) + OTHER_BYTES)
            contents = _contents(path, bounded, wanted, max_bytes)
            # Reading to the end is what makes gzip verify its checksum.
            while bounded.read(CHUNK_BYTES):
                pass
    except EOFError as error:
        raise DataError(f"{path}: truncated: its gzip stream ends early; {READ_AGAIN}") from error
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, ValueError, RecursionError) as error:
        raise DataError(f"{path}: not a sound tar archive ({error}); {READ_AGAIN}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    missing = [name for name in wanted if name not in contents]
    if missing:
        raise DataError(f"{path}: has no {', '.join(missing)}; {READ_AGAIN}")
    return contents


class _Bounded(io.RawIOBase):
    """Read a stream that may not be longer than it has a reason to be."""

    def __init__(self, path: Path, stream: IO[bytes], max_bytes: int) -> None:
        self._path, self._stream = path, stream
        self._max_bytes = self._num_left = max_bytes

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes, all that is allowed where no size is given."""
        limit = self._num_left + 1
        content = self._stream.read(limit if size is None or size < 0 else min(size, limit))
        self._num_left -= len(content)
        if self._num_left < 0:
            raise DataError(
                f"{self._path}: unpacks to more than {self._max_bytes:,} bytes, more than the data "
                f"set has; {READ_AGAIN}"
            )
        return content


def _contents(
    path: Path, stream: _Bounded, wanted: Collection[str], max_bytes: int
) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|") as archive:
        for index, member in enumerate(archive):
            _check_member(path, member, max_bytes)
            if index >= MAX_MEMBERS:
                raise DataError(f"{path}: more than {MAX_MEMBERS:,} members; {READ_AGAIN}")
            name = PurePosixPath(member.name).name
            if not member.isreg() or name not in wanted:
                continue
            if name in contents:
                raise DataError(f"{path}: has {name} twice; {READ_AGAIN}")
            contents[name] = _content(path, archive, member)
    return contents


def _content(path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    content = stream.read() if stream else b""
    if len(content) != member.size:
        raise DataError(f"{path}: truncated in its member {member.name}; {READ_AGAIN}")
    return content


def _check_member(path: Path, member: tarfile.TarInfo, max_bytes: int) -> None:
    name = member.name.replace("\\", "/")
    reason = ""
    if name.startswith("/") or name[1:2] == ":" or ".." in name.split("/"):
        reason = "lies outside the archive's folder"
    elif not (member.isreg() or member.isdir()) or member.issparse():
        reason = "is neither a file nor a folder but a link, a device or the like"
    elif member.size > max_bytes:
        reason = f"has {member.size:,} bytes where at most {max_bytes:,} are expected"
    if reason:
        raise DataError(f"{path}: unsafe: its member {member.name!r:.120} {reason}; {READ_AGAIN}")
