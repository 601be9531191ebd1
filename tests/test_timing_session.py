"""The session: rounds over all cells, several processes, each cell until it is enough."""

import itertools
import random
from dataclasses import replace

import pytest

from depthbench.grammar import TaskSettings, TrainSettings
from depthbench.record import column_names
from depthbench.spec import Problem, Variant
from depthbench.timing.canary import canary_columns, canary_flags
from depthbench.timing.cells import Cell
from depthbench.timing.measured import Ended, Ready, Sample
from depthbench.timing.session import Session
from depthbench.timing.stopping import Limits
from depthbench.timing.warmup import Warmed
from depthbench.timing.worker import WorkerDiedError

NAMES = ("a", "b", "c")


def cell_named(name, mode="eager"):
    settings = (Problem((1, 4, 4), (10,)), "digits", TaskSettings(name="classify"))
    train = TrainSettings(steps=1)
    return Cell(name, Variant("deep", "mlp", 1, 8), *settings, train, "inference", 2, mode=mode)


class Machine:
    """Benches whose cells take the time that is said, and which die when they are told to."""

    def __init__(self, seconds, *, noise=0.0, deaths=(), endings=None, full_at=99):
        self.seconds = seconds
        self.noise = random.Random(1)
        self.noise_fraction = noise
        self.deaths = set(deaths)  # (method, cell) that kills the process, once
        self.endings = endings or {}
        self.full_at = full_at
        self.calls = []
        self.clock_seconds = 0.0
        self.num_started = self.num_closed = 0

    def start(self, count):
        benches = [FakeBench(self, next_number) for next_number in self.numbers(count)]
        self.num_started += count
        return benches

    def numbers(self, count):
        return range(self.num_started, self.num_started + count)


class FakeBench:
    def __init__(self, machine, number):
        self.machine, self.number = machine, number
        self.cells = {}
        self.is_dead = False

    def heard(self, method, name=""):
        if self.is_dead:
            raise WorkerDiedError("dead already")
        self.machine.calls.append((method, self.number, name))
        if (method, name) in self.machine.deaths:
            self.machine.deaths.remove((method, name))
            self.is_dead = True
            raise WorkerDiedError("killed by signal 9")

    def prepare(self, cell, cell_budget_seconds):
        self.heard("prepare", cell.cell_id)
        if cell.cell_id in self.machine.endings:
            return self.machine.endings[cell.cell_id]
        self.cells[cell.cell_id] = cell
        first = 2.0 if cell.mode == "compile" else 0.01
        warmed = Warmed(first, self.machine.seconds[cell.cell_id], 10, 7, True, 1e-9)
        return Ready(warmed, 1, None, cell.mode == "compile")

    def sample(self, cell_id, num_calls):
        self.heard("sample", cell_id)
        assert cell_id in self.cells, "sampled where it was not prepared"
        noise = self.machine.noise.gauss(0, self.machine.noise_fraction)
        seconds = self.machine.seconds[cell_id] * (1 + noise)
        self.machine.clock_seconds += seconds * num_calls
        return Sample(seconds, seconds, ())

    def canary(self):
        self.heard("canary")
        return 0.001

    def passes(self, cell_id, median_seconds):
        self.heard("passes", cell_id)
        return {"saved_activation_bytes": 64}

    def used_fraction(self):
        return len(self.cells) / self.machine.full_at

    def drop(self, cell_id):
        self.heard("drop", cell_id)
        self.cells.pop(cell_id, None)

    def close(self):
        self.machine.num_closed += 1


def timed(machine, cells=None, **settings):
    rows = {}
    limits = Limits(settings.pop("precision", 0.01), settings.pop("budget", 100.0))

    def keep(cell, columns):
        assert cell.cell_id not in rows, "a cell ended twice"
        rows[cell.cell_id] = columns

    cells = cells or [cell_named(name) for name in machine.seconds]
    Session(machine.start, limits, keep, now=lambda: machine.clock_seconds, **settings).run(cells)
    assert machine.num_closed == machine.num_started
    return rows


def same(seconds=0.01):
    return dict.fromkeys(NAMES, seconds)


def test_each_cell_is_sampled_once_a_round_and_alike_in_three_processes():
    machine = Machine(same())
    rows = timed(machine)
    for row in rows.values():
        assert row["status"] == "ok"
        assert row["samples_round"] == list(range(row["num_samples"]))
        assert row["samples_process"] == [number % 3 for number in row["samples_round"]]
        assert row["num_samples"] % 3 == 0
        assert row["num_processes"] == 3
        assert row["num_warmup_calls"] == 21
    assert {row["stop_reason"] for row in rows.values()} == {"precision"}


def test_the_order_of_the_cells_changes_from_round_to_round_after_a_canary():
    machine = Machine(same(), noise=0.05)
    timed(machine)
    rounds, current = [], []
    for method, _, name in machine.calls:
        if method == "canary":
            current = []
            rounds.append(current)
        elif method == "sample":
            current.append(name)
    full = [tuple(names) for names in rounds if len(names) == 3]
    assert len(full) >= 9
    assert len(set(full)) > 2


def test_a_cell_ends_by_itself_and_noisy_ones_go_on():
    machine = Machine({"a": 0.01, "b": 0.01})
    quiet = timed(machine)["a"]["num_samples"]
    rows = timed(Machine({"a": 0.01, "b": 0.01}, noise=0.05), precision=0.01)
    assert rows["a"]["num_samples"] > quiet
    assert timed(Machine(same(), noise=0.3), budget=3.0)["a"]["stop_reason"] == "time_budget"


