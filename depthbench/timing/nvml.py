"""What NVIDIA's driver tells of a GPU: clock, temperature, throttling, processes, energy.

NVML comes from nvidia-ml-py, an optional dependency (`pip install 'depthbench[nvidia]'`). Whatever
the driver, the device or the container does not tell is None.
"""

from __future__ import annotations

from typing import Any

import torch

# Idling, clocks set by a user and boost kept in step with other GPUs are not throttling.
THROTTLE_REASONS = {
    0x04: "power_cap",
    0x08: "hardware_slowdown",
    0x20: "software_thermal",
    0x40: "hardware_thermal",
    0x80: "power_brake",
}
# The name of the driver's query before and since 2023.
_REASONS_QUERIES = (
    "nvmlDeviceGetCurrentClocksEventReasons",
    "nvmlDeviceGetCurrentClocksThrottleReasons",
)


class Gpu:
    """Ask NVML about one GPU; every answer may be None.

    Args:
        nvml: the module pynvml, initialised, or a stand-in.
        handle: the device's handle there.
    """

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle

    def sm_clock_hertz(self) -> float | None:
        """Return the present clock of the multiprocessors, in hertz."""
        megahertz = self._ask("nvmlDeviceGetClockInfo", self._nvml.NVML_CLOCK_SM)
        return None if megahertz is None else megahertz * 1e6

    def temperature_celsius(self) -> float | None:
        """Return the GPU's temperature, in degrees Celsius."""
        sensor = self._nvml.NVML_TEMPERATURE_GPU
        degrees = self._ask("nvmlDeviceGetTemperatureV", sensor)
        if degrees is None:  # an older driver or package
            degrees = self._ask("nvmlDeviceGetTemperature", sensor)
        return None if degrees is None else float(degrees)

    def throttle_reasons(self) -> tuple[str, ...] | None:
        """Return why the clock is held down now, by the names of `THROTTLE_REASONS`."""
        for query in _REASONS_QUERIES:
            mask = self._ask(query)
            if mask is not None:
                return tuple(name for bit, name in THROTTLE_REASONS.items() if mask & bit)
        return None

    def process_ids(self) -> tuple[int, ...] | None:
        """Return the processes that compute on the GPU, as the driver numbers them."""
        processes = self._ask("nvmlDeviceGetComputeRunningProcesses")
        return None if processes is None else tuple(process.pid for process in processes)

    def energy_joules(self) -> float | None:
        """Return what the GPU has used since its driver was loaded, in joules."""
        millijoules = self._ask("nvmlDeviceGetTotalEnergyConsumption")
        return None if millijoules is None else millijoules * 1e-3

    def _ask(self, query: str, *arguments: Any) -> Any:
        ask = getattr(self._nvml, query, None)
        if ask is None:
            return None
        try:
            return ask(self._handle, *arguments)
        except self._nvml.NVMLError:
            return None


def open_gpu(device: torch.device, cuda: Any = torch.cuda, nvml: Any = None) -> Gpu | None:
    """Return what NVML says of a CUDA device; None without NVML, or on another device.

    The GPU is found by its UUID: NVML numbers all GPUs of the machine, PyTorch those it may see.

    Args:
        device: the device.
        cuda: torch.cuda, or a stand-in with get_device_properties.
        nvml: the module pynvml, or a stand-in (default: pynvml, where it is installed).
    """
    if device.type != "cuda":
        return None
    if nvml is None:
        try:
            import pynvml
        except ImportError:
            return None
        nvml = pynvml
    uuid = str(getattr(cuda.get_device_properties(device), "uuid", ""))
    name = uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
    try:
        nvml.nvmlInit()
        return Gpu(nvml, nvml.nvmlDeviceGetHandleByUUID(name))
    except nvml.NVMLError:  # no driver, or one that does not answer in this container
        return None
