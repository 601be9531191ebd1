"""What runs on the nodes of a ray cluster: one item a task, and an actor that hears of the tasks.

The work lies in ray's object store, once a node: tensors and arrays that it holds are read there,
in place, and cannot be written.
"""

from __future__ import annotations

import os
import pickle
import socket
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from depthbench.executors.sharing import pickled_apart
from depthbench.executors.worker import fit_to_send

# Hearing of an item twice a second is enough for whoever watches from afar.
TELL_SECONDS = 0.5
# A folder on a network may show a new file only after some seconds.
_SEEN_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Packed:
    """Hold a pickled value as the object store takes it best.

    `buffers` are what tensors and arrays hold, each once; `places` say which of them the pickle
    refers to, in its order.
    """

    content: bytes
    buffers: list[Any]
    places: list[int]


@dataclass(frozen=True, slots=True)
class Task:
    """Name one try at one item.

    `number` is the try's own, and `item` what is done. `probe` is a file that the node must see,
    and `work` a list of the reference to the packed work: outside of a list ray would fetch it
    anew for each task.
    """

    number: int
    item: Any
    work: list[Any]
    num_threads: int
    probe: Path | None


@dataclass(frozen=True, slots=True)
class Told:
    """Hold what a work told of an item last, and how often it has told something."""

    num_told: int = 0
    value: Any = None


@dataclass(frozen=True, slots=True)
class Ended:
    """Hold an item's result, and the last that its work told."""

    result: Any
    last: Told


class RaisedError(Exception):
    """Carry what the work raised past ray, which would make something else of some errors."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


class BlindNodeError(Exception):
    """Name a node that does not see the probe."""


class Ears:
    """Hear tasks wherever they run, until the run asks; to be made an actor."""

    def __init__(self) -> None:
        self._heard: dict[int, Told] = {}

    def hear(self, number: int, told: Told) -> None:
        """Hear that a try is under way, and what its work told last."""
        self._heard[number] = told

    def take(self) -> dict[int, Told]:
        """Return what was heard since the last time, by the numbers of the tries."""
        heard, self._heard = self._heard, {}
        return heard


class _Teller:
    """Send what work tells: the first at once, others not too often; the last is kept."""

    def __init__(self, number: int, ears: Any) -> None:
        self._number, self._ears = number, ears
        self.last = Told()
        self._ears.hear.remote(number, self.last)
        self._spoke = -float("inf")

    def __call__(self, value: Any) -> None:
        self.last = Told(self.last.num_told + 1, value)
        if time.monotonic() - self._spoke >= TELL_SECONDS:
            self._ears.hear.remote(self._number, self.last)
            self._spoke = time.monotonic()


def do(task: Task, ears: Any) -> Ended:
    """Do one item on a node.

    Raises:
        RaisedError: the work raised something.
        BlindNodeError: the node does not see the shared folder, or cannot write there.
    """
    if task.probe and not _is_seen(task.probe):
        raise BlindNodeError(socket.gethostname())
    work = _unpacked(task.work[0])
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(task.num_threads)
    tell = _Teller(task.number, ears)
    try:
        return Ended(work(task.item, tell), tell.last)
    except BaseException as error:
        raise RaisedError(fit_to_send(error)) from error


def pack(value: Any) -> Packed:
    """Return a value as the object store takes it best."""
    import numpy as np

    content, buffers = pickled_apart(value)
    kept: dict[tuple[int, int], int] = {}  # several tensors may be of one storage
    arrays: list[Any] = []
    places: list[int] = []
    for address, view in buffers:
        key = address, view.nbytes
        if key not in kept:
            kept[key] = len(arrays)
            arrays.append(np.frombuffer(view, np.uint8))
        places.append(kept[key])
    return Packed(content, arrays, places)


@lru_cache(maxsize=1)
def _unpacked(reference: Any) -> Callable[[Any, Any], Any]:
    """Return the work, which a worker reads once; it has no other while it lives."""
    import ray

    packed: Packed = ray.get(reference)
    with warnings.catch_warnings():
        # Tensors in the object store can be read only, which PyTorch warns of.
        warnings.simplefilter("ignore", UserWarning)
        buffers = [packed.buffers[place] for place in packed.places]
        work: Callable[[Any, Any], Any] = pickle.loads(packed.content, buffers=buffers)
        return work


def _is_seen(probe: Path) -> bool:
    """Say whether this node sees a file, and could write another one beside it."""
    until = time.monotonic() + _SEEN_SECONDS
    while not probe.exists():
        if time.monotonic() > until:
            return False
        with suppress(OSError):  # looking through a folder of a network makes it be read anew
            os.listdir(probe.parent)  # noqa: PTH208 - nothing is done with the names
        time.sleep(0.2)
    return os.access(probe.parent, os.W_OK)
