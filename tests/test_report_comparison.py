import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from typer.main import get_command

from depthbench.cli import app
from depthbench.errors import ResultError
from depthbench.report import gate
from depthbench.report.comparison import ALPHA, MARGIN, Comparison, Verdict, compare_groups
from depthbench.report.paired_tests import smallest_told
from depthbench.report.statistics import MIN_SEEDS

BEST = [1.00, 1.04, 0.97, 1.02, 0.99]
NOISE = [0.004, -0.003, 0.001, 0.002, -0.004]


def by_seed(values):
    return dict(enumerate(values))


def times(ratio, noise=1.0):
    """Return values that are `ratio` times the best one's, with a noise that pairs leave."""
    return by_seed(b * ratio * (1 + noise * n) for b, n in zip(BEST, NOISE, strict=True))


def compared(*others, **options):
    return compare_groups([[by_seed(BEST), *others]], **options)[0]


def losses(generator, ratios, num_seeds, spread):
    """Return a group's losses by seed: what a seed does to all, and what it does to each."""
    shared = generator.normal(0, 0.1, num_seeds)
    own = generator.normal(0, spread, (len(ratios), num_seeds))
    values = np.exp(np.log(ratios)[:, None] + shared + own)
    return [by_seed(row) for row in values]


def best_first(group):
    return sorted(group, key=lambda values: np.mean(list(values.values())))


@pytest.mark.parametrize(
    ("ratio", "noise", "verdict"),
    [(1.3, 1, "worse"), (0.7, 1, "better"), (1.01, 1, "same"), (1.0, 40, "unresolved")],
)
def test_a_planted_effect_has_its_verdict(ratio, noise, verdict):
    (found,) = compared(times(ratio, noise))
    assert found.verdict == verdict
    assert found.value == pytest.approx(ratio, rel=0.05)
    assert found.is_separated == (verdict in ("better", "worse"))


def test_the_better_one_is_the_higher_where_higher_is_better():
    (found,) = compared(times(1.3), is_lower_better=False)
    assert found.verdict == "better"


def test_what_surely_differs_by_less_than_the_margin_is_the_same():
    (found,) = compared(times(1.02, 0.1))
    assert found.q_value < ALPHA
    assert found.verdict == "same"
    assert 1.0 < found.low < 1.02 < found.high < 1 + MARGIN
    (found,) = compared(times(1.02, 0.1), margin=0.01)
    assert found.verdict == "worse"


def test_a_failed_test_is_no_finding():
    (found,) = compared(times(1.1, 40))
    assert found.p_value > ALPHA
    assert found.verdict == "unresolved"
    assert found.low < 1 < found.high


@pytest.mark.parametrize("num_rivals", [1, 2, 5])
def test_an_interval_is_that_of_the_test_behind_its_verdict(num_rivals):
    generator = np.random.default_rng(num_rivals)
    seen = set()
    for _ in range(60):
        ratios = [1.0, *generator.choice([1.0, 1.02, 1.08, 1.15], num_rivals)]
        group = best_first(losses(generator, ratios, 6, generator.choice([0.01, 0.04])))
        for found in compare_groups([group])[0]:
            seen.add(found.verdict)
            if found.verdict == "same":
                assert 1 / (1 + MARGIN) < found.low <= found.high < 1 + MARGIN
                assert found.q_same < ALPHA
            else:
                assert found.is_separated == (not found.low <= 1 <= found.high)
                assert found.is_separated == (found.q_value < ALPHA)
    assert seen == {"worse", "same", "unresolved"}


def test_two_variants_alone_have_the_q_value_of_their_test():
    (found,) = compared(times(1.1, 20))
    assert found.q_value == pytest.approx(found.p_value)
    assert found.q_same == pytest.approx(found.p_same)
    assert found.confidence == pytest.approx(0.95)


def test_the_least_p_of_a_group_counts_all_its_pairs():
    others = [times(1.1, 20), times(1.0, 30), times(1.0, 40)]
    found = compared(*others)
    least = min(found, key=lambda comparison: comparison.p_value)
    assert least.q_value == pytest.approx(6 * least.p_value)  # as Bonferroni's over 4 variants
    assert least.confidence == pytest.approx(1 - 0.05 / 6)


def test_q_values_are_over_all_groups():
    group = [by_seed(BEST), times(1.1, 10)]
    flat = [by_seed(BEST), times(1.0, 40)]
    alone = compare_groups([group])[0][0]
    among = compare_groups([group, flat, flat, flat])[0][0]
    assert among.p_value == alone.p_value
    assert among.q_value == pytest.approx(4 * alone.q_value)
    assert among.confidence > alone.confidence


def test_sure_findings_elsewhere_make_nothing_surer():
    group = [by_seed(BEST), times(1.1, 20), times(1.0, 40)]
    sure = [by_seed(BEST), times(2.0), times(3.0), times(4.0)]
    alone, among = (compare_groups(groups)[0] for groups in ([group], [group, sure, sure, sure]))
    assert [found.q_value for found in among] == pytest.approx([found.q_value for found in alone])
    assert [found.low for found in among] == pytest.approx([found.low for found in alone])


