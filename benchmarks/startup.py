"""How long `depthbench --help` takes against `import torch`. Target: at most 0.2x.

Run: python benchmarks/startup.py
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import time

ROUNDS = 12
COMMANDS = {
    "depthbench --help": [sys.executable, "-m", "depthbench", "--help"],
    "python -c 'import torch'": [sys.executable, "-c", "import torch"],
    "python -c pass": [sys.executable, "-c", "pass"],
}


def wall_seconds(command: list[str]) -> float:
    """Return how long a command takes as a whole process, in seconds."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    """Run the commands in shuffled rounds after a warm-up; print medians and the ratio."""
    samples: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for command in COMMANDS.values():
        wall_seconds(command)
    for round_index in range(ROUNDS):
        names = list(COMMANDS)
        random.Random(round_index).shuffle(names)
        for name in names:
            samples[name].append(wall_seconds(COMMANDS[name]))
    for name, values in samples.items():
        print(
            f"{name:26} median {statistics.median(values):.3f} s"
            f"  ({min(values):.3f} to {max(values):.3f}, n = {len(values)})"
        )
    ours, torch = list(samples.values())[:2]
    ratios = [a / b for a, b in zip(ours, torch, strict=True)]
    print(
        f"ratio, median of rounds: {statistics.median(ratios):.3f}"
        f"  ({min(ratios):.3f} to {max(ratios):.3f}); target at most 0.2"
    )


if __name__ == "__main__":
    main()
