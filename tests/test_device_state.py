"""What is flagged around samples: throttling, strangers, a moving clock; never ourselves."""

import os
import pickle
import sys
from types import SimpleNamespace

import pytest
import torch

from depthbench.timing.device_state import (
    DeviceState,
    Monitor,
    foreign_load_fraction,
    state_columns,
    state_flags,
)
from depthbench.timing.nvml import Gpu, open_gpu

CPU, CUDA = torch.device("cpu"), torch.device("cuda:0")
ME = os.getpid()
TICK = 1 / os.sysconf("SC_CLK_TCK")


# --- CPU ------------------------------------------------------------------------------------------


class Machine:
    """Two CPUs by /proc; `work` lets time pass with so many CPUs busy for us and for others."""

    def __init__(self, monkeypatch, parent=None):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3}, raising=False)
        self.seconds = self.own = self.parent = self.foreign = self.stolen = self.idle = 0.0
        self.monitor = Monitor(
            CPU, None, self.read, lambda: self.seconds, lambda: self.own, root_process_id=parent
        )

    def work(self, seconds, own=1.0, parent=0.0, foreign=0.0, stolen=0.0):
        self.seconds += seconds
        self.own += own * seconds
        self.parent += parent * seconds
        self.foreign += foreign * seconds
        self.stolen += stolen * seconds

    def sampled(self, num_samples, seconds=0.03, **work):
        states = []
        for _ in range(num_samples):
            states.append(self.monitor.sample())
            self.work(seconds, **work)
            states.append(self.monitor.sample())
            self.work(0.05, own=0.1, foreign=1.9)  # between samples others may do as they like
        return states

    def read(self, path):
        if path == "/proc/stat":
            busy = round((self.own + self.parent + self.foreign) / TICK)
            stolen = round(self.stolen / TICK)
            return (
                f"cpu  9 9 9 9 9 9 9 9 0 0\n"
                f"cpu0 {busy - busy // 3} 0 5 1000 70 80 90 {stolen} 0 0\n"
                f"cpu1 {busy * 7} 0 0 0 0 0 0 0 0 0\n"  # not one that we may run on
                f"cpu3 0 {busy // 3} 5 1000 70 80 90 0 0 0\n"
                "intr 1 2 3\n"
            )
        if path == "/proc/77/stat":
            return f"77 (a) (b c) S 1 77 77 0 -1 0 0 0 0 0 {round(self.parent / TICK)} 0 0 0 20 0"
        return None


@pytest.mark.parametrize("own", [1.0, 2.0])
def test_our_own_threads_are_no_foreign_load(monkeypatch, own):
    states = Machine(monkeypatch).sampled(30, own=own)
    assert foreign_load_fraction(states) < 0.03
    assert state_flags(states) == []


def test_the_process_that_spawned_us_is_no_foreign_load(monkeypatch):
    states = Machine(monkeypatch, parent=77).sampled(30, own=1.0, parent=0.5)
    assert foreign_load_fraction(states) < 0.03
    assert state_flags(states) == []


@pytest.mark.parametrize("kind", ["foreign", "stolen"])
def test_what_others_use_of_our_cpus_during_samples_is_foreign_load(monkeypatch, kind):
    states = Machine(monkeypatch).sampled(30, own=1.0, **{kind: 0.5})
    assert foreign_load_fraction(states) == pytest.approx(0.25, abs=0.03)
    assert state_flags(states) == ["foreign_load"]


def test_of_too_little_time_nothing_is_said(monkeypatch):
    states = Machine(monkeypatch).sampled(10, own=0.0, foreign=2.0)
    assert foreign_load_fraction(states) is None
    assert state_flags(states) == []


def test_a_machine_that_tells_nothing_is_unknown_and_flags_nothing():
    monitor = Monitor(CPU, None, lambda path: None)
    states = [monitor.sample() for _ in range(40)]
    assert states[0].busy_cpu_seconds is None
    assert foreign_load_fraction(states) is None
    assert state_flags(states) == []
    assert state_columns(states) == {"sm_clock_hertz": None, "temperature_celsius": None}


def test_counters_of_this_machine_only_grow():
    monitor = Monitor(CPU)
    before, after = monitor.sample(), monitor.sample()
    assert after.at_seconds > before.at_seconds
    if before.busy_cpu_seconds is not None:  # unknown where there is no /proc
        assert after.busy_cpu_seconds >= before.busy_cpu_seconds > 0
        assert after.own_cpu_seconds >= before.own_cpu_seconds > 0


def test_states_travel_between_processes():
    state = Monitor(CPU).sample()
    assert pickle.loads(pickle.dumps(state)) == state


# --- CUDA -----------------------------------------------------------------------------------------


class NvmlError(Exception):
    pass


