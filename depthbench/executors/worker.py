"""The program of one worker: it does item after item of one piece of work, and says what comes out.

It is started with `python -m depthbench.executors DESCRIPTOR`, the descriptor of its end of a
connection, so a user's script needs no `if __name__ == "__main__"`. It is sent a `Setup`, answers
("ready", None), and is then sent items, one at a time. For each it says ("told", value) now and
then, and at the end ("result", value) or ("raised", error). Its standard input is its lifeline: the
other end is the parent's, and when that is gone, however it ended, so is the worker.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from depthbench.errors import DepthbenchError
from depthbench.executors.sharing import Span, read_shared

# Hearing of an item ten times a second is enough for whoever watches.
_TELL_SECONDS = 0.1
# What an exception may answer to being pickled and read again.
_UNFIT = (pickle.PickleError, TypeError, AttributeError, ValueError, LookupError, ImportError)


@dataclass(frozen=True, slots=True)
class Setup:
    """Say what a worker works at, and with what.

    `descriptor` and `spans` are of the shared work. `cpus` are those it may use, empty for all.
    """

    descriptor: int
    spans: list[Span]
    cpus: list[int]
    num_threads: int


class _Teller:
    """Send what work tells: the first and the last of an item always, others not too often."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._spoke = -float("inf")
        self._held: list[Any] = []

    def __call__(self, value: Any) -> None:
        self._held = [value]
        if time.monotonic() - self._spoke >= _TELL_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send what is held back, if anything."""
        for value in self._held:
            self._connection.send(("told", value))
            self._spoke = time.monotonic()
        self._held = []


def serve(connection: Connection) -> None:
    """Do what is sent until the connection ends."""
    work = _prepare(connection.recv())
    connection.send(("ready", None))
    while True:
        try:
            item = connection.recv()
        except (EOFError, ConnectionError):
            return
        _do(work, item, connection)


def _prepare(setup: Setup) -> Callable[[Any, Any], Any]:
    """Take the cores, and only then load what the work needs: threads start where they stay."""
    if setup.cpus and hasattr(os, "sched_setaffinity"):
        with suppress(OSError):  # not allowed here: the scheduler does what it can
            os.sched_setaffinity(0, setup.cpus)
    work: Callable[[Any, Any], Any] = read_shared(setup.descriptor, setup.spans)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(setup.num_threads)
    # What was loaded stays: no collection is to look through all of it again.
    gc.collect()
    gc.freeze()
    return work


def _do(work: Callable[[Any, Any], Any], item: Any, connection: Connection) -> None:
    tell = _Teller(connection)
    try:
        result = work(item, tell)
        tell.flush()
        connection.send(("result", result))
    except BaseException as error:
        connection.send(("raised", fit_to_send(error)))
        raise


def fit_to_send(error: BaseException) -> BaseException:
    """Return the error with its traceback as a note, or what can be said of it."""
    if not isinstance(error, DepthbenchError):  # those say all themselves
        error.add_note("in a worker:\n" + traceback.format_exc().rstrip())
    try:
        pickle.loads(pickle.dumps(error))
    except _UNFIT:
        stand_in = RuntimeError(f"{type(error).__name__}: {error}")
        for note in getattr(error, "__notes__", ()):
            stand_in.add_note(note)
        return stand_in
    return error


def _end_with_parent() -> None:
    """End this process, and what it started, once nobody holds the other end of its input."""
    while os.read(0, 1):
        pass
    is_leader = os.getpgrp() == os.getpid()
    os.kill(0 if is_leader else os.getpid(), signal.SIGKILL)


def main() -> None:
    """Serve the connection that the command line names."""
    descriptor = int(sys.argv[1])
    os.set_inheritable(descriptor, False)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(OSError):  # if memory runs out a worker is to end, not its parent
        Path("/proc/self/oom_score_adj").write_text("800", encoding="ascii")
    serve(Connection(descriptor))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # nothing is left to do, and taking PyTorch down would take a second
