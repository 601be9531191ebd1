"""What plan, datasets and doctor print, at any width."""

import csv
import io
import json
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from depthbench.data import DatasetStatus
from depthbench.environment import Check
from depthbench.plan import (
    data_checks,
    render_checks,
    render_datasets,
    render_families,
    render_plan,
)

WIDTHS = (60, 80, 100)


def console(width):
    return Console(width=width, color_system=None, highlight=False)


def trial(number, task="classify", **changes):
    return {
        "trial_id": f"t{number}",
        "variant_id": f"v{number}",
        "family": "parallel_shallow",
        "backbone": "transformer",
        "dataset": "fashion_mnist",
        "task": task,
        "depth": 8,
        "width": 100 + number,
        "seed": 0,
        "lr": 0.001,
        "budget_error_fraction": 0.001,
        "options": "",
        "hidden": 4096,
        "total_params": 36_479_194,
        "trainable_params": 36_479_194,
        "body_params": 36_000_000,
        "forward_flops": 10_485_760_000,
        "budgets": [{"error_fraction": 0.0123, "is_on_budget": True}],
    } | changes


def plan_of(*trials):
    return {
        "suite": "planted",
        "suite_hash": "0123456789abcdef",
        "question": "Which of them?",
        "num_trials": len(trials),
        "trials": list(trials),
    }


def status(name="mnist", **changes):
    facts = {
        "path": None,
        "is_present": True,
        "is_complete": True,
        "is_official": True,
        "num_train_examples": 60_000,
        "num_test_examples": 10_000,
        "licence": "CC BY-SA 3.0",
        "note": "",
    }
    return DatasetStatus(**({"name": name} | facts | changes))


def words_of(text):
    return set(text.replace(";", " ").split())


@pytest.mark.parametrize("width", WIDTHS)
def test_a_plan_fits_its_terminal_and_breaks_no_word(width):
    plan = plan_of(trial(1), trial(2, "super_resolution", backbone="mlp"))
    text = render_plan(plan, "terminal", console(width))
    assert max(cell_len(line) for line in text.splitlines()) <= width
    wanted = {"parallel_shallow", "transformer", "fashion_mnist", "super_resolution", "101", "102"}
    wanted |= {"backbone", "36,479,194", "10,485,760,000", "+1.23%", "weights", "FLOPs", "trials"}
    assert wanted <= words_of(text)


