"""What workers do in tests; loads no PyTorch, so that they start at once."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from depthbench import machine


def meet(folder, name, others):
    """Wait until all others are here, too."""
    (folder / name).touch()
    deadline = time.monotonic() + 60
    while not all((folder / other).exists() for other in others):
        assert time.monotonic() < deadline, f"{name} waited for {others} in vain"
        os.sched_yield()


def whoami(folder, item, tell):
    import torch

    meet(folder, item, ["a", "b"])
    return {
        "process": os.getpid(),
        "threads": torch.get_num_threads(),
        "variable": os.environ["OMP_NUM_THREADS"],
        "cpus": os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0},
        "session": os.getsid(0),
        "main": sys.modules["__main__"].__spec__.name,
    }


def mapped_at(address):
    """Return the facts of the mapping that holds an address, in kB, and its inode."""
    facts = {}
    for line in Path("/proc/self/smaps").read_text().splitlines():
        head = re.match(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ (\S+) (\d+)", line)
        if head:
            is_here = int(head[1], 16) <= address < int(head[2], 16)
            if is_here:
                facts["file"] = head[3], head[4]
        elif is_here:
            name, _, value = line.partition(":")
            facts[name] = value
    return facts


class Look:
    """Work that holds tensors, as that of trials does."""

    def __init__(self, folder, tensors):
        self.folder, self.tensors = folder, tensors

    def __call__(self, item, tell):
        big = self.tensors["big"]
        total = float(big.sum())
        meet(self.folder, item, ["a", "b"])
        before = machine.own_memory_bytes(os.getpid())
        facts = mapped_at(big.data_ptr())
        if item == "a":
            big[0] = 7
        return total, facts, before, float(big[0])


def tell_often(count, item, tell):
    for number in range(count):
        tell(number)
    return item


def misbehave(item, tell):
    if item == "hang":
        threading.Event().wait()
    if item == "exit":
        sys.stderr.write("first\nno room left\n")
        sys.stderr.flush()
        os._exit(3)
    if item == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if item == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def grow(item, tell):
    kept = bytearray(item)
    for place in range(0, item, 4096):
        kept[place] = 1
    if item > 1 << 20:
        threading.Event().wait()
    return len(kept)


def append(path, item, tell):
    with path.open("a") as file:
        file.write(f"{item}\n")
    return misbehave(item, tell)


class Unreadable:
    """Work that no worker can load."""

    def __reduce__(self):
        return os._exit, (9,)

    def __call__(self, item, tell):
        return item


class OddError(Exception):
    """An error that cannot be read again from its pickle."""

    def __init__(self, first, second):
        super().__init__(f"{first} {second}")


def fail(item, tell):
    raise {"plain": ValueError("no"), "odd": OddError("very", "odd")}[item]


def stay(item, tell):
    helper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    tell((os.getpid(), helper.pid))
    threading.Event().wait()


def square(number, tell):
    tell(number + 1)
    return number * number


def refuse(error, number, tell):
    raise error(f"item {number}")


def divide(dividend, divisor, tell):
    return dividend // divisor


def die_once(folder, item, tell):
    """End the worker at the first try."""
    if not (folder / item).exists():
        (folder / item).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def facts_of(array, item, tell):
    address = array.ctypes.data
    return float(array.sum()), array.flags.writeable, mapped_at(address)["file"]


def gpus_seen(folder, item, tell):
    """Return which GPUs a worker is given, once another has been given some, too."""
    meet(folder, item, ["a", "b"])
    return os.environ["CUDA_VISIBLE_DEVICES"]
