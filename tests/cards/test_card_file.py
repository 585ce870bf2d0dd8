"""A card is somebody else's file: whatever is in it, it is refused in words or harmless."""

from __future__ import annotations

import json
import math
import pickle
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medsegdist.cards.card import MAX_BYTES, read_card, write_card
from medsegdist.cards.ranking import rank_cards
from medsegdist.errors import DataError
from tests.cards.making_cards import card


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("cards") / "card.json"
    write_card(card("near"), path)
    return json.loads(path.read_text())


def put(content: Any, place: str, value: Any) -> Any:
    """A copy of the content with another value at a dotted place."""
    copy = json.loads(json.dumps(content))
    *path, last = (int(key) if key.isdecimal() else key for key in place.split("."))
    holder = copy
    for key in path:
        holder = holder[key]
    holder[last] = value
    return copy


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("format", "medsegdist card 1", r"format: expected 'medsegdist card 2', found 'medsegdist card 1'"),
        ("name", "$import os", r"name: expected a text that should match .*, found '\$import os'"),
        ("name", "a" * 81, r"name: expected a text that should have at most 80 characters"),
        ("seed", -1, r"seed: expected a number greater than or equal to 0, found -1"),
        ("prepared", {"grid": [4]}, r"prepared: .*expected \(rows, columns\) for 2 dimensions"),
        ("prepared", {"grid": [4, 4]}, r"grid: expected \[4, 4\] as in `prepared`, found \[32, 40\]"),
        ("preprocessing", "$x", r"preprocessing: expected a text that should match"),
        ("pixels", 1, r"pixels: unknown key. Allowed here: characteristics, fake_classes, fit"),
        ("patients", "20", r"patients: expected a whole number, found '20'"),
        ("grid", [2**15, 2**15], r"grid: expected at most 268,435,456 points, found \[32768, 32768\]"),
        ("grid", [4, 32, 40], r"gmm2d: expected a mixture over 3 axes, found 2"),
        ("fit.image_weight", 2.0, r"fit: expected no image_weight; they are chosen when cards are compared"),
        ("gmm2d.weights", [0.9], r"gmm2d: .*positive weights that sum to 1"),
        ("gmm2d.weights.0", -0.1, r"gmm2d.weights.0: expected a number greater than or equal to 0"),
        ("gmm2d.means.0.0", 1e300, r"gmm2d.means.0.0: expected a number less than or equal to 10{18}, found 1e\+300"),
        ("gmm2d.covariances.0", [[1.0, 2.0], [2.0, 1.0]], r"gmm2d: .*covariances without negative eigenvalues"),
        ("fake_classes.0.share", 0.9, r"fake_classes: expected shares that sum to 1"),
        ("fake_classes.0.image_mean.0", 1e6, r"expected a covariance of the images within fake_classes without"),
        ("segment_histogram.extent", [9, 9], r"segment_histogram: expected the extent \[32, 40\], found \[9, 9\]"),
        ("segment_histogram.mass.0", [0.5] * 8, r"segment_histogram.mass: expected parts that sum to 1, found"),
        ("characteristics.0.name", "age", r"expected the name of a characteristic to be one of image_.*found 'age'"),
        ("images.covariance.3", [0.0, 0.0, 0.0, -9.0], r"images.covariance: expected a covariance without negative"),
    ],
)
def test_what_is_wrong_with_a_card_is_said_with_its_place(content, tmp_path, place, value, message) -> None:
    path = tmp_path / "card.json"
    path.write_text(json.dumps(put(content, place, value)))
    with pytest.raises(DataError, match=f"card.json: {message}"):
        read_card(path)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[1, 2]",
        b"null",
        b"\xff\xfe\x00",
        b"[" * 50_000,
        b'{"name": "a", "name": "b"}',
        pickle.dumps({"name": "a"}),
        b'{"patients": ' + b"9" * 5_000 + b"}",
    ],
    ids=["empty", "cut", "list", "null", "bytes", "deep", "doubled", "pickle", "huge number"],
)
def test_what_is_no_card_is_refused(tmp_path, text: bytes) -> None:
    path = tmp_path / "card.json"
    path.write_bytes(text)
    with pytest.raises(DataError, match=r"card\.json: "):
        read_card(path)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_are_finite(content, tmp_path, number) -> None:
    path = tmp_path / "card.json"
    path.write_text(json.dumps(put(content, "images.mean.0", "here")).replace('"here"', number))
    with pytest.raises(DataError, match=r"images.mean.0: "):
        read_card(path)


def test_a_large_file_is_not_read_to_its_end(tmp_path) -> None:
    path = tmp_path / "card.json"
    path.write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(
        DataError,
        match=r"expected a card; .*: expected at most 65536 bytes of text, found 65537; `medsegdist cards make",
    ):
        read_card(path)


def places(value: Any, path: str = "") -> list[str]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path[1:], *(place for key, part in items for place in places(part, f"{path}.{key}"))]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(10**30), 10**30) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_somewhere_is_refused_or_gives_finite_distances(content, tmp_path, data) -> None:
    place = data.draw(st.sampled_from(places(content)[1:]))
    path = tmp_path / "card.json"
    path.write_text(json.dumps(put(content, place, data.draw(JSON))))
    try:
        found = read_card(path)
    except DataError:
        return
    # Everything but the numbers: cards that were made otherwise are not compared.
    alike = {name: getattr(card("target"), name) for name in ("preprocessing", "prepared", "grid", "fit", "seed")}
    for row in rank_cards(card("target"), [found.model_copy(update={"name": "found", **alike})]).rows:
        assert math.isfinite(row.distance)
        assert min(row.image_term, row.mask_term) >= 0
