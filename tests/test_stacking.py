"""Whether trials of a shape are stacked is measured, and never guessed."""

from dataclasses import replace

import pytest
import torch

from depthbench import stacking
from depthbench.stacking import as_loop, choose_stacking, members_in_memory, why_alone
from tests.test_stacked import VARIANTS, trials_of

CPU = torch.device("cpu")
MANY_STEPS = 10**6


def medians_of(monkeypatch, *seconds):
    counts = []

    def medians(steps, device):
        counts.append(len(steps))
        for timed in steps:
            timed.step()  # each can be taken
        return list(seconds[: len(steps)])

    monkeypatch.setattr(stacking, "_medians", medians)
    return counts


def test_real_steps_are_measured_and_give_an_answer():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    found = choose_stacking(trials_of(VARIANTS["mlp"]), 8, MANY_STEPS, CPU)
    assert found in ("loop", None)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize(
    ("seconds", "expected"), [((1.0, 1.5), "loop"), ((1.0, 2.95), None), ((1.0, 4.0), None)]
)
def test_three_members_must_take_less_than_three_steps_alone(monkeypatch, seconds, expected):
    medians_of(monkeypatch, *seconds)
    assert choose_stacking(trials_of(VARIANTS["mlp"]), 8, MANY_STEPS, CPU) == expected


def test_the_faster_way_of_convolving_is_taken(monkeypatch):
    counts = medians_of(monkeypatch, 1.0, 2.0, 1.5)
    assert choose_stacking(trials_of(VARIANTS["conv"]), 8, MANY_STEPS, CPU) == "grouped"
    assert counts == [3]


def test_few_steps_are_not_worth_measuring(monkeypatch):
    counts = medians_of(monkeypatch, 1.0, 1.0)
    assert choose_stacking(trials_of(VARIANTS["mlp"]), 8, 100, CPU) is None
    assert choose_stacking(trials_of(VARIANTS["mlp"])[:1], 8, MANY_STEPS, CPU) is None
    assert counts == []


def test_a_fused_variant_is_compared_with_what_it_is_alone(monkeypatch):
    built = []
    real = stacking.build_model
    monkeypatch.setattr(
        stacking, "build_model", lambda trial: built.append(trial.variant.execution) or real(trial)
    )
    fused = "family: parallel_shallow, backbone: mlp, depth: 2, width: 6, execution: fused"
    trials = trials_of(fused)
    medians_of(monkeypatch, 1.0, 1.0)
    assert choose_stacking(trials, 8, MANY_STEPS, CPU, alone=trials[0]) == "loop"
    assert built.count("fused") == 1
    assert as_loop(trials[0]).trial_id == trials[0].trial_id


def test_what_cannot_be_stacked_says_why():
    assert why_alone(trials_of(VARIANTS["mlp"])[0]) is None
    transformer = "family: deep, backbone: transformer, depth: 1, width: 64"
    assert "PatchStem" in why_alone(trials_of(transformer)[0])
    trial = trials_of(VARIANTS["mlp"])[0]
    imported = replace(trial, variant=replace(trial.variant, backbone="a.module:factory"))
    assert "user's own" in why_alone(imported)


def test_members_fit_into_a_quarter_of_the_free_memory_of_all_workers(monkeypatch):
    trial = trials_of(VARIANTS["mlp"])[0]
    monkeypatch.setattr(stacking.machine, "available_memory_bytes", lambda: 1 << 30)
    one, four = (members_in_memory(trial, CPU, workers) for workers in (1, 4))
    assert one > four > 1
    assert one == pytest.approx(4 * four, rel=0.1)
    monkeypatch.setattr(stacking.machine, "available_memory_bytes", lambda: 1)
    assert members_in_memory(trial, CPU, 1) == 1
    monkeypatch.setattr(stacking.machine, "available_memory_bytes", lambda: None)
    assert members_in_memory(trial, CPU, 1) > 1
