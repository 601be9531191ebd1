"""The idx format of MNIST: a header of big-endian counts, then bytes; gzipped or not.

Source: format as stated on the MNIST database's page (LeCun, Cortes, Burges).
"""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import numpy as np

from depthbench.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

UNSIGNED_BYTE = 0x08
GZIP_MAGIC = b"\x1f\x8b"
READ_AGAIN = "delete the file and get it again"


@dataclass(frozen=True, slots=True)
class IdxArray:
    """Hold what an idx file contains.

    Shapes:
        values: as the header says, uint8.
    """

    values: np.ndarray
    sha256: str


def read_idx(path: Path, item_shape: tuple[int, ...], max_items: int) -> IdxArray:
    """Read an idx file of unsigned bytes, checking its header against its contents.

    Args:
        path: The file; whether it is gzipped is seen from its first bytes, not from its name.
        item_shape: Shape of one item: (28, 28) of an image, () of a label.
        max_items: More items than this are refused before they are read.

    Returns:
        The values, writable, and the sha256 of the file as it is without gzip.

    Raises:
        DataError: The file is unreadable, truncated, corrupt or not what it should be.
    """
    with _opened(path) as stream:
        header = stream.read(8 + 4 * len(item_shape))
        num_items = _num_items(path, header, item_shape, max_items)
        shape = (num_items, *item_shape)
        num_bytes = int(np.prod(shape, dtype=np.int64))
        # A bytearray makes the array writable, without which torch warns.
        contents = bytearray(stream.read(num_bytes))
        # Reading past the end is also what makes gzip verify its checksum.
        has_more = bool(stream.read(1))
    if len(contents) < num_bytes:
        raise DataError(
            f"{path}: truncated: its header says {num_items:,} items, {num_bytes:,} bytes, but "
            f"{len(contents):,} bytes follow; {READ_AGAIN}"
        )
    if has_more:
        raise DataError(
            f"{path}: more bytes follow than the {num_items:,} items of its header; {READ_AGAIN}"
        )
    digest = hashlib.sha256(header)
    digest.update(contents)
    return IdxArray(np.frombuffer(contents, np.uint8).reshape(shape), digest.hexdigest())


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as packed:
            is_gzip = packed.read(2) == GZIP_MAGIC
            packed.seek(0)
            if not is_gzip:
                yield packed
                return
            with gzip.GzipFile(fileobj=packed) as unpacked:
                yield cast("IO[bytes]", unpacked)
    except EOFError as error:
        raise DataError(f"{path}: truncated: its gzip stream ends early; {READ_AGAIN}") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: corrupt gzip ({error}); {READ_AGAIN}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def _num_items(path: Path, header: bytes, item_shape: tuple[int, ...], max_items: int) -> int:
    rank = 1 + len(item_shape)
    if len(header) < 4 + 4 * rank:
        _refuse_short(path, header, rank)
    zeros, type_code, found_rank = struct.unpack(">HBB", header[:4])
    if zeros or type_code != UNSIGNED_BYTE or found_rank != rank:
        raise DataError(
            f"{path}: not an idx{rank} file of unsigned bytes: it begins with 0x{header[:4].hex()} "
            f"where 0x0000{UNSIGNED_BYTE:02x}{rank:02x} is expected; "
            "check that images and labels are not swapped"
        )
    num_items, *found_shape = struct.unpack(f">{rank}I", header[4:])
    if tuple(found_shape) != item_shape:
        raise DataError(
            f"{path}: images are {_by(found_shape)} pixels where {_by(item_shape)} are expected"
        )
    if not 1 <= num_items <= max_items:
        raise DataError(
            f"{path}: its header says {num_items:,} items where 1 to {max_items:,} are expected; "
            "check that training and test files are not swapped; "
            "for data of your own use dataset: {name: npz, path: FILE}"
        )
    return num_items


def _refuse_short(path: Path, header: bytes, rank: int) -> None:
    size = f"only {len(header)} bytes long" if header else "empty"
    raise DataError(f"{path}: {size}, too short for the header of an idx{rank} file; {READ_AGAIN}")


def _by(shape: tuple[int, ...] | list[int]) -> str:
    return " x ".join(str(side) for side in shape)
