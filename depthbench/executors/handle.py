"""The parent's side of one worker: start it, hand it items, hear it, end it, say how it died."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

from depthbench import machine
from depthbench.executors.sharing import SharedValue
from depthbench.executors.worker import Setup

COMMAND = (sys.executable, "-m", "depthbench.executors")
# The libraries that compute read their numbers of threads once, when they are loaded.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_CLOSE_SECONDS = 5.0
_MAX_LINE = 500


class Worker:
    """A process that does one item at a time.

    Attributes:
        connection: what is heard of it; readable when it has said something, or has ended.
        is_ready: it has loaded the work.
        item: the place of the item it is at, None for none.
        began: when that was handed out, by the monotonic clock.

    Args:
        work: what it does, shared with others.
        num_threads: CPU threads that it computes with.
        cpus: the CPUs that are its own, empty for all.
        command: what to start; its last argument will be a descriptor.
    """

    def __init__(
        self,
        work: SharedValue,
        num_threads: int,
        cpus: Sequence[int] = (),
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.is_ready = False
        self.item: int | None = None
        self.began = 0.0
        self._num_oom_kills = machine.num_oom_kills()
        # Opened for appending, so that it can be emptied while the worker writes.
        self._said = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - lives as long as the process
        self.connection, other_end = Pipe()
        with other_end:
            self._process = subprocess.Popen(
                [*command, str(other_end.fileno())],
                stdin=subprocess.PIPE,  # the lifeline
                stdout=self._said,
                stderr=self._said,
                env=os.environ | _variables(num_threads),
                pass_fds=(other_end.fileno(), work.descriptor),
                # Ctrl-C is for the parent, which ends its workers.
                start_new_session=True,
            )
        with suppress(OSError):  # it has ended already, which will be heard of
            self.connection.send(Setup(work.descriptor, work.spans, list(cpus), num_threads))

    @property
    def process_id(self) -> int:
        """Return the number of the process."""
        return self._process.pid

    def hand(self, place: int, item: Any) -> bool:
        """Give the worker an item; False where it had ended before it could take it."""
        self._said.truncate(0)
        self._num_oom_kills = machine.num_oom_kills()
        try:
            self.connection.send(item)
        except OSError:
            return False
        self.item, self.began = place, time.monotonic()
        return True

    def hear(self) -> tuple[str, Any]:
        """Return what the worker said next, its kind and its value; "ended" where it has ended."""
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            return "ended", None
        self.is_ready = True
        return kind, value

    def has_ended(self) -> bool:
        """Say whether the process is gone, and all it said has been heard."""
        return self._process.poll() is not None and not self.connection.poll()

    def seconds(self) -> float:
        """Return how long the worker has been at its item."""
        return 0.0 if self.item is None else time.monotonic() - self.began

    def own_bytes(self) -> int | None:
        """Return the memory that is the worker's own, without what is shared; None: unknown."""
        return machine.own_memory_bytes(self.process_id)

    def was_killed_for_memory(self) -> bool:
        """Say whether the kernel was short of memory and this worker was killed."""
        is_killed = self._process.wait() == -signal.SIGKILL
        return is_killed and machine.num_oom_kills() > self._num_oom_kills

    def last_words(self) -> str:
        """Return how the process ended, and the last line it wrote."""
        code = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        how = f"killed by {_signal_name(-code)}" if code < 0 else f"exit code {code}"
        return f"the worker ended ({how}){': ' + lines[-1][:_MAX_LINE] if lines else ''}"

    def dismiss(self) -> None:
        """Let the worker end by itself, once it is done with what it is at."""
        self.connection.close()

    def join(self) -> None:
        """Wait for a dismissed worker to end, but not for long."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_CLOSE_SECONDS)

    def kill(self) -> None:
        """Tell the system to end the process and what it started, and do not wait for it."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the process, if it has not ended, and let go of all that belongs to it."""
        self.kill()
        self._process.wait()
        self.connection.close()
        if self._process.stdin:
            self._process.stdin.close()
        self._said.close()


def import_path() -> str:
    """Return where this process finds modules, so that another finds the same."""
    return os.pathsep.join(path or str(Path.cwd()) for path in sys.path)


def _variables(num_threads: int) -> dict[str, str]:
    threads = dict.fromkeys(_THREAD_VARIABLES, str(num_threads))
    return threads | {"PYTHONPATH": import_path()}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
