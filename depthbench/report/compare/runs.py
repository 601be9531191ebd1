"""Compare two runs: did anything get slower, worse, or stop working? Plain values; no printing.

Trials are joined by trial_id and cells by cell_id, so what two runs have in common is compared
whatever their suites. `docs/compare.md` says how a change is called.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthbench import environment
from depthbench.calibration import NoiseFloor, calibration_path, effort_of, load_floors
from depthbench.errors import ResultError
from depthbench.folder import RUN_NAME
from depthbench.record import METRICS, SPLITS
from depthbench.report.compare.answer import answer_of, balances_of
from depthbench.report.compare.changes import DATA_DIGEST, Compared, Difference, RunComparison
from depthbench.report.compare.judge import Findings, judge
from depthbench.report.compare.names import variant_names
from depthbench.report.compare.notes import notes_of
from depthbench.report.compare.quality import compare_quality, trials_of
from depthbench.report.compare.times import METRIC as TIME_METRIC
from depthbench.report.compare.times import compare_times
from depthbench.report.gate import ALPHA, MARGIN
from depthbench.report.rows import Row
from depthbench.units import format_fraction

if TYPE_CHECKING:
    from depthbench.store import Run

# By these names times can be asked for; the second is the column that holds a cell's median.
TIME_METRICS = (TIME_METRIC, "median_seconds")
QUALITY_METRICS = tuple(f"{split}_{metric}" for metric in METRICS for split in SPLITS)
KEYS = (*environment.COMPARABLE_KEYS, DATA_DIGEST)


@dataclass(frozen=True)
class CompareOptions:
    """What a comparison is asked for, checked.

    `metrics` are `quiet_seconds`, the times, for which `median_seconds` stands as well, and columns
    of trials; none: times and the loss that ranks. `confidence` is 1 less the q value below which a
    change is called. `out` is the results folder, where calibrations lie.

    Raises:
        ResultError: no such metric, key to allow, threshold or confidence.
    """

    metrics: tuple[str, ...] = ()
    threshold: float = MARGIN
    confidence: float = 1 - ALPHA
    allowed: tuple[str, ...] = ()
    out: Path = Path("results")

    def __post_init__(self) -> None:
        _check_known("--metric", self.metrics, (*TIME_METRICS, *QUALITY_METRICS))
        _check_known("--allow", self.allowed, KEYS)
        if not 0 < self.confidence < 1:
            raise ResultError(
                f"--confidence {self.confidence:g}: must lie between 0 and 1, such as 0.96"
            )
        if not 0 <= self.threshold < 1:
            raise ResultError(
                f"--threshold {self.threshold:g}: a fraction of the baseline, at least 0 and below "
                "1, such as 0.05"
            )

    @property
    def alpha(self) -> float:
        """Return the q value below which a change is called."""
        return round(1 - self.confidence, 12)

    @property
    def has_times(self) -> bool:
        """Say whether times are compared."""
        return not self.metrics or not set(TIME_METRICS).isdisjoint(self.metrics)

    @property
    def has_quality(self) -> bool:
        """Say whether metrics of trials are compared."""
        return not self.metrics or bool(self.quality_metrics)

    @property
    def quality_metrics(self) -> tuple[str, ...]:
        """Return the columns of trials that are asked for."""
        return tuple(name for name in self.metrics if name not in TIME_METRICS)


def _check_known(option: str, given: Sequence[str], allowed: Sequence[str]) -> None:
    for name in given:
        if name not in allowed:
            near = difflib.get_close_matches(name, allowed, n=1, cutoff=0.6)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ResultError(f"{option} {name!r}: allowed are {', '.join(allowed)}{hint}")


def compare_runs(
    baseline: Run, candidate: Run, options: CompareOptions | None = None
) -> RunComparison:
    """Return what has changed from one run to another, and how surely.

    Raises:
        ResultError: a run holds one trial or cell twice, or a calibration cannot be read.
    """
    options = options or CompareOptions()
    for run in (baseline, candidate):
        _check_ids(run)
    differences = list(_environment_differences(baseline, candidate, options))
    is_refused = any(not found.is_allowed for found in differences)
    found, floors = Findings(), ""
    if not is_refused:
        data = _data_differences(baseline, candidate, options)
        differences += dict.fromkeys(data.values())
        excluded = {key for key, difference in data.items() if not difference.is_allowed}
        found, floors = _findings(baseline, candidate, options, excluded)
    changes = judge(found.changes, options.alpha)
    comparison = RunComparison(
        baseline=_compared(baseline),
        candidate=_compared(candidate),
        answer="",
        is_refused=is_refused,
        differences=tuple(differences),
        endings=tuple(found.endings),
        changes=tuple(changes),
        balances=tuple(balances_of(changes)),
        alone=tuple(found.alone),
        notes=(),
        floors=floors,
        alpha=options.alpha,
        threshold_fraction=options.threshold,
    )
    notes = tuple(notes_of(baseline, candidate, comparison))
    return replace(comparison, answer=answer_of(comparison), notes=notes)


def _check_ids(run: Run) -> None:
    """Refuse tables in which an id stands for nothing, or for two rows.

    Raises:
        ResultError: names the first such row.
    """
    for table, key in (("trials", "trial_id"), ("timings", "cell_id")):
        ids = getattr(run, table)[key]
        path = run.folder / f"{table}.parquet"
        again = "Bring it back from a copy, or make the run again: depthbench run SUITE --run NAME"
        if ids.isna().any():
            raise ResultError(f"{path}: a row has no {key}. {again}")
        if ids.duplicated().any():
            raise ResultError(f"{path}: {key} {ids[ids.duplicated()].iloc[0]} is twice. {again}")


def _environment_differences(
    baseline: Run, candidate: Run, options: CompareOptions
) -> Iterator[Difference]:
    before, after = (facts_of(run) for run in (baseline, candidate))
    for key, (old, new) in environment.differences(before, after).items():
        yield Difference(key, old, new, key in options.allowed)


def facts_of(run: Run) -> Mapping[str, Any]:
    """Return the environment of a run; empty where its run.json does not tell."""
    facts = run.run.get("environment")
    return facts if isinstance(facts, Mapping) else {}


def _data_differences(
    baseline: Run, candidate: Run, options: CompareOptions
) -> dict[str, Difference]:
    """Return, by trial_id, trials that both runs have on data that are not the same."""
    if not options.has_quality:
        return {}
    before, after = trials_of(baseline), trials_of(candidate)
    is_allowed = DATA_DIGEST in options.allowed
    return {
        identity: Difference(
            DATA_DIGEST, _data_text(before[identity]), _data_text(after[identity]), is_allowed
        )
        for identity in before
        if identity in after and _is_other_data(before[identity], after[identity])
    }


def _is_other_data(before: Row, after: Row) -> bool:
    digests = before["data_digest"], after["data_digest"]
    return None not in digests and digests[0] != digests[1]


def _data_text(row: Row) -> str:
    return f"{row['dataset']} {str(row['data_digest'])[:12]}"


def _findings(
    baseline: Run, candidate: Run, options: CompareOptions, excluded: Collection[str]
) -> tuple[Findings, str]:
    """Return what times and quality say, and which noise floors held."""
    names = variant_names([candidate.trials, baseline.trials, candidate.timings, baseline.timings])
    found, floors_text = Findings(), ""
    if options.has_times:
        floors, floors_text = _floors(candidate, options.out)
        found.add(compare_times(baseline, candidate, names, floors, options.threshold))
    if options.has_quality:
        found.add(
            compare_quality(
                baseline,
                candidate,
                names,
                metrics=options.quality_metrics,
                threshold=options.threshold,
                excluded=excluded,
            )
        )
    return found, floors_text


def _floors(candidate: Run, out: Path) -> tuple[dict[str, NoiseFloor], str]:
    """Return the noise floors of a candidate's suite and environment, and a sentence on them."""
    suite = suite_of(candidate)
    if not RUN_NAME.fullmatch(suite):
        return {}, "No noise floors: the suite's name is no folder's."
    canonical = candidate.run.get("suite_canonical")
    effort = effort_of(canonical if isinstance(canonical, Mapping) else {})
    floors, why_not = load_floors(out, suite, facts_of(candidate), effort)
    if why_not is not None or not floors:
        return {}, f"No noise floors: {why_not or f'{suite} has none'}."
    low, high = (format_fraction(end(f.fraction for f in floors.values())) for end in (min, max))
    return floors, f"Noise floors of {low} to {high}: {calibration_path(out, suite)}."


def suite_of(run: Run) -> str:
    """Return the name of a run's suite."""
    return str(run.run.get("suite") or run.folder.parent.name)


def _compared(run: Run) -> Compared:
    created = run.run.get("created_at")
    return Compared(
        suite=suite_of(run),
        run=str(run.run.get("run") or run.folder.name),
        folder=str(run.folder),
        status=str(run.run.get("status") or "unknown"),
        created_at=None if created is None else str(created),
    )
