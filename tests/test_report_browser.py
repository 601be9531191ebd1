"""The pages of a report and of a trend, in a real browser; skipped where there is none."""

import json
import shutil
from itertools import product

import pytest

from depthbench.report.render import render
from depthbench.report.summary import summarise
from depthbench.report.trend.alarms import trend
from depthbench.report.trend.render import render_trend
from tests.fixtures_history import write_nights
from tests.fixtures_results import claim, ladder_run, make_run, quickstart_run, trial_rows
from tests.test_panels import DEPTHS, WIDTHS, network

# A minute of browsers and pages.
pytestmark = pytest.mark.slow

HOSTILE = (
    "</script><img src=x onerror=\"document.title='run'\"><svg onload=\"document.title='run'\">"
)
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,900",
)
WAIT_SECONDS = 20
# A chart of several views is drawn again as soon as its size is known; then its place is let go.
IS_DRAWN = """
const live = arguments[0].querySelector(".live");
return live.querySelector("svg path") !== null && live.style.minHeight === "";
"""
# The text of a page whose contrast with what is behind it is less than 4.5, or 3 where it is large.
PALE_TEXT = """
const canvas = document.createElement("canvas");
canvas.width = canvas.height = 1;
const context = canvas.getContext("2d", { willReadFrequently: true });
const channels = (colour) => {
  context.clearRect(0, 0, 1, 1);
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  return Array.from(context.getImageData(0, 0, 1, 1).data);
};
const light = (colour) => {
  const [r, g, b] = channels(colour).map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (element) => {
  for (; element; element = element.parentElement) {
    const colour = getComputedStyle(element).backgroundColor;
    if (channels(colour)[3] === 255) return colour;
  }
  return "white";
};
const pale = [];
let count = 0;
for (const element of document.body.querySelectorAll("*")) {
  const own = Array.from(element.childNodes).some((n) => n.nodeType === 3 && n.data.trim());
  if (!own || !element.checkVisibility({ visibilityProperty: true })) continue;
  if (["SCRIPT", "STYLE"].includes(element.tagName)) continue;
  const style = getComputedStyle(element);
  const colour = element instanceof SVGElement ? style.fill : style.color;
  const [low, high] = [light(colour), light(ground(element))].sort((a, b) => a - b);
  const least = parseFloat(style.fontSize) >= 24 ? 3 : 4.5;
  count += 1;
  if ((high + 0.05) / (low + 0.05) < least) pale.push([element.textContent, colour]);
}
return { pale, count };
"""
# Of the charts of a page: those that scroll, texts beyond an edge of their place, and labels of
# axes and legends that touch one another.
MISPLACED = """
const found = { count: 0, scrolled: [], outside: [], left: [], touching: [] };
for (const drawing of document.querySelectorAll(".drawing")) {
  const title = drawing.getAttribute("aria-label").slice(0, 40);
  if (drawing.scrollWidth > drawing.clientWidth) found.scrolled.push(title);
  const place = drawing.getBoundingClientRect();
  const labels = [];
  for (const text of drawing.querySelectorAll(`${arguments[0]} text`)) {
    if (!text.textContent.trim() || !text.checkVisibility({ opacityProperty: true })) continue;
    const box = text.getBoundingClientRect();
    found.count += 1;
    if (box.left < place.left - 0.5) found.left.push([title, text.textContent]);
    if (box.left < place.left - 0.5 || box.right > place.right + 0.5) {
      found.outside.push([title, text.textContent]);
    }
    if (text.closest(".role-axis-label, .role-legend-label, .role-axis-title")) {
      labels.push([text.textContent, box]);
    }
  }
  labels.forEach(([name, a], index) => {
    for (const [other, b] of labels.slice(index + 1)) {
      const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (width > 1 && height > 4) found.touching.push([title, name, other]);
    }
  });
}
return found;
"""


def grid_run():
    """Return a run of grids of depth and width, with something to say in most panels."""
    grid = product(("deep", "parallel_shallow"), DEPTHS, WIDTHS)
    found = [network(*shape) for shape in [*grid, ("wide", 1, 128), ("hourglass", 8, 64)]]
    trials, times, curves = ([row for part in found for row in part[i]] for i in range(3))
    lost = trial_rows("hourglass", [None] * 3, statuses=["failed", "diverged", "unsupported"])
    return make_run([*trials, *(row | {"budgets": []} for row in lost)], times, curves=curves)


