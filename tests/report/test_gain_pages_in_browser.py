"""Pages of transfer, agreement, matched samples and cards in a headless Chromium, some with names that are scripts."""

from __future__ import annotations

import contextlib

import pytest

from medsegdist.report.page import write_report
from medsegdist.report.results import Results
from medsegdist.report.thumbnails import draw_thumbnails
from medsegdist.report.verdict import approximate
from tests.report.browsing import browser as browser
from tests.report.browsing import column, undrawn, wait_until, with_width
from tests.report.making_card_run import CARDS, of_cards
from tests.report.making_run import samples_of, write_agreement, write_run, write_transfer
from tests.report.test_gain_pages import DISTANCES, GAINS
from tests.report.test_thumbnails import PAIRS

pytestmark = pytest.mark.browser

HOSTILE = "<script>alert(1)</script>"


def pictures(folder, compared_datasets):
    table, record = compared_datasets
    matches = {(row.source, row.target, row.method): PAIRS for row in table.rows}
    drawn = draw_thumbnails(table, ["target"], matches, {one.name: one for one in samples_of()})
    write_run(folder, table, record)
    drawn.model_copy(
        update={"matched": tuple(one.model_copy(update={"source": HOSTILE}) for one in drawn.matched)}
    ).save(folder / "thumbnails.json")
    return folder


@pytest.fixture(scope="module")
def pages(tmp_path_factory, compared_datasets):
    """The pages by name, with the numbers of figures, of sortable tables and of pictures on each."""
    root = tmp_path_factory.mktemp("pages")
    hostile = (text.replace("s5", HOSTILE) for text in (DISTANCES, GAINS + "s5,t,0,9,ok\n"))
    folders = {
        "transfer": (write_transfer(root / "transfer", source=HOSTILE), 2, 2, 0),
        "agreement": (write_agreement(root / "agreement", *hostile), 2, 0, 0),
        "samples": (pictures(root / "samples", compared_datasets), 2 * (3 + 3 + 1) + 3 + 1, 5, 4),
        "cards": (write_run(root / "cards", *of_cards()), 3 * 3 + 3 + 1, 3, 0),
    }
    return {
        name: (write_report(Results.load(folder), folder / "report.html"), *counts)
        for name, (folder, *counts) in folders.items()
    }


@pytest.mark.parametrize("name", ["transfer", "agreement", "samples", "cards"])
def test_a_page_is_drawn_sorted_safe_and_no_wider_than_the_window(browser, pages, name):
    from selenium.common.exceptions import NoAlertPresentException

    path, figures, tables, images = pages[name]
    assert path.stat().st_size < 8e6
    browser.get(path.as_uri())
    wait_until(lambda: undrawn(browser) == 0)
    drawn = browser.execute_script(
        "return [...document.querySelectorAll('.plot')].map(p => p.querySelectorAll('svg.main-svg path, image').length)"
    )
    assert len(drawn) == figures
    assert all(drawn)
    with contextlib.suppress(NoAlertPresentException):
        raise AssertionError(browser.switch_to.alert.text)
    assert browser.execute_script("return document.scripts.length") == 3
    if name == "cards":
        notice = browser.find_element("css selector", ".notice")
        assert (notice.text, notice.is_displayed()) == (approximate(CARDS), True)
    else:
        assert HOSTILE in browser.execute_script("return document.body.textContent")
    shown = browser.execute_script("return [...document.images].map(i => i.complete && i.naturalWidth > 0)")
    assert shown == [True] * images
    sortable = browser.find_elements("css selector", "table.sortable")
    assert len(sortable) == tables
    for table in sortable[:1]:
        browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", table)
        last = len(table.find_elements("css selector", "thead th")) - 1
        table.find_elements("css selector", "thead button")[last].click()
        values = list(map(float, column(browser, table, last)))
        assert values == sorted(values)
    for width in (1280, 390):
        with_width(browser, width)
        wait_until(lambda width=width: browser.execute_script("return document.documentElement.scrollWidth") <= width)
    assert browser.get_log("browser") == []
