"""Write results as JUnit's XML, in the part of it that Jenkins, GitLab and GitHub's actions share.

GitLab shows the text of a failure, Jenkins its message as well; Jenkins takes the class name up to
its last dot for a package, and GitLab takes two cases of one class and name for one.

Source:
    junit-10.xsd of Jenkins' xunit-plugin; GitLab's documentation of unit test reports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from depthbench.report.tables import plain_line

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

Outcome = Literal["passed", "failure", "error", "skipped"]
# It says UTF-8 as everybody does, and holds ASCII alone, which no locale can spoil.
_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'


@dataclass(frozen=True, slots=True)
class Case:
    """One test case. `group` is its test suite; `type` a word for how it ended; `text` why."""

    group: str
    name: str
    outcome: Outcome
    type: str
    text: str


def junit_xml(title: str, cases: Iterable[Case]) -> str:
    """Return test cases as XML; names that are there twice are numbered.

    Args:
        title: what was tested; the package of all cases.
        cases: in the order in which they are shown.
    """
    from xml.etree.ElementTree import Element, SubElement, indent, tostring

    package = plain_line(title).replace(".", "_")
    every = list(_numbered(cases))
    root = Element("testsuites", {"name": package} | _counts(every, is_root=True))
    for group in dict.fromkeys(case.group for case in every):
        members = [case for case in every if case.group == group]
        facts = {"name": plain_line(group)} | _counts(members) | {"time": "0"}
        suite = SubElement(root, "testsuite", facts)
        for case in members:
            _add_case(suite, f"{package}.{plain_line(group).replace('.', '_')}", case)
    indent(root)
    return _DECLARATION + tostring(root, encoding="us-ascii", xml_declaration=False).decode("ascii")


def _numbered(cases: Iterable[Case]) -> Iterator[Case]:
    seen: Counter[tuple[str, str]] = Counter()
    for case in cases:
        key = plain_line(case.group), plain_line(case.name)
        seen[key] += 1
        yield replace(case, name=f"{case.name} #{seen[key]}") if seen[key] > 1 else case


def _counts(cases: Sequence[Case], *, is_root: bool = False) -> dict[str, str]:
    counts = Counter(case.outcome for case in cases)
    found = {"tests": len(cases), "failures": counts["failure"], "errors": counts["error"]}
    if not is_root:
        found["skipped"] = counts["skipped"]
    return {name: str(num) for name, num in found.items()}


def _add_case(suite: Element, class_name: str, case: Case) -> None:
    from xml.etree.ElementTree import SubElement

    text = plain_line(case.text)
    attributes = {"classname": class_name, "name": plain_line(case.name), "time": "0"}
    element = SubElement(suite, "testcase", attributes)
    if case.outcome == "passed":
        SubElement(element, "system-out").text = f"{case.type}: {text}"
    else:
        facts = {"type": plain_line(case.type), "message": text}
        SubElement(element, case.outcome, facts).text = text
