"""Reading distances and gains from CSV files, good and bad."""

import math

import pytest

from medsegdist.distance.distance_table import DistanceRow, DistanceTable
from medsegdist.errors import DataError
from medsegdist.transfer.gains import Gain, write_gains
from medsegdist.transfer.records import (
    DistanceRecord,
    GainRecord,
    read_distances,
    read_gains,
    relative_gain,
)
from tests.transfer.making_pairs import write_csv


@pytest.fixture
def file(tmp_path):
    return lambda text: write_csv(tmp_path / "table.csv", text)


def test_distances_csv_is_read_as_medsegdist_writes_it(tmp_path):
    row = DistanceRow("liver", "lung", "gmm3d", 1.5, 1.0, 0.5, None, None, None, 1, False, 9, 9, 0.0)
    DistanceTable(rows=(row,)).save(tmp_path / "distances.csv")
    assert read_distances(tmp_path / "distances.csv") == [DistanceRecord("liver", "lung", "gmm3d", 1.5)]


def test_distances_of_others_need_three_columns_in_any_order(file):
    assert read_distances(file("distance, target ,source,note\n-2e3,lung,liver,x\n\n1,lung,spleen,y")) == [
        DistanceRecord("liver", "lung", "distance", -2000.0),
        DistanceRecord("spleen", "lung", "distance", 1.0),
    ]


def test_a_byte_order_mark_and_names_that_pandas_takes_for_missing(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes("source,target,distance\nNA,None,1\nnull,nan,2\n".encode("utf-8-sig"))
    assert [(one.source, one.target) for one in read_distances(path)] == [("NA", "None"), ("null", "nan")]


def test_names_with_commas_and_quotes(file):
    (found,) = read_distances(file('source,target,distance\n"liver, ""old""",lung,1'))
    assert found.source == 'liver, "old"'


def test_gains_by_percent_or_by_dice(file):
    assert read_gains(file("source,target,gain_percent\na,t,-3.5")) == [GainRecord("a", "t", "", -3.5)]
    (found,) = read_gains(file("source,target,seed,dice,dice_baseline\na,t,7,0.6,0.5"))
    assert found == GainRecord("a", "t", "7", pytest.approx(20.0), dice=0.6, dice_baseline=0.5)


def test_a_run_that_did_not_converge_may_leave_its_numbers_empty(file):
    text = "source,target,seed,dice,dice_baseline,gain_percent,status\na,t,0,,,,not_converged\na,t,1,0.6,0.5,20,done"
    assert read_gains(file(text)) == [
        GainRecord("a", "t", "0", None, False),
        GainRecord("a", "t", "1", 20.0, True, 0.6, 0.5),
    ]


def test_gains_csv_is_read_as_medsegdist_writes_it(tmp_path):
    gains = [Gain("a", "t", seed, 0.3, 0.2 * seed, status) for seed, status in enumerate(("undefined", "ok", "ok"))]
    write_gains(tmp_path / "gains.csv", [*gains, Gain("b", "t", 0, 0.01, 0.5, "not_converged")])
    assert read_gains(tmp_path / "gains.csv") == [
        GainRecord("a", "t", "0", None),
        GainRecord("a", "t", "1", pytest.approx(50.0), dice=0.3, dice_baseline=0.2),
        GainRecord("a", "t", "2", pytest.approx(-25.0), dice=0.3, dice_baseline=0.4),
        GainRecord("b", "t", "0", None, converged=False),
    ]


def test_controls_have_no_source_and_a_header_may_be_all(tmp_path):
    write_gains(tmp_path / "controls.csv", [Gain("", "t", 0, 0.6, 0.5, "ok")])
    (found,) = read_gains(tmp_path / "controls.csv", of_controls=True)
    assert (found.source, found.target, found.gain_percent) == ("", "t", pytest.approx(20.0))
    with pytest.raises(DataError, match="expected a name in the column 'source', found an empty cell"):
        read_gains(tmp_path / "controls.csv")
    write_gains(tmp_path / "none.csv", [])
    assert read_gains(tmp_path / "none.csv", rows_needed=False) == []
    with pytest.raises(DataError, match="expected at least one row under the header, found none"):
        read_gains(tmp_path / "none.csv")


def test_relative_gain():
    assert relative_gain(0.75, 0.5) == 50
    assert relative_gain(0.0, 0.5) == -100
    with pytest.raises(ValueError, match="expected a baseline Dice score > 0, found 0"):
        relative_gain(0.5, 0.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "source,target,gain_percent\na,b,1",
            r"table.csv: expected the columns distance; found 'source', 'target', 'g",
        ),
        ("source;target;distance\na;b;1", r"expected the columns source, target, distance; found 'source;target;dis"),
        ("source,target,distance", r"table.csv: expected at least one row under the header, found none"),
        ("", r"table.csv: expected a CSV file with the columns source, target, distance, found an empty file"),
        (
            "source,target,distance\na,b,far",
            r"table.csv, line 2: expected a finite number in the column 'distance', su",
        ),
        ("source,target,distance\na,b,1\na,c,nan", r"line 3: expected a finite number .* found 'nan'; mend the row"),
        ("source,target,distance\na,b,inf", r"line 2: expected a finite number .* found 'inf'"),
        ("source,target,distance\na,b,", r"line 2: expected a finite number .* found an empty cell"),
        ('source,target,distance\na,b,"1,5"', r"line 2: expected a finite number .* found '1,5'"),
        ("source,target,distance\n\n ,b,1", r"line 3: expected a name in the column 'source', found an empty cell"),
        (
            "source,target,distance\na,b,1,5",
            r"line 2: expected 3 cells, as in the header, found 4; put text with commas",
        ),
        ("source,target,distance,source\na,b,1,c", r"expected every column once, found twice: source"),
        (
            "source,target,method,distance\na,b,m,1\nx,b,m,1\na,b,m,2",
            r"expected one row for each source, target and method, found two for a, b, m: lines 2 and 4\. Remove one\.",
        ),
        ('source,target,distance\n"a,b,1', r"table.csv: expected a CSV file in UTF-8, found something else"),
    ],
)
def test_bad_distances(file, text, message):
    with pytest.raises(DataError, match=message):
        read_distances(file(text))


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "table.csv").write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match=r"table.csv: expected a CSV file in UTF-8, found something else"):
        read_distances(tmp_path / "table.csv")