def test_the_rows_have_only_columns_of_the_table():
    (row,) = timed(Machine({"a": 0.01})).values()
    assert set(row) <= set(column_names("timings"))
    assert row["canary_median_seconds"] == 0.001
    assert row["saved_activation_bytes"] == 64


def test_what_a_device_cannot_do_is_a_row_and_is_tried_in_one_process_only():
    machine = Machine(same(), endings={"b": Ended("unsupported", "no tf32 on a CPU")})
    rows = timed(machine)
    assert rows["b"] == {"status": "unsupported", "error": "no tf32 on a CPU"}
    assert rows["a"]["status"] == rows["c"]["status"] == "ok"
    assert [call for call in machine.calls if call[0] == "prepare" and call[2] == "b"] == [
        ("prepare", 0, "b")
    ]


@pytest.mark.parametrize("method", ["prepare", "sample"])
def test_a_process_that_dies_costs_the_cell_it_was_at_and_no_other(method):
    machine = Machine(same(), deaths=[(method, "b")])
    rows = timed(machine)
    assert rows["b"]["status"] == "failed"
    assert "signal 9" in rows["b"]["error"]
    for name in ("a", "c"):
        assert rows[name]["status"] == "ok"
        assert rows[name]["num_samples"] >= 9
        assert rows[name]["num_processes"] == 3
    assert machine.num_started == 4


def test_a_process_that_dies_in_the_memory_pass_leaves_the_times():
    rows = timed(Machine(same(), deaths=[("passes", "b")]))
    assert rows["b"]["status"] == "ok"
    assert rows["b"]["median_seconds"] == 0.01
    assert "killed by signal 9" in rows["b"]["error"]
    assert rows["a"]["status"] == rows["c"]["status"] == "ok"


def test_cells_that_do_not_fit_together_are_measured_in_groups():
    machine = Machine(dict.fromkeys("abcde", 0.01), full_at=3)
    rows = timed(machine)
    assert set(rows) == set("abcde")
    assert all(row["status"] == "ok" for row in rows.values())
    assert machine.num_started == 9


def test_cells_of_two_groups_are_not_paired_since_their_rounds_were_at_other_times():
    machine = Machine(dict.fromkeys("abcd", 0.01), full_at=3)
    rows = timed(machine, references=dict.fromkeys("abcd", "a"))
    assert rows["b"]["ratio_to_reference"] == pytest.approx(1.0)
    assert {rows[name]["ratio_to_reference"] for name in "cd"} == {None}


def test_a_cell_out_of_memory_gets_a_group_of_its_own_before_it_is_given_up():
    machine = Machine(same(), endings={"b": Ended("oom", "no room")})
    rows = timed(machine)
    assert rows["b"] == {"status": "oom", "error": "no room"}
    assert [call[1] for call in machine.calls if call[0] == "prepare" and call[2] == "b"] == [0, 3]
    assert rows["a"]["status"] == rows["c"]["status"] == "ok"


def test_ratios_pair_the_samples_of_a_round():
    class Drifting(FakeBench):
        rounds = itertools.count(1)

        def canary(self):
            self.machine.drift = 1 + 0.1 * next(self.rounds)
            return super().canary()

        def sample(self, cell_id, num_calls):
            found = super().sample(cell_id, num_calls)
            seconds = found.device_seconds * self.machine.drift
            return replace(found, device_seconds=seconds)

    machine = Machine({"a": 0.01, "b": 0.03})
    machine.start = lambda count: [Drifting(machine, n) for n in range(count)]
    rows = {}
    session = Session(
        machine.start,
        Limits(0.01, 3.0),
        lambda cell, row: rows.update({cell.cell_id: row}),
        references={"a": "a", "b": "a"},
        now=lambda: machine.clock_seconds,
    )
    session.run([cell_named("a"), cell_named("b")])
    row = rows["b"]
    assert row["reference_cell_id"] == "a"
    assert row["ratio_to_reference"] == pytest.approx(3.0)
    assert row["ratio_ci_high"] - row["ratio_ci_low"] < 1e-9
    assert row["ci_high_seconds"] / row["ci_low_seconds"] > 1.1
    assert rows["a"]["ratio_to_reference"] == pytest.approx(1.0)


def test_compiling_pays_after_as_many_calls_as_its_seconds_over_the_gain():
    machine = Machine({"a": 0.010, "b": 0.005})
    cells = [cell_named("a"), cell_named("b", mode="compile")]
    rows = timed(machine, cells, eager={"b": "a"})
    assert rows["b"]["compile_seconds"] == pytest.approx(2.0 - 0.005)
    assert rows["b"]["break_even_calls"] == pytest.approx((2.0 - 0.005) / 0.005)
    assert rows["a"]["compile_seconds"] is None
    slower = Machine({"a": 0.010, "b": 0.020})
    assert timed(slower, cells, eager={"b": "a"})["b"]["break_even_calls"] is None


def test_the_canary_is_flagged_when_the_machine_moves_not_when_rounds_are_disturbed():
    quiet = [1.0, 1.02, 0.99, 1.01] * 10
    assert canary_flags(quiet) == []
    assert canary_flags([s * (3 if i % 7 == 0 else 1) for i, s in enumerate(quiet)]) == []
    assert canary_flags(quiet[:20] + [1.15 * s for s in quiet[:20]]) == ["canary_moved"]
    assert canary_flags([1.0, 5.0]) == []  # too few to say
    assert canary_columns(quiet)["canary_median_seconds"] == pytest.approx(1.0, rel=0.02)
