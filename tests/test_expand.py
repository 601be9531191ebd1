"""Expansion is pure and ordered; ids name meaning, not spelling, machine or budget."""

import json
import subprocess
import sys

import numpy as np
import pytest

from depthbench.errors import SuiteError
from depthbench.expand import expand, select
from depthbench.suite import parse_suite
from tests.test_suite import FULL, MINIMAL


def plan(text, *overrides):
    return expand(parse_suite(text, "s.yaml", overrides))


def only(text, *overrides):
    (trial,) = plan(text, *overrides)
    return trial


def with_train(settings):
    return MINIMAL.replace("{epochs: 1}", settings)


def with_variant(settings):
    return MINIMAL.replace("{family: deep, depth: 2, width: 8}", settings)


def test_the_house_example_expands_in_the_order_of_the_file():
    trials = plan(FULL)
    assert len(trials) == 8 * 2 * 5
    assert [t.family for t in trials[::10]] == ["deep"] * 3 + ["parallel_shallow"] * 3 + [
        "wide",
        "hourglass",
    ]
    assert [(t.lr, t.seed) for t in trials[:6]] == [*((0.001, s) for s in range(5)), (0.003, 0)]
    assert len({t.trial_id for t in trials}) == len(trials)
    assert len({t.variant_id for t in trials}) == 8


def test_solved_widths_keep_the_tolerance_and_given_ones_state_their_error():
    trials = plan(FULL)
    solved = [t for t in trials if t.family in ("wide", "hourglass")]
    assert all(abs(t.budget_error_fraction) <= 0.02 for t in solved)
    assert all(t.budgets[0].is_solved for t in solved)
    reference = next(t for t in trials if t.family == "deep" and t.depth == 8)
    assert reference.budget_error_fraction == 0.0
    smaller = next(t for t in trials if t.family == "deep" and t.depth == 2)
    expected = smaller.cost.total_params / reference.cost.total_params - 1
    assert smaller.budget_error_fraction == pytest.approx(expected)
    assert not smaller.budgets[0].is_on_budget


def test_exact_duplicates_merge():
    assert len(plan(MINIMAL.replace("depth: 2", "depth: [2, 2]"))) == 1
    assert len(plan(MINIMAL + "seeds: [3, 3]\n")) == 1


def test_a_setting_at_its_default_is_no_part_of_an_identity():
    base = only(MINIMAL).trial_id
    same = [
        with_variant("{family: deep, depth: 2, width: 8, activation: relu, norm: layer}"),
        with_variant("{family: deep, depth: 2, width: 8, hidden: 16, residual_scale: 1}"),
        with_variant("{family: deep, depth: 2, width: 8, expansion: 2.0, bias: true}"),
        with_train("{epochs: 1, lr: 0.001, optimizer: adamw, weight_decay: 0.01}"),
        MINIMAL.replace("dataset: digits", "dataset: {name: digits}"),
        MINIMAL.replace("backbone: mlp", "backbone: {name: mlp, lift: trained}"),
        MINIMAL + "task: classify\nbudget: {match: total_params, target: 99}\nseeds: [0]\n",
        MINIMAL + "timing: {phases: inference}\n",
        MINIMAL.replace("suite: tiny", "suite: other"),
    ]
    assert {only(text).trial_id for text in same} == {base}


def test_every_other_setting_changes_the_identity():
    different = [
        MINIMAL,
        with_variant("{family: wide, depth: 2, width: 8}"),
        with_variant("{family: deep, depth: 3, width: 8}"),
        with_variant("{family: deep, depth: 2, width: 9}"),
        with_variant("{family: deep, depth: 2, width: 8, norm: rms}"),
        with_variant("{family: deep, depth: 2, width: 8, hidden: 15}"),
        with_variant("{family: deep, depth: 2, width: 8, lift: fixed}"),
        with_train("{epochs: 2}"),
        with_train("{steps: 1}"),
        with_train("{epochs: 1, lr: 0.002}"),
        with_train("{epochs: 1, weight_decay: 0.0}"),
        with_train("{epochs: 1, precision: bf16}"),
        MINIMAL + "seeds: [1]\n",
        MINIMAL.replace("dataset: digits", "dataset: mnist"),
        MINIMAL.replace("dataset: digits", "dataset: {name: digits, train_examples: 100}"),
    ]
    assert len({only(text).trial_id for text in different}) == len(different)


