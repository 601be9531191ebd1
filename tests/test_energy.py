"""The energy of a call is that of the device's counter, or unknown."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from depthbench.timing.clocks import CpuClock
from depthbench.timing.energy import counter_step_seconds, energy_columns

CUDA = torch.device("cuda")
UNKNOWN = {"energy_joules": None, "energy_window_seconds": None}


class Meter:
    """A GPU that draws a constant power and tells its energy in steps of time."""

    def __init__(self, watts=500.0, step_seconds=0.02, call_seconds=1e-3):
        self.seconds = 0.0
        self.watts = watts
        self.step_seconds = step_seconds
        self.call_seconds = call_seconds
        self.is_active = False

    def now_ns(self):
        self.seconds += 1e-6
        return int(self.seconds * 1e9)

    def energy_joules(self):
        self.seconds += 3e-5
        return 1e6 + self.watts * (self.seconds // self.step_seconds) * self.step_seconds

    def call(self):
        assert self.is_active
        self.seconds += self.call_seconds

    @contextmanager
    def active(self):
        self.is_active = True
        yield
        self.is_active = False

    def measure(self, gpu=...):
        prepared = SimpleNamespace(call=self.call, active=self.active)
        cuda = SimpleNamespace(synchronize=lambda device: None)
        clock = CpuClock(self.now_ns)
        return energy_columns(prepared, CUDA, clock, self if gpu is ... else gpu, cuda)


@pytest.mark.parametrize("step_seconds", [0.001, 0.02, 0.1])
@pytest.mark.parametrize("call_seconds", [1e-5, 1e-3, 0.7])
def test_a_known_power_gives_the_energy_of_a_call(step_seconds, call_seconds):
    meter = Meter(500.0, step_seconds, call_seconds)
    columns = meter.measure()
    assert columns["energy_joules"] == pytest.approx(500.0 * call_seconds, rel=0.06)
    assert columns["energy_window_seconds"] >= max(0.5, 20 * step_seconds)
    assert not meter.is_active


@pytest.mark.parametrize("step_seconds", [0.01, 0.1])
def test_the_step_of_the_counter_is_measured(step_seconds):
    meter = Meter(step_seconds=step_seconds)
    found = counter_step_seconds(meter, lambda: meter.now_ns() * 1e-9)
    assert found == pytest.approx(step_seconds, rel=0.02)


def test_a_window_that_would_span_too_few_steps_is_null():
    assert Meter(step_seconds=0.6).measure() == UNKNOWN


def test_a_counter_that_never_moves_is_null_and_not_zero():
    assert Meter(watts=0.0).measure() == UNKNOWN


def test_without_a_counter_energy_is_unknown_and_nothing_is_run():
    meter = Meter()
    assert meter.measure(gpu=None) == UNKNOWN
    assert meter.measure(gpu=SimpleNamespace(energy_joules=lambda: None)) == UNKNOWN
    assert meter.seconds < 3.0


def test_a_counter_that_starts_anew_is_null():
    class Reset(Meter):
        def energy_joules(self):
            return super().energy_joules() - (1e6 if self.seconds > 0.3 else 0)

    assert Reset().measure() == UNKNOWN


def test_a_call_too_long_for_the_pass_is_null():
    assert Meter(call_seconds=30.0).measure() == UNKNOWN
