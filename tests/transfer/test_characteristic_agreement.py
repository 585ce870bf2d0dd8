"""Differences between datasets against gains."""

import math

import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from medsegdist.distance.characteristics import CHARACTERISTICS, Characteristic, DatasetCharacteristics
from medsegdist.errors import DataError
from medsegdist.transfer.agreement import characteristic_distances, correlate_characteristics
from medsegdist.transfer.gains import Gain
from medsegdist.transfer.ranks import permutation_test
from tests.transfer.making_pairs import pairs_of

SIZES = {"t": 10.0, "a": 11.0, "b": 7.0, "c": 16.0, "d": 2.0, "e": 30.0}
CONTRASTS = {"t": 0.0, "a": 5.0, "b": -1.0, "c": 2.0, "d": -9.0, "e": 3.0}
GAINS = {"a": 20.0, "b": 15.0, "c": 9.0, "d": 3.0, "e": -5.0}


def datasets(sizes=None, contrasts=None):
    """Datasets that differ in two characteristics only."""
    sizes, contrasts = sizes or SIZES, contrasts or CONTRASTS
    found = []
    for name in sizes:
        means = {
            **dict.fromkeys(CHARACTERISTICS, 1.0),
            "segment_size": sizes[name],
            "segment_contrast": contrasts[name],
        }
        values = tuple(Characteristic(key, "", mean, 0.0) for key, mean in means.items())
        found.append(DatasetCharacteristics(name, 3, 3, values))
    return found


def runs(gains=None):
    return [Gain(source, "t", gain_percent=gain) for source, gain in (gains or GAINS).items()]


def test_distances_are_differences_between_means():
    records = characteristic_distances(datasets())
    found = {one.source: one.distance for one in records if (one.method, one.target) == ("segment_size", "t")}
    assert found == {"a": 1.0, "b": 3.0, "c": 6.0, "d": 8.0, "e": 20.0}
    assert len(records) == 30 * len(CHARACTERISTICS)


def test_difference_and_direction_are_rank_correlations():
    found = {one.characteristic: one for one in correlate_characteristics(datasets(), runs())}
    assert set(found) == {"segment_size", "segment_contrast"}  # the others cannot tell sources apart
    size, contrast = found["segment_size"], found["segment_contrast"]
    gains = list(GAINS.values())
    assert (size.pairs, size.difference) == (5, pytest.approx(-1))
    assert size.direction == pytest.approx(stats.spearmanr([1, -3, 6, -8, 20], gains).statistic)
    assert contrast.difference == pytest.approx(stats.spearmanr([5, 1, 2, 9, 3], gains).statistic)
    assert contrast.direction == pytest.approx(stats.spearmanr([5, -1, 2, -9, 3], gains).statistic)


def test_p_values_are_those_of_permutations_and_adjusted_for_their_number():
    found = correlate_characteristics(datasets(), runs())
    contrast = permutation_test(pairs_of([5, 1, 2, 9, 3], list(GAINS.values()))).p_rank
    # A perfect order of five: it and its reverse among 120.
    p_values = {"segment_contrast": contrast, "segment_size": 2 / 120}
    assert {one.characteristic: one.p_difference for one in found} == pytest.approx(p_values)
    holm = multipletests(list(p_values.values()), method="holm")[1]
    assert [one.p_adjusted for one in found] == pytest.approx(holm.tolist())


def test_what_no_sample_has_is_left_out():
    missing = datasets(contrasts={**CONTRASTS, "t": math.nan})
    assert [one.characteristic for one in correlate_characteristics(missing, runs())] == ["segment_size"]


def test_too_little_is_said():
    same = dict.fromkeys(SIZES, 1.0)
    with pytest.raises(
        DataError, match="expected characteristics that differ between datasets, found none in 6 datasets"
    ):
        correlate_characteristics(datasets(same, same), runs())
    with pytest.raises(DataError, match="no pair in common"):
        correlate_characteristics(datasets(), [Gain("x", "t", gain_percent=1.0)])
    with pytest.raises(DataError, match="expected at least 3 pairs"):
        correlate_characteristics(datasets(), runs({"a": 1.0, "b": 2.0}))
