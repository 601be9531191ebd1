"""What can be read from this machine without PyTorch. Whatever cannot be found out is None."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from itertools import pairwise
from pathlib import Path

COMMAND_SECONDS = 5
# cgroup v1 writes "no limit" as a number close to 2^63.
NO_LIMIT = 1 << 60


def os_name() -> str:
    """Return the operating system with its version, such as Debian GNU/Linux 12 (bookworm)."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"


def cpu_model() -> str | None:
    """Return the processor's name."""
    text = read_text("/proc/cpuinfo") or ""
    # x86 has a model name; s390 and some ARM kernels write one of the others.
    match = re.search(r"^(?:model name|cpu model|Processor|Hardware)\s*:\s*(.+)$", text, re.M)
    if match:
        return match[1].strip()
    if platform.system() == "Darwin":
        return command_output("sysctl", "-n", "machdep.cpu.brand_string")
    return _arm_part(text) or platform.processor() or None


def _arm_part(cpuinfo: str) -> str | None:
    """Return implementer and part of an ARM core, whose kernel writes no name."""
    found = dict(re.findall(r"^CPU (implementer|part)\s*:\s*(\S+)$", cpuinfo, re.M))
    return f"ARM {found['implementer']} part {found['part']}" if len(found) == 2 else None


def num_usable_cpus() -> int | None:
    """Return how many CPUs this process may run on, by affinity."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def cpu_quota() -> float | None:
    """Return how many CPUs' worth of time a container grants; None where there is no limit."""
    both = (read_text("/sys/fs/cgroup/cpu.max") or "").split()
    if not both:
        folder = "/sys/fs/cgroup/cpu"
        files = (f"{folder}/cpu.cfs_quota_us", f"{folder}/cpu.cfs_period_us")
        both = [(read_text(file) or "").strip() for file in files]
    if len(both) != 2 or not all(number.isdigit() for number in both):
        return None  # no control groups, or "max", or -1
    quota, period = map(int, both)
    return quota / period if period else None


def memory_bytes() -> int | None:
    """Return the memory of the machine."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def memory_limit_bytes() -> int | None:
    """Return how much memory a container grants; None where there is no limit."""
    for file in ("memory.max", "memory/memory.limit_in_bytes"):
        text = (read_text(f"/sys/fs/cgroup/{file}") or "").strip()
        if text.isdigit() and int(text) < NO_LIMIT:
            return int(text)
    return None


def container() -> str | None:
    """Return what kind of container this is, as far as it shows."""
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "kubernetes"
    if Path("/run/.containerenv").exists():
        return "podman"
    if Path("/.dockerenv").exists():
        return "docker"
    return os.environ.get("container")  # noqa: SIM112 - so systemd spells it


def gpu_driver() -> str | None:
    """Return the version of NVIDIA's driver."""
    text = read_text("/proc/driver/nvidia/version") or ""
    match = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s", text)
    if match:
        return match[1]
    found = command_output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    return found.splitlines()[0].strip() if found else None


def git_state(folder: Path) -> tuple[str | None, bool | None]:
    """Return the commit of a folder's repository, and whether tracked files have changed since."""
    commit = command_output("git", "-C", str(folder), "rev-parse", "HEAD")
    if not commit:
        return None, None
    changes = command_output(
        "git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no"
    )
    return commit, None if changes is None else bool(changes)


def command_output(*command: str) -> str | None:
    """Return what a command prints, stripped; None where it is missing, fails or hangs."""
    quiet = os.environ | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=COMMAND_SECONDS, check=True, env=quiet
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip()


def read_text(path: str) -> str | None:
    """Return a system file's text; None where it does not exist or cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def clock_step_seconds(num_readings: int = 20_000) -> float:
    """Measure the smallest step of the clock that timing uses, in seconds."""
    readings = [time.perf_counter_ns() for _ in range(num_readings)]
    steps = [after - before for before, after in pairwise(readings) if after > before]
    return min(steps, default=0) / 1e9


def available_memory_bytes() -> int | None:
    """Return the memory that new work could take, within the container's limit; None: unknown."""
    found = re.search(r"MemAvailable:\s+(\d+) kB", read_text("/proc/meminfo") or "")
    limits = [int(found.group(1)) * 1024] if found else []
    limits += [limit] if (limit := memory_limit_bytes()) else []
    return min(limits, default=memory_bytes())


def resident_memory_bytes() -> int | None:
    """Return the memory this process occupies now; None where it is not known."""
    fields = (read_text("/proc/self/statm") or "").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if len(fields) > 1 else None


def own_memory_bytes(process_id: int) -> int | None:
    """Return the memory of a process that it shares with nobody; None where it is not known."""
    found = re.search(r"RssAnon:\s+(\d+) kB", read_text(f"/proc/{process_id}/status") or "")
    return int(found[1]) * 1024 if found else None


def num_oom_kills() -> int:
    """Return how many processes the kernel has killed for want of memory, as far as it says."""
    files = ("/proc/vmstat", "/sys/fs/cgroup/memory.events")
    found = (re.search(r"^oom_kill (\d+)$", read_text(file) or "", re.M) for file in files)
    return sum(int(match[1]) for match in found if match)
