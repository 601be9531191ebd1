"""A bench in a fresh process: what one process shows of a net, another may show by 8% otherwise.

The process is started with `python -m depthbench.timing.worker` and is told what to do through its
standard input, one pickled (method, arguments) at a time; each answer is pickled to what was its
standard output. Started so, a script that runs a suite needs no `if __name__ == "__main__"`. What a
cell's code prints goes to standard error, which is read only when the process dies.
"""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from depthbench.errors import DepthbenchError
from depthbench.timing.cells import Cell

_CLOSE_SECONDS = 5.0


class WorkerDiedError(DepthbenchError):
    """Report that a timing process ended by itself, with the last it said."""


class RemoteBench:
    """A bench in a process of its own; each method waits for the answer.

    Args:
        device: where cells run.
        num_benches: how many of its kind share the memory.
        is_peak_measured: measure the device's peak FLOP/s where no data sheet is known.
        environment: variables beside those of this process.
        command: what to start.
    """

    def __init__(
        self,
        device: str,
        num_benches: int,
        *,
        is_peak_measured: bool = False,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = (sys.executable, "-m", "depthbench.timing.worker"),
    ) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env={**os.environ, "PYTHONPATH": _import_path(), **(environment or {})},
            # Ctrl-C is for the parent, which ends its workers by closing their input.
            start_new_session=True,
        )
        self._pipe = cast("BinaryIO", self._process.stdin)
        self._send((device, num_benches, is_peak_measured))

    def wait_until_ready(self) -> None:
        """Wait until the process has loaded what it needs."""
        self._answer()

    def prepare(self, cell: Cell, cell_budget_seconds: float) -> Any:
        """Build a cell and warm it up."""
        return self._ask("prepare", cell, cell_budget_seconds)

    def sample(self, cell_id: str, num_calls: int) -> Any:
        """Time one block of calls of a cell."""
        return self._ask("sample", cell_id, num_calls)

    def canary(self) -> float:
        """Return the seconds of one call of the canary."""
        return float(self._ask("canary"))

    def passes(self, cell_id: str, median_seconds: float) -> dict[str, Any]:
        """Return the columns that are measured apart from time."""
        return dict(self._ask("passes", cell_id, median_seconds))

    def used_fraction(self) -> float:
        """Return how much of this bench's share of the memory is in use."""
        return float(self._ask("used_fraction"))

    def drop(self, cell_id: str) -> None:
        """Forget a cell and free what it holds."""
        self._ask("drop", cell_id)

    def close(self) -> None:
        """End the process, whatever it is doing."""
        with suppress(OSError):  # it may be gone already
            self._pipe.close()
        try:
            self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        cast("BinaryIO", self._process.stdout).close()
        self._said.close()

    def _ask(self, method: str, *arguments: Any) -> Any:
        self._send((method, arguments))
        return self._answer()

    def _send(self, message: Any) -> None:
        try:
            pickle.dump(message, self._pipe)
            self._pipe.flush()
        except OSError:
            raise WorkerDiedError(self._last_words()) from None

    def _answer(self) -> Any:
        try:
            return pickle.load(cast("BinaryIO", self._process.stdout))
        except (EOFError, pickle.UnpicklingError, OSError):
            raise WorkerDiedError(self._last_words()) from None

    def _last_words(self) -> str:
        code = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return f"the timing process ended ({how}){': ' + lines[-1][:500] if lines else ''}"


def _import_path() -> str:
    """Return where this process finds modules, so that another finds the same."""
    return os.pathsep.join(path or str(Path.cwd()) for path in sys.path)


def serve(make_bench: Callable[..., Any] | None = None) -> None:
    """Do what is asked of a bench until the input ends.

    Args:
        make_bench: gives the bench, from what `RemoteBench` was given (default: `LocalBench`).
    """
    # Prints of a cell's own code must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    asked = sys.stdin.buffer
    device, num_benches, is_peak_measured = pickle.load(asked)
    if make_bench is None:
        from depthbench.timing.bench import LocalBench

        make_bench = LocalBench
    bench = make_bench(
        device,
        num_benches,
        is_peak_measured=is_peak_measured,
        root_process_id=os.getppid(),
    )
    # What was loaded stays: a collection would look through all of it, 0.15 s for each cell.
    gc.collect()
    gc.freeze()
    answer: Any = None
    while True:
        pickle.dump(answer, answers)
        answers.flush()
        try:
            method, arguments = pickle.load(asked)
        except EOFError:
            return
        answer = getattr(bench, method)(*arguments)


if __name__ == "__main__":
    serve()
