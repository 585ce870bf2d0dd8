"""report.html in a headless Chromium: drawn without a complaint, sorted by mouse and keyboard, safe from any name."""

from __future__ import annotations

import contextlib

import pytest

from medsegdist.report.page import write_report
from medsegdist.report.results import Results
from tests.report.browsing import browser as browser
from tests.report.browsing import column, undrawn, wait_until, with_width
from tests.report.making_run import write_gains_of_all, write_run

pytestmark = pytest.mark.browser

NAMES = {"near": "<script>alert(1)</script>", "far": "<a href='javascript:alert(2)'>x</a><img src=x onerror=alert(3)>"}


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory, compared_datasets):
    """The report of a run whose sources have names that want to be scripts, open and drawn."""
    table, record = compared_datasets
    folder = write_run(tmp_path_factory.mktemp("out"), table, record)
    write_gains_of_all(folder)
    for file in folder.iterdir():
        text = file.read_text()
        for plain, hostile in NAMES.items():
            text = (
                text.replace(f'"{plain}"', f'"{hostile}"')
                if file.suffix == ".json"
                else with_cells(text, plain, hostile)
            )
        file.write_text(text)
    browser.get(write_report(Results.load(folder), folder / "report.html").as_uri())
    wait_until(lambda: undrawn(browser) == 0)
    return browser


def with_cells(csv: str, plain: str, hostile: str) -> str:
    lines = [[hostile if cell == plain else cell for cell in line.split(",")] for line in csv.splitlines()]
    return "\n".join(map(",".join, lines)) + "\n"


def test_every_figure_is_drawn_and_nothing_complains(page):
    drawn = page.execute_script(
        "return [...document.querySelectorAll('.plot')].map(p => p.querySelectorAll('svg.main-svg path, image').length)"
    )
    assert len(drawn) == 2 * (3 + 3 + 1 + 1) + 3 + 1 + 3
    assert all(drawn)
    assert page.get_log("browser") == []


def test_hostile_names_are_text_and_no_script_of_theirs_runs(page):
    from selenium.common.exceptions import NoAlertPresentException

    with contextlib.suppress(NoAlertPresentException):
        raise AssertionError(page.switch_to.alert.text)
    assert NAMES["near"] in page.find_element("id", "answer").text
    assert page.execute_script("return document.images.length") == 0
    assert page.execute_script("return document.scripts.length") == 3
    assert page.execute_script("return [...document.querySelectorAll('svg a, main a[href^=java]')].length") == 0
    ticks = page.execute_script("return [...document.querySelectorAll('#figure-1 .ytick')].map(t => t.textContent)")
    assert any("<script>" in tick for tick in ticks)


def test_a_script_that_got_in_would_not_run(page):
    run = (
        "const script = document.createElement('script'); script.textContent = 'window.owned = true';"
        "document.body.append(script); script.remove(); return window.owned === undefined"
    )
    assert page.execute_script(run)
    complaints = page.get_log("browser")
    assert len(complaints) == 1
    assert "Content Security Policy" in complaints[0]["message"]


def test_tables_are_sorted_by_click_and_by_keyboard(page):
    from selenium.webdriver.common.keys import Keys

    table = page.find_element("css selector", "#ranking table.sortable")
    headings = table.find_elements("css selector", "thead th")
    sorts = lambda: [heading.get_attribute("aria-sort") for heading in headings]  # noqa: E731
    assert sorts() == ["none", "ascending", "none", "none", "none"]
    page.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", table)
    headings[2].find_element("tag name", "button").click()
    values = list(map(float, column(page, table, 2)))
    assert (sorts()[2], values) == ("ascending", sorted(values))
    headings[2].find_element("tag name", "button").send_keys(Keys.ENTER)
    assert (sorts(), list(map(float, column(page, table, 2)))) == (
        ["none", "none", "descending", "none", "none"],
        sorted(values, reverse=True),
    )
    button = headings[0].find_element("tag name", "button")
    button.send_keys(Keys.SPACE)
    assert (sorts()[0], column(page, table, 0)) == ("ascending", sorted(column(page, table, 0)))
    assert page.switch_to.active_element == button


