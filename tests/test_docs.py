import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from depthbench import grammar
from depthbench.record import TABLES

SCRIPT = Path(__file__).parents[1] / "docs" / "generate.py"


@pytest.fixture
def generate(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec = importlib.util.spec_from_file_location("generate", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_fresh(generate):
    assert generate.stale_pages() == []


def test_a_page_that_was_edited_is_stale(generate, tmp_path):
    for name, page in generate.PAGES.items():
        (tmp_path / name).write_text(page(), encoding="utf-8")
    assert generate.stale_pages(tmp_path) == []
    (tmp_path / "columns.md").write_text("edited", encoding="utf-8")
    assert generate.stale_pages(tmp_path) == ["columns.md"]


def test_the_columns_page_names_every_column_with_its_meaning(generate):
    page = generate.columns_page()
    for columns in TABLES.values():
        for column in columns:
            assert f"| `{column.name}` | `{column.type}` | {column.unit} |" in page
            assert column.meaning.replace("|", "\\|") in page


def rows_of(page, title):
    """Return the cells of a section's table by its setting."""
    section = page.split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return {row[0].strip("`"): row for row in cells}


def test_the_suites_page_has_every_setting_with_its_default(generate):
    page = generate.suites_page()
    for title, (_, settings) in generate.SECTION_TITLES.items():
        fields = getattr(grammar, settings).model_fields
        rows = rows_of(page, title)
        for name, field in fields.items():
            shown = rows[field.alias or name][2]
            default = field.get_default(call_default_factory=True)
            assert (shown == "required") == field.is_required(), (title, name)
            if not field.is_required() and default not in (None, {}):
                assert shown, (title, name)


@pytest.mark.parametrize(
    ("section", "setting", "values", "default"),
    [
        ("train", "optimizer", "`adamw`, `adam`, `sgd`", "adamw"),
        ("train", "lr", "a number > 0 and <= 1,000,000.0", "0.001"),
        ("train", "batch_size", "a whole number >= 1 and <= 10,000,000", "128"),
        ("train", "betas", "a list of 2", "[0.9, 0.999]"),
        ("train", "steps", "a whole number >= 0 and <= 1,000,000,000,000", ""),
        ("task", "noise", "a number > 0 and <= 10", "0.25"),
        ("dataset", "allow_partial", "true, false", "false"),
        ("timing", "phases", None, "[inference]"),
        ("variants", "activation", None, "by backbone"),
        ("variants", "execution", "`loop`, `fused`, `auto`", "loop"),
    ],
)
def test_a_setting_is_told_with_its_range_and_default(generate, section, setting, values, default):
    row = rows_of(generate.suites_page(), section)[setting]
    assert row[2] == default
    assert values is None or row[1] == values


def test_no_default_of_a_backbone_is_blank(generate):
    page = generate.suites_page()
    defaults = page[page.index("## Defaults of the backbones") :]
    for name, options in grammar.BACKBONE_DEFAULTS.items():
        (line,) = [line for line in defaults.splitlines() if line.startswith(f"- `{name}`")]
        assert all(f"`{option}:" in line or f"`{option}`: " in line for option in options)
        assert not re.search(r": *`|`: *(,|$)", line.removeprefix(f"- `{name}`:"))


def test_sections_have_their_defaults(generate):
    page = generate.suites_page()
    assert "| `seeds` | 1 |" in page
    assert "| `train` | required |" in page


def test_check_exits_1_when_stale_and_writes_nothing(generate, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(generate, "stale_pages", lambda: ["columns.md"])
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    assert generate.main(["--check"]) == 1
    assert "columns.md" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert generate.main([]) == 0
    assert (tmp_path / "columns.md").exists()


def test_the_script_runs_by_itself_from_any_folder(tmp_path):
    done = subprocess.run([sys.executable, SCRIPT, "--check"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr


README = (SCRIPT.parents[1] / "README.md").read_text(encoding="utf-8")


def test_links_of_the_documents_lead_somewhere():
    pages = [SCRIPT.parents[1] / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")]
    for page in [*pages, *SCRIPT.parent.glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert target.startswith("http") or (page.parent / target).exists(), (page, target)


def test_the_tree_of_the_readme_names_every_module():
    package = SCRIPT.parents[1] / "depthbench"
    tree = README[README.index("## The tree") :]
    names = [path.name for path in package.glob("*.py") if not path.name.startswith("__")]
    folders = [path.parent.name + "/" for path in package.glob("*/__init__.py")]
    assert [name for name in [*names, *folders] if name not in tree] == []


def test_the_suite_of_the_readme_loads():
    from depthbench.suite import parse_suite

    (text,) = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)
    assert parse_suite(text, "README.md").claims


def test_the_commands_of_the_readme_exist():
    from typer.main import get_command

    from depthbench.cli import app

    commands = set(get_command(app).commands)
    code = "\n".join(re.findall(r"`(depthbench [^`\n]+)`", README))
    code += "\n" + "\n".join(re.findall(r"^depthbench .*$", README, flags=re.MULTILINE))
    named = set(re.findall(r"\bdepthbench ([a-z]+(?:-[a-z]+)*)", code))
    assert len(named) >= 5
    assert named - {"is"} <= commands  # "depthbench is a ..." begins a line of prose


def test_the_page_on_sweeps_has_the_numbers_of_the_code():
    from depthbench.training.cohort import SECONDS_BETWEEN_SAVES
    from depthbench.worker_costs import START_SECONDS

    page = Path(__file__).parents[1] / "docs" / "sweeps.md"
    text = " ".join(page.read_text(encoding="utf-8").split())
    assert f"every {SECONDS_BETWEEN_SAVES / 60:.0f} minutes" in text
    assert f"starting them costs, {START_SECONDS:.0f} seconds" in text
