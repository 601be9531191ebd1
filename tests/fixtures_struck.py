"""Real runs that are struck at a chosen moment: by a signal, or by a disk without room.

`Strikable` starts a process that has loaded what a run needs and forks one process for each run,
so that a test of many runs pays for one start.
"""

import errno
import gc
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from fnmatch import fnmatch
from pathlib import Path

import pandas as pd

from depthbench import read_run

ROOT = Path(__file__).parents[1]
TINY = """\
suite: tiny
dataset: {name: digits, train_examples: 64, validation_examples: 40}
backbone: mlp
cohort: off
variants:
  - {family: deep, depth: [1, 2], width: 8}
train: {lr: [0.001, 0.01], steps: 6, batch_size: 32}
seeds: 3
timing: {phases: [inference, train_step], batch_sizes: 4, time_budget_seconds: 0.05}
"""
# Columns that differ between two runs of the same suite, besides those in seconds.
MOVING = ("started_at",)


def strike(call, pattern, number, blow="SIGKILL"):
    """Say when a run is struck: instead of the n-th call with a file of such a name.

    Args:
        call: `replace`, `unlink` or `fsync` of files, or `print` on the terminal.
        pattern: of the file's name; of `print`, of the text.
        number: 1 is the first.
        blow: the name of a signal, `full`: from then on, no file finds room, or `none`.
    """
    return {"call": call, "pattern": pattern, "number": number, "blow": blow}


class Strikable:
    """Run the command line in processes of its own, with strikes."""

    def __init__(self, folder, *, are_benches_here=True):
        self.folder = folder
        self.suite = folder / "tiny.yaml"
        self.suite.write_text(TINY)
        command = [sys.executable, "-m", "tests.fixtures_struck", str(int(are_benches_here))]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def run(self, out, *options, strikes=(), seconds=None):
        """Return the exit code (minus the signal, if one ended it) and what it wrote to stderr.

        Args:
            out: folder of the results.
            options: further ones of `depthbench run`.
            strikes: what strikes it; each waits for the one before.
            seconds: kill it then, wherever it is; None for not at all.
        """
        arguments = ["run", self.suite, "--out", out, "--run", "r", *options]
        order = {"arguments": [str(a) for a in arguments], "strikes": strikes, "seconds": seconds}
        order["said"] = str(self.folder / "said.txt")
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        code = int(self.process.stdout.readline())
        return code, (self.folder / "said.txt").read_text()


def assert_same_run(left, right):
    """Assert that two folders of results hold bitwise the same, but for what is time."""
    one, two = (read_run(Path(out) / "tiny" / "r") for out in (left, right))
    assert one.run["status"] == two.run["status"] == "finished"
    for name in ("trials", "curves", "probes"):
        frames = [_still(getattr(run, name)) for run in (one, two)]
        pd.testing.assert_frame_equal(*frames, check_exact=True)
    assert one.timings.cell_id.is_unique
    known = ["cell_id", "variant_id", "phase", "batch_size", "plan_index", "status"]
    pd.testing.assert_frame_equal(one.timings[known], two.timings[known])
    left_over = [path for path in (one.folder / "parts").iterdir() if path.suffix != ".corrupt"]
    assert left_over == []


def _still(frame):
    moving = [c for c in frame.columns if c.endswith("seconds") or c in MOVING]
    return frame.drop(columns=moving)


def _serve(are_benches_here):
    """Fork a process for each order that comes in, and answer with its exit code."""
    # What each run would load else.
    import scipy.stats  # noqa: F401
    import sklearn.datasets  # noqa: F401
    import torch._dynamo  # noqa: F401

    import depthbench.report.render
    import depthbench.run
    import depthbench.timing.bench  # noqa: F401

    gc.collect()
    gc.freeze()
    if are_benches_here:
        _time_here()
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _obey(order)
        sys.stdout.write(f"{_ended(child, order['seconds'])}\n")
        sys.stdout.flush()


def _time_here():
    from depthbench import timing_stage
    from depthbench.timing.bench import LocalBench

    def start_here(device, is_peak_measured, compiled):
        return lambda count: [LocalBench(device, count) for _ in range(count)]

    timing_stage._processes = start_here
    timing_stage.NUM_PROCESSES = 1


def _ended(child, seconds):
    if seconds is not None:
        descriptor = os.pidfd_open(child)
        has_ended, _, _ = select.select([descriptor], [], [], seconds)
        os.close(descriptor)
        if not has_ended:
            os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _obey(order):
    from depthbench.cli import main

    os.setsid()
    said = os.open(order["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(said, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.argv = ["depthbench", *order["arguments"]]
    _arm(order["strikes"])
    code = 1
    try:
        main()
        code = 0
    except SystemExit as leaving:
        code = leaving.code or 0
    finally:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, SystemExit):
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(code)


def _arm(strikes):
    """Patch what strikes wait for."""
    from rich.console import Console

    names = {
        "replace": (Path, lambda path, target: Path(target).name),
        "unlink": (os, lambda path, **options: Path(path).name),
        "print": (Console, lambda console, text: str(text)),
        "fsync": (os, lambda descriptor: Path(f"/proc/self/fd/{descriptor}").readlink().name),
    }
    waiting = list(strikes)
    for planned in strikes:
        place, name_of = names[planned["call"]]
        setattr(place, planned["call"], _struck(place, planned, name_of, waiting))


def _struck(place, planned, name_of, waiting):
    """Return the call with its strike in it; each strike waits until those before have fallen."""
    real = getattr(place, planned["call"])
    left = [planned["number"]]

    def call(*arguments, **options):
        is_next = bool(waiting) and waiting[0] is planned
        if is_next and fnmatch(name_of(*arguments, **options), planned["pattern"]):
            left[0] -= 1
            if left[0] == 0:
                waiting.pop(0)
                _fall(planned["blow"])
        return real(*arguments, **options)

    return call


def _fall(blow):
    if blow.startswith("SIG"):
        os.kill(os.getpid(), getattr(signal, blow))
    elif blow == "full":
        os.fsync = _no_room
        _no_room(None)


def _no_room(descriptor):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


if __name__ == "__main__":
    _serve(sys.argv[1] == "1")
