"""The plain, frozen values that a report is made of; `asdict` of any of them is ready for JSON."""

from __future__ import annotations

from dataclasses import dataclass

from depthbench.report.comparison import Comparison
from depthbench.report.rows import Row
from depthbench.report.statistics import Estimate
from depthbench.report.tables import Heading
from depthbench.report.verdicts import Judgement


@dataclass(frozen=True, slots=True)
class Budget:
    """What is held equal in a group of variants."""

    match: str
    target: float
    tolerance: float


@dataclass(frozen=True, slots=True)
class Timing:
    """One timed cell of a variant; times are None where its status is not ok.

    `process_seconds` are the quiet times of its processes, as `processes.process_times` has them;
    these and memory are left out of a run with more than 100,000 cells.
    """

    label: str
    phase: str
    batch_size: int
    precision: str
    mode: str
    num_threads: int | None
    cache: str | None
    status: str
    error: str | None
    median_seconds: float | None
    ci_low_seconds: float | None
    ci_high_seconds: float | None
    num_samples: int | None
    flags: tuple[str, ...]
    process_seconds: tuple[float, ...] = ()
    peak_memory_bytes: int | None = None
    saved_activation_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class VariantRow:
    """What was found of one variant in one group, at its best learning rate.

    `extra` holds the settings that tell it from others of the same family, depth and width.
    `rank` is None where `not_ranked_because` says why; `interquartile_means` are of the same
    metrics as `metrics`, which are means.
    """

    variant_id: str
    name: str
    extra: str
    family: str
    backbone: str
    depth: int
    width: int
    total_params: int | None
    trainable_params: int | None
    body_params: int | None
    forward_flops: int | None
    budget_error_fraction: float | None
    is_on_budget: bool | None
    lr: float | None
    num_lrs: int
    num_seeds: int
    num_trials: int
    num_diverged: int
    num_failed: int
    rank: int | None
    not_ranked_because: str
    metrics: dict[str, Estimate]
    interquartile_means: dict[str, Estimate]
    against_best: Comparison | None
    timings: tuple[Timing, ...]

    @property
    def full_name(self) -> str:
        """Return the name that tells this variant from all others: wide (L 1, d 96)."""
        extra = f", {self.extra}" if self.extra else ""
        return f"{self.family} (L {self.depth}, d {self.width}{extra})"


@dataclass(frozen=True, slots=True)
class Group:
    """Variants that are compared: one budget, one data set, one task.

    `training` holds the settings that tell this group from others; `metric` is the column that
    ranks, None where nothing has a value; `answer` is the group's result in one sentence, with what
    better numbers it leaves out.
    """

    budget: Budget | None
    dataset: str
    task: str
    training: str
    metric: str | None
    confidence: float
    num_comparisons: int
    answer: str
    notes: tuple[str, ...]
    rows: tuple[VariantRow, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """Trials or timings that did not end well, for one reason."""

    what: str
    status: str
    num: int
    reason: str


@dataclass(frozen=True, slots=True)
class DepthCost:
    """The time of a network over that of one a quarter as deep and twice as wide.

    Both have nearly the same number of weights in their bodies, since those grow as L d^2.
    """

    depth: int
    width: int
    against_depth: int
    against_width: int
    ratio: Estimate


@dataclass(frozen=True, slots=True)
class LayerCost:
    """What a layer costs at one width, timed in one way.

    `fixed` and `per_layer` are a and tau in seconds. Where `is_linear` is False a point lies more
    than 10% off the line, and tau is a mean slope. `launch_bound_fraction`, 1 - graphed/eager in
    wall time, and `achieved_flops_per_second` are those of the deepest network; null: not timed.
    """

    name: str
    where: Row
    width: int
    depths: tuple[int, ...]
    fixed: Estimate
    per_layer: Estimate
    largest_residual_fraction: float
    is_linear: bool
    constant_weights: DepthCost | None
    launch_bound_fraction: Estimate | None
    achieved_flops_per_second: float | None


@dataclass(frozen=True, slots=True)
class WidthLaw:
    """A power law of what a layer costs in the width: tau = coefficient d^exponent.

    Both are None where a width lies more than 10% off it, or a layer has no cost to speak of; then
    the residual is None too.
    """

    name: str
    widths: tuple[int, ...]
    coefficient: float | None
    exponent: float | None
    largest_residual_fraction: float | None


@dataclass(frozen=True, slots=True)
class DepthTax:
    """All that a run's times say of the cost of depth; empty where too few depths were timed.

    Of very many cells `num_ways_left_out` ways of timing are not fitted.
    """

    layers: tuple[LayerCost, ...]
    width_laws: tuple[WidthLaw, ...]
    num_ways_left_out: int = 0


@dataclass(frozen=True, slots=True)
class Panel:
    """One analysis of a run: said in a sentence, shown as a table, drawn as a chart.

    `rows` are exact values by the key of their heading, for machines and charts; they may hold
    keys that no heading shows, and numbers of them are never rounded. `texts` are the same rows as
    people read them, a cell a heading. `finding` is the result in a sentence, empty where the table
    speaks for itself; `num_names` of the headings say what a row is about. `group` is the place in
    `RunReport.groups` of what the panel is about; None: of the whole run. Of long tables people are
    shown `num_shown` rows at most, where it is given; 0 leaves the table to charts and machines.
    `is_of_group_table`: its numbers are those of its group's table, which texts show anyway.
    """

    kind: str
    title: str
    finding: str
    headings: tuple[Heading, ...]
    rows: tuple[Row, ...]
    texts: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    num_names: int = 1
    group: int | None = None
    num_shown: int | None = None
    is_of_group_table: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """What another needs to know to compare results, or to cite them; None: not recorded.

    `environment` is what `environment.collect` found where the run began.
    """

    suite_hash: str | None
    depthbench: str | None
    finished_at: str | None
    environment: Row


@dataclass(frozen=True, slots=True)
class RunReport:
    """All that one run's results say."""

    suite: str
    run: str
    folder: str
    question: str | None
    status: str
    is_complete: bool
    created_at: str | None
    device: str | None
    num_trials: int
    num_finished: int
    groups: tuple[Group, ...]
    claims: tuple[Judgement, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    depth_tax: DepthTax
    panels: tuple[Panel, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Summary:
    """What `depthbench report` has to say of one or more runs."""

    runs: tuple[RunReport, ...]
