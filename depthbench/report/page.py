"""Make pages that stand alone: one file, nothing fetched, nothing run but what is in it.

A page's policy (CSP) names the scripts in it by their digests and allows no request, so that text
which came from a file could neither run nor load anything, even if it were not escaped. Pages are
plain ASCII, whatever encoding their reader assumes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Any

from depthbench.report.charts import vega_lite_version
from depthbench.report.tables import plain_line
from depthbench.report.theme import DARK, LIGHT, css_variables, family_place

if TYPE_CHECKING:
    from jinja2 import Environment

_POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
# A number's interval, or its error, is read after the number.
_NUMBER = re.compile(r"(?P<number>.+?)(?P<rest> (?:\[|±).*)?")


def render_page(template: str, *, has_charts: bool, **facts: Any) -> str:
    """Return a page made of a template of this package.

    Args:
        template: its name; it extends page.html.j2.
        has_charts: whether what draws charts must be in it, which is about a megabyte.
        facts: what the template shows. Text is escaped, and tamed as for a terminal.
    """
    from markupsafe import Markup

    environment = _environment()
    scripts = [_ascii_script(_source(environment, "page.js"))]
    if has_charts:
        scripts.insert(0, _ascii_script(_drawing_script()))
    page = environment.get_template(template).render(
        policy=_POLICY.format(scripts=" ".join(map(_digest, scripts))),
        scripts=[Markup(script) for script in scripts],  # ours, and made harmless
        light=css_variables(LIGHT),
        dark=css_variables(DARK),
        **facts,
    )
    return page.encode("ascii", "xmlcharrefreplace").decode("ascii")


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("depthbench.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_tamed,
    )
    environment.filters |= {"halves": halves, "family_place": family_place}
    return environment


def _tamed(value: Any) -> Any:
    """Return text as one plain line, but what is HTML already as it is."""
    return plain_line(value) if type(value) is str else value


def halves(text: str) -> tuple[str, str]:
    """Return a number as people read it in two: 0.105 and [0.092, 0.121]."""
    found = _NUMBER.fullmatch(text)
    return (found["number"], (found["rest"] or "").strip()) if found else (text, "")


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _drawing_script() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script."""
    import vl_convert

    version = vega_lite_version()
    return vl_convert.javascript_bundle(vl_version=version)  # type: ignore[call-arg]


def _ascii_script(script: str) -> str:
    """Return a script that means the same, and that HTML neither ends nor reads otherwise."""
    script = script.replace("\r\n", "\n").replace("\r", "\n")
    # Within strings and patterns, where alone these can stand, \x3c is the same character.
    script = re.sub(r"<(?=!--|/?script)", r"\\x3c", script, flags=re.IGNORECASE)
    units = re.sub(r"[^\x00-\x7f]", _code_units, script)
    return units.replace("\x00", "\\0")


def _code_units(found: re.Match[str]) -> str:
    encoded = found.group().encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{encoded[i : i + 2].hex()}" for i in range(0, len(encoded), 2))


def _digest(script: str) -> str:
    digest = hashlib.sha256(script.encode("ascii")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
