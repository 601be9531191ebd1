"""Hand one value to many processes: its tensors and arrays lie once in memory, for all of them.

They are written into a file without a name, which each process maps. The system frees it with the
last process that has it open, however that one ends, so nothing can be left behind.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import sys
import tempfile
from contextlib import suppress
from typing import Any, BinaryIO

# Where a buffer begins in the file: what a vector register wants, and any number type.
_ALIGNMENT = 64
# The place and length of a piece of the file.
Span = tuple[int, int]


class SharedValue:
    """Hold a pickled value in a file without a name; `spans` say where its pieces are.

    Attributes:
        descriptor: of the file; for a process that inherits it, see `read_shared`.
        spans: of the pickle itself and of each buffer it refers to, in their order.
    """

    def __init__(self, value: Any) -> None:
        self._file = _nameless_file()
        try:
            pickled, buffers = pickled_apart(value)
            places: dict[Span, Span] = {}  # several tensors may be of one storage
            self.spans = [self._append(pickled)]
            for address, view in buffers:
                key = address, view.nbytes
                if key not in places:
                    places[key] = self._append(view)
                self.spans.append(places[key])
            self._file.flush()
        except BaseException:
            self.close()
            raise

    @property
    def descriptor(self) -> int:
        """Return the file's descriptor in this process."""
        return self._file.fileno()

    def close(self) -> None:
        """Let go of the file; processes that map it keep it."""
        self._file.close()

    def _append(self, content: bytes | memoryview) -> Span:
        place = -(-self._file.tell() // _ALIGNMENT) * _ALIGNMENT
        self._file.seek(place)
        self._file.write(content)
        return place, len(content)


def read_shared(descriptor: int, spans: list[Span]) -> Any:
    """Return a process's own view of a shared value; closes the descriptor.

    Memory is that of all who read it until somebody writes there: who writes gets a copy of that
    page, and the others never see it.

    Args:
        descriptor: of the file, as inherited.
        spans: from `SharedValue`.
    """
    # The mapping lives as long as the arrays that lie in it.
    view = memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY))
    os.close(descriptor)
    pickled, *buffers = (view[place : place + length] for place, length in spans)
    return pickle.loads(pickled, buffers=buffers)


def _nameless_file() -> BinaryIO:
    if hasattr(os, "memfd_create"):
        with suppress(OSError):  # forbidden in some sandboxes
            return os.fdopen(os.memfd_create("depthbench"), "w+b")
    return tempfile.TemporaryFile()


def pickled_apart(value: Any) -> tuple[bytes, list[tuple[int, memoryview]]]:
    """Return a value's pickle, and each buffer outside of it with its address.

    The buffers stay referred to until all is written: an address may not be used again before.
    """
    buffers: list[pickle.PickleBuffer] = []
    content = io.BytesIO()
    _Pickler(content, protocol=5, buffer_callback=buffers.append).dump(value)
    views = [buffer.raw() for buffer in buffers]
    return content.getvalue(), [(_address(view), view) for view in views]


def _address(view: memoryview) -> int:
    import numpy as np

    return int(np.frombuffer(view, np.uint8).ctypes.data) if view.nbytes else 0


class _Pickler(pickle.Pickler):
    """Pickle tensors as arrays are: what they hold goes beside the pickle, not into it."""

    def reducer_override(self, value: Any) -> Any:
        torch = sys.modules.get("torch")
        if torch is None or not _is_plain(torch, value):
            return NotImplemented
        storage = value.untyped_storage()
        content = torch.empty(0, dtype=torch.uint8).set_(storage).numpy()
        layout = value.storage_offset(), tuple(value.shape), value.stride()
        return _tensor, (pickle.PickleBuffer(content), value.dtype, *layout)


def _is_plain(torch: Any, value: Any) -> bool:
    """Say whether a value is a dense tensor in this process's memory, and nothing more."""
    return (
        type(value) is torch.Tensor
        and value.device.type == "cpu"
        and value.layout is torch.strided
        and not value.requires_grad
        and not (value.is_quantized or value.is_conj() or value.is_neg())
        and value.untyped_storage().nbytes() > 0
    )


def _tensor(
    content: Any, dtype: Any, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]
) -> Any:
    import torch

    storage = torch.frombuffer(content, dtype=torch.uint8).untyped_storage()
    return torch.empty(0, dtype=dtype).set_(storage, offset, shape, stride)
