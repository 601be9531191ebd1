"""The clocks and the device's state on a real CUDA device: `make gpu-check` runs these."""

import statistics
import time
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from depthbench.timing.clocks import CudaClock, clock_of
from depthbench.timing.device_state import Monitor, state_columns, state_flags
from depthbench.timing.energy import energy_columns
from depthbench.timing.nvml import open_gpu

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
ROUNDS = 9


@pytest.fixture(scope="module")
def device():
    """Return the device, its clocks raised by a second of work."""
    found = torch.device("cuda", torch.cuda.current_device())
    matrix = torch.randn(4096, 4096, device=found, dtype=torch.float16)
    until = time.perf_counter() + 1.0
    while time.perf_counter() < until:
        _ = matrix @ matrix
        torch.cuda.synchronize(found)
    return found


def cycles_per_second(device, cycles=400_000_000):
    """Return how fast a device-side sleep counts, by the host's clock alone."""
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    torch.cuda._sleep(cycles)
    torch.cuda.synchronize(device)
    return cycles / (time.perf_counter() - start)


def sleep_of(seconds, device):
    cycles = int(cycles_per_second(device) * seconds)
    return lambda: torch.cuda._sleep(cycles)


def device_seconds(clock, call, num_calls):
    """Return the median device time of so many calls together."""
    return statistics.median(
        clock.time_calls(call, num_calls).device_seconds for _ in range(ROUNDS)
    )


@pytest.mark.parametrize("seconds", [1e-3, 5e-3, 5e-2])
def test_a_known_sleep_of_the_device_is_read_within_a_percent(device, seconds):
    call = sleep_of(seconds, device)
    assert device_seconds(clock_of(device), call, 4) == pytest.approx(4 * seconds, rel=0.01)


def test_two_calls_take_twice_one_within_two_percent(device):
    call = sleep_of(1e-3, device)
    clock = clock_of(device)
    one, two = (device_seconds(clock, call, num_calls) for num_calls in (1, 2))
    assert two == pytest.approx(2 * one, rel=0.02)


def test_a_block_of_many_tiny_calls_takes_as_long_a_call_as_a_short_block(device):
    x = torch.zeros(1 << 20, device=device)
    clock = clock_of(device)
    short, long = (device_seconds(clock, lambda: x.add_(1), n) / n for n in (200, 2000))
    assert long == pytest.approx(short, rel=0.05)


def test_launching_is_no_part_of_the_time_of_tiny_kernels(device):
    x = torch.zeros(1, device=device)
    reading = clock_of(device).time_calls(lambda: x.add_(1), 1000)
    assert not reading.has_launch_gaps
    assert reading.device_seconds < 0.9 * reading.wall_seconds


def test_a_call_that_waits_for_the_device_is_told_of(device):
    x = torch.zeros(1, device=device)
    assert clock_of(device).time_calls(lambda: x.add_(1).item(), 10).has_launch_gaps


def test_a_cold_cache_is_slower_than_a_warm_one_for_a_kernel_bound_by_memory(device):
    l2_bytes = torch.cuda.get_device_properties(device).L2_cache_size
    x = torch.zeros(l2_bytes // 4 // 4, device=device)  # a quarter of the cache
    # The same events around each call, so that nothing but the cache differs.
    warm = device_seconds(CudaClock(device, evict=lambda: None), lambda: x.add_(1), 200)
    cold = device_seconds(clock_of(device, "cold"), lambda: x.add_(1), 200)
    assert cold > 1.1 * warm


def test_a_cuda_graph_is_captured_and_its_replay_spares_the_host(device):
    x = torch.zeros(1024, device=device)

    def call():
        for _ in range(50):
            x.add_(1)

    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        call()
    torch.cuda.current_stream(device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    clock = clock_of(device)
    eager, replay = clock.time_calls(call, 50), clock.time_calls(graph.replay, 50)
    assert replay.wall_seconds < 0.8 * eager.wall_seconds
    assert replay.device_seconds < 1.2 * eager.device_seconds


@pytest.mark.parametrize("kind", ["arithmetic", "memory"])
def test_cold_times_agree_with_triton_do_bench_within_three_percent(device, kind):
    do_bench = pytest.importorskip("triton.testing").do_bench
    if kind == "arithmetic":
        x = torch.randn(4096, 4096, device=device, dtype=torch.float16)
        call = lambda: x @ x  # noqa: E731
    else:
        x = torch.randn(1 << 26, device=device)
        call = lambda: x * 2  # noqa: E731
    clock = clock_of(device, "cold")
    ours, theirs = [], []
    for _ in range(ROUNDS):  # in turn, so that a clock that moves hits both
        ours.append(clock.time_calls(call, 100).device_seconds / 100)
        theirs.append(do_bench(call, return_mode="median") * 1e-3)
    assert statistics.median(ours) == pytest.approx(statistics.median(theirs), rel=0.03)


@pytest.fixture
def gpu(device):
    pytest.importorskip("pynvml")
    found = open_gpu(device)
    if found is None:
        pytest.skip("NVML does not answer here")
    return found


def test_nvml_tells_the_clock_that_the_device_counts_with(device, gpu):
    counted = cycles_per_second(device)
    torch.cuda._sleep(int(counted * 0.2))
    end = torch.cuda.Event()
    end.record()
    told = None
    while not end.query():  # the driver's own reading is some 10 ms old: the last one counts
        told = gpu.sm_clock_hertz()
    if told is None:
        pytest.skip("NVML does not tell the clock here")
    assert told == pytest.approx(counted, rel=0.05)


def test_what_nvml_tells_is_sane_or_unknown(device, gpu):
    monitor = Monitor(device, gpu)
    states = [monitor.sample() for _ in range(4)]
    columns = state_columns(states)
    assert columns["temperature_celsius"] is None or 5 < columns["temperature_celsius"] < 120
    assert columns["sm_clock_hertz"] is None or 1e8 < columns["sm_clock_hertz"] < 4e9
    assert {state.num_foreign_processes for state in states} <= {None, *range(100)}
    known = {"throttled", "foreign_gpu_process", "clock_moved"}
    assert set(state_flags(states)) <= known


def test_the_energy_of_a_call_is_that_of_a_plausible_power_or_unknown(device, gpu):
    x = torch.randn(4096, 4096, device=device, dtype=torch.float16)
    prepared = SimpleNamespace(call=lambda: x @ x, active=nullcontext)
    clock = clock_of(device)
    columns = energy_columns(prepared, device, clock, gpu)
    if columns["energy_joules"] is None:
        pytest.skip("the energy counter is not there, or too coarse")
    watts = columns["energy_joules"] / (clock.time_calls(prepared.call, 100).wall_seconds / 100)
    assert 10 < watts < 3000
    assert columns["energy_window_seconds"] >= 0.5
