"""Distances and gains: read from CSV files, good and bad, and put together."""

import statistics

import pytest

from medsegdist.distance.order import DistanceRow
from medsegdist.distance.table import DistanceTable
from medsegdist.errors import DataError
from medsegdist.transfer.gains import (
    NOT_CONVERGED,
    UNDEFINED,
    DistanceRecord,
    Gain,
    match_pairs,
    read_distances,
    read_gains,
    summarize_gains,
    write_gains,
)
from tests.transfer.making_pairs import write_csv


@pytest.fixture
def file(tmp_path):
    return lambda text: write_csv(tmp_path / "table.csv", text)


def test_distances_csv_is_read_as_medsegdist_writes_it(tmp_path):
    row = DistanceRow("liver", "lung", "gmm3d", 1.5, 1.0, 0.5, None, None, None, 1, False, 9, 9, 0.0)
    DistanceTable(rows=(row,)).save(tmp_path / "distances.csv")
    assert read_distances(tmp_path / "distances.csv") == [DistanceRecord("liver", "lung", 1.5, "gmm3d")]


def test_distances_of_others_need_three_columns_in_any_order(file):
    assert read_distances(file("distance, target ,source,note\n-2e3,lung,liver,x\n\n1,lung,spleen,y")) == [
        DistanceRecord("liver", "lung", -2000.0, "distance"),
        DistanceRecord("spleen", "lung", 1.0, "distance"),
    ]


