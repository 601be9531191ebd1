import importlib.util
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
