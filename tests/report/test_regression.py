"""The regression of gain on distance, against the paper's own Table 12."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medsegdist.distance.table import DistanceRow, DistanceTable
from medsegdist.report.gain_sections import gain_points, of_other_tables, regress
from medsegdist.report.results import Results
from medsegdist.transfer.agreement import Agreement, measure_agreement, save_agreement
from medsegdist.transfer.gains import NOT_CONVERGED, UNDEFINED, Gain

# Source: distance to Decathlon Lung and to the tuberculomas by Table 5 and Table 7, gains by Table 11.
PUBLISHED = {
    "LIDC 1": ((10862.16, 11135.58), (15280.97, 19611.81), (16.4, 9.3)),
    "LIDC 2": ((10625.84, 11093.3), (14115.015, 14563.10), (20.1, 19.9)),
    "LIDC 3": ((10229.51, 10575.97), (12700.28, 14042.89), (21.1, 20.3)),
    "LIDC 4": ((9645.36, 10306.17), (17539.21, 15361.22), (8.8, 15.1)),
    "LIDC 5": ((9032.89, 9567.25), (10149.49, 16722.41), (25.4, 15.7)),
    "Liver": ((9623.07, 11313.40), (21259.89, 23897.78), (-2.4, -8.6)),
    "Spleen": ((10011.95, 11726.35), (29014.97, 43578.4), (-6.3, -9.7)),
    "Prostate": ((22806.89, 25347.77), (53590.53, 58543.45), (-16.1, -20.8)),
    "Lung": ((None, 8313.04), (None, 10595.77), (None, 21.3)),
}


def published_run(tmp_path) -> Results:
    rows, gains = [], []
    for source, (euclidean, gmm3d, found) in PUBLISHED.items():
        for k, target in enumerate(("lung", "tuberculoma")):
            for method, values in (("euclidean", euclidean), ("gmm3d", gmm3d)):
                if values[k] is not None:
                    row = (source, target, method, values[k], values[k], 0.0, None, None, None, 1, False, 1, 1, 0.0)
                    rows.append(DistanceRow(*row))
            if found[k] is not None:
                gains.append(Gain(source, target, 0, gain_percent=found[k]))
    return Results("run", DistanceTable(tuple(rows)), gains=tuple(gains))


@pytest.mark.parametrize(
    ("method", "p_intercept", "p_slope"), [("euclidean", "0.000354", "0.00167"), ("gmm3d", "7.08e-08", "4.43e-07")]
)
def test_the_p_values_of_table_12_come_out(tmp_path, method, p_intercept, p_slope):
    points = gain_points(published_run(tmp_path))[method]
    assert len(points) == 17
    fit, _ = regress(points)
    assert (f"{fit.p_intercept:.3g}", f"{fit.p_slope:.3g}") == (p_intercept, p_slope)
    assert fit.slope_low < fit.slope < fit.slope_high < 0


def test_the_line_is_that_of_numpy_and_lies_within_its_band(tmp_path):
    points = gain_points(published_run(tmp_path))["gmm3d"]
    fit, band = regress(points)
    slope, intercept = np.polyfit([point.distance for point in points], [point.gain for point in points], 1)
    assert (fit.slope, fit.intercept) == pytest.approx((slope, intercept))
    assert (band[0].distance, band[-1].distance) == (10149.49, 58543.45)
    for one in band:
        assert one.gain == pytest.approx(intercept + slope * one.distance)
        assert one.mean_low < one.gain < one.mean_high
    residuals = [point.gain - intercept - slope * point.distance for point in points]
    gains = [point.gain for point in points]
    assert fit.r_squared == pytest.approx(1 - np.var(residuals) / np.var(gains))


def test_seeds_are_averaged(tmp_path):
    run = published_run(tmp_path)
    doubled = tuple(
        Gain(one.source, one.target, seed, gain_percent=one.gain_percent + 4 * seed)
        for one in run.gains
        for seed in (0, 1)
    )
    once, twice = (gain_points(Results("run", run.table, gains=gains))["gmm3d"] for gains in (run.gains, doubled))
    for one, other in zip(once, twice, strict=True):
        assert (other.gain, other.seeds) == pytest.approx((one.gain + 2, 2))


def test_runs_without_a_gain_are_no_points_and_move_no_line(tmp_path):
    run = published_run(tmp_path)
    collapsed = [
        Gain(one.source, one.target, 1, status=UNDEFINED if one.source == "Liver" else NOT_CONVERGED)
        for one in run.gains
    ]
    gone = Gain("Prostate", "lung", 0, status=NOT_CONVERGED)
    kept = [one for one in run.gains if (one.source, one.target) != ("Prostate", "lung")]
    with_them, without = (
        gain_points(Results("run", run.table, gains=tuple(gains))) for gains in ([*kept, *collapsed, gone], kept)
    )
    assert with_them == without
    assert len(with_them["gmm3d"]) == 16
    assert all(np.isfinite(point.gain) for point in with_them["gmm3d"])


def test_plain_distances_are_compared_as_ranked_ones_are(tmp_path):
    run = published_run(tmp_path)
    assert gain_points(Results("run", listed=run.distances, gains=run.gains)) == gain_points(run)


def agreement_of(run: Results, folder: Path) -> tuple[Agreement, ...]:
    save_agreement(measure_agreement(run.distances, run.gains), folder)
    return Results.load(folder).agreements


def test_what_agreement_compared_is_what_is_drawn(tmp_path):
    run = published_run(tmp_path)
    alone = Results("run", agreements=agreement_of(run, tmp_path))
    for method, points in gain_points(run).items():
        assert regress(gain_points(alone)[method]) == regress(points)
    assert not of_other_tables(alone)
    assert not of_other_tables(run)
    beside = replace(run, agreements=alone.agreements)
    assert not of_other_tables(beside)
    other = tuple(replace(one, gain_percent=one.gain_percent + 1) for one in run.gains)
    assert of_other_tables(replace(beside, gains=other))
    assert gain_points(replace(beside, gains=other)) == gain_points(beside)


def test_a_line_needs_pairs_and_different_distances(tmp_path):
    points = gain_points(published_run(tmp_path))["gmm3d"]
    assert regress(points[:3]) is None
    assert regress([points[0]] * 10) is None
    assert regress([]) is None
