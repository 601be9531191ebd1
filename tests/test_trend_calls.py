import numpy as np
import pytest

from depthbench.report.trend.calls import LEAST_HISTORY, calls_of
from depthbench.report.trend.history import Series
from depthbench.report.trend.shared_level import LEAST_CELLS, level_series
from tests.fixtures_history import logs_of, times_of


def called(logs):
    """Return the verdicts of what is called, by key."""
    found = calls_of(times_of(logs))
    return {call.series.key: call.verdict for call in found if call.step is not None}


def call_of(logs, key):
    (found,) = [call for call in calls_of(times_of(logs)) if call.series.key == key]
    return found


def test_a_slower_cell_is_called_on_the_third_night_and_not_before():
    logs = logs_of()
    logs[3, -3:] += np.log(1.07)
    assert called(logs) == {"3": "worse"}
    assert called(logs[:, :-1]) == {}
    found = call_of(logs, "3")
    assert found.step.place == 27
    assert np.expm1(found.step.shift) == pytest.approx(0.07, abs=0.01)


def test_a_faster_cell_is_called_better():
    logs = logs_of()
    logs[3, -5:] -= np.log(1.07)
    assert called(logs) == {"3": "better"}


def test_an_outlier_of_one_night_is_not_called():
    for place in (-1, -2, -3, 10):
        logs = logs_of()
        logs[3, place] += np.log(1.4)
        assert called(logs) == {}


def test_a_change_that_is_gone_again_is_not_called_worse():
    logs = logs_of()
    logs[3, -6:-2] += np.log(1.08)
    assert "worse" not in called(logs).values()


def test_a_recovery_is_called_better():
    logs = logs_of(num_nights=40)
    logs[3, 20:32] += np.log(1.08)
    found = call_of(logs, "3")
    assert (found.verdict, found.step.place) == ("better", 32)
    assert [step.place for step in found.steps] == [20, 32]


def test_drift_is_not_called():
    logs = logs_of()
    logs[3] += np.arange(30) * 0.0006
    logs += np.arange(30) * 0.001
    assert called(logs) == {}


def test_a_slow_night_of_the_whole_machine_is_not_called():
    logs = logs_of(day=0.0)
    logs[:, -1] += np.log(1.3)
    assert called(logs) == {}


def test_a_slower_cell_is_found_though_the_machine_moves_more_from_night_to_night():
    logs = logs_of(day=0.05)
    logs[3, -3:] += np.log(1.06)
    assert called(logs) == {"3": "worse"}


def test_what_all_cells_do_is_one_call_and_not_one_a_cell():
    logs = logs_of(day=0.005)
    logs[:, -4:] += np.log(1.08)
    assert called(logs) == {"level of cpu": "worse"}
    assert sum(call.is_with_all for call in calls_of(times_of(logs))) == len(logs)


def test_where_most_cells_are_slower_the_others_are_not_faster():
    logs = logs_of(day=0.005)
    logs[:8, -5:] += np.log(1.10)
    assert "better" not in called(logs).values()
    assert called(logs)["level of cpu"] == "worse"


def test_where_half_of_the_cells_are_slower_these_are_called():
    logs = logs_of(day=0.002)
    logs[:6, -4:] += np.log(1.10)
    assert called(logs) == dict.fromkeys(map(str, range(6)), "worse")


def test_gaps_change_nothing():
    logs = logs_of(num_nights=45)
    logs[3, -4:] += np.log(1.07)
    logs[3, ::4] = np.nan
    logs[:, 20] = np.nan
    found = call_of(logs, "3")
    assert found.verdict == "worse"
    assert found.step.place in (41, 42)
    assert called(logs) == {"3": "worse"}


def test_a_short_history_is_too_short():
    logs = logs_of(num_nights=LEAST_HISTORY - 1)
    logs[3, -3:] += 1.0
    assert {call.verdict for call in calls_of(times_of(logs))} == {"too few nights"}
    logs = logs_of(num_nights=LEAST_HISTORY)
    assert "too few nights" not in {call.verdict for call in calls_of(times_of(logs))}


def test_equal_nights_of_many_series_do_not_cry_wolf():
    alarms = [called(logs_of(48, 30, own=0.01, day=0.02, seed=seed)) for seed in range(20)]
    assert sum(map(len, alarms)) == 0


def loss(values):
    return Series("a", "loss", "loss", {}, tuple(values))


def test_losses_that_are_the_same_every_night_are_called_above_their_margin_alone():
    (found,) = calls_of([loss([0.5] * 12)])
    assert (found.verdict, found.p_value) == ("steady", 1.0)
    (found,) = calls_of([loss([0.5] * 9 + [0.52] * 3)])
    assert found.verdict == "worse"
    (found,) = calls_of([loss([0.5] * 9 + [0.505] * 3)])
    assert found.verdict == "steady"
    (found,) = calls_of([loss([0.5] * 9 + [0.0] * 3)])
    assert found.verdict == "better"


def test_exponents_are_judged_by_their_difference():
    generator = np.random.default_rng(0)
    values = generator.normal(0.9, 0.005, 30)
    values[-4:] += 0.1
    (found,) = calls_of([Series("a", "exponent", "exponent", {}, tuple(values.tolist()))])
    assert (found.verdict, found.step.shift) == ("worse", pytest.approx(0.1, abs=0.02))


def test_the_level_of_a_night_is_what_most_cells_do():
    logs = logs_of(own=0.0, day=0.0)
    logs[:, 7] += np.log(1.2)
    logs[:5, 9] += np.log(2.0)
    (level,) = level_series(times_of(logs))
    assert level.values[7] == pytest.approx(1.2)
    assert level.values[9] == pytest.approx(1.0)


def test_few_cells_have_no_level():
    assert level_series(times_of(logs_of(LEAST_CELLS - 1))) == []
    logs = logs_of(LEAST_CELLS)
    logs[0, 4] = np.nan
    (level,) = level_series(times_of(logs))
    assert [index for index, value in enumerate(level.values) if value is None] == [4]


def test_no_series_have_no_calls():
    assert calls_of([]) == []