def test_a_file_that_is_not_there_is_an_oserror_with_its_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.csv"):
        read_gains(tmp_path / "gone.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "source,target,dice\na,b,0.5",
            r"expected the columns gain_percent, or both dice and dice_baseline; found 'so",
        ),
        ("source,target,gain_percent\na,b,\n", r"line 2: expected a finite number in the column 'gain_percent', such"),
        (
            "source,target,gain_percent\na,b,1\na,b,2",
            r"found two for a, b: lines 2 and 3\. Remove one; a column 'seed' t",
        ),
        ("source,target,seed,gain_percent\na,b,0,1\na,b,0,2", r"source, target and seed, found two for a, b, 0: lines"),
        ("source,target,dice,dice_baseline\na,b,0.5,0", r"line 2: expected a baseline Dice score > 0, found 0\.0\. A"),
        (
            "source,target,dice,dice_baseline,gain_percent\na,b,0.6,0.5,0.2",
            r"line 2: expected a gain_percent of 20 for the Dice scores 0\.6 after 0\.5 .* found 0\.2; mend one of the",
        ),
        (
            "source,target,gain_percent,status\na,b,,failed",
            r"line 2: expected a finite number in the column 'gain_percent'",
        ),
    ],
)
def test_bad_gains(file, text, message):
    with pytest.raises(DataError, match=message):
        read_gains(file(text))


@pytest.mark.parametrize(("gain", "fits"), [(19.95, True), (20.09, True), (19.89, False), (20.11, False)])
def test_a_gain_may_be_rounded_to_a_digit_and_no_more(file, gain, fits):
    path = file(f"source,target,dice,dice_baseline,gain_percent\na,b,0.6,0.5,{gain}")
    if fits:
        assert read_gains(path)[0].gain_percent == gain
    else:
        with pytest.raises(DataError, match="expected a gain_percent of 20"):
            read_gains(path)


def test_the_printed_rounding_of_a_gain_is_no_error(file):
    (found,) = read_gains(file("source,target,dice,dice_baseline,gain_percent\na,b,0.9821,0.8164,20.3"))
    assert found.gain_percent == 20.3
    assert math.isclose(relative_gain(0.9821, 0.8164), 20.2964, rel_tol=1e-5)
