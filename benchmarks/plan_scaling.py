"""How `depthbench plan` grows with the number of trials. Target: linear from 1,000 to 100,000.

Each size is planned in a fresh process (parse, expand, count, describe, JSON); wall seconds and
peak resident memory are of the whole process. The peer is the same process with one trial.

Run: python benchmarks/plan_scaling.py
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SIZES = (1, 1_000, 10_000, 100_000)
ROUNDS = 3
SUITE = """\
suite: plan-scaling
dataset: digits
backbone: mlp
variants: [{{family: [deep, parallel_shallow], depth: [1, 2, 4, 8, 16], width: [16, 32]}}]
train: {{epochs: 1, lr: {rates}}}
seeds: {seeds}
"""
CODE = """\
import json, resource, sys, time
began = time.perf_counter()
from depthbench.expand import expand
from depthbench.plan import describe_plan
from depthbench.suite import load_suite
loaded = time.perf_counter()
suite = load_suite(sys.argv[1])
trials = expand(suite)
text = json.dumps(describe_plan(suite, trials))
print(json.dumps({
    "trials": len(trials), "seconds": time.perf_counter() - loaded,
    "import_seconds": loaded - began, "json_bytes": len(text),
    "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
}))
"""


def suite_text(size: int) -> str:
    """Return a suite of a number of trials: 20 variants, rates and seeds."""
    if size == 1:
        return (
            SUITE.format(rates=0.001, seeds=1)
            .replace("[deep, parallel_shallow]", "deep")
            .replace("[1, 2, 4, 8, 16], width: [16, 32]", "4, width: 16")
        )
    seeds = size // 20 // 10
    return SUITE.format(rates=[round(0.001 * i, 3) for i in range(1, 11)], seeds=seeds)


def measure(size: int) -> dict[str, float]:
    """Plan a suite of this size in a fresh process; return what it reports."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "suite.yaml"
        path.write_text(suite_text(size))
        found = subprocess.run(
            [sys.executable, "-c", CODE, str(path)], check=True, capture_output=True, text=True
        )
    return json.loads(found.stdout)


def main() -> None:
    """Print seconds, microseconds a trial and peak memory for each size."""
    rows = {size: [] for size in SIZES}
    for _ in range(ROUNDS):
        for size in SIZES:
            rows[size].append(measure(size))
    base = statistics.median(row["seconds"] for row in rows[1])
    for size, found in rows.items():
        seconds = statistics.median(row["seconds"] for row in found)
        peak = max(row["peak_bytes"] for row in found) / 2**20
        each = (seconds - base) / size * 1e6
        print(
            f"{int(found[0]['trials']):>8,} trials  {seconds:7.3f} s"
            f"  {each:7.1f} us a trial beyond one  peak {peak:6.0f} MiB  (n = {len(found)})"
        )


if __name__ == "__main__":
    main()
