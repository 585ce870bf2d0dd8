"""Putting distances and gains together."""

import statistics

import pytest

from medsegdist.errors import DataError
from medsegdist.transfer.pairs import match_pairs
from medsegdist.transfer.records import DistanceRecord, GainRecord


def distances(**of_source):
    return [DistanceRecord(source, "t", "m", value) for source, value in of_source.items()]


def gains(**of_source):
    return [GainRecord(source, "t", "", value) for source, value in of_source.items()]


def test_pairs_are_matched_by_name_and_not_by_order():
    (matched,) = match_pairs(distances(a=1, b=2, c=3), gains(c=30, a=10, b=20))
    assert [(one.source, one.distance, one.gain) for one in matched.pairs] == [("a", 1, 10), ("b", 2, 20), ("c", 3, 30)]


def test_seeds_become_their_mean_and_the_spread_is_kept():
    runs = [GainRecord("a", "t", str(seed), value) for seed, value in enumerate((1.0, 2.0, 6.0))]
    (matched,) = match_pairs(distances(a=1, b=2, c=3), [*runs, *gains(b=5, c=7)])
    first, second, _ = matched.pairs
    assert (first.gain, first.gain_deviation, first.seeds) == (3.0, statistics.stdev([1, 2, 6]), 3)
    assert (second.gain, second.gain_deviation, second.seeds) == (5.0, None, 1)


def test_what_has_no_partner_is_named():
    (matched,) = match_pairs(distances(a=1, b=2, c=3, d=4), gains(a=1, b=2, c=4, e=5))
    assert matched.without_gain == (DistanceRecord("d", "t", "m", 4),)
    assert matched.without_distance == (("e", "t"),)


def test_what_did_not_converge_is_left_out_and_named():
    collapsed = [GainRecord("d", "t", str(seed), None, False) for seed in range(2)]
    partly = [GainRecord("c", "t", "0", -90.0, True), GainRecord("c", "t", "1", None, False)]
    (matched,) = match_pairs(distances(a=1, b=2, c=3, d=4), [*gains(a=1, b=2), *partly, *collapsed])
    assert [one.source for one in matched.pairs] == ["a", "b", "c"]
    assert matched.pairs[2].gain == -90.0
    assert matched.not_converged == (("d", "t"),)
    assert matched.partly_converged == (("c", "t", 1),)
    assert matched.without_gain == ()


def test_methods_are_apart_and_can_be_chosen():
    both = [*distances(a=1, b=2, c=3), *(DistanceRecord(s, "t", "other", v) for s, v in (("a", 3), ("b", 1), ("c", 2)))]
    assert [one.method for one in match_pairs(both, gains(a=1, b=2, c=3))] == ["m", "other"]
    assert [one.method for one in match_pairs(both, gains(a=1, b=2, c=3), ["other"])] == ["other"]
    with pytest.raises(DataError, match="expected a method among those of the distances, m, other, found 'gmm'"):
        match_pairs(both, gains(a=1, b=2, c=3), ["gmm"])


def test_no_overlap_shows_both_and_a_name_that_may_be_meant():
    with pytest.raises(
        DataError, match=r"no pair in common\. Distances: Liver -> t, .*Gains: liver -> t.* Is 'liver' of t"
    ):
        match_pairs(distances(Liver=1, Spleen=2), gains(liver=1, spleen=2))
    with pytest.raises(DataError, match=r"Names must be equal in both files\."):
        match_pairs(distances(a=1, b=2), gains(x=1, y=2))


def test_long_lists_are_cut():
    many = {f"source{k}": float(k) for k in range(9)}
    with pytest.raises(DataError, match=r"source4 -> t and 4 more\. Gains: "):
        match_pairs(distances(**many), gains(x=1))


def test_too_few_pairs_say_what_is_missing():
    message = (
        r"method 'm': expected at least 3 pairs .* found 2: a -> t, b -> t\. Without a gain: c -> t; without a dist"
    )
    with pytest.raises(DataError, match=message):
        match_pairs(distances(a=1, b=2, c=3), gains(a=1, b=2, d=3))
    collapsed = [GainRecord("c", "t", "", None, False)]
    with pytest.raises(DataError, match=r"found 2: .*; not converged, or over a Dice of 0: c -> t\."):
        match_pairs(distances(a=1, b=2, c=3), [*gains(a=1, b=2), *collapsed])
    with pytest.raises(DataError, match=r"found 0: none\. .*not converged, or over a Dice of 0: c -> t\."):
        match_pairs(distances(c=3), collapsed)


def test_constants_are_refused():
    with pytest.raises(DataError, match=r"method 'm': expected distances that differ, found 3 times 1; .* --method"):
        match_pairs(distances(a=1, b=1, c=1), gains(a=1, b=2, c=3))
    with pytest.raises(DataError, match=r"method 'm': expected gains that differ, found 3 times 2"):
        match_pairs(distances(a=1, b=2, c=3), gains(a=2, b=2, c=2))
