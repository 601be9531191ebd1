"""Write a suite to start from. The text is a whole, working suite with the choices explained."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from depthbench.errors import SuiteError
from depthbench.sections import json_schema

SCHEMA_NAME = "depthbench.schema.json"

STARTER = """\
# yaml-language-server: $schema=./depthbench.schema.json
#
{commands}

suite: my-first-suite
question: "At 20,000 weights, should an MLP be deep, wide, parallel or an hourglass?"

# digits comes with scikit-learn. Others: mnist, fashion_mnist (`depthbench datasets`), or your own
# arrays: {{name: npz, path: my-data.npz}}
dataset: digits
backbone: mlp # or conv

# Each line is a variant; a list is an axis, and axes multiply. `width: match` solves the width.
variants:
  - {{family: deep, depth: [2, 4], width: match}}
  - {{family: wide, depth: 1, width: match}}
  - {{family: parallel_shallow, depth: 4, width: match}}
  - {{family: hourglass, depth: 4, width: match, bottleneck: 0.25}}

# What is held equal: total_params, trainable_params, body_params or forward_flops. Instead of a
# target, a reference: {{family: deep, depth: 4, width: 32}}
budget: {{match: total_params, target: 20000, tolerance: 0.03}}

# Several learning rates: each variant is judged at its own best one, chosen on validation.
train: {{optimizer: adamw, lr: [0.001, 0.003], epochs: 20, batch_size: 64, schedule: cosine}}
seeds: 5 # fewer than 3 allow no verdict

timing: {{phases: [inference, train_step], batch_sizes: [1, 128], time_budget_seconds: 2}}

# What you expect, so that a machine can judge it: depthbench check
claims:
  - id: wide-is-no-worse
    metric: test_loss
    of: {{family: wide}}
    against: {{family: deep, depth: 4}}
    paired_by: [seed]
    expect: {{ratio_at_most: 1.1}}
"""


def write_starter(path: Path) -> list[str]:
    """Write a suite and its JSON Schema; return what to tell the user, a line each.

    Raises:
        SuiteError: the file exists, or its folder does not.
    """
    if path.exists():
        raise SuiteError(f"{path}: exists already; give another name: depthbench init NAME.yaml")
    if not path.parent.is_dir():
        raise SuiteError(f"{path.parent}: no such folder; make it first")
    schema = path.parent / SCHEMA_NAME
    path.write_text(STARTER.format(commands=_commands(path)), encoding="utf-8")
    schema.write_text(json.dumps(json_schema(), indent=2) + "\n")
    return [
        f"wrote {path} and {schema} (editors use it to complete and check)",
        f"next: {shlex.join(['depthbench', 'plan', str(path)])}",
    ]


def _commands(path: Path) -> str:
    """Return the comment that says what to do with the suite, a line a command, aligned."""
    meanings = {
        ("plan", str(path)): "what it would run, in a second",
        ("run", str(path)): "runs it",
        ("report",): "answers",
    }
    commands = [shlex.join(["depthbench", *words]) for words in meanings]
    width = max(len(command) for command in commands)
    lines = [
        f"{command:{width}}  {meaning}"
        for command, meaning in zip(commands, meanings.values(), strict=True)
    ]
    return "\n".join(f"#{'' if index else ' Try:':5}  {line}" for index, line in enumerate(lines))
