import re
from itertools import pairwise
from math import log10

import pytest

from depthbench.report.charts import svg
from depthbench.report.panels.labels import place_names, text_beside
from depthbench.report.panels.scales import (
    MAX_TICKS,
    cost_scale,
    fractions,
    loss_fractions,
    loss_scale,
    round_ticks,
    spaced,
)
from depthbench.report.theme import SMALL_WIDTH

LOWS = [1e-9, 3.7e-5, 0.0199, 1.0, 7.3, 1218.0, 4.4e7]
FACTORS = [1.06, 1.4, 2.0, 3.99, 4.0, 7.5, 31.0, 1e3, 1e6, 1e9]


@pytest.mark.parametrize("low", LOWS)
@pytest.mark.parametrize("factor", FACTORS)
def test_an_axis_has_a_few_round_numbers_within_its_ends(low, factor):
    ticks = round_ticks(low, low * factor)
    assert 2 <= len(ticks) <= MAX_TICKS
    assert low * (1 - 1e-9) <= ticks[0] and ticks[-1] <= low * factor * (1 + 1e-9)
    assert ticks == sorted(set(ticks))
    assert all(float(f"{tick:.4g}") == pytest.approx(tick, rel=1e-9) for tick in ticks)


def test_ticks_over_decades_are_apart_on_a_logarithmic_axis():
    for low, high in ((1218, 76042), (5e-5, 2e-4), (0.07, 1.2), (1e-9, 1.0)):
        ticks = round_ticks(low, high)
        gaps = [log10(b / a) / log10(high / low) for a, b in pairwise(ticks)]
        assert min(gaps) * SMALL_WIDTH > 25  # pixels, of a label such as 100 µs


def test_one_value_is_a_tick():
    assert round_ticks(5.0, 5.0) == [5.0]


def test_sizes_that_were_given_are_ticks_but_for_those_that_would_touch():
    assert spaced([8, 2, 4, 2, 16]) == [2, 4, 8, 16]
    assert spaced([32]) == [32]
    assert spaced([]) == []
    thinned = spaced(range(1, 65))
    assert thinned[0] == 1 and len(thinned) <= 9


def test_labels_of_times_have_their_unit():
    import altair as alt

    costs = {"time": [1e-4, 2e-3], "weights": [1218, 76042], "memory": [1e5, 1e6]}
    charts = [
        alt.Chart(alt.Data(values=[{"cost": cost} for cost in found]))
        .mark_point()
        .encode(x=cost_scale(alt.X, "cost", found, name, unit))
        for (name, found), unit in zip(costs.items(), ("s", "", "B"), strict=True)
    ]
    labels = re.findall(">([^<]+)</text>", svg(alt.vconcat(*charts).to_dict()))
    assert labels == [
        *("100 µs", "200 µs", "500 µs", "1 ms", "2 ms", "time"),
        *("2k", "5k", "10k", "20k", "50k", "weights"),
        *("100 kB", "200 kB", "500 kB", "1 MB", "memory"),
    ]


def test_losses_far_apart_are_on_a_logarithmic_axis_and_others_are_not():
    wide = loss_scale("y", [0.1, 1.0], [0.0, 1.4], "loss").to_dict()["scale"]
    assert wide["type"] == "log" and 0 < wide["domain"][0] < 0.1 and wide["domain"][1] > 1.4
    near = loss_scale("y", [0.1, 0.12], [0.05, 0.2], "loss").to_dict()["scale"]
    assert near["type"] == "linear"
    assert 0 <= near["domain"][0] < 0.05 and near["domain"][1] > 0.2
    for losses in ([0.0, 1.0], [], [None], [float("nan"), 0.3]):
        assert loss_scale("y", losses, [], "loss").to_dict()["scale"]["type"] == "linear"


def test_an_interval_from_nothing_does_not_squash_the_losses():
    low, _ = loss_scale("y", [0.1, 1.0], [1e-9, 1.1], "loss").to_dict()["scale"]["domain"]
    assert low > 0.04


def test_places_along_an_axis_go_from_its_start_to_its_end():
    assert fractions([1, 10, 100], is_log=True) == pytest.approx([0, 0.5, 1])
    assert fractions([7], is_log=False) == [0.5]
    low, high = loss_fractions([0.1, 1.0], [])
    assert 0 < low < 0.5 < high < 1


def test_names_beside_dots_hide_no_dot_and_no_other_name():
    crowded = {str(i): (0.3 + 0.01 * i, 0.5 + 0.02 * i) for i in range(12)}
    found = place_names(crowded, dict.fromkeys(crowded, "L 16, d 128"))
    assert 0 < len(found) < len(crowded)
    assert "0" in found  # the first ones choose first


def test_a_name_finds_room_where_there_is_some_and_stays_in_the_chart():
    assert text_beside(place_names({"a": (0.5, 0.5)}, {"a": "L 2"})["a"])["align"] == "right"
    at_left = place_names({"a": (0.0, 0.5)}, {"a": "L 16, d 128"})["a"]
    assert text_beside(at_left)["align"] == "left"
    at_foot = place_names({"a": (0.5, 1.0)}, {"a": "L 16, d 128"})["a"]
    assert text_beside(at_foot)["baseline"] == "bottom"
    assert place_names({"a": (0.5, 0.5)}, {"a": "x" * 200}) == {}
