"""A stand-in for torch.cuda: a host that launches, a device that runs behind it, one queue."""

from collections import deque
from contextlib import nullcontext


class SimulatedCuda:
    """Simulate a device in seconds; `host` is the host's time, `free_at` when the device is idle.

    A launch takes the host `launch` seconds; with `depth` launches waiting it waits for room.
    `log` has what was asked for, in order.
    """

    def __init__(self, launch=5e-6, depth=1024, sm_hertz=2e9):
        self.host = 0.0
        self.free_at = 0.0
        self.log = []
        self._launch = launch
        self._depth = depth
        self._sm_hertz = sm_hertz
        self._starts = deque()

    def now(self):
        return self.host

    def kernel(self, seconds, name="kernel"):
        self.log.append(name)
        self.host += self._launch
        while self._starts and self._starts[0] <= self.host:
            self._starts.popleft()
        if len(self._starts) >= self._depth:
            self.host = self._starts.popleft()
        start = max(self.host, self.free_at)
        self._starts.append(start)
        self.free_at = start + seconds

    def _sleep(self, cycles):
        self.kernel(cycles / self._sm_hertz, "hold")

    def device(self, device):
        return nullcontext()

    def synchronize(self, device=None):
        self.host = max(self.host, self.free_at)

    def Event(self, enable_timing):  # noqa: N802 - the name torch.cuda gives it
        assert enable_timing
        return _Event(self)


class _Event:
    def __init__(self, cuda):
        self._cuda = cuda

    def record(self):
        self._cuda.log.append("event")
        self.at = max(self._cuda.host, self._cuda.free_at)

    def query(self):
        return self.at <= self._cuda.host

    def elapsed_time(self, end):
        return (end.at - self.at) * 1e3
