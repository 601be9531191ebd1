"""Which cores each of several workers may use, so that they do not fight over them."""

from __future__ import annotations

import os
from collections.abc import Mapping

from depthbench import machine

# A CPU's place in the machine: its package, then its core; CPUs of equal places share a core.
Places = Mapping[int, tuple[int, int]]


def usable_cpus() -> list[int]:
    """Return the CPUs this process may run on; empty where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def num_shared_cpus() -> int:
    """Return how many CPUs there are for all workers: those allowed, within a container's share."""
    allowed = machine.num_usable_cpus() or 1
    quota = machine.cpu_quota()
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def own_cores(num_workers: int, num_threads: int) -> list[list[int]]:
    """Return for each worker the CPUs it is bound to: none, where others may use them too.

    Workers that take all CPUs share them out. Fewer are left to the system, which knows what else
    runs: two runs that bound themselves would meet on the same CPUs. So are those of a container
    with a share of a machine's time, which others use as well.
    """
    cpus = usable_cpus()
    is_shared = machine.cpu_quota() is not None or num_workers * num_threads < len(cpus)
    return cores_for(num_workers, num_threads, [] if is_shared else cpus)


def cores_for(
    num_workers: int,
    num_threads: int,
    cpus: list[int] | None = None,
    places: Places | None = None,
) -> list[list[int]]:
    """Return for each worker the CPUs that are its own; empty ones where there are too few.

    Where half of the CPUs are enough each thread gets a core without a neighbour; else the two
    CPUs of a core go to the same worker.

    Args:
        num_workers: how many share the CPUs.
        num_threads: how many CPUs each one uses.
        cpus: which CPUs (default: those this process may run on).
        places: where they are (default: as the system says).
    """
    cpus = usable_cpus() if cpus is None else cpus
    num_wanted = num_workers * num_threads
    if num_wanted > len(cpus):
        return [[] for _ in range(num_workers)]
    ordered = _ordered(cpus, _places(cpus) if places is None else places, num_wanted)
    return [ordered[start : start + num_threads] for start in range(0, num_wanted, num_threads)]


def _ordered(cpus: list[int], places: Places, num_wanted: int) -> list[int]:
    by_place = sorted(cpus, key=lambda cpu: (places[cpu], cpu))
    firsts = [cpu for i, cpu in enumerate(by_place) if places[cpu] != places[by_place[i - 1]]]
    return firsts if len(firsts) >= num_wanted else by_place


def _places(cpus: list[int]) -> Places:
    return {cpu: (_fact(cpu, "physical_package_id", 0), _fact(cpu, "core_id", cpu)) for cpu in cpus}


def _fact(cpu: int, name: str, unknown: int) -> int:
    text = machine.read_text(f"/sys/devices/system/cpu/cpu{cpu}/topology/{name}") or ""
    return int(text) if text.strip().isdigit() else unknown
