"""Suites: the grammar in full, and every mistake of a file at once, in the right place."""

import json
from pathlib import Path

import jsonschema
import pytest

from depthbench.errors import SuiteError
from depthbench.sections import json_schema
from depthbench.suite import load_suite, parse_suite

SUITES = sorted((Path(__file__).parent.parent / "suites").rglob("*.yaml"))

MINIMAL = """\
suite: tiny
dataset: digits
backbone: mlp
variants: [{family: deep, depth: 2, width: 8}]
train: {epochs: 1}
"""

# The example of the house's grammar, whole.
FULL = """\
suite: shallow-again-mnist
question: "Does the parallel layout match the sequential one?"
dataset: {name: mnist, train_examples: 10000}
task: classify
backbone: conv
variants:
  - {family: deep, depth: [2, 4, 8], width: 32, kernel: 3}
  - {family: parallel_shallow, depth: [2, 4, 8], width: 32, kernel: 3}
  - {family: wide, depth: 1, width: match}
  - {family: hourglass, depth: 4, bottleneck: 0.25, width: match}
budget:
  match: total_params
  reference: {family: deep, depth: 8, width: 32}
  tolerance: 0.02
train: {optimizer: adamw, lr: [0.001, 0.003], epochs: 5, batch_size: 128, schedule: cosine}
seeds: 5
timing: {phases: [inference, train_step], batch_sizes: [1, 128], precisions: [fp32], modes: [eager]}
claims:
  - id: parallel-matches-deep
    metric: val_loss
    of: {family: parallel_shallow}
    against: {family: deep}
    paired_by: [depth, width, seed]
    expect: {ratio_at_most: 1.05}
    confidence: 0.95
"""


def mistakes(text, *overrides):
    with pytest.raises(SuiteError) as caught:
        parse_suite(text, "s.yaml", overrides)
    return str(caught.value).splitlines()


def changed(old, new, text=MINIMAL):
    assert old in text
    return mistakes(text.replace(old, new))


def test_a_minimal_suite_takes_the_documented_defaults():
    suite = parse_suite(MINIMAL, "s.yaml")
    (entry,) = suite.variants
    (train,) = entry.trains
    assert suite.seeds == (0,)
    assert [task.name for task in suite.tasks] == ["classify"]
    assert (train.optimizer, train.lr, train.batch_size, train.schedule) == (
        "adamw",
        0.001,
        128,
        "constant",
    )
    assert suite.timing is None


def test_the_whole_grammar_is_understood():
    suite = parse_suite(FULL, "s.yaml")
    assert len(suite.variants) == 8
    assert [train.lr for train in suite.variants[0].trains] == [0.001, 0.003]
    assert suite.seeds == (0, 1, 2, 3, 4)
    assert suite.claims[0].paired_by == ("depth", "width", "seed")
    assert suite.budgets[0].reference.depth == 8


def test_a_list_is_an_axis_and_a_list_of_lists_an_axis_of_lists():
    text = MINIMAL.replace(
        "{epochs: 1}",
        "{epochs: [9, 12], schedule: step, milestones: [[2, 4], [3]], betas: [0.9, 0.95]}",
    )
    trains = parse_suite(text, "s.yaml").variants[0].trains
    assert [(t.epochs, t.milestones) for t in trains] == [
        (9, (2, 4)),
        (9, (3,)),
        (12, (2, 4)),
        (12, (3,)),
    ]
    assert {t.betas for t in trains} == {(0.9, 0.95)}


