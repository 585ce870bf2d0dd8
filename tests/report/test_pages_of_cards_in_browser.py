"""report.html of a ranking by cards in a headless Chromium: its notice is seen first, and all of it is drawn."""

from __future__ import annotations

import pytest

from medsegdist.report.page import write_report
from medsegdist.report.results import Results
from medsegdist.report.verdict import approximate
from tests.report.browsing import browser as browser
from tests.report.browsing import undrawn, wait_until, with_width
from tests.report.making_card_run import CARDS, of_cards
from tests.report.making_run import write_run

pytestmark = pytest.mark.browser


def test_the_page_of_a_ranking_by_cards_is_drawn_and_begins_with_what_it_is(browser, tmp_path):
    folder = write_run(tmp_path / "cards", *of_cards())
    browser.get(write_report(Results.load(folder), folder / "report.html").as_uri())
    wait_until(lambda: undrawn(browser) == 0)
    notice = browser.find_element("css selector", ".notice")
    assert (notice.text, notice.is_displayed()) == (approximate(CARDS), True)
    drawn = browser.execute_script(
        "return [...document.querySelectorAll('.plot')].map(p => p.querySelectorAll('svg.main-svg path, image').length)"
    )
    assert len(drawn) == 3 * 3 + 3 + 1
    assert all(drawn)
    assert browser.get_log("browser") == []
    for width in (1280, 390):
        with_width(browser, width)
        wait_until(lambda width=width: browser.execute_script("return document.documentElement.scrollWidth") <= width)
