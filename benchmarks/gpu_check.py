"""Check timing on a real CUDA device, and write a result set from it: `make gpu-check`.

Runs the tests marked `gpu`, then times suites/gpu-check.yaml with --device cuda, into
results/published/gpu-check-<device>. Needs PyTorch with CUDA, pytest and what depthbench imports;
it installs nothing. Without a CUDA device it says so and exits 1: a check that measured nothing
has not passed. Exits 1 as well when a test or a trial fails; both steps are always run.

    python benchmarks/gpu_check.py [--out DIR]
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SUITE = "suites/gpu-check.yaml"


def missing_device() -> str | None:
    """Return why there is nothing to check here; None where a CUDA device works."""
    try:
        import torch
    except ImportError as error:
        return f"PyTorch cannot be loaded ({error})"
    if torch.cuda.is_available():
        return None
    built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    return f"PyTorch {torch.__version__}, {built}, finds no CUDA device"


def device_slug() -> str:
    """Return the device's name as part of a folder's: nvidia-h200."""
    import torch

    return re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name().lower()).strip("-")


def run_python(*arguments: str) -> int:
    """Run this Python on the repository as it lies here, installed or not; return its exit code."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, check=False
    ).returncode


def main() -> int:
    """Run both steps; return 0 when both went well."""
    parser = argparse.ArgumentParser(description="check timing on a CUDA device")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "published")
    out = parser.parse_args().out.resolve()
    reason = missing_device()
    if reason:
        print(f"gpu-check: nothing was checked: {reason}.", file=sys.stderr)
        print("Run it on a machine with a CUDA GPU; `make test` needs none.", file=sys.stderr)
        return 1
    folder = out / f"gpu-check-{device_slug()}"
    # Warnings of whatever else is installed there are not what is checked.
    tests = ("tests/test_gpu.py", "-m", "gpu", "-rs", "-v", "-W", "default")
    failed_tests = run_python("-m", "pytest", *tests)
    failed_run = run_python(
        "-m", "depthbench", "run", SUITE, "--device", "cuda", "--out", str(folder)
    )
    verdict = "failed" if failed_tests or failed_run else "passed"
    print(f"gpu-check: {verdict}; results in {folder}")
    return int(bool(failed_tests or failed_run))


if __name__ == "__main__":
    sys.exit(main())
