"""What a ranking by cards leaves: a record of what cards hold, a page that says so, and no certificate anywhere."""

from __future__ import annotations

import csv

import pytest

from medsegdist.cards.ranking import record_cards
from medsegdist.distance.table import DistanceTable
from medsegdist.report.page import render
from medsegdist.report.record import MixtureNumbers, SegmentHistogram
from medsegdist.report.results import Results
from medsegdist.report.verdict import APPROXIMATE, approximate
from tests.cards.making_cards import FIT, card, summarized
from tests.report.making_card_run import CARDS, of_cards
from tests.report.making_run import write_run
from tests.report.test_page import Page
from tests.synthetic import blobs

SAID = approximate(CARDS)


@pytest.fixture
def folder(tmp_path):
    return write_run(tmp_path / "cards", *of_cards())


@pytest.fixture
def page(folder):
    return Page(render(Results.load(folder)))


def test_the_notice_comes_first_and_how_it_was_computed_repeats_it(page):
    notices = [" ".join(text.split()) for tag, text in page.texts if tag == "p"]
    assert notices[1] == SAID  # after the kicker
    method = page.text[page.text.rindex("How it was computed") :]
    assert SAID in method
    assert page.text.count(APPROXIMATE) == 2
    assert "Cards near, far Summarized alike target Certificate none Intervals none Noise floor none" in method


def test_all_is_there_that_cards_hold_and_nothing_is_claimed_that_they_do_not(page):
    headings = [text for tag, text in page.texts if tag == "h2"]
    assert headings == [
        *("Answer", "Ranking", "Distances", "Images and masks", "Segments", "Matched mixtures", "Characteristics"),
        "How it was computed",
    ]
    assert "The study declares nothing as simulated." in page.text[page.text.rindex("How it was computed") :]
    figures = [div for div in page.of("div") if div.get("class") == "plot"]
    assert len(figures) == 3 * 3 + 3 + 1
    assert "Recommended: near." in page.text
    assert "It rests on 20 samples of 10 patients of target, 2 sources and 3 methods" in page.text
    assert "patients of cards cannot be resampled, so how sure it is remains open" in page.text
    assert (
        "of the cards (near, far) are coarse counts, rounded down: from 5 to 99 to a multiple of 5, from" in page.text
    )
    assert "fewer patients touch than a card may show read 0" in page.text
    for claim in (
        "optimality gap",
        "proven",
        "resampled 5",
        "Bootstrap replicates",
        "cannot be distinguished",
        "dotted line",
    ):
        assert claim not in page.text
    assert "interval" not in page.text.replace("Intervals none", "")


def test_a_card_that_tells_of_no_cell_is_shown_by_its_mixture(tmp_path):
    cells = SegmentHistogram(extent=(32, 40), mass=None)
    table, record = of_cards([card("near").model_copy(update={"segment_histogram": cells})])
    folder = write_run(tmp_path / "cards", table, record)
    run = Results.load(folder)
    assert [one.histogram.mass is None for one in run.record.datasets] == [False, True, False]
    page = Page(render(run))
    assert "shares of the segments in the other cells. There is none in near." in page.text
    alts = [div["aria-label"] for div in page.of("div") if div.get("class") == "plot"]
    (alt,) = [one for one in alts if "No cell of it may be shown." in one]
    assert "The mixture has 1 Gaussian:" in alt
    assert alt.startswith("Where the segments of near lie")


def test_a_mixture_that_is_none_in_the_plane_is_left_out():
    """Within rounding of a large variance along slices, which is not within rounding of the others."""
    whole = summarized(blobs("target", grid=(6, 32, 40), center=(0.5,) * 3, n=8, patients=4))
    covariances = (((1e12, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, -1e-4)),)
    numbers = MixtureNumbers(weights=(1.0,), means=((0.0, 1.0, 1.0),), covariances=covariances)
    for held, known in ((whole, True), (whole.model_copy(update={"gmm2d": numbers}), False)):
        record = record_cards("cards", [held], DistanceTable(rows=()), distance=FIT)
        assert (record.datasets[0].mixture is not None) is known


def test_distances_of_cards_are_told_by_their_having_no_certificate(folder):
    (folder / "study.json").unlink()
    with (folder / "distances.csv").open() as file:
        assert {row["optimality_gap"] for row in csv.DictReader(file)} == {""}
    page = Page(render(Results.load(folder)))
    assert page.text.count(APPROXIMATE) == 2
    assert "Cards:" not in page.text
    assert "optimality gap" not in page.text
