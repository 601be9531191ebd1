"""Join a ray cluster, or start one on this machine, and leave all as it was."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from depthbench.errors import DepthbenchError
from depthbench.executors.base import Cluster
from depthbench.executors.cores import num_shared_cpus

# What ray raises where it finds no cluster, another version of itself, or another token.
_JOIN_ERRORS = (ConnectionError, RuntimeError, ValueError, OSError)
_ANSWER_SECONDS = 10.0
_ROUNDING = 1e-6
_LEAVE_OUT = "RAY_DEDUP_LOGS_SKIP_REGEX"


class ClusterError(DepthbenchError):
    """Report a cluster that cannot be joined, cannot do the work, or does not see the folder."""


def check_ray() -> None:
    """Refuse to go on where ray is not installed; does not load it.

    Raises:
        ClusterError: it is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise ClusterError(
            "--executor ray: ray is not installed; install it with `pip install 'depthbench[ray]'`"
        )


def check_address(address: str) -> None:
    """Refuse an address that nobody answers at: ray itself would look for minutes.

    Args:
        address: HOST:PORT, or auto, which is not looked at.

    Raises:
        ClusterError: it is no such address, or there is no answer.
    """
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not (host and port.isdigit()) or "/" in host:
        raise ClusterError(_refusal(address, "it is not HOST:PORT, as in 10.0.0.1:6379, nor auto"))
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(_refusal(address, error)) from error


@contextmanager
def joined(address: str | None) -> Iterator[Any]:
    """Be part of a cluster while inside, and give the module ray.

    Without an address ray is started on this machine, and ended after. A program that has joined a
    cluster before stays in that one, whatever the address.

    Args:
        address: HOST:PORT of a cluster, auto for the one that this machine is part of, or None.

    Raises:
        ClusterError: there is no cluster that can be joined.
    """
    ray = _silent_ray()
    if ray.is_initialized():
        yield ray
        return
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        folder = stack.enter_context(_short_folder()) if address is None else None
        stack.callback(ray.shutdown)
        try:
            with _same_signal_handler():
                _init(ray, address, folder)
        except (*_JOIN_ERRORS, ray.exceptions.RayError) as error:
            raise ClusterError(_refusal(address, error)) from error
        yield ray


def _silent_ray() -> Any:
    """Return the module, imported so that it prints nothing.

    Whatever it is told, it prints the deaths of workers on standard output, where a run's own
    result goes; this pattern of lines to leave out it reads when it is imported.
    """
    is_set = _LEAVE_OUT in os.environ
    os.environ.setdefault(_LEAVE_OUT, ".")
    try:
        import ray
    finally:
        if not is_set:
            del os.environ[_LEAVE_OUT]
    return ray


def _init(ray: Any, address: str | None, folder: str | None) -> None:
    if address is not None:
        check_address(address)
        ray.init(address=address, log_to_driver=False, configure_logging=False)
        return
    ray.init(
        address="local",
        num_cpus=num_shared_cpus(),
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        _temp_dir=folder,
    )


def _refusal(address: str | None, error: object) -> str:
    reason = " ".join(str(error).split())
    if address is None:
        return f"--executor ray: ray does not start here: {reason}"
    return (
        f"--address {address}: cannot be joined: {reason}. Start a cluster with `ray start --head` "
        "on one machine and `ray start --address HOST:6379` on each other, and run depthbench on "
        "one of them; docs/clusters.md says more"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Let ray say nothing but errors."""
    logger = logging.getLogger("ray")
    former = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(former)


@contextmanager
def _same_signal_handler() -> Iterator[None]:
    """Keep what this program does at SIGTERM, which ray would end it at."""
    is_main = threading.current_thread() is threading.main_thread()
    former = signal.getsignal(signal.SIGTERM) if is_main else None
    try:
        yield
    finally:
        if former is not None:
            signal.signal(signal.SIGTERM, former)


@contextmanager
def _short_folder() -> Iterator[str]:
    """Make a folder for ray's logs and sockets, whose names may not be long, and remove it."""
    place = "/tmp" if Path("/tmp").is_dir() else None
    folder = tempfile.mkdtemp(prefix="depthbench-", dir=place)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def probe_in(folder: Path | None) -> Iterator[Path | None]:
    """Lay a file into a folder while inside, so that nodes can say whether they see it."""
    if folder is None:
        yield None
        return
    probe = folder.absolute() / f".seen-by-all-{uuid.uuid4().hex}"
    probe.touch()
    try:
        yield probe
    finally:
        probe.unlink(missing_ok=True)


def count_places(cluster: Cluster, num_cpus: int) -> int:
    """Return how many workers a cluster that has an address has places for now.

    Args:
        cluster: which one, and what GPUs a worker takes.
        num_cpus: what a worker takes of CPUs.

    Raises:
        ClusterError: it cannot be joined.
    """
    with joined(cluster.address) as ray:
        return num_places(ray, num_cpus, cluster.num_gpus)


def num_places(ray: Any, num_cpus: float, num_gpus: float) -> int:
    """Return how many tasks that need so much the cluster can do at a time."""
    found = 0
    for node in ray.nodes():
        if node["Alive"]:
            by_cpu = node["Resources"].get("CPU", 0.0) / num_cpus
            by_gpu = node["Resources"].get("GPU", 0.0) / num_gpus if num_gpus else by_cpu
            found += int(min(by_cpu, by_gpu) + _ROUNDING)
    return found
