"""What is wrong in one place hides nothing that is wrong in another, and implies nothing false."""

import pytest

from depthbench.errors import SuiteError
from depthbench.expand import load_to_expand
from depthbench.suite import parse_suite
from depthbench.variants import applicable

SUITE = """\
suite: tiny
dataset: digits
backbone: mlp
variants:
  - {family: deep, depth: 2, width: 8}
  - {family: hourglass, depth: 4, width: 8}
train: {epochs: 1}
"""


def mistakes(*changes):
    text = SUITE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    with pytest.raises(SuiteError) as caught:
        parse_suite(text, "s.yaml")
    return str(caught.value).splitlines()


def found(lines, *parts):
    return [any(part in line for line in lines) for part in parts]


def test_a_suite_wrong_in_every_section_says_all_of_it_at_once():
    lines = mistakes(
        ("dataset: digits", "dataset: {name: digts, noise: 1}"),
        ("width: 8}\n  - {family: hourglass", "width: 8, kernel: 3}\n  - {family: hourglas"),
        ("depth: 4, width: 8", "depth: 4, width: 8, expansion: 2"),
        ("{epochs: 1}", "{epoch: 1, lr: -1, schedule: step, momentum: 0.5}\ntiming: {phases: []}"),
    )
    lines += mistakes(("family: deep", "family: deap, kernel: 3"), ("epochs: 1", "epochs: 0"))
    assert (
        found(
            lines,
            "did you mean 'digits'?",
            "unknown key 'noise'",
            "variants[0]: kernel: 3 does not apply",
            "did you mean 'hourglass'?",
            "variants[1]: expansion: 2 is not below 1",
            "did you mean 'epochs'?",
            "train.lr is -1",
            "schedule: step needs milestones",
            "momentum applies to sgd",
            "timing.phases is empty",
            "did you mean 'deep'?",
            "train.epochs is 0",
        )
        == [True] * 12
    ), lines


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("epochs: 1", "epochs: x"),  # not also: none of the durations is given
        ("epochs: 1", "epochs: 1, schedule: stairs, milestones: [5]"),
        ("backbone: mlp", "backbone: {name: 7}"),  # not also: a variant has no backbone
        ("backbone: mlp", "backbone: 7"),
        ("depth: 4, width: 8", "depth: 4, width: 0"),
        ("family: hourglass, depth: 4", "family: hourglass"),
        ("family: hourglass, depth: 4", "depth: 4"),
        ("dataset: digits", "dataset: 3"),
        ("epochs: 1", "epochs: 1, betas: [0.9]"),
    ],
)
def test_a_mistake_has_no_echo_in_what_hangs_on_it(old, new):
    lines = mistakes((old, new))
    assert len(lines) == 1, lines


def test_a_hint_that_names_a_mistaken_setting_hides_nothing():
    claim = "{id: a, metric: val_loss, of: {family: deep}, against: {family: hourglass}"
    claims = f"claims: [{claim}, paired_by: dpth, expect: {{ratio_at_most: 1}}}}]\n"
    lines = mistakes(
        ("depth: 2", "depth: 0"), ("train: {epochs: 1}\n", "train: {epochs: 1}\n" + claims)
    )
    assert found(lines, "depth is 0", "'dpth' is no column; did you mean 'depth'?") == [True, True]


def test_two_of_what_excludes_one_another_are_too_many_even_if_one_is_wrong():
    reference = "reference: {family: deep, depth: 1, width: 8}"
    budget = f"\nbudget: {{match: total_params, target: .nan, {reference}}}"
    lines = mistakes(("train: {epochs: 1}", "train: {epochs: x, steps: 5}" + budget))
    assert (
        found(
            lines,
            "train.epochs is 'x'",
            "train needs exactly one of steps, epochs",
            "budget.target is nan",
            "budget needs exactly one of reference and target",
        )
        == [True] * 4
    )


def test_what_is_wrong_in_the_backbone_is_said_there_and_once():
    assert mistakes(("backbone: mlp", "backbone: {name: mlp, kernel: 4}")) == [
        "s.yaml:3:31: backbone: kernel: 4 does not apply to family deep with backbone mlp: only "
        "the built-in conv module has a convolution kernel to choose; options here: "
        + ", ".join(sorted(applicable("deep", "mlp", is_imported=False)))
    ]