def test_a_byte_order_mark_and_names_that_pandas_takes_for_missing(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes('source,target,distance\nNA,None,1\nnull,"n, ""an""",2\n'.encode("utf-8-sig"))
    assert [(one.source, one.target) for one in read_distances(path)] == [("NA", "None"), ("null", 'n, "an"')]


def test_gains_by_percent_or_by_dice(file):
    assert read_gains(file("source,target,gain_percent\na,t,-3.5")) == [Gain("a", "t", gain_percent=-3.5)]
    (found,) = read_gains(file("source,target,seed,dice,dice_baseline\na,t,7,0.6,0.5"))
    assert found == Gain("a", "t", 7, dice=0.6, dice_baseline=0.5)


def test_a_run_that_did_not_converge_may_leave_its_numbers_empty(file):
    text = "source,target,seed,dice,dice_baseline,gain_percent,status\na,t,0,,,,not_converged\na,t,1,0.6,0.5,20,done"
    assert read_gains(file(text)) == [
        Gain("a", "t", 0, status=NOT_CONVERGED),
        Gain("a", "t", 1, dice=0.6, dice_baseline=0.5, gain_percent=20.0),
    ]


def test_gains_csv_is_read_as_medsegdist_writes_it(tmp_path):
    gains = [
        Gain("a", "t", seed, 0.3, 0.2 * seed, status=status) for seed, status in enumerate(("undefined", "ok", "ok"))
    ]
    write_gains(tmp_path / "gains.csv", [*gains, Gain("b", "t", 0, 0.01, 0.5, status="not_converged")])
    assert read_gains(tmp_path / "gains.csv") == [
        Gain("a", "t", 0, 0.3, 0.0, status=UNDEFINED),
        Gain("a", "t", 1, dice=0.3, dice_baseline=0.2, gain_percent=50.0),
        Gain("a", "t", 2, dice=0.3, dice_baseline=0.4, gain_percent=-25.0),
        Gain("b", "t", 0, 0.01, 0.5, status=NOT_CONVERGED),
    ]


def test_controls_have_no_source_and_a_header_may_be_all(tmp_path):
    write_gains(tmp_path / "controls.csv", [Gain("", "t", 0, 0.6, 0.5, status="ok")])
    (found,) = read_gains(tmp_path / "controls.csv", of_controls=True)
    assert (found.source, found.target, found.gain_percent) == ("", "t", pytest.approx(20.0))
    with pytest.raises(DataError, match="expected a name in the column 'source', found an empty cell for"):
        read_gains(tmp_path / "controls.csv")
    write_gains(tmp_path / "none.csv", [])
    assert read_gains(tmp_path / "none.csv", rows_needed=False) == []
    with pytest.raises(DataError, match="expected at least one row under the header, found none"):
        read_gains(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source,target,gain_percent\na,b,1", r"table.csv: expected the columns distance; found 'source', 'target',"),
        ("source,target,distance", r"table.csv: expected at least one row under the header, found none; give each dis"),
        ("source,target,distance\na,b,", r"line 2, column 'distance': expected a valid number.*, found an empty cell"),
        ("source,target,distance\na,b,1\na,c,nan", r"line 3, column 'distance': expected a finite number, found 'nan'"),
        ("source,target,distance\n\n ,b,1", r"line 3, column 'source': expected a valid string, found an empty cell"),
        (
            "source,target,method,distance\na,b,m,1\nx,b,m,1\na,b,m,2",
            r"expected one row for each source, target, method, found two for a, b, m: lines 2 and 4; remove one\.",
        ),
    ],
)
def test_bad_distances(file, text, message):
    with pytest.raises(DataError, match=message):
        read_distances(file(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source,target,dice\na,b,0.5", r"line 2: expected a number in the column gain_percent, or in both dice"),
        ("source,target,gain_percent\na,b,\n", r"line 2: expected a number in the column gain_percent"),
        ("source,target,gain_percent\na,b,much", r"line 2, column 'gain_percent': expected a valid number.* 'much'"),
        ("source,target,gain_percent\na,b,1\na,b,2", r"found two for a, b, None: lines 2 and 3; remove one"),
        ("source,target,seed,gain_percent\na,b,0,1\na,b,0,2", r"source, target, seed, found two for a, b, 0: lines 2"),
        ("source,target,dice,dice_baseline\na,b,0.5,0", r"line 2: expected a baseline Dice score > 0, .*found 0\.0;"),
        (
            "source,target,dice,dice_baseline,gain_percent\na,b,0.6,0.5,0.2",
            r"line 2: expected a gain_percent of 20 for the Dice scores 0\.6 after 0\.5 .* found 0\.2; correct the",
        ),
        ("source,target,gain_percent,status\na,b,,failed", r"line 2: expected a number in the column gain_percent"),
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


def distances(**of_source):
    return [DistanceRecord(source, "t", value, "m") for source, value in of_source.items()]


def gains(**of_source):
    return [Gain(source, "t", gain_percent=value) for source, value in of_source.items()]


def test_pairs_are_matched_by_name_and_not_by_order():
    (matched,) = match_pairs(distances(a=1, b=2, c=3), gains(c=30, a=10, b=20))
    assert [(one.source, one.distance, one.gain) for one in matched.pairs] == [("a", 1, 10), ("b", 2, 20), ("c", 3, 30)]


def test_seeds_become_their_mean_and_the_spread_is_kept():
    runs = [Gain("a", "t", seed, gain_percent=value) for seed, value in enumerate((1.0, 2.0, 6.0))]
    (matched,) = match_pairs(distances(a=1, b=2, c=3), [*runs, *gains(b=5, c=7)])
    first, second, _ = matched.pairs
    assert (first.gain, first.gain_deviation, first.seeds) == (3.0, statistics.stdev([1, 2, 6]), 3)
    assert (second.gain, second.gain_deviation, second.seeds) == (5.0, None, 1)


def test_methods_are_apart_and_can_be_chosen():
    both = [*distances(a=1, b=2, c=3), *(DistanceRecord(s, "t", v, "other") for s, v in (("a", 3), ("b", 1), ("c", 2)))]
    assert [one.method for one in match_pairs(both, gains(a=1, b=2, c=3))] == ["m", "other"]
    assert [one.method for one in match_pairs(both, gains(a=1, b=2, c=3), ["other"])] == ["other"]
    with pytest.raises(DataError, match="expected a method among those of the distances, m, other, found 'gmm'"):
        match_pairs(both, gains(a=1, b=2, c=3), ["gmm"])


def test_no_overlap_shows_both_and_a_name_that_may_be_meant():
    message = r"no pair in common\. Distances: Liver -> t, .*Gains: liver -> t.* 'liver' of the gains .* mean 'Liver'\?"
    with pytest.raises(DataError, match=message):
        match_pairs(distances(Liver=1, Spleen=2), gains(liver=1, spleen=2))
    with pytest.raises(DataError, match=r"Names must be equal in both files\."):
        match_pairs(distances(a=1, b=2), gains(x=1, y=2))


def test_too_few_pairs_say_what_is_missing():
    message = (
        r"method 'm': expected at least 3 pairs .* found 2: a -> t, b -> t\. Without a gain: c -> t; without a dist"
    )
    with pytest.raises(DataError, match=message):
        match_pairs(distances(a=1, b=2, c=3), gains(a=1, b=2, d=3))
    collapsed = [Gain("c", "t", status=NOT_CONVERGED)]
    with pytest.raises(DataError, match=r"found 2: .*; not converged, or over a Dice of 0: c -> t\."):
        match_pairs(distances(a=1, b=2, c=3), [*gains(a=1, b=2), *collapsed])
    with pytest.raises(DataError, match=r"found 0: none\. .*not converged, or over a Dice of 0: c -> t\."):
        match_pairs(distances(c=3), collapsed)


def test_constants_are_refused():
    with pytest.raises(DataError, match=r"method 'm': expected distances that differ, found 3 times 1; .* --method"):
        match_pairs(distances(a=1, b=1, c=1), gains(a=1, b=2, c=3))
    with pytest.raises(DataError, match=r"method 'm': expected gains that differ, found 3 times 2"):
        match_pairs(distances(a=1, b=2, c=3), gains(a=2, b=2, c=2))


def test_sources_come_by_their_mean_gain_and_runs_without_one_do_not():
    runs = [Gain(s, "t", k, gain_percent=g) for s, k, g in (("a", 0, 1.0), ("b", 0, 9.0), ("a", 1, 5.0), ("c", 0, 4.0))]
    found = summarize_gains([*runs, Gain("d", "t", status=NOT_CONVERGED)], "t")
    assert [(one.source, one.gains, one.gain) for one in found] == [("b", (9,), 9), ("c", (4,), 4), ("a", (1, 5), 3)]
    assert [one.deviation for one in found] == [None, None, pytest.approx(8**0.5)]
