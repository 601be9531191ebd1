"""Time depthbench's training loop against the two loops people write by hand.

    python benchmarks/training_loop.py [--rounds 21] [--epochs 2] [--threads N]

The three train the same network (mlp, width 64, depth 4) on the same 10,000 examples at batch
size 128, each as its author would write it: depthbench.training.train; a minimal loop over
tensors in memory; and the usual DataLoader over a TensorDataset. Every round runs all three in a
shuffled order, each with a fresh network, so that a disturbance of the machine hits all alike;
the ratio is taken within a round. Neither of the peers validates, so depthbench's validation is
left out of its time, and shown apart. A run trains a network this small on one CPU thread and so
does depthbench here; the peers use PyTorch's own number, and with --threads 1 all use one.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from depthbench.grammar import TrainSettings
from depthbench.models import build
from depthbench.models.count import count
from depthbench.report.statistics import median_interval
from depthbench.spec import Problem, Variant
from depthbench.training import PreparedData, Tensors, train
from depthbench.training.threads import cpu_threads, training_threads

PROBLEM = Problem((1, 28, 28), (10,))
VARIANT = Variant(
    "deep",
    "mlp",
    depth=4,
    width=64,
    hidden=128,
    activation="relu",
    norm="layer",
    norm_affine=True,
    bias=True,
    residual_scale=1.0,
    lift="trained",
)
NUM_TRAIN = 10_000
NUM_VALIDATION = 1_000
BATCH_SIZE = 128
LR = 0.001
TARGETS = {"minimal loop": 1.05, "DataLoader": 0.7}

Seconds = dict[str, float]


def train_with_depthbench(network: nn.Module, data: PreparedData, epochs: int) -> Seconds:
    """Train with the loop of depthbench, at its defaults, on as many threads as a run would."""
    settings = TrainSettings(lr=LR, batch_size=BATCH_SIZE, epochs=float(epochs))
    start = time.perf_counter()
    with cpu_threads(training_threads(count(VARIANT, PROBLEM).forward_flops, BATCH_SIZE)):
        result = train(network, data, settings, seed=0)
    whole = time.perf_counter() - start
    return {"depthbench": result.train_seconds, "depthbench, with validation": whole}


def train_with_minimal_loop(network: nn.Module, data: PreparedData, epochs: int) -> Seconds:
    """Train with a loop over tensors in memory, as its author would write it."""
    x, y = data.train.inputs, data.train.targets
    start = time.perf_counter()
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR)
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for i in range(0, len(x), BATCH_SIZE):
            batch = order[i : i + BATCH_SIZE]
            loss = F.cross_entropy(network(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return {"minimal loop": time.perf_counter() - start}


def train_with_data_loader(network: nn.Module, data: PreparedData, epochs: int) -> Seconds:
    """Train with the usual DataLoader."""
    dataset = TensorDataset(data.train.inputs, data.train.targets)
    start = time.perf_counter()
    loader = DataLoader(dataset, batch_size=BATCH_SIZE, shuffle=True, num_workers=0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR)
    for _ in range(epochs):
        for x, y in loader:
            loss = F.cross_entropy(network(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return {"DataLoader": time.perf_counter() - start}


CONTESTANTS: tuple[Callable[[nn.Module, PreparedData, int], Seconds], ...] = (
    train_with_depthbench,
    train_with_minimal_loop,
    train_with_data_loader,
)


def synthetic_data() -> PreparedData:
    """Return standard normal images with random labels; time does not depend on which."""
    generator = torch.Generator().manual_seed(0)
    splits = [
        Tensors(
            torch.randn(count, *PROBLEM.input_shape, generator=generator),
            torch.randint(PROBLEM.output_shape[0], (count,), generator=generator),
        )
        for count in (NUM_TRAIN, NUM_VALIDATION, 1)
    ]
    return PreparedData(*splits, (0.0,), (1.0,), "", is_official=False, is_complete=True)


def run_rounds(num_rounds: int, epochs: int) -> dict[str, list[float]]:
    """Return the seconds of each contestant by round; a first round only warms up."""
    data, shuffler = synthetic_data(), random.Random(0)
    seconds: dict[str, list[float]] = {}
    for round_index in range(num_rounds + 1):
        for contestant in shuffler.sample(CONTESTANTS, len(CONTESTANTS)):
            torch.manual_seed(0)
            found = contestant(build(VARIANT, PROBLEM), data, epochs)
            for name, value in found.items():
                seconds.setdefault(name, [])
                if round_index > 0:
                    seconds[name].append(value)
    return seconds


def report(seconds: dict[str, list[float]], epochs: int) -> None:
    """Print medians, and ratios with the 95% interval of their median."""
    num_steps = epochs * -(-NUM_TRAIN // BATCH_SIZE)
    ours = seconds["depthbench"]
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, n = {len(ours)} rounds")
    for name, values in sorted(seconds.items()):
        median = statistics.median(values)
        print(f"  {name:28} {median:7.3f} s  {median / num_steps * 1e3:6.3f} ms a step")
    for peer, target in TARGETS.items():
        ratios = [mine / theirs for mine, theirs in zip(ours, seconds[peer], strict=True)]
        low, high = median_interval(ratios) or (float("nan"), float("nan"))
        median = statistics.median(ratios)
        verdict = "met" if high <= target else "missed" if low > target else "undecided"
        print(f"  depthbench / {peer:13} {median:.3f} [{low:.3f}, {high:.3f}]", end="")
        print(f"  target at most {target}: {verdict}")


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int, help="CPU threads (default: PyTorch's own number)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    report(run_rounds(arguments.rounds, arguments.epochs), arguments.epochs)


if __name__ == "__main__":
    main()