class FakeNvml:
    """The module pynvml as far as it is used; what `missing` names is not supported."""

    NVMLError = NvmlError
    NVML_CLOCK_SM = 1
    NVML_TEMPERATURE_GPU = 0

    def __init__(self, missing=()):
        self.missing = set(missing)
        self.megahertz = 1980
        self.celsius = 41
        self.mask = 0
        self.pids = [ME]
        self.asked_for = None

    def nvmlInit(self):  # noqa: N802 - the names of pynvml
        self._answer("nvmlInit", None)

    def nvmlDeviceGetHandleByUUID(self, name):  # noqa: N802
        self.asked_for = name
        return self._answer("nvmlDeviceGetHandleByUUID", "handle")

    def nvmlDeviceGetClockInfo(self, handle, kind):  # noqa: N802
        assert (handle, kind) == ("handle", self.NVML_CLOCK_SM)
        return self._answer("nvmlDeviceGetClockInfo", self.megahertz)

    def nvmlDeviceGetTemperatureV(self, handle, sensor):  # noqa: N802
        return self._answer("nvmlDeviceGetTemperatureV", self.celsius)

    def nvmlDeviceGetTemperature(self, handle, sensor):  # noqa: N802
        return self._answer("nvmlDeviceGetTemperature", self.celsius)

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle):  # noqa: N802
        return self._answer("nvmlDeviceGetCurrentClocksEventReasons", self.mask)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle):  # noqa: N802
        return self._answer("nvmlDeviceGetCurrentClocksThrottleReasons", self.mask)

    def nvmlDeviceGetComputeRunningProcesses(self, handle):  # noqa: N802
        processes = [SimpleNamespace(pid=pid) for pid in self.pids]
        return self._answer("nvmlDeviceGetComputeRunningProcesses", processes)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):  # noqa: N802
        return self._answer("nvmlDeviceGetTotalEnergyConsumption", 12_500)

    def _answer(self, query, value):
        if query in self.missing:
            raise NvmlError(query)
        return value


def with_uuid(uuid="0a1b"):
    properties = SimpleNamespace(uuid=uuid)
    return SimpleNamespace(get_device_properties=lambda device: properties)


def monitor_of(nvml, read=lambda path: None, **settings):
    return Monitor(CUDA, open_gpu(CUDA, with_uuid(), nvml), read, **settings)


def test_a_gpu_is_found_by_its_uuid_since_numbers_differ():
    nvml = FakeNvml()
    assert isinstance(open_gpu(CUDA, with_uuid("0a1b"), nvml), Gpu)
    assert nvml.asked_for == "GPU-0a1b"
    open_gpu(CUDA, with_uuid("MIG-0a1b"), nvml)
    assert nvml.asked_for == "MIG-0a1b"


@pytest.mark.parametrize("missing", ["nvmlInit", "nvmlDeviceGetHandleByUUID"])
def test_without_a_driver_that_answers_there_is_no_gpu_to_ask(missing):
    assert open_gpu(CUDA, with_uuid(), FakeNvml([missing])) is None


def test_without_nvml_the_state_of_a_gpu_is_unknown(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert open_gpu(CUDA, with_uuid()) is None
    state = Monitor(CUDA).sample()
    assert state == DeviceState(state.at_seconds)
    assert state_flags([state, state]) == []


def test_what_nvml_tells_is_in_the_state_with_its_units():
    state = monitor_of(FakeNvml()).sample()
    assert state.sm_clock_hertz == 1.98e9
    assert state.temperature_celsius == 41.0
    assert state.throttle_reasons == ()
    assert state.num_foreign_processes == 0
    assert open_gpu(CUDA, with_uuid(), FakeNvml()).energy_joules() == 12.5


def test_each_thing_that_a_gpu_does_not_tell_is_unknown_by_itself():
    nvml = FakeNvml(["nvmlDeviceGetClockInfo", "nvmlDeviceGetCurrentClocksEventReasons"])
    nvml.mask = 0x8
    nvml.missing |= {"nvmlDeviceGetTemperatureV", "nvmlDeviceGetTotalEnergyConsumption"}
    state = monitor_of(nvml).sample()
    assert state.sm_clock_hertz is None
    assert state.temperature_celsius == 41.0  # by the older query
    assert state.throttle_reasons == ("hardware_slowdown",)  # likewise
    assert open_gpu(CUDA, with_uuid(), nvml).energy_joules() is None


def test_power_and_heat_are_throttling_and_idling_is_not():
    nvml = FakeNvml()
    monitor = monitor_of(nvml)
    nvml.mask = 0x1 | 0x2 | 0x10 | 0x100
    assert state_flags([monitor.sample(), monitor.sample()]) == []
    nvml.mask = 0x4 | 0x20
    state = monitor.sample()
    assert state.throttle_reasons == ("power_cap", "software_thermal")
    assert state_flags([state, state]) == ["throttled"]


def test_a_strange_process_on_the_gpu_is_flagged_and_our_own_are_not():
    stats = {71: "71 (other worker) S 70 0", 72: "72 (its child) S 71 0", 80: "80 (x) S 1 0"}
    nvml = FakeNvml()

    def read(path):
        return stats.get(int(path.split("/")[2]))

    monitor = monitor_of(nvml, read, root_process_id=70)
    nvml.pids = [ME, 70, 71, 72]
    assert state_flags([monitor.sample()] * 2) == []
    nvml.pids = [ME, 71, 80, 81]  # 81 cannot be looked up: another user's, or another container's
    assert monitor.sample().num_foreign_processes == 2
    assert state_flags([monitor.sample()] * 2) == ["foreign_gpu_process"]


def test_in_a_container_with_numbers_of_its_own_foreign_processes_are_unknown():
    nvml = FakeNvml()
    nvml.pids = [ME + 100_000]
    state = monitor_of(nvml).sample()
    assert state.num_foreign_processes is None
    assert state_flags([state, state]) == []


def states_at(*clocks):
    """Return states before and after samples; before them the device idled."""
    return [
        state
        for hertz in clocks
        for state in (DeviceState(0.0, 345e6, 30.0), DeviceState(0.0, hertz, hertz / 5e7))
    ]


def test_columns_are_of_the_clock_under_load_and_the_highest_temperature():
    columns = state_columns(states_at(1.9e9, 2.0e9, 1.95e9))
    assert columns == {"sm_clock_hertz": 1.95e9, "temperature_celsius": 40.0}


def test_a_clock_that_moves_between_samples_is_flagged():
    assert state_flags(states_at(1.98e9, 1.95e9, 1.98e9)) == []
    assert state_flags(states_at(1.98e9, 1.75e9, 1.98e9)) == ["clock_moved"]