def test_identities_are_the_same_in_every_process_and_release():
    code = (
        "import sys; sys.path.insert(0, '.'); from tests.test_expand import only, MINIMAL;"
        "t = only(MINIMAL); print(t.trial_id, t.variant_id)"
    )
    seen = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    trial = only(MINIMAL)
    assert seen == [trial.trial_id, trial.variant_id]
    # Written down when identities were version 1: a change here orphans every result there is.
    assert seen == ["9a0fbaf61e37a258", "5b4bcbbae8cf3e3b"]


def test_a_trial_under_several_budgets_stands_once_with_a_share_in_each():
    text = with_variant("{family: [deep, wide], depth: 2, width: 8}").replace(
        "variants: [", "variants: [{family: wide, depth: 1, width: match}, "
    )
    text += (
        "budget:\n"
        "  - {match: total_params, reference: {family: deep, depth: 2, width: 8}}\n"
        "  - {match: forward_flops, target: 20000, tolerance: 0.1}\n"
    )
    trials = plan(text)
    deep = [t for t in trials if t.family == "deep"]
    matched = [t for t in trials if t.depth == 1]
    assert [[share.match for share in t.budgets] for t in deep] == [
        ["total_params", "forward_flops"]
    ]
    assert [[share.match for share in t.budgets] for t in matched] == [
        ["total_params"],
        ["forward_flops"],
    ]


def test_a_reference_is_built_of_the_backbone_it_is_compared_with():
    text = MINIMAL.replace("backbone: mlp", "backbone: [mlp, conv]") + (
        "budget: {match: total_params, reference: {family: deep, depth: 2, width: 8}}\n"
    )
    assert [t.budget_error_fraction for t in plan(text)] == [0.0, 0.0]


def test_all_impossible_widths_are_reported_with_their_place_and_the_nearest():
    text = with_variant(
        "{family: deep, depth: 64, width: match}, {family: wide, depth: 1, width: match}, "
        "{family: hourglass, depth: 500, width: match}"
    )
    with pytest.raises(SuiteError) as caught:
        plan(text + "budget: {match: total_params, target: 2000, tolerance: 0.01}\n")
    lines = str(caught.value).splitlines()
    assert sum(line.startswith("s.yaml:4:") for line in lines) >= 2
    assert "nearest are width" in str(caught.value)


def test_select_chooses_by_columns_and_explains_what_it_cannot_read():
    trials = plan(FULL)
    chosen = select(trials, "family == 'deep' and depth > 2 and seed == 0 and lr < 0.002")
    assert [t.depth for t in chosen] == [4, 8]
    for wrong in ("famly == 'deep'", "depth >", "((", "__import__('os').system('true')", "depth"):
        with pytest.raises(SuiteError, match="--only"):
            select(trials, wrong)
    with pytest.raises(SuiteError, match="chooses none of the 80 trials"):
        select(trials, "depth == 99")


def test_a_plan_reads_no_data(monkeypatch, tmp_path):
    monkeypatch.setenv("DEPTHBENCH_DATA", str(tmp_path / "nothing"))
    assert plan(FULL)


def test_describe_gives_only_columns_of_the_table_and_plain_values():
    from depthbench.record import column_names

    row = only(MINIMAL).describe()
    assert set(row) <= set(column_names("trials"))
    assert json.loads(json.dumps(row)) == row


def test_settings_without_effect_make_no_other_training():
    trials = plan(
        with_train(
            "{epochs: 1, optimizer: [adamw, sgd], momentum: [0.9, 0.8], gamma: [0.1, 0.2], "
            "schedule: [constant, step], milestones: [0.5]}"
        )
    )
    assert len(trials) == 9


def test_two_files_of_one_name_are_refused(tmp_path):
    arrays = {name: np.zeros((4, 6, 6), "uint8") for name in ("x_train", "x_test")}
    labels = {name: np.arange(4) for name in ("y_train", "y_test")}
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        np.savez(tmp_path / folder / "d.npz", **arrays, **labels)
    data = f"[{{name: npz, path: {tmp_path}/a/d.npz}}, {{name: npz, path: {tmp_path}/b/d.npz}}]"
    with pytest.raises(SuiteError, match="two files of one name"):
        plan(MINIMAL.replace("digits", data))