@pytest.mark.parametrize("written", ["!!python/object:os.system x", "!foo 3", "&a [*a]"])
def test_an_override_is_told_what_is_wrong_with_it_as_a_file_is(written):
    with pytest.raises(SuiteError, match=r"^--set train\.lr: ") as caught:
        parse_suite(SUITE, "s.yaml", [f"train.lr={written}"])
    assert "nothing; allowed" not in str(caught.value)


def test_a_claim_of_rows_against_themselves_is_refused():
    claim = "{id: a, metric: val_loss, of: {family: deep}, against: {family: deep}"
    claims = f"claims: [{claim}, expect: {{ratio_at_most: 1}}}}]\n"
    assert mistakes(("train: {epochs: 1}\n", "train: {epochs: 1}\n" + claims)) == [
        "s.yaml:8:65: claims[0]: of and against are the same rows"
    ]


def test_an_element_that_cannot_be_read_leaves_the_others_in_their_places():
    lines = mistakes(
        ("  - {family: deep, depth: 2, width: 8}", "  - 5"),
        ("depth: 4, width: 8", "depth: 4, width: 8, hidden: 9"),
    )
    assert lines == [
        "s.yaml:5:5: variants[0] is 5; allowed: a mapping",
        "s.yaml:6:53: variants[1]: hidden size 9 is not below the width 8; an hourglass computes "
        "below its width: use bottleneck: 0.25, or family: deep",
    ]


def test_a_setting_left_empty_is_no_default():
    assert mistakes(("epochs: 1", "epochs: 1, lr: ")) == [
        "s.yaml:7:23: nothing is written here; give a value, or leave it out"
    ]


def test_null_stands_where_not_set_is_a_value_and_nowhere_else():
    trains = (
        parse_suite(SUITE.replace("epochs: 1", "epochs: 1, clip_norm: null"), "s")
        .variants[0]
        .trains
    )
    assert trains[0].clip_norm is None
    assert found(mistakes(("epochs: 1", "epochs: 1, lr: null")), "train.lr is nothing") == [True]


def test_a_width_that_no_integer_meets_shows_beside_other_mistakes(tmp_path):
    path = tmp_path / "s.yaml"
    text = SUITE.replace("depth: 4, width: 8", "depth: 4, width: match")
    path.write_text(text.replace("epochs: 1", "epochs: 1, lr: x") + BUDGET)
    with pytest.raises(SuiteError) as caught:
        load_to_expand(path)
    first, second = str(caught.value).splitlines()
    assert f"{path}:7:24: train.lr is 'x'" in first
    assert f"{path}:6:42: width: match: no width of hourglass" in second


def test_widths_are_not_solved_for_a_budget_that_is_mistaken(tmp_path):
    path = tmp_path / "s.yaml"
    text = SUITE.replace("depth: 4, width: 8", "depth: 4, width: match")
    path.write_text(text + BUDGET.replace("total_params", "all"))
    with pytest.raises(SuiteError) as caught:
        load_to_expand(path)
    assert len(str(caught.value).splitlines()) == 1


BUDGET = "budget: {match: total_params, target: 5}\n"


@pytest.mark.parametrize(
    ("side", "message"),
    [
        ("{family: wide}", "no variant of the suite has family 'wide'; here family is 'deep', "),
        ("{family: deep, depth: 4}", "no variant of the suite has all of: family 'deep', depth 4"),
        ("{depth: 3}", "no variant of the suite has depth 3; here depth is 2, 4"),
        ("{seed: 1}", "no variant of the suite has seed 1; here seed is 0"),
        ("{dataset: mnist}", "here dataset is 'digits'"),
    ],
)
def test_a_claim_about_what_the_suite_has_not_is_refused(side, message):
    claim = f"{{id: a, metric: val_loss, of: {side}, against: {{family: deep}}"
    text = SUITE + f"claims: [{claim}, expect: {{ratio_at_most: 1}}}}]\n"
    with pytest.raises(SuiteError) as caught:
        parse_suite(text, "s.yaml")
    assert message in str(caught.value)
