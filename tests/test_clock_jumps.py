"""A wall clock that jumps by years changes no duration and no time left."""

import datetime as datetimes
import itertools
import re
import time

import pytest

from depthbench import journal, read_run, run_suite, timing_stage
from depthbench import trial as trial_module
from depthbench.progress import PlainLines
from depthbench.suite import parse_suite
from tests.fixtures_struck import TINY

YEAR_SECONDS = 365 * 86_400.0
# Days on which a battery has died, a time server has answered, somebody has set the clock.
JUMPS = {
    "backwards": itertools.count(40 * YEAR_SECONDS, -YEAR_SECONDS / 8),
    "forwards": itertools.count(60 * YEAR_SECONDS, YEAR_SECONDS),
    "to and fro": itertools.cycle([0.0, 80 * YEAR_SECONDS, 30 * YEAR_SECONDS]),
}


@pytest.mark.parametrize("how", JUMPS)
def test_a_run_under_a_jumping_clock_has_true_durations(tmp_path, monkeypatch, how):
    jumps = JUMPS[how]

    class Jumping(datetimes.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(next(jumps), tz)

    for module in (journal, trial_module, timing_stage):
        monkeypatch.setattr(module, "datetime", Jumping)
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    monkeypatch.setattr(time, "time_ns", lambda: int(next(jumps) * 1e9))
    monkeypatch.setattr("depthbench.progress.lines.PLAIN_INTERVAL_SECONDS", 0.0)
    lines = []
    began = time.perf_counter()
    run_suite(parse_suite(TINY, "t.yaml"), out=tmp_path, progress=PlainLines(lines.append))
    wall_seconds = time.perf_counter() - began
    run = read_run(next((tmp_path / "tiny").iterdir()))
    for column in ("train_seconds", "trial_seconds"):
        assert run.trials[column].gt(0).all()
        assert run.trials[column].sum() < wall_seconds
    assert run.trials.started_at.nunique() > 1
    assert run.timings.median_seconds.between(1e-7, wall_seconds).all()
    left = [int(found) for line in lines for found in re.findall(r"(-?\d+) s left", line)]
    assert len(left) > 12
    assert all(0 <= seconds <= 50 * wall_seconds for seconds in left)
    assert not any("min left" in line for line in lines)
