"""Print judgements for continuous integration: JUnit's XML, and a step summary of GitHub."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from depthbench.report.github import Folded, step_summary
from depthbench.report.junit import Case, Outcome, junit_xml
from depthbench.report.render_terminal import claim_text
from depthbench.report.rows import join
from depthbench.report.tables import Heading, markdown, markdown_table
from depthbench.report.verdicts import Judgement, Verdict
from depthbench.units import counted

_OUTCOMES: dict[Verdict, Outcome] = {
    "holds": "passed",
    "refuted": "failure",
    "undecided": "skipped",
}
_ORDER: dict[Verdict, str] = {"refuted": "refuted", "undecided": "undecided", "holds": "holding"}
_HEADINGS = tuple(Heading(name, name) for name in ("verdict", "claim", "measured"))
_ALL_HEADINGS = tuple(Heading(name, name) for name in ("claim", "run", "states", "why", "source"))


def judgements_junit(judgements: Sequence[Judgement]) -> str:
    """Return judgements as JUnit's XML: refuted has failed, undecided is skipped."""
    return junit_xml("claims", judgement_cases(judgements))


def judgement_cases(judgements: Sequence[Judgement]) -> Iterator[Case]:
    """Yield a case a claim: refuted has failed, undecided is skipped."""
    for found in judgements:
        text = "; ".join(part for part in (found.text, claim_text(found), found.reason) if part)
        group = found.suite
        yield Case(group, found.id, _OUTCOMES[found.verdict], found.verdict, text)


def judgements_summary(judgements: Sequence[Judgement]) -> str:
    """Return judgements as a step summary, the refuted first."""
    order = sorted(judgements, key=lambda found: [*_ORDER].index(found.verdict))
    num_by = Counter(found.verdict for found in judgements)
    said = join([f"{num_by[name]:,} {word}" for name, word in _ORDER.items() if num_by[name]])
    if not judgements:
        return step_summary(["**Nothing to judge: the suite has no claims.**"])
    short = [(found.verdict, found.id, claim_text(found)) for found in order]
    whole = [
        (found.id, f"{found.suite} / {found.run}", found.text, found.reason, found.source or "-")
        for found in order
    ]
    answer = markdown(f"Of {counted(len(order), 'claim')}: {said}.")
    folded = Folded("What each claim states", _ALL_HEADINGS, whole)
    return step_summary(["## Claims", f"**{answer}**", markdown_table(_HEADINGS, short)], [folded])
