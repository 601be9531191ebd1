"""A change's interval never says anything else than its verdict."""

from math import expm1, log1p

import numpy as np
import pytest
from scipy import stats

from depthbench.calibration import NoiseFloor
from depthbench.report.change_tests import CONFIDENCE, ChangeTest, call_changes

THRESHOLD = 0.05


def planted(seed, num=30):
    """Return changes of all sizes, known well and badly, some of them with a noise floor."""
    generator = np.random.default_rng(seed)
    sizes = generator.choice([0.0, 0.03, 0.06, 0.15, -0.2], num)
    errors = generator.choice([0.002, 0.01, 0.03], num)
    floors = generator.choice([0.0, 0.01, 0.1], num)
    return [
        ChangeTest(
            generator.normal(size, error), error, 8.0, NoiseFloor(floor, 20.0) if floor else None
        )
        for size, error, floor in zip(sizes, errors, floors, strict=True)
    ]


@pytest.mark.parametrize("alpha", [0.004, 0.04, 0.4])
@pytest.mark.parametrize("seed", range(5))
def test_an_interval_never_contradicts_its_verdict(seed, alpha):
    tests = planted(seed)
    thresholds = [max(THRESHOLD, test.floor.fraction if test.floor else 0.0) for test in tests]
    found = list(call_changes(tests, thresholds, alpha))
    assert {called.verdict for called in found} == {"worse", "better", "same", "unresolved"}
    for called, threshold in zip(found, thresholds, strict=True):
        limit = log1p(threshold)
        is_within = -limit <= called.low and called.high <= limit
        if called.verdict == "unresolved":
            assert not is_within
            assert called.low <= 0 <= called.high or called.q_value < alpha
        elif called.verdict == "same":
            assert is_within
        else:
            assert called.low > 0 if called.verdict == "worse" else called.high < 0


def test_a_change_that_is_likely_among_many_does_not_look_sure():
    alone = ChangeTest(0.2, 0.08, 20.0)
    rest = [ChangeTest(0.0, 0.08, 20.0)] * 40
    assert alone.p_value < 0.03 and alone.ends(CONFIDENCE)[0] > 0  # of this one by itself
    called, *_ = call_changes([alone, *rest], [THRESHOLD] * 41, 0.04)
    assert called.verdict == "unresolved" and called.low < 0 < called.high
    assert called.confidence == pytest.approx(1 - 0.04 / 41)
    (called,) = call_changes([alone], [THRESHOLD], 0.04)
    assert called.verdict == "worse" and called.low > 0


def test_the_interval_and_the_p_value_are_students():
    test = ChangeTest(0.1, 0.04, 5.0)
    assert test.p_value == pytest.approx(2 * stats.t.sf(0.1 / 0.04, 5))
    assert test.ends(0.99) == pytest.approx(stats.t.interval(0.99, 5, loc=0.1, scale=0.04))


def test_a_noise_floor_is_what_equal_runs_stay_within_at_95_percent():
    test = ChangeTest(log1p(0.1), 1e-6, 50.0, floor=NoiseFloor(0.1, 9.0))
    assert test.p_value == pytest.approx(1 - CONFIDENCE)
    assert [expm1(end) for end in test.ends(CONFIDENCE)] == pytest.approx([0.0, 1.1**2 - 1])
    assert test.ends(0.99)[0] < 0
    # Of few runs the tails are long: three times the floor is no wonder.
    far = [ChangeTest(3 * log1p(0.1), 1e-6, 50.0, NoiseFloor(0.1, d)).p_value for d in (3.0, 100.0)]
    assert far == pytest.approx([2 * stats.t.sf(3 * stats.t.ppf(0.975, d), d) for d in (3, 100)])
    assert far[0] > 0.002 > 1e-7 > far[1]


def test_without_noise_a_change_is_sure():
    assert ChangeTest(0.1, 0.0, 4.0).p_value == 0.0
    assert ChangeTest(0.0, 0.0, 4.0).p_value == 1.0
    assert ChangeTest(0.1, 0.0, 4.0).ends(0.999) == (0.1, 0.1)
    assert list(call_changes([], [], 0.04)) == []
