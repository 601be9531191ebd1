"""Members of cohorts come out no better and no worse than the same trials alone."""

import math

import numpy as np
import pytest

from depthbench import read_run, run_suite
from depthbench.suite import parse_suite

NUM_MEMBERS = 20
SUITE = f"""
suite: unbiased
dataset: digits
variants: [{{family: deep, backbone: mlp, depth: 3, width: 24}}]
train: {{epochs: 15, lr: 0.01, batch_size: 32}}
seeds: {NUM_MEMBERS}
"""


@pytest.mark.slow
def test_final_metrics_of_20_members_have_no_bias(tmp_path, monkeypatch):
    def stacked_where_allowed(trials, *, context, max_members, num_workers):
        return ("loop", max_members) if max_members > 1 else (None, 1)

    monkeypatch.setattr("depthbench.training_plan.best_stacking", stacked_where_allowed)
    found = {}
    for cohort in ("auto", "off"):
        suite = parse_suite(f"{SUITE}cohort: {cohort}\n", "u.yaml")
        summary = run_suite(suite, out=tmp_path / cohort, run="r", executor="local")
        found[cohort] = read_run(summary.folder).trials
    assert found["auto"]["cohort_size"].min() > 1
    for metric in ("val_loss", "test_loss", "train_loss"):
        stacked, alone = (np.log(found[way][metric].to_numpy()) for way in ("auto", "off"))
        differences = stacked - alone
        error = differences.std(ddof=1) / math.sqrt(NUM_MEMBERS)
        # Three standard errors of a paired mean, and a spread between seeds that is no other.
        assert abs(differences.mean()) <= 3 * error + 1e-6
        assert 0.5 < stacked.std() / alone.std() < 2
