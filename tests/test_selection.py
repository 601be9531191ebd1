"""The learning rate is chosen on validation, apart for each variant, never on test."""

from dataclasses import replace

import pytest

from depthbench.grammar import DatasetSettings, TaskSettings, TrainSettings
from depthbench.selection import Outcome, select_learning_rates
from depthbench.spec import Cost, Problem, Trial, Variant, trial_ids, variant_id

RATES = (0.001, 0.01)
SEEDS = (0, 1, 2)


def make_trial(lr=0.001, seed=0, depth=2, **train):
    variant = Variant("deep", "mlp", depth, 8)
    dataset, task = DatasetSettings(name="digits"), TaskSettings(name="classify")
    settings = TrainSettings(lr=lr, epochs=1, **train)
    (identity,) = trial_ids(variant, dataset, task, settings, [seed])
    return Trial(
        trial_id=identity,
        variant_id=variant_id(variant),
        variant=variant,
        dataset_settings=dataset,
        task_settings=task,
        train=settings,
        seed=seed,
        problem=Problem((1, 8, 8), (10,)),
        cost=Cost(1, 1, 1, 1, 1),
    )


def chosen_rates(losses, **changes):
    """`losses` maps (lr, seed) to a loss, or to a status."""
    trials = [make_trial(lr, seed, **changes) for lr in RATES for seed in SEEDS]
    outcomes = {}
    for trial in trials:
        found = losses.get((trial.lr, trial.seed))
        if isinstance(found, str):
            outcomes[trial.trial_id] = Outcome(found, None)
        elif found is not None:
            outcomes[trial.trial_id] = Outcome("ok", found)
    is_best = select_learning_rates(trials, outcomes)
    return {(t.lr, t.seed) for t in trials if is_best.get(t.trial_id)}


def even(lr, loss):
    return {(lr, seed): loss for seed in SEEDS}


def test_the_lowest_mean_validation_loss_wins_over_all_seeds():
    losses = even(0.001, 0.5) | {(0.01, 0): 0.1, (0.01, 1): 0.1, (0.01, 2): 2.0}
    assert chosen_rates(losses) == {(0.001, seed) for seed in SEEDS}


def test_a_rate_at_which_a_seed_diverged_loses_to_one_at_which_none_did():
    losses = even(0.001, 0.5) | {(0.01, 0): 0.1, (0.01, 1): 0.1, (0.01, 2): "diverged"}
    assert chosen_rates(losses) == {(0.001, seed) for seed in SEEDS}


@pytest.mark.parametrize("gap", ["failed", "oom"])
def test_a_rate_with_gaps_loses_to_a_complete_one(gap):
    losses = even(0.001, 0.5) | {(0.01, 0): 0.1, (0.01, 1): 0.1, (0.01, 2): gap}
    assert chosen_rates(losses) == {(0.001, seed) for seed in SEEDS}


def test_nothing_is_chosen_before_every_trial_has_ended():
    losses = even(0.001, 0.5) | {(0.01, 0): 0.1, (0.01, 1): 0.1}
    assert chosen_rates(losses) == set()


def test_a_rate_without_any_result_comes_last():
    losses = even(0.001, "failed") | {(0.01, 0): 0.1, (0.01, 1): 0.1, (0.01, 2): "diverged"}
    assert chosen_rates(losses) == {(0.01, seed) for seed in SEEDS}


def test_something_is_chosen_even_where_every_rate_diverged():
    losses = even(0.001, "diverged") | even(0.01, "diverged")
    assert chosen_rates(losses) == {(0.001, seed) for seed in SEEDS}


def test_variants_and_other_settings_are_judged_apart():
    trials = [
        make_trial(lr, depth=depth, weight_decay=decay)
        for lr in RATES
        for depth in (2, 4)
        for decay in (0.0, 0.1)
    ]
    outcomes = {
        t.trial_id: Outcome("ok", t.lr if (t.depth == 2) ^ (t.train.weight_decay == 0) else -t.lr)
        for t in trials
    }
    chosen = select_learning_rates(trials, outcomes)
    best = {(t.depth, t.train.weight_decay): t.lr for t in trials if chosen[t.trial_id]}
    assert best == {(2, 0.0): 0.01, (2, 0.1): 0.001, (4, 0.0): 0.001, (4, 0.1): 0.01}


def test_the_test_set_has_no_say():
    trials = [make_trial(lr) for lr in RATES]
    outcomes = {t.trial_id: Outcome("ok", 1.0) for t in trials}
    assert not hasattr(Outcome("ok", 1.0), "test_loss")
    assert sum(select_learning_rates(trials, outcomes).values()) == 1
    assert select_learning_rates([replace(trials[0])], outcomes) == {trials[0].trial_id: True}