def test_a_variant_may_carry_its_own_backbone_and_training():
    text = MINIMAL.replace("width: 8}", "width: 8, backbone: conv, train: {steps: 7, lr: 0.1}}")
    (entry,) = parse_suite(text, "s.yaml").variants
    assert entry.backbones[0].name == "conv"
    assert (entry.trains[0].steps, entry.trains[0].epochs, entry.trains[0].lr) == (7, None, 0.1)


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file():
    text = """\
suite: ../x
quesiton: hi
dataset: {name: minst, train_examples: -1}
backbone: cnv
variants:
  - {family: deap, depth: [2, x], width: mach}
  - {family: deep, depth: 2.5}
budget: {match: params, tolerance: .nan}
train: {lr: .inf, epochs: 5, batch_siz: 3}
seeds: 0
"""
    assert mistakes(text) == [
        "s.yaml:1:8: suite is '../x'; allowed: a-z, 0-9 and '-', at most 63, not starting with '-'",
        "s.yaml:2:1: unknown key 'quesiton' in the suite; did you mean 'question'?",
        "s.yaml:3:17: dataset.name is 'minst'; allowed: 'digits', 'mnist', 'fashion_mnist', "
        "'cifar10', 'cifar100', 'tinystories', 'npz' or 'text'; did you mean 'mnist'?",
        "s.yaml:3:40: dataset.train_examples is -1; allowed: at least 1",
        "s.yaml:4:11: backbone is 'cnv'; allowed: 'mlp', 'conv', 'preact', 'transformer' or "
        "'mixer'; did you mean 'conv'?",
        "s.yaml:6:14: variants[0].family is 'deap'; allowed: 'deep', 'wide', 'parallel_shallow', "
        "'hourglass', 'looped' or 'widenet'; did you mean 'deep'?",
        "s.yaml:6:31: variants[0].depth[1] is 'x'; allowed: a whole number",
        "s.yaml:6:42: variants[0].width is 'mach'; allowed: a whole number, or 'match'; "
        "did you mean 'match'?",
        "s.yaml:7:5: variants[1] needs width",
        "s.yaml:7:27: variants[1].depth is 2.5; allowed: a whole number",
        "s.yaml:8:9: budget needs exactly one of reference and target",
        "s.yaml:8:17: budget.match is 'params'; allowed: 'total_params', 'trainable_params', "
        "'active_params', 'body_params', 'forward_flops' or 'total_heads'; "
        "did you mean 'body_params'?",
        "s.yaml:8:36: budget.tolerance is nan; allowed: a finite number",
        "s.yaml:9:13: train.lr is inf; allowed: a finite number",
        "s.yaml:9:30: unknown key 'batch_siz' in train; did you mean 'batch_size'?",
        "s.yaml:10:8: seeds is 0; allowed: at least 1, or a list",
    ]


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("depth: 2", "depth: '2'", "4:34: variants[0].depth is '2'; allowed: a whole number"),
        ("depth: 2", "depth: true", "variants[0].depth is true; allowed: a whole number"),
        ("depth: 2", "depth: []", "variants[0].depth is empty; give at least one value"),
        ("depth: 2", "depth: 0", "variants[0].depth is 0; allowed: at least 1"),
        ("depth: 2", "depth: 2, bottleneck: 0.5, hidden: 3", "hidden"),
        ("width: 8", "width: match", "width: match needs a budget to match"),
        ("backbone: mlp\n", "", "variants[0] has no backbone"),
        ("dataset: digits", "dataset: npz", "dataset npz needs path"),
        ("{epochs: 1}", "{}", "train needs exactly one of steps, epochs"),
        ("{epochs: 1}", "{epochs: 1, steps: 2}", "found steps and epochs"),
        ("{epochs: 1}", "{tokens: 5}", "tokens is a duration of text sets"),
        ("{epochs: 1}", "{epochs: 1, momentum: 0.5}", "momentum applies to sgd"),
        ("{epochs: 1}", "{epochs: 1, schedule: step}", "schedule: step needs milestones"),
        ("{epochs: 1}", "{epochs: 5, schedule: step, milestones: [3, 2]}", "must increase"),
        ("{epochs: 1}", "{epochs: 5, schedule: step, milestones: [9]}", "not before the end, 5"),
        ("{epochs: 1}", "{epochs: 1}\nprobes: layer_skip", "'layer_skip' is not available yet"),
        ("{epochs: 1}", "{epochs: 1}\nbudget: {match: total_params}", "exactly one of reference"),
        ("{epochs: 1}", "{epochs: 1}\nseeds: [1, x]", "seeds[1] is 'x'"),
        ("family: deep", "family: deep, branches: 2", "branches"),
        ("suite: tiny", "suite: tiny\nsuite: twice", "'suite' is given twice"),
        ("suite: tiny", "suite: !!python/name:os.system", "has no meaning in a suite"),
        ("depth: 2", "depth: 5000", "at most 4,096"),
    ],
)
def test_a_wrong_setting_gets_one_clear_message(old, new, found):
    assert any(found in line for line in changed(old, new)), changed(old, new)


