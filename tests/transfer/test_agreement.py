"""All of it together: what is reported, what is warned of, and what is written."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from medsegdist.distance.characteristics import CHARACTERISTICS
from medsegdist.errors import DataError
from medsegdist.transfer.agreement import (
    correlate_characteristics,
    measure_agreement,
    save_agreement,
    to_frame,
    to_json,
)
from medsegdist.transfer.gains import NOT_CONVERGED, DistanceRecord, Gain
from medsegdist.transfer.ranks import permutation_test
from tests.transfer.making_pairs import pairs_of


def records(sources=12, targets=("t",), *, seed=0, slope=-2.0, noise=0.5, methods=("m",)):
    rng = np.random.default_rng(seed)
    distances, gains = [], []
    for target in targets:
        for k in range(sources):
            distance = float(rng.uniform(1, 5))
            distances += [DistanceRecord(f"s{k}", target, distance, method) for method in methods]
            gains.append(Gain(f"s{k}", target, gain_percent=10 + slope * distance + noise * float(rng.normal())))
    return distances, gains


def test_a_clear_relation_is_found_by_everything_and_nothing_is_warned_of():
    (found,) = measure_agreement(*records(targets=("t", "u")))
    assert found.line.slope_low < -2 < found.line.slope_high
    assert found.ranks.spearman < -0.9
    assert max(found.line.p_slope, found.fixed_effects.p_slope, found.within_targets.p_slope) < 1e-3
    assert found.whole_sources.p_slope < 1e-3
    assert found.warnings == ()
    assert found.predictions == ()


def test_regret_is_the_mean_over_targets_with_a_choice():
    distances = [
        DistanceRecord(s, t, d, "m") for s, t, d in (("a", "t", 1), ("b", "t", 2), ("a", "u", 3), ("b", "u", 5))
    ]
    gains = [Gain(s, t, gain_percent=g) for s, t, g in (("a", "t", 5), ("b", "t", 10), ("a", "u", 3), ("b", "u", 1))]
    alone = (DistanceRecord("a", "v", 9, "m"), Gain("a", "v", gain_percent=-70))
    (found,) = measure_agreement([*distances, alone[0]], [*gains, alone[1]])
    assert len(found.targets) == 3
    assert found.regret == (5 + 0) / 2
    assert found.regret_percent == (50 + 0) / 2


def test_few_pairs_and_a_positive_slope_are_warned_of():
    (found,) = measure_agreement(*records(5, slope=2))
    assert found.warnings[:2] == (
        "Only 5 pairs: p-values and intervals of so few say little.",
        "The slope is positive: here sources that are farther away gained more.",
    )
    assert found.whole_sources is None  # one target: the same as within targets
    # Ten are enough, and nothing is lost without a source where nothing was found.
    (found,) = measure_agreement(*records(10, slope=0, noise=1))
    assert found.line.p_slope > 0.05
    assert not any(text.startswith(("Only", "Without")) for text in found.warnings)


def test_a_source_that_everything_rests_on_is_named():
    distances, gains = records(12, slope=0, noise=1, seed=2)
    (found,) = measure_agreement(
        [*distances, DistanceRecord("far", "t", 60.0, "m")], [*gains, Gain("far", "t", gain_percent=-40.0)]
    )
    assert "The line leans on far (leverage or Cook's distance is high)." in found.warnings
    assert any(text.startswith("Without far p of the slope is 0.") for text in found.warnings)
    assert found.weakest.source == "far"


def test_without_a_source_no_line_is_left():
    near = {"a": 5.0, "b": 5.1, "c": 4.9, "e": 5.2}
    distances = [*(DistanceRecord(name, "t", 1.0, "m") for name in near), DistanceRecord("d", "t", 9.0, "m")]
    gains = [Gain(name, "t", gain_percent=gain) for name, gain in {**near, "d": -9.0}.items()]
    (found,) = measure_agreement(distances, gains)
    assert "Without d there is no line, for all other pairs are equally far." in found.warnings
    assert sum(text.startswith("Without") for text in found.warnings) == 1


def test_three_pairs_have_an_order_and_no_line_nor_anything_that_rests_on_one(tmp_path):
    distances, gains = records(3)
    new = DistanceRecord("new", "t", 2.0, "m")
    (found,) = measure_agreement([*distances, new], gains, predict={"m": [1.0]})
    assert (found.line, found.predictions, found.influence, found.weakest) == (None, (), (), None)
    assert found.ranks is not None
    assert "Only 3 pairs: too few for a line, which needs 4, and for expected gains." in found.warnings
    save_agreement([found], tmp_path)
    (row,) = pd.read_csv(tmp_path / "agreement.csv").to_dict("records")
    assert row["n"] == 3
    assert np.isnan([row["slope"], row["r_squared"], row["p_slope"]]).all()
    assert measure_agreement(*records(4))[0].line is not None


def test_what_was_left_out_is_said():
    distances, gains = records(12)
    gains[0] = Gain("s0", "t", status=NOT_CONVERGED)
    gains[1] = Gain("s1", "t", 0, gain_percent=3.0)
    more = [Gain("s1", "t", 1, status=NOT_CONVERGED), Gain("nobody", "t", gain_percent=1.0)]
    del gains[2]
    (found,) = measure_agreement(distances, [*gains, *more])
    assert len(found.pairs) == 10
    assert found.warnings[-4:] == (
        "Left out, for no run converged or the Dice from scratch is 0: s0 -> t.",
        "Runs left out that have no gain for such a reason, where others have: s1 -> t (1).",
        "Gains without a distance: nobody -> t.",
        "Distances without a gain: s2 -> t.",
    )


def test_a_source_without_a_gain_gets_the_expected_one_on_targets_that_were_trained_on():
    distances, gains = records(12)
    new = [DistanceRecord("new", "t", 2.0, "m"), DistanceRecord("new", "elsewhere", 2.0, "m")]
    (found,) = measure_agreement([*distances, *new], gains, predict={"m": [3.0]})
    assert [(one.source, one.target, one.distance) for one in found.predictions] == [("new", "t", 2.0), ("", "", 3.0)]
    assert found.predictions[0].gain == pytest.approx(found.line.intercept + 2 * found.line.slope)
    assert not any("elsewhere" in text for text in found.warnings)
    with pytest.raises(DataError, match="expected a prediction by one of the methods m, found 'other'"):
        measure_agreement(distances, gains, predict={"other": [1.0]})


def test_json_and_csv_hold_what_was_found(tmp_path):
    distances, gains = records(6, targets=("t", "u"))
    agreements = measure_agreement([*distances, DistanceRecord("new", "t", 2.0, "m")], gains)
    save_agreement(agreements, tmp_path / "deep" / "out")
    (read,) = json.loads((tmp_path / "deep" / "out" / "agreement.json").read_text())
    (found,) = agreements
    assert read["line"]["p_slope"] == found.line.p_slope
    assert read["left_out"]["without_gain"] == [{"source": "new", "target": "t", "method": "m", "distance": 2.0}]
    assert len(read["pairs"]) == 12
    assert len(read["without_source"]) == 6
    (row,) = pd.read_csv(tmp_path / "deep" / "out" / "agreement.csv").to_dict("records")
    assert (row["method"], row["n"], row["sources"], row["targets"]) == ("m", 12, 6, 2)
    assert row["slope"] == pytest.approx(found.line.slope, rel=1e-9)
    assert row["p_whole_sources"] == pytest.approx(found.whole_sources.p_slope, rel=1e-9)
    assert sorted(path.name for path in (tmp_path / "deep" / "out").iterdir()) == ["agreement.csv", "agreement.json"]


def test_what_is_undefined_is_null():
    distances = [DistanceRecord("a", target, float(k), "m") for k, target in enumerate("tuvw")]
    gains = [Gain("a", target, gain_percent=float(gain)) for target, gain in zip("tuvw", (4, 3, 2, 1), strict=True)]
    agreements = measure_agreement(distances, gains)
    (read,) = json.loads(to_json(agreements), parse_constant=pytest.fail)
    assert read["regret"] is None
    assert read["within_targets"] is None
    assert read["influence"][0]["cooks_distance"] is None
    assert pd.isna(to_frame(agreements).loc[0, "regret"])


def test_unreliable_gains_are_warned_of_first():
    rng = np.random.default_rng(0)
    distances = [DistanceRecord(f"s{k}", "t", float(k), "m") for k in range(8)]
    gains = [Gain(f"s{k}", "t", seed, gain_percent=float(rng.normal())) for k in range(8) for seed in range(2)]
    (found,) = measure_agreement(distances, gains)
    assert found.reliability.reliability < 0.7
    assert found.warnings[0].startswith("The gains have a reliability of 0.")
    (row,) = to_frame([found]).to_dict("records")
    assert (row["reliability"], row["ceiling"]) == (found.reliability.reliability, found.reliability.ceiling)
    steady = [Gain(f"s{k}", "t", seed, gain_percent=k**2 + 0.1 * seed) for k in range(8) for seed in range(2)]
    (found,) = measure_agreement(distances, steady)
    assert found.reliability.reliability > 0.99
    assert not any("reliability" in one for one in found.warnings)


SIZES = {"t": 10.0, "a": 11.0, "b": 7.0, "c": 16.0, "d": 2.0, "e": 30.0}
CONTRASTS = {"t": 0.0, "a": 5.0, "b": -1.0, "c": 2.0, "d": -9.0, "e": 3.0}
GAINS = {"a": 20.0, "b": 15.0, "c": 9.0, "d": 3.0, "e": -5.0}


def datasets(sizes=None, contrasts=None):
    """Datasets that differ in two characteristics only."""
    means = {**dict.fromkeys(CHARACTERISTICS, 1.0), "segment_size": sizes or SIZES}
    return pd.DataFrame({**means, "segment_contrast": contrasts or CONTRASTS}, index=list(SIZES))


def runs_of(gains=None):
    return [Gain(source, "t", gain_percent=gain) for source, gain in (gains or GAINS).items()]


def test_difference_and_direction_are_rank_correlations():
    found = {one.characteristic: one for one in correlate_characteristics(datasets(), runs_of())}
    assert set(found) == {"segment_size", "segment_contrast"}  # the others cannot tell sources apart
    size, contrast = found["segment_size"], found["segment_contrast"]
    gains = list(GAINS.values())
    assert (size.pairs, size.difference) == (5, pytest.approx(-1))
    assert size.direction == pytest.approx(stats.spearmanr([1, -3, 6, -8, 20], gains).statistic)
    assert contrast.difference == pytest.approx(stats.spearmanr([5, 1, 2, 9, 3], gains).statistic)
    assert contrast.direction == pytest.approx(stats.spearmanr([5, -1, 2, -9, 3], gains).statistic)
    # What no sample of the target has is left out.
    missing = datasets(contrasts={**CONTRASTS, "t": math.nan})
    assert [one.characteristic for one in correlate_characteristics(missing, runs_of())] == ["segment_size"]


def test_p_values_are_those_of_permutations_and_adjusted_for_their_number():
    found = correlate_characteristics(datasets(), runs_of())
    contrast = permutation_test(pairs_of([5, 1, 2, 9, 3], list(GAINS.values()))).p_rank
    # A perfect order of five: it and its reverse among 120.
    p_values = {"segment_contrast": contrast, "segment_size": 2 / 120}
    assert {one.characteristic: one.p_difference for one in found} == pytest.approx(p_values)
    holm = multipletests(list(p_values.values()), method="holm")[1]
    assert [one.p_adjusted for one in found] == pytest.approx(holm.tolist())


def test_too_little_is_said():
    same = dict.fromkeys(SIZES, 1.0)
    with pytest.raises(
        DataError, match="expected characteristics that differ between datasets, found none in 6 datasets"
    ):
        correlate_characteristics(datasets(same, same), runs_of())
    with pytest.raises(DataError, match="no pair in common"):
        correlate_characteristics(datasets(), [Gain("x", "t", gain_percent=1.0)])
    with pytest.raises(DataError, match="expected at least 3 pairs"):
        correlate_characteristics(datasets(), runs_of({"a": 1.0, "b": 2.0}))
