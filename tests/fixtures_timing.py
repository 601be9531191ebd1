"""Cells that several tests of timing prepare, and a device that is not there."""

from contextlib import contextmanager
from dataclasses import replace

import torch

from depthbench.grammar import TaskSettings, TrainSettings
from depthbench.models import build
from depthbench.spec import Problem, Variant
from depthbench.timing.cells import Cell
from depthbench.timing.support import Machine
from depthbench.timing.work import prepare
from tests.fixtures_networks import variant_of

CPU = torch.device("cpu")
CUDA = torch.device("cuda")
IMAGES = Problem((1, 8, 8), (10,))
TEXT = Problem((12,), (12, 30), vocabulary=30)
# An NVIDIA GPU of the Hopper generation, with all that PyTorch needs.
HOPPER = Machine(lambda device: (9, 0), lambda: True, lambda: True)


def cell_of(variant: Variant | None = None, problem=IMAGES, **settings) -> Cell:
    variant = variant or variant_of()
    is_text = problem.vocabulary is not None
    task = TaskSettings(name="language_model" if is_text else "classify")
    train = settings.pop("train", TrainSettings(steps=1))
    dataset = "tinystories" if is_text else "digits"
    base = Cell("id", variant, problem, dataset, task, train, "inference", 4)
    return replace(base, **settings)


def decoder_cell(**settings) -> Cell:
    variant = variant_of("transformer", depth=3, width=16, heads=2)
    return cell_of(variant, TEXT, **({"phase": "decode"} | settings))


def prepared(cell, **settings):
    return prepare(cell, CPU, build, **settings)


def called(ready):
    """Return what one call of a prepared cell gives."""
    with ready.active():
        return ready.call()


class FakeCuda:
    """A stand-in for torch.cuda: `log` has what was asked of it, `memory` what it says."""

    def __init__(self):
        self.log = []
        self.stream_now = "default"
        self.memory = {"allocated": 0, "reserved": 0}
        self.peaks = dict(self.memory)

    # Streams and graphs

    def Stream(self, device):  # noqa: N802 - the name torch.cuda gives it
        return FakeStream("side", self)

    def current_stream(self, device):
        return FakeStream(self.stream_now, self)

    @contextmanager
    def device(self, device):
        self.log.append(f"device {device}")
        yield

    @contextmanager
    def stream(self, stream):
        before, self.stream_now = self.stream_now, stream.name
        yield
        self.stream_now = before

    def CUDAGraph(self):  # noqa: N802
        return FakeGraph(self)

    @contextmanager
    def graph(self, graph, stream):
        before, self.stream_now = self.stream_now, f"captured {stream.name}"
        yield
        self.stream_now = before

    def called(self):
        self.log.append(f"call on {self.stream_now}")

    # Memory

    def allocate(self, num_bytes):
        for kind in self.memory:
            self.memory[kind] += num_bytes
            self.peaks[kind] = max(self.peaks[kind], self.memory[kind])

    def free(self, num_bytes):
        self.memory["allocated"] -= num_bytes

    def synchronize(self, device):
        self.log.append("synchronize")

    def empty_cache(self):
        self.memory["reserved"] = self.memory["allocated"]

    def reset_peak_memory_stats(self, device):
        self.peaks = dict(self.memory)

    def memory_allocated(self, device):
        return self.memory["allocated"]

    def memory_reserved(self, device):
        return self.memory["reserved"]

    def max_memory_allocated(self, device):
        return self.peaks["allocated"]

    def max_memory_reserved(self, device):
        return self.peaks["reserved"]


class FakeStream:
    def __init__(self, name, cuda):
        self.name, self._cuda = name, cuda

    def wait_stream(self, other):
        self._cuda.log.append(f"{self.name} waits for {other.name}")


class FakeGraph:
    def __init__(self, cuda):
        self._cuda = cuda

    def replay(self):
        self._cuda.log.append("replay")