def test_seeds_too_few_for_any_test_have_no_verdict():
    few = {seed: value for seed, value in times(1.3).items() if seed < 2}
    none = {9: 1.0}
    short, missing, whole = compared(few, none, times(1.3))
    assert missing is None
    assert short.value == pytest.approx(1.3, rel=0.01)
    assert short.num_seeds == 2
    assert {short.verdict, short.low, short.p_value, short.q_value, short.p_same} == {None}
    assert whole.verdict == "worse"


def test_groups_without_a_pair_are_empty():
    assert compare_groups([]) == []
    assert compare_groups([[], [by_seed(BEST)]]) == [[], []]


def test_values_without_a_ratio_are_never_the_same():
    zero = by_seed([0.0, 0.1, 0.0, 0.2, 0.0])
    (found,) = compare_groups([[zero, by_seed([0.01, 0.1, 0.0, 0.19, 0.0])]])[0]
    assert (found.is_ratio, found.p_same, found.q_same) == (False, None, None)
    assert found.verdict == "unresolved"


@pytest.mark.parametrize("margin", [0.0, -0.1, 1.0, float("nan"), float("inf")])
def test_a_margin_is_a_fraction(margin):
    with pytest.raises(ResultError, match=r"--margin .* above 0 and below 1; next: --margin 0\.05"):
        compare_groups([], margin)


def test_a_gate_has_the_same_verdicts_and_unmatched():
    words = {word for part in get_args(gate.CellVerdict) for word in get_args(part)}
    assert words == {*get_args(Verdict), "unmatched"}


def test_comparisons_are_plain_values():
    facts = asdict(compared(times(1.3))[0])
    assert {type(value) for value in facts.values()} <= {bool, float, int, str}


NUM_SUITES = 150


def share_of(is_so, ratios, num_seeds, spread, num_groups=1):
    generator = np.random.default_rng(7)
    num = 0
    for _ in range(NUM_SUITES):
        groups = [
            best_first(losses(generator, ratios, num_seeds, spread)) for _ in range(num_groups)
        ]
        num += any(is_so(found) for group in compare_groups(groups) for found in group)
    return num / NUM_SUITES


@pytest.mark.parametrize(("num_variants", "num_groups"), [(2, 1), (4, 1), (4, 2)])
@pytest.mark.parametrize("num_seeds", [3, 5])
def test_equal_variants_are_called_worse_in_few_suites(num_variants, num_groups, num_seeds):
    share = share_of(
        lambda found: found.verdict == "worse", [1.0] * num_variants, num_seeds, 0.2, num_groups
    )
    assert share < 0.08  # 0.05, and what so many suites leave open


@pytest.mark.parametrize("num_seeds", [3, 5])
def test_equal_variants_are_called_worse_in_few_suites_that_have_worse_ones(num_seeds):
    """Benjamini-Hochberg over all pairs would do so more often: a sure pair lends its level."""
    generator = np.random.default_rng(8)
    num = 0
    for _ in range(NUM_SUITES):
        group = losses(generator, [1.0, 1.0, 1.0, 3.0], num_seeds, 0.1)
        equal, ordered = group[:3], best_first(group)
        found = compare_groups([ordered])[0]
        num += any(
            pair.verdict == "worse" and values in equal
            for pair, values in zip(found, ordered[1:], strict=True)
        )
    assert num / NUM_SUITES < 0.08


@pytest.mark.parametrize("ratios", [[1.0, 1.05], [1.0, 1.05, 1.05, 1.05]])
@pytest.mark.parametrize(("num_seeds", "spread"), [(3, 0.004), (5, 0.01)])
def test_variants_that_differ_by_the_margin_are_rarely_called_the_same(ratios, num_seeds, spread):
    share = share_of(lambda found: found.verdict == "same", ratios, num_seeds, spread)
    assert share < 0.08


def test_equal_variants_are_called_the_same_where_seeds_agree():
    share = share_of(lambda found: found.verdict != "same", [1.0] * 4, 5, 0.005)
    assert share < 0.05


def test_a_clearly_worse_variant_is_called_so():
    share = share_of(lambda found: found.verdict == "worse", [1.0, 1.0, 1.0, 1.3], 5, 0.05)
    assert share > 0.9


PAGE = (Path(__file__).parents[1] / "docs" / "verdicts.md").read_text(encoding="utf-8")


def test_the_page_on_verdicts_has_the_numbers_of_the_code():
    assert f"surely within {MARGIN:.0%}" in PAGE
    assert f"tests below {ALPHA:g}" in PAGE
    assert f"fewer than {MIN_SEEDS} seeds in common" in PAGE
    for field in fields(Comparison):
        assert f"`{field.name}`" in PAGE


def test_the_page_on_verdicts_says_what_seeds_can_show():
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", PAGE, re.MULTILINE)
    assert [int(row[0]) for row in rows] == [2, 3, 5, 10, 20]
    for num_seeds, *told in rows:
        for num_variants, text in zip((2, 4, 8), told, strict=True):
            confidence = 1 - 2 * ALPHA / (num_variants * (num_variants - 1))
            found = smallest_told(int(num_seeds), confidence)
            assert f"{found:.2g}" == f"{float(text):.2g}"


def test_the_command_line_has_the_margin_of_the_code():
    (margin,) = [p for p in get_command(app).commands["report"].params if p.name == "margin"]
    assert margin.default == MARGIN