@pytest.mark.parametrize(("scheme", "background"), [("dark", "rgb(18, 23, 28)"), ("light", "rgb(251, 251, 249)")])
def test_figures_follow_the_color_scheme(page, scheme, background):
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    assert page.execute_script("return getComputedStyle(document.body).backgroundColor") == background
    accent = page.execute_script(
        "return getComputedStyle(document.documentElement).getPropertyValue('--accent').trim()"
    )
    drawn = "const data = document.getElementById('figure-1').data; return data[data.length - 1].marker.color"
    wait_until(lambda: accent in page.execute_script(drawn))


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_no_wider_than_the_window(page, width):
    with_width(page, width)
    wait_until(lambda: page.execute_script("return document.documentElement.scrollWidth") <= width)


def test_printing_opens_and_draws_everything(page):
    assert page.execute_script("return document.querySelectorAll('details:not([open])').length") > 0
    page.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert page.execute_script("return document.querySelectorAll('details:not([open]), .plot[aria-busy]').length") == 0
    page.execute_script("dispatchEvent(new Event('afterprint'))")
    assert page.execute_script("return document.querySelectorAll('details:not([open])').length") > 0


WATCHED = """
window.drawn = [];
const away = place => {
  const box = place.getBoundingClientRect();
  return Math.max(box.top - innerHeight, -box.bottom, 0);
};
new MutationObserver(changes => {
  for (const {target} of changes) {
    const left = [...document.querySelectorAll('.plot[aria-busy]')].filter(p => !p.closest('details:not([open])'));
    drawn.push([target.id, away(target), Math.min(...left.map(away))]);
  }
}).observe(document, {attributeFilter: ['aria-busy'], subtree: true});
"""


@pytest.mark.parametrize("place", ["", "#matches"])
def test_what_is_on_the_screen_is_drawn_first(page, place):
    added = page.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCHED})
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    )
    url = page.current_url.split("#")[0]
    page.get("about:blank")
    page.get(url + place)
    wait_until(lambda: undrawn(page) == 0)
    page.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
    drawn = page.execute_script("return drawn")
    assert len(drawn) == len({one for one, _, _ in drawn}) > 10
    # Drawing moves what is below it by a few pixels at most: every figure has its height from the beginning.
    assert all(own <= others + 30 for _, own, others in drawn if others is not None)
    first = page.execute_script("return document.getElementById(arguments[0]).closest('section').id", drawn[0][0])
    assert first == (place[1:] or "ranking")


def test_the_answer_uses_the_width_of_the_page(page):
    boxes = "return [...document.querySelectorAll('.answer')[0].children].map(e => e.getBoundingClientRect().toJSON())"
    with_width(page, 1280)
    *words, facts = page.execute_script(boxes)
    assert facts["left"] >= max(box["right"] for box in words)
    with_width(page, 390)
    *words, facts = page.execute_script(boxes)
    assert facts["top"] >= max(box["bottom"] for box in words)


def test_labels_of_figures_lie_within_them_on_a_phone(page):
    with_width(page, 390)
    outside = """
    const outside = [];
    for (const place of document.querySelectorAll('.plot')) {
      if (place.closest('details:not([open])')) continue;
      const box = place.getBoundingClientRect();
      for (const text of place.querySelectorAll('text')) {
        const one = text.getBoundingClientRect();
        if (one.width && (one.left < box.left - 1 || one.right > box.right + 1)) outside.push(text.textContent);
      }
    }
    return outside;
    """
    wait_until(lambda: page.execute_script(outside) == [])


def test_characteristics_fit_the_window_of_a_desk(page):
    with_width(page, 1280)
    widths = "const box = document.querySelector('#characteristics .scroll'); return [box.scrollWidth, box.clientWidth]"
    needed, there = page.execute_script(widths)
    assert needed <= there
