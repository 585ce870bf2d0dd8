"""The regression of gain on distance, of the paper's own tables."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medsegdist.distance.order import DistanceRow
from medsegdist.distance.table import DistanceTable
from medsegdist.report.results import Results
from medsegdist.report.sections import gain_points, of_other_tables, regress
from medsegdist.transfer.agreement import Agreement, measure_agreement, save_agreement
from medsegdist.transfer.gains import NOT_CONVERGED, UNDEFINED, Gain
from medsegdist.transfer.paper import published_distances, published_gains


def published_run() -> Results:
    """The paper's distances by two methods, and its gains."""
    rows = [
        DistanceRow(
            one.source, one.target, one.method, one.distance, one.distance, 0.0, None, None, None, 1, False, 1, 1, 0.0
        )
        for one in published_distances()
        if one.method in ("euclidean", "gmm3d")
    ]
    gains = (Gain(one.source, one.target, 0, gain_percent=one.gain_percent) for one in published_gains())
    return Results("run", DistanceTable(tuple(rows)), gains=tuple(gains))


def test_the_line_is_that_of_numpy_and_lies_within_its_band():
    points = gain_points(published_run())["gmm3d"]
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


def test_runs_without_a_gain_are_no_points_and_move_no_line():
    run = published_run()
    collapsed = [
        Gain(one.source, one.target, 1, status=UNDEFINED if one.source == "Decathlon Liver" else NOT_CONVERGED)
        for one in run.gains
    ]
    gone = Gain("Decathlon Prostate", "Decathlon Lung", 0, status=NOT_CONVERGED)
    kept = [one for one in run.gains if (one.source, one.target) != ("Decathlon Prostate", "Decathlon Lung")]
    with_them, without = (
        gain_points(Results("run", run.table, gains=tuple(gains))) for gains in ([*kept, *collapsed, gone], kept)
    )
    assert with_them == without
    assert len(with_them["gmm3d"]) == 16
    assert all(np.isfinite(point.gain) for point in with_them["gmm3d"])


def test_plain_distances_are_compared_as_ranked_ones_are():
    run = published_run()
    assert gain_points(Results("run", listed=run.distances, gains=run.gains)) == gain_points(run)


def agreement_of(run: Results, folder: Path) -> tuple[Agreement, ...]:
    save_agreement(measure_agreement(run.distances, run.gains), folder)
    return Results.load(folder).agreements


def test_what_agreement_compared_is_what_is_drawn(tmp_path):
    run = published_run()
    alone = Results("run", agreements=agreement_of(run, tmp_path))
    for method, points in gain_points(run).items():
        assert regress(gain_points(alone)[method]) == regress(points)
    assert not of_other_tables(alone)
    assert not of_other_tables(run)
    together = replace(run, agreements=alone.agreements)
    assert not of_other_tables(together)
    other = tuple(replace(one, gain_percent=one.gain_percent + 1) for one in run.gains)
    assert of_other_tables(replace(together, gains=other))
    assert gain_points(replace(together, gains=other)) == gain_points(together)