def test_a_mistake_in_yaml_hides_no_other():
    text = MINIMAL.replace("backbone: mlp", "backbone: !x mlp").replace("depth: 2", "dept: 2")
    lines = mistakes(text)
    assert any("!x" in line for line in lines)
    assert any("unknown key 'dept'" in line for line in lines)


@pytest.mark.parametrize(
    ("claim", "found"),
    [
        ("{metric: val_los}", "'val_los' is no metric of the results; did you mean 'val_loss'?"),
        ("{of: {famly: deep}}", "'famly' is no column; did you mean 'family'?"),
        ("{of: {family: deap}}", "'deap' is no family; did you mean 'deep'?"),
        ("{expect: {}}", "needs exactly one of ratio_at_most"),
        ("{expect: {ratio_at_most: 1, ratio_at_least: 1}}", "needs exactly one of"),
        ("{expect: {ratio_within: [2, 1]}}", "[low, high]"),
        ("{paired_by: [sed]}", "'sed' is no column; did you mean 'seed'?"),
        ("{metric: median_seconds}", "the suite has no timing section"),
        ("{confidence: 1.5}", "less than 1"),
    ],
)
def test_a_claim_that_cannot_be_judged_is_refused(claim, found):
    from ruamel.yaml import YAML

    base = {
        "id": "c",
        "metric": "val_loss",
        "of": {"family": "deep"},
        "against": {"family": "wide"},
        "expect": {"ratio_at_most": 1.0},
    }
    value = base | YAML(typ="safe").load(claim)
    lines = mistakes(MINIMAL + f"claims: [{json.dumps(value)}]\n")
    assert any(found in line for line in lines), lines


def test_too_many_trials_are_refused_before_they_are_expanded():
    axis = list(range(1, 1001))
    text = MINIMAL.replace("depth: 2, width: 8", f"depth: {axis}, width: {axis}")
    lines = mistakes(text.replace("{epochs: 1}", "{epochs: 1, lr: [0.1, 0.2]}"))
    assert any("multiply to 2,000,000 trials" in line for line in lines)


def test_overrides_replace_settings_and_are_named_in_mistakes():
    suite = parse_suite(MINIMAL, "s.yaml", ["train.lr=[0.1, 0.2]", "variants.0.width=16"])
    assert [train.lr for train in suite.variants[0].trains] == [0.1, 0.2]
    assert suite.variants[0].settings.width == 16
    named = parse_suite(MINIMAL, "s.yaml", ["dataset.train_examples=5"])
    assert (named.datasets[0].name, named.datasets[0].train_examples) == ("digits", 5)
    (line,) = mistakes(MINIMAL, "train.lrr=3")
    assert line.startswith("--set train.lrr: unknown key 'lrr'")
    (line,) = mistakes(MINIMAL, "train.lr=-3")
    assert line == "--set train.lr: train.lr is -3; allowed: more than 0.0"
    for wrong in ("lr", "=3", "variants.7.width=3", "suite.x.y.z=1"):
        assert mistakes(MINIMAL, wrong)


def test_the_hash_follows_meaning_not_spelling():
    one = parse_suite(MINIMAL, "a.yaml").suite_hash
    assert parse_suite("# comment\n" + MINIMAL, "b.yaml").suite_hash == one
    assert parse_suite(MINIMAL.replace("depth: 2", "depth: [2]"), "a").suite_hash == one
    assert parse_suite(MINIMAL.replace("epochs: 1", "epochs: 2"), "a").suite_hash != one


def test_a_path_of_data_starts_at_the_suite(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(MINIMAL.replace("digits", "{name: npz, path: sub/x.npz}"))
    assert load_suite(path).datasets[0].path == str(tmp_path / "sub" / "x.npz")


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.name)
def test_shipped_suites_load_and_pass_the_json_schema(path):
    from ruamel.yaml import YAML

    assert load_suite(path).name
    jsonschema.validate(YAML(typ="safe").load(path.read_text()), json_schema())
    assert path.read_text().startswith("# yaml-language-server: $schema=")


def test_the_json_schema_accepts_the_whole_grammar_and_refuses_typos():
    from ruamel.yaml import YAML

    value = YAML(typ="safe").load(FULL)
    jsonschema.Draft202012Validator.check_schema(json_schema())
    jsonschema.validate(value, json_schema())
    value["variants"][0]["dpth"] = 3
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, json_schema())
