"""Tables of distances that somebody else wrote: read whole, or refused with the line and the column."""

import pandas as pd
import pytest

from medsegdist.distance.distance_table import COLUMNS, Comparison, DistanceRow, DistanceTable
from medsegdist.errors import DataError

ROW = DistanceRow("near", "NA", "gmm2d", 3.0, 2.0, 1.0, 2.5, 3.5, 0.5, 1, False, 9, 8, 1e-16)
FAR = DistanceRow("None", "NA", "gmm2d", 5.0, 2.0, 3.0, None, None, None, 2, False, 9, 8, 0.0)
COMPARISON = Comparison("NA", "gmm2d", "near", "None", 0.75, 4)


def test_what_was_saved_is_loaded_comparisons_and_names_like_na_included(tmp_path):
    table = DistanceTable((ROW, FAR), (COMPARISON,))
    table.save(tmp_path / "distances.csv")
    assert DistanceTable.load(tmp_path / "distances.csv") == table


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("distance", "far", r"line 2, distance: expected a finite number, found 'far'; mend that cell"),
        ("distance", "nan", "expected a finite number, found 'nan'"),
        ("distance", "", "expected a finite number, found ''"),
        ("low", "inf", "expected a finite number or nothing, found 'inf'"),
        ("rank", "1.5", "line 2, rank: expected a whole number >= 0, found '1.5'"),
        ("rank", "-1", "expected a whole number >= 0"),
        ("n_source", "inf", "expected a whole number >= 0"),
        ("tied", "perhaps", "line 2, tied: expected True or False, found 'perhaps'"),
        ("source", " ", "line 2, source: expected a name"),
    ],
)
def test_a_cell_of_another_kind_is_named(tmp_path, column, cell, message):
    path = tmp_path / "distances.csv"
    DistanceTable((ROW,)).save(path)
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    frame[column] = cell
    frame.to_csv(path, index=False)
    with pytest.raises(DataError, match=message):
        DistanceTable.load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a CSV file with the columns source, target, .*, found an empty file"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "expected a CSV file in UTF-8, found something else"),
        (b'a,b\n"1,2\n', "expected a CSV file in UTF-8, found something else"),
        (b"source,target\na,b\n", "expected the columns method, distance, .*; found 'source', 'target'"),
        (",".join(COLUMNS).encode(), "expected at least one row under the header, found none"),
        (",".join(COLUMNS).encode() + b"\na,b", "line 2: expected 14 cells, as in the header, found 2"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, content, message):
    path = tmp_path / "distances.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        DistanceTable.load(path)
    assert str(path) in str(caught.value)
    said = str(caught.value)
    assert (
        "`medsegdist rank STUDY.yaml --out DIR` writes it" in said or "put text with commas in quotation marks" in said
    )


def test_a_table_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="expected a table, found no such file; `medsegdist rank"):
        DistanceTable.load(tmp_path / "distances.csv")


def test_two_rows_for_one_pair_are_refused(tmp_path):
    DistanceTable((ROW, ROW)).save(tmp_path / "distances.csv")
    with pytest.raises(DataError, match=r"found two for near, NA, gmm2d: lines 2 and 3\. Remove one"):
        DistanceTable.load(tmp_path / "distances.csv")


def test_broken_comparisons_are_refused(tmp_path):
    DistanceTable((ROW,), (COMPARISON,)).save(tmp_path / "distances.csv")
    beside = tmp_path / "comparisons.csv"
    beside.write_text(beside.read_text().replace("0.75", "likely"))
    with pytest.raises(DataError, match=r"comparisons.csv, line 2, probability: expected a finite number"):
        DistanceTable.load(tmp_path / "distances.csv")
