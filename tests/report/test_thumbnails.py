"""Pictures of matched samples: the strongest pairs, true to image and mask, and nowhere unless asked for."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from medsegdist.distance.order import DistanceRow
from medsegdist.distance.table import DistanceTable
from medsegdist.distance.transport import MatchedPair
from medsegdist.errors import DataError
from medsegdist.report import thumbnails
from medsegdist.report.page import render
from medsegdist.report.results import Results
from medsegdist.report.thumbnails import SIDE, SOURCE_COLOR, Thumbnails, draw_thumbnails, thumbnail
from tests.report.making_run import samples_of, write_run
from tests.report.test_page import Page

PAIRS = (MatchedPair(0, 1, 0.25), MatchedPair(2, 0, 0.125))


def pixels_of(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def colored(pixels: np.ndarray) -> np.ndarray:
    return pixels.max(-1) != pixels.min(-1)


def test_a_thumbnail_shows_the_image_in_gray_and_the_mask_as_an_outline():
    image = torch.arange(64.0)[:, None].expand(64, 64).clone()
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[16:48, 24:40] = True
    pixels = pixels_of(thumbnail(image, mask, SOURCE_COLOR))
    assert pixels.shape == (SIDE, SIDE, 3)
    outline = colored(pixels)
    assert {tuple(color) for color in pixels[outline]} == {SOURCE_COLOR}
    rows, columns = np.nonzero(outline)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (31, 96, 47, 80)
    assert not outline[32:96, 48:80].any()  # inside, the image is seen
    brightness = pixels[:, 0, 0].astype(float)
    assert (np.diff(brightness) >= 0).all()
    assert (brightness[0], brightness[-1]) == (0, 255)


@pytest.mark.parametrize(("grid", "size"), [((200, 100), (128, 64)), ((3, 20, 40), (64, 128)), ((1, 1), (128, 128))])
def test_any_grid_becomes_a_small_picture_of_its_shape(grid, size):
    mask = torch.zeros(grid, dtype=torch.bool)
    mask[..., 0] = True
    png = thumbnail(torch.full(grid, -1000.0), mask, SOURCE_COLOR)
    assert pixels_of(png).shape[:2] == size
    assert len(png) < 15_000


@pytest.mark.parametrize("place", [(0, 0), (255, 255), (100, 131)])
def test_a_segment_of_one_pixel_is_not_lost(place):
    mask = torch.zeros(256, 256, dtype=torch.bool)
    mask[place] = True
    outline = colored(pixels_of(thumbnail(torch.zeros(256, 256), mask, SOURCE_COLOR)))
    rows, columns = np.nonzero(outline)
    assert abs(rows.mean() - place[0] / 2) <= 1
    assert abs(columns.mean() - place[1] / 2) <= 1


def test_of_a_volume_the_slice_with_the_most_foreground_is_shown():
    image = torch.stack([torch.zeros(8, 8), torch.eye(8), torch.zeros(8, 8)])
    mask = torch.zeros(3, 8, 8, dtype=torch.bool)
    mask[0, 0, 0] = mask[1, 2:5, 2:5] = True
    assert thumbnail(image, mask, SOURCE_COLOR) == thumbnail(image[1], mask[1], SOURCE_COLOR)


def table_of(*methods: str, near: str = "near") -> DistanceTable:
    values = {"near": 1.0, "far": 2.0} if near == "near" else {"far": 1.0, "near": 2.0}
    return DistanceTable(
        tuple(
            DistanceRow(source, "target", method, value, value, 0.0, None, None, None, rank, False, 12, 12, 0.0)
            for method in methods
            for rank, (source, value) in enumerate(values.items(), start=1)
        )
    )


def drawn(table: DistanceTable, matches=None) -> Thumbnails:
    matches = matches or {(row.source, row.target, row.method): PAIRS for row in table.rows}
    return draw_thumbnails(table, ["target"], matches, {one.name: one for one in samples_of()})


def test_the_pictures_are_those_of_the_matched_samples():
    (found,) = drawn(table_of("m")).matched
    assert (found.source, found.target, [pair.mass for pair in found.pairs]) == ("near", "target", [0.25, 0.125])
    target, near, _ = samples_of()
    for pair, expected in zip(found.pairs, PAIRS, strict=True):
        shown = thumbnail(near.images[expected.source], near.masks[expected.source], thumbnails.SOURCE_COLOR)
        assert base64.b64decode(pair.source) == shown
        shown = thumbnail(target.images[expected.target], target.masks[expected.target], thumbnails.TARGET_COLOR)
        assert base64.b64decode(pair.target) == shown


def test_methods_that_match_the_same_samples_share_their_pictures():
    table = table_of("one", "two", "three")
    matches = {(row.source, row.target, row.method): PAIRS for row in table.rows}
    matches["near", "target", "three"] = PAIRS[:1]
    assert [one.methods for one in drawn(table, matches).matched] == [("one", "two"), ("three",)]


def test_a_page_holds_so_many_pairs_and_says_what_is_left_out(monkeypatch):
    monkeypatch.setattr(thumbnails, "MOST_PAIRS", 3)
    table = table_of("one", "two")
    matches = {
        (row.source, row.target, row.method): PAIRS[::-1] if row.method == "two" else PAIRS for row in table.rows
    }
    found = drawn(table, matches)
    assert ([one.methods for one in found.matched], found.left_out) == ([("one",)], 2)


@pytest.fixture
def with_pictures(tmp_path, compared_datasets):
    table, record = compared_datasets
    folder = write_run(tmp_path / "out", table, record)
    drawn(table_of("m")).save(folder / "thumbnails.json")
    return folder


def test_the_page_shows_them_and_says_plainly_that_it_holds_images(with_pictures):
    html = render(Results.load(with_pictures))
    page = Page(html)
    assert "This page holds images of patients , where they are not simulated" in page.text
    assert "This page holds images of samples and names no case and no patient." in page.text
    pictures = page.of("img")
    assert len(pictures) == 4
    for one in pictures:
        assert (
            Image.open(io.BytesIO(base64.b64decode(one["src"].removeprefix("data:image/png;base64,")))).format == "PNG"
        )
        assert len(one["alt"]) > 20
    text = html + (with_pictures / "thumbnails.json").read_text()
    for samples in samples_of():
        assert not [one for one in (*samples.case_ids, *samples.patient_ids) if f'{one}"' in text or f"{one} " in text]


@pytest.mark.parametrize("png", ['x" onerror="alert(1)', "", "data:text/html,x", "====", "a b"])
def test_what_is_no_picture_is_refused(with_pictures, png):
    path = with_pictures / "thumbnails.json"
    content = json.loads(path.read_text())
    content["matched"][0]["pairs"][0]["source"] = png
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"expected what `medsegdist rank --thumbnails` writes there, found in matched"):
        Results.load(with_pictures)