def options_run():
    """Return a run whose variants differ in options alone, so that their names are long."""
    trials = [
        row
        for place, norm in enumerate(("layer", "rms", "batch"))
        for scale in ("learned", "1/sqrt(L)")
        for lr in (0.001, 0.003, 0.01)
        for row in trial_rows(
            "parallel_shallow",
            [(0.1 + 0.02 * place + 3 * abs(lr - 0.003)) * factor for factor in (0.97, 1.0, 1.03)],
            lr=lr,
            is_selected=lr == 0.003,
            variant_id=f"{norm}-{scale}",
            forward_flops=1000 * (1 + place),
            norm=norm,
            residual_scale=scale,
        )
    ]
    return make_run(trials)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no chromium with its chromedriver here: apt-get install chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield found
    found.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Give the files of two reports, as people write them and hostile, and of a trend."""
    folder = tmp_path_factory.mktemp("pages")
    quickstart = summarise([quickstart_run(suite_hash="abc"), ladder_run()])
    losses = [0.1, 0.104, 0.097]
    trials = trial_rows(HOSTILE, losses, statuses=["ok", "ok", "failed"], test=False)
    trials += trial_rows("wide", losses, test=False) + trial_rows("deep", losses, test=False)
    trials[2]["error"] = HOSTILE
    facts = dict.fromkeys(("suite", "run", "question", "suite_hash"), HOSTILE)
    facts |= {"claims": [claim(source=HOSTILE)], "environment": {HOSTILE: HOSTILE}}
    found = {}
    for name, summary in (
        ("plain", quickstart),
        ("hostile", summarise([make_run(trials, **facts)])),
    ):
        found[name] = folder / f"{name}.html"
        found[name].write_text(render(summary, "html"), encoding="ascii")
    write_nights(folder, 9)
    write_nights(folder, 5, first=9, slower={(8, 32): 1.08, (2, 16): 0.9})
    for name, run in (("grid", grid_run()), ("options", options_run())):
        found[name] = folder / f"{name}.html"
        found[name].write_text(render(summarise([run]), "html"), encoding="ascii")
    found["trend"] = folder / "trend.html"
    found["trend"].write_text(render_trend(trend(folder), "html"), encoding="ascii")
    return found


@pytest.fixture
def opened(browser, pages):
    """Open a page as some device shows it, with all its charts drawn."""

    def opener(name="plain", *, width=1200, height=900, scheme="light", scripts=True):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not scripts})
        for log in ("browser", "performance"):
            browser.get_log(log)  # of the pages before
        browser.get(pages[name].as_uri())
        if scripts:
            draw_all(browser)
        return browser

    yield opener
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def draw_all(browser):
    from selenium.webdriver.support.ui import WebDriverWait

    for figure in browser.find_elements("css selector", "figure.chart"):
        browser.execute_script("arguments[0].scrollIntoView()", figure)
        WebDriverWait(browser, WAIT_SECONDS, poll_frequency=0.05).until(
            lambda _, figure=figure: browser.execute_script(IS_DRAWN, figure)
        )


def of_one_view(browser):
    """Return the charts that fill their place; those of several views scroll in it."""
    figures = browser.find_elements("css selector", "figure.chart")
    found = [
        figure
        for figure in figures
        if json.loads(figure.find_element("tag name", "script").get_attribute("textContent")).get(
            "width"
        )
        == "container"
    ]
    assert len(found) >= 2
    return found


def colours(browser):
    return browser.execute_script(
        "const mark = document.querySelector('.live .mark-symbol.role-mark path');"
        "return [getComputedStyle(document.body).backgroundColor, getComputedStyle(mark).stroke];"
    )


@pytest.mark.parametrize("name", ["plain", "hostile", "trend"])
def test_a_page_asks_for_nothing_and_complains_of_nothing(opened, pages, name):
    browser = opened(name)
    asked = [
        entry["message"]
        for entry in browser.get_log("performance")
        if '"Network.requestWillBeSent"' in entry["message"]
    ]
    addresses = [message for message in asked if pages[name].as_uri() not in message]
    assert asked and [m for m in addresses if '"url":"data:' not in m] == []
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []


def test_charts_are_drawn_and_fill_their_place(opened):
    browser = opened()
    for figure in of_one_view(browser):
        drawn = figure.find_element("css selector", ".live svg")
        assert (
            drawn.is_displayed() and not figure.find_element("class name", "static").is_displayed()
        )
        assert 0.8 * figure.size["width"] < drawn.size["width"] <= figure.size["width"]
    assert len(browser.find_elements("css selector", ".mark-symbol.role-mark path")) >= 4


def test_a_page_says_all_without_scripts(opened):
    browser = opened(scripts=False)
    for drawing in browser.find_elements("css selector", ".static svg"):
        assert drawing.size["width"] > 200 and drawing.size["height"] > 50
    assert not browser.find_element("id", "theme").is_displayed()
    assert "has the lowest test loss" in browser.find_element("class name", "answer").text


@pytest.mark.parametrize("name", ["plain", "hostile", "trend"])
@pytest.mark.parametrize("width", [320, 360, 768, 1200])
def test_nothing_is_wider_than_the_screen(opened, name, width):
    browser = opened(name, width=width, height=780)
    for details in browser.find_elements("css selector", "details"):
        browser.execute_script("arguments[0].open = true", details)
    widths = browser.execute_script(
        "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert widths[0] <= widths[1] <= width


@pytest.mark.parametrize("name", ["plain", "grid", "options", "hostile", "trend"])
@pytest.mark.parametrize("width", [360, 375, 560, 768, 1200])
def test_every_chart_is_seen_whole_without_scrolling(opened, name, width):
    found = opened(name, width=width, height=780).execute_script(MISPLACED, ".live")
    assert found["count"] >= 14
    assert found["scrolled"] == found["outside"] == found["touching"] == []


@pytest.mark.parametrize("name", ["plain", "grid", "options"])
def test_without_scripts_a_chart_on_a_phone_begins_with_the_names_of_its_lines(opened, name):
    browser = opened(name, width=375, height=780, scripts=False)
    found = browser.execute_script(MISPLACED, ".static")
    assert found["count"] >= 20
    assert found["left"] == []


@pytest.mark.parametrize("name", ["plain", "trend"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(opened, scheme, name):
    browser = opened(name, scheme=scheme)
    for details in browser.find_elements("css selector", "details"):
        browser.execute_script("arguments[0].open = true", details)
    found = browser.execute_script(PALE_TEXT)
    assert found["pale"] == []
    assert found["count"] > 100


def test_dark_is_the_readers_or_the_switchs_and_charts_follow(opened):
    light = colours(opened(scheme="light"))
    browser = opened(scheme="dark")
    dark = colours(browser)
    assert light[0] == "rgb(255, 255, 255)" and all(
        a != b for a, b in zip(light, dark, strict=True)
    )
    switch = browser.find_element("id", "theme")
    assert switch.text == "Light"
    switch.click()
    assert colours(browser) == light and switch.text == "Dark"
    switch.click()
    assert colours(browser) == dark


def test_every_small_chart_of_a_trend_is_there_on_a_phone(opened):
    browser = opened("trend", width=360, height=780)
    assert len(browser.find_elements("css selector", ".live .mark-line.role-mark path")) == 12


def test_pointing_at_a_night_tells_its_run_its_date_and_its_value(opened):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.support.ui import WebDriverWait

    browser = opened("trend")
    browser.execute_script("window.scrollTo(0, 0)")
    point = browser.find_element("css selector", ".live .mark-symbol.role-mark path")
    ActionChains(browser).move_to_element(point).perform()
    told = browser.find_element("id", "vg-tooltip-element")
    WebDriverWait(browser, WAIT_SECONDS, poll_frequency=0.05).until(lambda _: told.text)
    assert "night-000" in told.text and "2026-10-01" in told.text and "ms" in told.text


def test_the_keyboard_reaches_every_table_and_chart_in_the_order_of_the_page(opened):
    from selenium.webdriver.common.keys import Keys

    browser = opened()
    wanted = browser.execute_script(
        "return [...document.querySelectorAll('.scroll, .drawing, summary')]"
    )
    browser.execute_script("window.scrollTo(0, 0); document.activeElement.blur()")
    met = []
    for _ in range(len(wanted) + 20):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        here = browser.switch_to.active_element
        if here.tag_name == "body":
            break
        met.append(here)
        if here.tag_name == "summary":
            here.send_keys(Keys.ENTER)  # what it holds comes next
    assert met[0].get_attribute("class") == "skip"
    assert [element for element in met if element in wanted] == wanted
    assert browser.execute_script(
        "return [...document.querySelectorAll('details')].every((details) => details.open)"
    )


def test_what_has_the_focus_is_seen_and_the_skip_link_skips(opened):
    from selenium.webdriver.common.keys import Keys

    browser = opened()
    browser.execute_script("window.scrollTo(0, 0)")
    browser.find_element("tag name", "body").send_keys(Keys.TAB)
    link = browser.switch_to.active_element
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert browser.execute_script(outline) == "solid" and link.rect["y"] >= 0
    link.send_keys(Keys.ENTER)
    assert browser.execute_script("return document.activeElement.id") == "main"


def test_a_hostile_name_runs_nothing(opened):
    browser = opened("hostile")
    assert browser.title != "run" and HOSTILE in browser.title
    assert browser.find_elements("css selector", "main img") == []
    assert (
        browser.execute_script("return document.querySelectorAll('[onload], [onerror]').length")
        == 0
    )
    assert HOSTILE in browser.find_element("tag name", "h1").text


def test_a_printed_page_is_light_and_has_the_tables_and_still_charts(opened):
    browser = opened(scheme="dark")
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        shown = browser.execute_script(
            "return [getComputedStyle(document.body).backgroundColor,"
            " getComputedStyle(document.querySelector('.live')).display,"
            " getComputedStyle(document.querySelector('.static')).display,"
            " [...document.querySelectorAll('details')].every((details) => details.open)]"
        )
        assert shown == ["rgb(255, 255, 255)", "none", "block", True]
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    browser.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert not browser.find_elements("css selector", "details[open]")
