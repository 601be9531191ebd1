"""Clocks read right what costs a known time: on a CPU, and on a simulated CUDA device."""

import types

import pytest
import torch

from depthbench.errors import TrialError
from depthbench.timing.clocks import (
    MAX_HOLD_SECONDS,
    CpuClock,
    CudaClock,
    clock_of,
    l2_eviction,
)
from tests.fixtures_cuda import SimulatedCuda

CUDA = torch.device("cuda:1")


def clock_on(cuda, **settings):
    return CudaClock(CUDA, cuda, cuda.now, **settings)


# --- CPU ------------------------------------------------------------------------------------------


class FakeTime:
    def __init__(self):
        self.ns = 0

    def now_ns(self):
        self.ns += 40  # reading takes time, too
        return self.ns

    def wait(self, ns):
        self.ns += ns


@pytest.mark.parametrize("cost_ns", [10_000, 150_000, 3_000_000])
def test_a_known_wait_is_read_within_a_percent_and_two_calls_are_twice_one(cost_ns):
    fake = FakeTime()
    clock = CpuClock(fake.now_ns)
    one = clock.time_calls(lambda: fake.wait(cost_ns), 1)
    two = clock.time_calls(lambda: fake.wait(cost_ns), 2)
    assert one.device_seconds == pytest.approx(cost_ns * 1e-9, rel=0.01)
    assert two.device_seconds == pytest.approx(2 * one.device_seconds, rel=0.01)


def test_on_a_cpu_device_time_and_wall_time_are_one():
    fake = FakeTime()
    reading = CpuClock(fake.now_ns).time_calls(lambda: fake.wait(1000), 3)
    assert reading.device_seconds == reading.wall_seconds > 0
    assert not reading.has_launch_gaps


# --- CUDA -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [1e-6, 5e-6, 3e-4, 2e-2])
@pytest.mark.parametrize("num_calls", [1, 2, 700])
def test_device_time_is_the_kernels_alone_however_slow_the_host_launches(kernel, num_calls):
    cuda = SimulatedCuda(launch=5e-6)
    reading = clock_on(cuda).time_calls(lambda: cuda.kernel(kernel), num_calls)
    assert reading.device_seconds == pytest.approx(num_calls * kernel)
    assert not reading.has_launch_gaps


@pytest.mark.parametrize("kernel", [1e-6, 3e-4])
def test_wall_time_runs_from_the_first_launch_until_the_device_is_done(kernel):
    cuda = SimulatedCuda(launch=5e-6)
    reading = clock_on(cuda).time_calls(lambda: cuda.kernel(kernel), 100)
    slower = max(5e-6, kernel)
    assert reading.wall_seconds == pytest.approx(100 * slower, rel=0.05)
    assert reading.wall_seconds > reading.device_seconds


@pytest.mark.parametrize("sm_hertz", [0.3e9, 1.4e9, 2.9e9])
def test_the_hold_is_long_enough_at_any_clock_of_the_device(sm_hertz):
    cuda = SimulatedCuda(sm_hertz=sm_hertz)
    reading = clock_on(cuda).time_calls(lambda: cuda.kernel(1e-6), 1000)
    assert reading.device_seconds == pytest.approx(1e-3)
    assert not reading.has_launch_gaps


def test_no_more_is_launched_ahead_than_the_driver_queues():
    cuda = SimulatedCuda(launch=2e-6, depth=1000)

    def call():
        for _ in range(30):
            cuda.kernel(1e-6)

    reading = clock_on(cuda).time_calls(call, 200)
    assert reading.device_seconds == pytest.approx(200 * 30e-6)
    assert not reading.has_launch_gaps


def test_a_call_that_launches_more_than_the_driver_queues_is_told_of():
    cuda = SimulatedCuda(launch=5e-6, depth=1000)

    def call():
        for _ in range(3000):
            cuda.kernel(1e-6)

    reading = clock_on(cuda).time_calls(call, 2)
    assert reading.has_launch_gaps
    assert reading.device_seconds > 2 * 3000 * 1e-6


