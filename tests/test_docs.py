import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

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
    named = set(re.findall(r"\bdepthbench ([a-z]+)", code))
    assert len(named) >= 5
    assert named - {"is"} <= commands  # "depthbench is a ..." begins a line of prose
