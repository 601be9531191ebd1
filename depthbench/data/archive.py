"""Open a .npz file without trusting it: headers first, sizes checked, objects never unpickled."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from depthbench.errors import DataError

SUFFIX = ".npy"
WRITE_AGAIN = "write the file again with numpy.savez"
# Used where the machine does not say how much memory it has.
ASSUMED_MEMORY_BYTES = 64 << 30


@dataclass(frozen=True, slots=True)
class ArrayHeader:
    """State what an array of the file is, by its header; `is_sound` that its size agrees."""

    shape: tuple[int, ...]
    dtype: np.dtype
    is_sound: bool

    @property
    def num_bytes(self) -> int:
        """Return how many bytes the array's values take."""
        return prod(self.shape) * self.dtype.itemsize


def read_headers(path: Path) -> dict[str, ArrayHeader]:
    """Return the header of every array in a .npz file by its name; reads no values.

    Raises:
        DataError: The file is missing, truncated or not a .npz file.
    """
    with _opened(path) as archive:
        members = (info for info in archive.infolist() if info.filename.endswith(SUFFIX))
        return {
            info.filename.removesuffix(SUFFIX): _header(path, archive, info) for info in members
        }


def read_arrays(
    path: Path, headers: dict[str, ArrayHeader], names: list[str]
) -> dict[str, np.ndarray]:
    """Return arrays of a .npz file by name.

    Args:
        path: The file.
        headers: What `read_headers` says of it.
        names: Which arrays to read.

    Raises:
        DataError: An array is corrupt, or all together exceed the memory.
    """
    _check_sizes(path, {name: headers[name] for name in names})
    arrays = {}
    with _opened(path) as archive:
        for name in names:
            with archive.open(name + SUFFIX) as stream:
                arrays[name] = npy.read_array(stream, allow_pickle=False)
                # Reading past the end is what makes zipfile verify its checksum.
                stream.read(1)
    return arrays


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    # RuntimeError and NotImplementedError are zipfile's words for encrypted or exotic members.
    broken = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, TypeError, RuntimeError)
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; name your .npz file in dataset: path") from error
    except broken as error:
        raise DataError(f"{path}: not a sound .npz file ({error}); {WRITE_AGAIN}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def _header(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> ArrayHeader:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{path}: {info.filename} is packed in a way numpy does not; {WRITE_AGAIN}")
    with archive.open(info) as stream:
        shape, dtype = _shape_and_dtype(stream)
        num_bytes = info.file_size - stream.tell()
    is_sound = min(shape, default=0) >= 0 and prod(shape) * dtype.itemsize == num_bytes
    return ArrayHeader(shape, dtype, is_sound)


def _shape_and_dtype(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"npy format version {version}")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(stream)
    return shape, dtype


def _check_sizes(path: Path, headers: dict[str, ArrayHeader]) -> None:
    for name, header in headers.items():
        if not header.is_sound:
            raise DataError(
                f"{path}: {name} has another size than its header says, "
                f"{header.dtype} {header.shape}; {WRITE_AGAIN}"
            )
    num_bytes = sum(header.num_bytes for header in headers.values())
    if num_bytes > memory_bytes():
        raise DataError(
            f"{path}: its arrays take {num_bytes / 1e9:,.1f} GB, more than this machine's memory "
            f"({memory_bytes() / 1e9:,.1f} GB); save fewer examples"
        )


def memory_bytes() -> int:
    """Return the bytes of memory this machine has."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return ASSUMED_MEMORY_BYTES
