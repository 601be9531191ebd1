"""Read pickles of plain values and arrays without letting them run anything.

A pickle is a program: it names functions and calls them. Here the few names that an array needs
stand for functions of this module, and every other name is refused before anything is called.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from depthbench.errors import DataError

READ_AGAIN = "delete the file and get it again"
MAX_RANK = 8
NUMBER_CODES = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
# What a broken or hostile pickle makes the unpickler raise; it documents no shorter list.
BROKEN = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    OverflowError,
    MemoryError,
    ImportError,
    RecursionError,
)


def read_pickle(content: bytes, source: str) -> Any:
    """Return what a pickle holds: plain containers, numbers, text, bytes and arrays.

    Text that Python 2 wrote comes back as bytes. An array is a `PickledArray` until it is asked
    for its values, so that none is made that nobody wants.

    Args:
        content: The pickle.
        source: The file, for messages.

    Raises:
        DataError: The pickle is truncated or corrupt, or wants something that no data needs.
    """
    try:
        return _PlainUnpickler(io.BytesIO(content), encoding="bytes").load()
    except _RefusedError as error:
        raise DataError(
            f"{source}: not plain data: it wants {error}, which could run code, so it was not "
            f"loaded; {READ_AGAIN} from its official site"
        ) from None
    except BROKEN as error:
        reason = str(error) or type(error).__name__
        raise DataError(
            f"{source}: truncated or corrupt, not a sound pickle ({reason}); {READ_AGAIN}"
        ) from error


@dataclass(slots=True)
class PickledArray:
    """Hold an array as a pickle describes it, not yet believed."""

    shape: Any = ()
    dtype: Any = None
    is_fortran: Any = False
    content: Any = b""

    def __setstate__(self, state: Any) -> None:
        """Take what numpy writes of an array: version, shape, type, order, bytes."""
        _, self.shape, self.dtype, self.is_fortran, self.content = state

    def values(self, source: str) -> np.ndarray:
        """Return the array; its type must be of numbers and its size as it says.

        Args:
            source: What it is in which file, for messages.

        Raises:
            DataError: The description contradicts itself.
        """
        dtype = self.dtype.numbers() if isinstance(self.dtype, _PickledType) else None
        if dtype is None:
            raise DataError(f"{source}: an array of other values than numbers")
        shape = self.shape
        is_shape = isinstance(shape, tuple) and len(shape) <= MAX_RANK
        if not is_shape or not all(type(side) is int and side >= 0 for side in shape):
            raise DataError(f"{source}: an array of the impossible shape {shape!r:.80}")
        if not isinstance(self.content, bytes | bytearray):
            raise DataError(f"{source}: an array without its values; {READ_AGAIN}")
        if prod(shape) * dtype.itemsize != len(self.content):
            raise DataError(
                f"{source}: {len(self.content):,} bytes where {dtype} {shape} needs "
                f"{prod(shape) * dtype.itemsize:,}; {READ_AGAIN}"
            )
        values: np.ndarray = np.frombuffer(self.content, dtype)
        values = values.reshape(shape[::-1]).T if self.is_fortran else values.reshape(shape)
        return values.astype(dtype.newbyteorder("="), copy=False)


@dataclass(slots=True)
class _PickledType:
    """Hold an array's element type as a pickle describes it."""

    code: Any
    byte_order: Any = "|"

    def __setstate__(self, state: Any) -> None:
        self.byte_order = _text(state[1])

    def numbers(self) -> np.dtype | None:
        """Return the type where it is one of integers or floats, else None."""
        code = _text(self.code)
        if code not in NUMBER_CODES or self.byte_order not in ("<", ">", "|", "="):
            return None
        return np.dtype(code).newbyteorder(self.byte_order)


class _RefusedError(Exception):
    """Name what a pickle may not have."""


@dataclass(frozen=True, slots=True)
class _Name:
    """Stand for a name of numpy's in a pickle; nothing in the pickle can change it."""

    name: str
    _makes: Any = field(default=None, repr=False)

    def __call__(self, *args: Any) -> Any:
        if self._makes is None:
            raise _RefusedError(f"a call of {self.name}")
        return self._makes(*args)

    def __setstate__(self, state: Any) -> None:
        raise _RefusedError(f"to change {self.name}")


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of a name, or refuse it."""
        found = _STAND_INS.get((module, name))
        if found is None:
            raise _RefusedError(f"{module}.{name}")
        return found

    def persistent_load(self, pid: Any) -> Any:
        """Refuse a reference to something outside the pickle."""
        raise _RefusedError(f"the outside object {pid!r:.40}")


def _empty_array(_class: Any, _shape: Any, _type: Any) -> PickledArray:
    return PickledArray()


def _whole_array(content: Any, dtype: Any, shape: Any, order: Any) -> PickledArray:
    return PickledArray(shape, dtype, _text(order) == "F", content)


def _element_type(code: Any, *_flags: Any) -> _PickledType:
    return _PickledType(code)


def _encoded(text: Any, encoding: Any) -> bytes:
    """Return the bytes that Python 3 writes as text where the pickle's protocol has none."""
    if not isinstance(text, str) or _text(encoding) not in ("latin1", "latin-1"):
        raise _RefusedError("_codecs.encode of something else than latin-1 text")
    return text.encode("latin-1")


def _text(value: Any) -> Any:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _stand_ins() -> dict[tuple[str, str], _Name]:
    makers = {
        ("multiarray", "_reconstruct"): _empty_array,
        ("numeric", "_frombuffer"): _whole_array,
    }
    # numpy 2 moved numpy.core to numpy._core.
    names = {
        (f"numpy.{core}.{module}", name): _Name(f"numpy.{name}", makes)
        for (module, name), makes in makers.items()
        for core in ("core", "_core")
    }
    names["numpy", "ndarray"] = _Name("numpy.ndarray")
    names["numpy", "dtype"] = _Name("numpy.dtype", _element_type)
    names["_codecs", "encode"] = _Name("_codecs.encode", _encoded)
    return names


_STAND_INS = _stand_ins()
