"""The house keeps its shape: imports point down, no cycles, torch only where it is needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "depthbench"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# From the top down: a module imports only from layers below its own, or from its own folder.
LAYERS = [
    {"__main__"},
    {"cli"},
    {"cli_regressions"},
    {"boundary", "calibrate", "nightly", "cli_options"},
    {"coordinate_table"},
    {"coordinate_check"},
    {"coordinate_curves"},
    {"run", "plan", "estimate", "sampling", "starter"},
    {"training_plan", "testing_stage"},
    {"run_work", "known_speeds"},
    {"likely_cohorts"},
    {"request", "outcome", "estimate_table", "shape_costs"},
    {"journal"},
    {"timing_stage", "training_stage", "workers", "step_times", "pieces"},
    {"worker_speed"},
    {"trial", "expand", "workload"},
    {"stacking"},
    {"training", "timing", "probes", "matching", "suite", "sections", "checks", "claim_checks"},
    {"salvage", "overrides", "mistakes"},
    {"synthetic"},
    {"models", "data", "executors", "report", "variants", "options", "combinations", "document"},
    {"progress", "interruption", "selection", "cohorts", "worker_costs"},
    {
        "store",
        "calibration",
        "record",
        "environment",
        "machine",
        "folder",
        "merging",
        "run_tables",
        "parts",
        "tables",
        "units",
        "garbage",
    },
    {"spec", "grammar", "network_grammar", "axes"},
    {"errors"},
]
HEIGHT = {name: -height for height, layer in enumerate(LAYERS) for name in layer}


def top(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports(path):
    """Return the depthbench modules that a file imports anywhere but under TYPE_CHECKING."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("depthbench"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else node.module)
        elif isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name.startswith("depthbench")}
    return found


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module):
    if module == "depthbench":
        pytest.skip("the package's front door names what it offers")
    for target in imports(MODULES[module]) - {"depthbench"}:
        if top(target) != top(module):
            assert HEIGHT[top(target)] <= HEIGHT[top(module)], f"{module} imports {target}"


def test_there_is_no_cycle():
    graph = {
        module: {t for t in imports(path) if t in MODULES and t != "depthbench"}
        for module, path in MODULES.items()
        if module != "depthbench"
    }
    done = set()

    def visit(module, trail):
        assert module not in trail, " -> ".join([*trail, module])
        if module not in done:
            for target in graph[module] - {module}:
                visit(target, [*trail, module])
            done.add(module)

    for module in graph:
        visit(module, [])


@pytest.mark.parametrize(
    "statement",
    [
        "import depthbench",
        "from depthbench.cli import app",
        "import depthbench.suite, depthbench.checks, depthbench.variants",
        "import depthbench.store, depthbench.environment, depthbench.executors",
        "import depthbench.report.summary, depthbench.report.claims, depthbench.report.render",
        "import depthbench.report.compare.runs, depthbench.report.compare.render",
        "import depthbench.data",
        "import depthbench.plan, depthbench.progress",
        "from depthbench import load_suite, read_run",
    ],
)
def test_torch_is_not_loaded(statement):
    code = f"import sys; {statement}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["report", "--help"],
        ["report", "tests/golden/run-v1"],
        ["report", "tests/golden/run-v1", "--format", "json"],
    ],
)
def test_what_draws_charts_is_loaded_for_pages_and_figures_alone(arguments):
    code = (
        "import sys; from typer.testing import CliRunner; from depthbench.cli import app; "
        "done = CliRunner().invoke(app, sys.argv[1:]); assert done.exit_code == 0, done.output; "
        "sys.exit(bool({'altair', 'vl_convert', 'jinja2'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, check=True)


def test_expand_is_the_function_whatever_is_imported_first():
    code = "import depthbench.expand; from depthbench import expand; assert callable(expand)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("module", MODULES)
def test_modules_stay_short(module):
    assert len(MODULES[module].read_text().splitlines()) <= 400


def test_everything_public_says_what_it_is_for():
    silent = []
    for module, path in MODULES.items():
        tree = ast.parse(path.read_text())
        if not ast.get_docstring(tree):
            silent.append(module)
        for node in tree.body:
            is_public = isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_"
            if is_public and not ast.get_docstring(node):
                silent.append(f"{module}.{node.name}")
    assert silent == []


def test_exceptions_are_swallowed_only_where_a_failure_becomes_a_row():
    broad = [
        module
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or getattr(node.type, "id", "") in ("Exception", "BaseException"))
        and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
    ]
    assert broad == ["depthbench.trial"]


def test_importing_what_the_package_offers_loads_no_torch():
    code = (
        "import sys; from depthbench import build_model, expand, load_suite, read_run, run_suite; "
        "assert 'torch' not in sys.modules; assert 'Return the trials' in expand.__doc__"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
