import pytest

from tests.fixtures_results import (
    make_run,
    only_panel,
    panels_in,
    spread,
    timing_row,
    trial_rows,
)

LOW = [0.081, 0.084, 0.078, 0.083, 0.080]
HIGH = [0.100, 0.104, 0.097, 0.102, 0.099]
HIGHER = [0.121, 0.118, 0.125, 0.119, 0.122]
KEY = "cell_inference_batch_1_seconds"


def frontier(losses, seconds, **facts):
    trials = [row for name, found in losses.items() for row in trial_rows(name, found, **facts)]
    timings = [timing_row(name, spread(found)) for name, found in seconds.items()]
    return only_panel(make_run(trials, timings), "frontier")


def row_of(panel, family):
    (row,) = [row for row in panel.rows if row["family"] == family]
    return row


def test_what_is_beaten_in_both_is_on_no_frontier():
    panel = frontier(
        {"wide": LOW, "deep": HIGH, "hourglass": HIGHER},
        {"wide": 2e-3, "deep": 1e-3, "hourglass": 3e-3},
    )
    assert row_of(panel, "hourglass")[f"{KEY}_probability"] == 0.0
    assert row_of(panel, "wide")[f"{KEY}_probability"] == 1.0
    assert row_of(panel, "deep")[f"{KEY}_probability"] == 1.0
    assert panel.finding == (
        "On the frontier: wide and deep. Beaten in both loss and cost, everywhere: hourglass."
    )


def test_a_time_is_the_quiet_time_over_processes():
    found = row_of(frontier({"wide": LOW, "deep": HIGH}, {"wide": 2e-3, "deep": 1e-3}), "wide")
    assert found[KEY] == pytest.approx(2e-3, rel=0.01) and found[KEY] != 2e-3


def test_a_loss_that_is_not_separated_is_on_the_frontier_in_some_draws():
    panel = frontier({"wide": LOW, "deep": LOW[::-1]}, {"wide": 2e-3, "deep": 1e-3})
    assert row_of(panel, "deep")[f"{KEY}_probability"] == 1.0
    assert 0.3 < row_of(panel, "wide")[f"{KEY}_probability"] < 0.7


def test_times_that_are_not_separated_are_drawn_over_processes():
    def noisy(center):
        samples = [center * (0.9 + 0.1 * process) for process in (0, 1, 2) for _ in range(3)]
        return {
            "samples_seconds": samples,
            "samples_process": [p for p in (0, 1, 2) for _ in "abc"],
        }

    trials = trial_rows("wide", LOW) + trial_rows("deep", HIGH)
    times = [
        timing_row("wide", spread(1.06e-3)) | noisy(1.06e-3),
        timing_row("deep", spread(1e-3)) | noisy(1e-3),
    ]
    panel = only_panel(make_run(trials, times), "frontier")
    assert 0.3 < row_of(panel, "deep")[f"{KEY}_probability"] < 0.9
    assert row_of(panel, "wide")[f"{KEY}_probability"] == 1.0


def test_few_seeds_have_costs_but_no_probability():
    panel = frontier({"wide": LOW[:2], "deep": HIGH[:2]}, {"wide": 2e-3, "deep": 1e-3})
    assert row_of(panel, "wide")[f"{KEY}_probability"] is None
    assert panel.finding == "" and "2 seeds" in panel.notes[0]


def test_a_variant_without_a_time_is_left_out_of_that_frontier_alone():
    trials = trial_rows("wide", LOW) + trial_rows("deep", HIGH) + trial_rows("hourglass", HIGHER)
    times = [timing_row("wide", spread(2e-3)), timing_row("deep", spread(1e-3))]
    times.append(timing_row("hourglass", [], status="oom", median_seconds=None))
    panel = only_panel(make_run(trials, times), "frontier")
    found = row_of(panel, "hourglass")
    assert found[KEY] is None and found[f"{KEY}_probability"] is None


def test_memory_is_the_most_over_the_cells():
    trials = trial_rows("wide", LOW) + trial_rows("deep", HIGH)
    times = [
        timing_row(name, spread(1e-3), batch_size=batch, peak_memory_bytes=size * batch)
        for name, size in (("wide", 3_000), ("deep", 1_000))
        for batch in (1, 128)
    ]
    panel = only_panel(make_run(trials, times), "frontier")
    assert row_of(panel, "wide")["peak_memory_bytes"] == 384_000.0
    assert "384kB" in " ".join(panel.texts[0])


def test_equal_costs_make_no_frontier():
    trials = trial_rows("wide", LOW) + trial_rows("deep", HIGH)
    times = [timing_row("wide", spread(1.01e-3)), timing_row("deep", spread(1e-3))]
    assert panels_in(make_run(trials, times), "frontier") == []


def test_of_very_many_cells_the_times_are_medians_and_it_is_said(monkeypatch):
    monkeypatch.setattr("depthbench.report.timing_index.MAX_SAMPLED", 1)
    panel = frontier({"wide": LOW, "deep": HIGH}, {"wide": 2e-3, "deep": 1e-3})
    assert row_of(panel, "wide")[KEY] == 2e-3
    assert row_of(panel, "wide")[f"{KEY}_probability"] == 1.0
    assert any("medians" in note for note in panel.notes)


def test_of_many_kinds_of_cells_the_first_are_costs_and_it_is_said():
    trials = trial_rows("wide", LOW) + trial_rows("deep", HIGH)
    times = [
        timing_row(name, spread(seconds), batch_size=batch)
        for name, seconds in (("wide", 2e-3), ("deep", 1e-3))
        for batch in range(1, 21)
    ]
    panel = only_panel(make_run(trials, times), "frontier")
    assert len(panel.headings) == 2 + 12
    assert any("first 12 of 20 kinds" in note for note in panel.notes)
