"""Compare depthbench's times with torch.utils.benchmark's on the same cells, and what both cost.

    python benchmarks/timing_agreement.py [--device cpu] [--cells 24]

Agreement: in each of three fresh processes all cells are prepared once; then each is sampled by
depthbench and by its peer in turn, on the same network in the same memory, in a shuffled order. The
peer is `Timer.blocked_autorange` on a CPU and `triton.testing.do_bench` on a GPU. Cost: the wall
time of a whole session of depthbench with a target of 1%, the starting of its processes included,
over that of `Timer.adaptive_autorange(threshold=0.01)` on the same cells one after another.

Targets: the median ratio within 3%, every cell within 7%, and less wall time than the peer.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.benchmark import Timer

from depthbench import expand, load_suite
from depthbench.progress import Quiet
from depthbench.timing.bench import LocalBench
from depthbench.timing.measured import Ended
from depthbench.timing.worker import RemoteBench, serve
from depthbench.timing_stage import PlannedCell, planned_cells, time_cells

SUITE = Path(__file__).with_name("timing_cells.yaml")
NUM_PROCESSES = 3
NUM_ROUNDS = 10
PEER_SECONDS = 0.2


class PeerBench(LocalBench):
    """A bench that can also be timed by others."""

    def peer(self, cell_id: str) -> float:
        """Return the seconds of a call as the peer measures them."""
        prepared = self.prepared[cell_id]
        with prepared.active():
            if self.device.type == "cuda":
                from triton.testing import do_bench

                return float(do_bench(prepared.call, return_mode="median")) * 1e-3
            threads = torch.get_num_threads()
            timer = Timer("call()", globals={"call": prepared.call}, num_threads=threads)
            return float(timer.blocked_autorange(min_run_time=PEER_SECONDS).median)

    def adaptive(self, cell_id: str) -> tuple[float, float]:
        """Return the wall seconds of adaptive_autorange, and its IQR over its median."""
        prepared = self.prepared[cell_id]
        start = time.perf_counter()
        with prepared.active():
            threads = torch.get_num_threads()
            timer = Timer("call()", globals={"call": prepared.call}, num_threads=threads)
            found = timer.adaptive_autorange(threshold=0.01)
        return time.perf_counter() - start, found.iqr / found.median


class RemotePeerBench(RemoteBench):
    """The same in a process of its own."""

    def __init__(self, device: str) -> None:
        super().__init__(device, NUM_PROCESSES, command=(sys.executable, __file__, "--worker"))
        self.wait_until_ready()

    def peer(self, cell_id: str) -> float:
        """Return the seconds of a call as the peer measures them."""
        return float(self._ask("peer", cell_id))

    def adaptive(self, cell_id: str) -> Any:
        """Return the wall seconds of adaptive_autorange, and its IQR over its median."""
        return self._ask("adaptive", cell_id)


def agreement(cells: list[PlannedCell], device: str) -> dict[str, tuple[list[float], list[float]]]:
    """Return each cell's samples by depthbench and by the peer."""
    found: dict[str, tuple[list[float], list[float]]] = {c.cell.cell_id: ([], []) for c in cells}
    order = list(found)
    for process in range(NUM_PROCESSES):
        bench = RemotePeerBench(device)
        calls = {}
        for item in cells:
            ready = bench.prepare(item.cell, 2.0)
            assert not isinstance(ready, Ended), ready
            calls[item.cell.cell_id] = ready.warmed.calls_per_sample
        for number in range(NUM_ROUNDS):
            random.Random(100 * process + number).shuffle(order)
            for cell_id in order:
                ours, theirs = found[cell_id]
                for _ in range(3):
                    ours.append(bench.sample(cell_id, calls[cell_id]).device_seconds)
                theirs.append(bench.peer(cell_id))
                for _ in range(3):
                    ours.append(bench.sample(cell_id, calls[cell_id]).device_seconds)
        bench.close()
        print(f"process {process + 1} of {NUM_PROCESSES} done", file=sys.stderr)
    return found


def costs(suite: Any, cells: list[PlannedCell], device: str) -> None:
    """Print the wall time of a session against adaptive_autorange's on the same cells."""
    rows: list[dict[str, Any]] = []
    start = time.perf_counter()
    time_cells(suite, cells, device, rows.append, progress=Quiet())
    ours = time.perf_counter() - start
    reasons = [row["stop_reason"] for row in rows]
    bench = RemotePeerBench(device)
    for item in cells:
        bench.prepare(item.cell, 2.0)
    theirs = [bench.adaptive(item.cell.cell_id) for item in cells]
    bench.close()
    wall = sum(seconds for seconds, _ in theirs)
    precise = reasons.count("precision")
    print(f"depthbench, 1% interval: {ours:.1f} s for {len(cells)} cells, {precise} precise")
    below = sum(spread < 0.01 for _, spread in theirs)
    print(f"adaptive_autorange(0.01): {wall:.1f} s, {below} below its threshold")
    print(f"wall time, depthbench / adaptive_autorange: {ours / wall:.3f} (target below 1)")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cells", type=int, default=24)
    options = parser.parse_args()
    suite = load_suite(SUITE, ["timing.time_budget_seconds=10"])
    every = list(planned_cells(suite, "agreement", expand(suite), {}))
    cells = every[:: max(1, len(every) // options.cells)][: options.cells]
    peer = "do_bench" if options.device.startswith("cuda") else "blocked_autorange"
    print(f"{'cell':<52}{'depthbench':>12}{peer:>19}{'ratio':>8}")
    ratios = []
    found = agreement(cells, options.device)
    for item in cells:
        ours, theirs = (statistics.median(samples) for samples in found[item.cell.cell_id])
        ratios.append(ours / theirs)
        row, cell = item.row, item.cell
        name = f"{row['family']} {row['backbone']} L {row['depth']} d {row['width']}"
        name += f" {cell.phase} batch {cell.batch_size}"
        print(f"{name:<52}{ours * 1e6:>9.1f} us{theirs * 1e6:>16.1f} us{ours / theirs:>8.3f}")
    worst = max(ratios, key=lambda ratio: abs(ratio - 1))
    print(f"median ratio {statistics.median(ratios):.4f} (target 0.97 to 1.03)")
    print(f"worst cell {worst:.4f} (target 0.93 to 1.07)")
    if not options.device.startswith("cuda"):
        costs(suite, cells, options.device)


if __name__ == "__main__":
    if sys.argv[1:] == ["--worker"]:
        serve(PeerBench)
    else:
        main()