def test_a_call_that_waits_for_the_device_is_timed_and_told_of():
    cuda = SimulatedCuda()

    def call():
        cuda.kernel(1e-4)
        cuda.synchronize()

    reading = clock_on(cuda).time_calls(call, 3)
    assert reading.has_launch_gaps
    assert 3e-4 < reading.device_seconds <= reading.wall_seconds * 1.01


def test_a_first_call_that_compiles_for_a_minute_holds_no_device_for_a_minute():
    cuda = SimulatedCuda()
    costs = iter([60.0, 1e-6])

    def call():
        cuda.host += next(costs)
        cuda.kernel(1e-6)

    reading = clock_on(cuda).time_calls(call, 1)
    assert reading.wall_seconds >= 60.0
    assert cuda.host - reading.wall_seconds < 20 * MAX_HOLD_SECONDS


def test_waiting_for_room_in_the_queue_is_not_taken_for_slow_launching():
    cuda = SimulatedCuda(launch=5e-6, depth=1000)
    reading = clock_on(cuda).time_calls(lambda: cuda.kernel(1e-3), 3000)
    assert reading.device_seconds == pytest.approx(3.0)
    assert cuda.log.count("hold") == 12  # in parts as large as the queue takes


def test_a_hiccup_at_the_first_call_is_not_taken_for_slow_launching():
    cuda = SimulatedCuda(launch=5e-6)
    hiccups = iter([0.02])

    def call():
        cuda.host += next(hiccups, 0.0)
        cuda.kernel(1e-6)

    reading = clock_on(cuda).time_calls(call, 1000)
    assert reading.device_seconds == pytest.approx(1e-3)
    assert cuda.log.count("hold") < 20


def test_work_queued_before_is_in_neither_time():
    cuda = SimulatedCuda()
    cuda.kernel(0.5)
    reading = clock_on(cuda).time_calls(lambda: cuda.kernel(1e-4), 10)
    assert reading.device_seconds == pytest.approx(1e-3)
    assert reading.wall_seconds < 1.1e-3


def test_a_cold_cache_is_emptied_before_every_call_and_outside_the_time():
    cuda = SimulatedCuda()
    clock = clock_on(cuda, evict=lambda: cuda.kernel(3e-5, "evict"))
    reading = clock.time_calls(lambda: cuda.kernel(1e-5), 300)
    assert reading.device_seconds == pytest.approx(300 * 1e-5)
    assert reading.wall_seconds == pytest.approx(300 * 1.5e-5)
    assert not reading.has_launch_gaps
    kernels = [name for name in cuda.log if name in ("evict", "kernel")]
    assert kernels == ["evict", "kernel"] * 600


def test_a_warm_cache_is_left_alone_between_calls():
    cuda = SimulatedCuda()
    clock_on(cuda).time_calls(lambda: cuda.kernel(1e-5), 3)
    assert cuda.log == [*["kernel"] * 3, "hold", "event", *["kernel"] * 3, "event"]


# --- what empties the cache -----------------------------------------------------------------------


def with_l2(num_bytes):
    properties = types.SimpleNamespace(L2_cache_size=num_bytes)
    return types.SimpleNamespace(get_device_properties=lambda device: properties)


def test_more_bytes_are_written_than_the_cache_holds():
    made = []

    def empty(size, dtype, device):
        made.append(torch.ones(size, dtype=dtype))
        assert device == CUDA
        return made[-1]

    evict = l2_eviction(CUDA, with_l2(1000), empty)
    assert made[0].nbytes > 1000
    evict()
    assert made[0].sum().item() == 0


def test_the_cache_can_be_emptied_in_training_whatever_mode_it_was_made_in():
    with torch.inference_mode():
        evict = l2_eviction(
            CUDA, with_l2(10), lambda size, dtype, device: torch.ones(size, dtype=dtype)
        )
    evict()


@pytest.mark.parametrize("l2", [0, None])
def test_a_cold_cache_is_not_promised_where_its_size_is_unknown(l2):
    with pytest.raises(TrialError, match="L2 cache of cuda:1 is unknown"):
        l2_eviction(CUDA, with_l2(l2))


def test_a_cold_cache_is_refused_on_a_cpu():
    assert isinstance(clock_of(torch.device("cpu")), CpuClock)
    with pytest.raises(TrialError, match="cannot be timed on cpu; use warm"):
        clock_of(torch.device("cpu"), "cold")