@pytest.mark.parametrize("width", WIDTHS)
def test_checks_fit_their_terminal_and_break_no_word(width):
    long = "two of its files are not what their names say: train-images-idx3-ubyte.gz is Fashion's"
    checks = [
        Check("data: fashion_mnist", False, "corrupt", long),
        Check("threads", None, "4 of PyTorch on 1.5 usable CPUs", "OMP_NUM_THREADS=1"),
    ]
    text = render_checks(checks, "terminal", console(width))
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert {"PROBLEM", "train-images-idx3-ubyte.gz", "OMP_NUM_THREADS=1", "PyTorch"} <= words_of(
        text
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_data_sets_fit_their_terminal_and_break_no_word(width):
    text = render_datasets([status("fashion_mnist")], "terminal", console(width))
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert {"fashion_mnist", "60,000", "BY-SA", "official", "complete"} <= words_of(text)


@pytest.mark.parametrize("width", WIDTHS)
def test_families_fit_their_terminal_and_break_no_word(width):
    text = render_families("terminal", console(width))
    assert max(cell_len(line) for line in text.splitlines()) <= width
    wide = render_families("terminal", console(1_000))
    assert text.split() == wide.split()
    assert "\n  depth: residual modules, one after another\n" in text


def test_families_of_every_format_have_the_options_with_their_suites():
    rows = json.loads(render_families("json"))
    (row,) = (row for row in rows if row.get("system") == "stochastic depth")
    assert row["options"] == ["survival"]
    assert row["suite"] == "suites/systems/stochastic-depth.yaml"
    assert {row["family"] for row in rows if "family" in row} >= {"deep", "widenet"}
    lines = render_families("csv").splitlines()
    assert len(lines) == 1 + len(rows)
    for text in (render_families("md"), render_families("terminal", console(80))):
        assert text.index("widenet") < text.index("stochastic depth")
        assert row["suite"] in text


@pytest.mark.parametrize("width", WIDTHS)
def test_notes_on_data_sets_break_no_word_path_or_command(width):
    folder = Path("/a folder of data/that has/a long name/and spaces, longer than a terminal")
    note = (
        "mnist: 1 of its 4 files are missing:\n  t10k-labels-idx1-ubyte.gz\nput the files, "
        "gzipped or not, into /home/somebody/.cache/depthbench/mnist, or make them again with "
        "`depthbench datasets --data-dir DIR`, or use dataset: {name: npz, path: FILE.npz}"
    )
    statuses = [status("fashion_mnist", path=folder), status("mnist", note=note)]
    text = render_datasets(statuses, "terminal", console(width))
    assert str(folder) in text
    assert "`depthbench datasets --data-dir DIR`" in text
    assert "dataset: {name: npz, path: FILE.npz}" in text
    assert "\n  t10k-labels-idx1-ubyte.gz\n" in text
    told = [line for line in text.splitlines() if str(folder) not in line]
    assert max(cell_len(line) for line in told) <= width


def test_markdown_keeps_the_lines_of_notes():
    note = "word " * 60
    assert note in render_datasets([status("mnist", note=note)], "md")


def test_what_all_variants_share_is_said_once_above_the_table():
    one = render_plan(plan_of(trial(1), trial(3)), "terminal", console(200))
    two = render_plan(plan_of(trial(1), trial(2, "denoise")), "terminal", console(200))
    assert one.splitlines()[0].endswith("2 variants, transformer, fashion_mnist, classify")
    assert one.count("classify") == one.count("transformer") == 1 and "task" not in one
    assert two.splitlines()[0].endswith("2 variants, transformer, fashion_mnist")
    assert (two.count("classify"), two.count("denoise")) == (1, 1)


def test_options_that_tell_variants_apart_have_a_column_beside_their_names():
    plan = plan_of(trial(1, options="loops 2"), trial(2, options="loops 4, no input injection"))
    text = render_plan(plan, "terminal", console(60))
    assert text.count("loops 4") == text.count("options") > 1  # in each table that the width makes
    assert "options" not in render_plan(plan_of(trial(1), trial(2)), "terminal", console(60))
    (heading, row, _) = csv.reader(io.StringIO(render_plan(plan, "csv")))
    assert dict(zip(heading, row, strict=True))["options"] == "loops 2"


def test_a_terminal_shows_the_beginning_of_a_large_plan_and_says_how_to_see_all():
    plan = plan_of(*(trial(number) for number in range(1_000)))
    text = render_plan(plan, "terminal", console(200))
    assert len(text.splitlines()) < 60
    assert "960 more variants" in text
    assert "--format md, csv or json" in text
    assert "1,000 trials of 1,000 variants" in text
    assert len(render_plan(plan, "md").splitlines()) > 1_000
    assert len(list(csv.DictReader(io.StringIO(render_plan(plan, "csv"))))) == 1_000
    assert len(json.loads(render_plan(plan, "json"))["trials"]) == 1_000


def test_forty_variants_are_no_large_plan():
    text = render_plan(plan_of(*(trial(number) for number in range(40))), "terminal", console(200))
    assert "more variants" not in text


def test_an_absent_data_set_is_no_problem_and_a_corrupt_one_is():
    found = data_checks(
        [
            status("digits"),
            status("mnist", is_present=False, is_complete=False, is_official=False, note="get it"),
            status("cifar10", is_complete=False, note="9 of 60,000"),
            status("cifar100", is_official=False, note="differs"),
            status("tinystories", is_complete=False, is_corrupt=True, note="train.txt: empty"),
            status("npz", is_present=False),
            status("text", is_present=False),
        ]
    )
    assert [(check.name, check.is_ok) for check in found] == [
        ("data: digits", True),
        ("data: mnist", None),
        ("data: cifar10", None),
        ("data: cifar100", None),
        ("data: tinystories", False),
    ]
    assert "depthbench datasets" in found[1].advice
    assert "incomplete" in found[2].found
    assert "not the official files" in found[3].found
    assert found[4].advice == "train.txt: empty"


def test_a_corrupt_file_is_found_where_it_lies(tmp_path):
    from depthbench.data import survey

    folder = tmp_path / "mnist"
    folder.mkdir()
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        Path(folder / f"{name}-ubyte").write_bytes(b"no idx file")
    found = {check.name: check for check in data_checks(survey(tmp_path))}
    assert found["data: mnist"].is_ok is False
    assert str(folder) in found["data: mnist"].advice
    assert found["data: digits"].is_ok


def test_machines_get_what_was_found_and_the_advice_apart():
    (row,) = json.loads(render_checks([Check("disk", False, "full", "free some")], "json"))
    assert (row["state"], row["found"], row["advice"]) == ("PROBLEM", "full", "free some")
