"""The folder of a run: what study.json says, what may be missing, and how what is broken is named."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medsegdist.distance.characteristics import characterize
from medsegdist.distance.mixture.gaussian import GaussianMixture
from medsegdist.distance.order import DistanceRow
from medsegdist.distance.table import DistanceTable
from medsegdist.errors import DataError
from medsegdist.report.describe import characteristics, fit_spread, segment_histogram
from medsegdist.report.record import MAX_BINS, StudyRecord
from medsegdist.report.results import Results
from medsegdist.transfer.gains import DistanceRecord, Gain
from tests.report.making_run import CENTERS, DISTANCES, samples_of, write_transfer
from tests.synthetic import blobs, dots


def test_the_record_tells_what_was_compared_and_how(compared_datasets):
    table, record = compared_datasets
    assert [dataset.name for dataset in record.datasets] == list(CENTERS)
    assert {(dataset.samples, dataset.patients, dataset.modality) for dataset in record.datasets} == {(12, 4, "CT")}
    assert record.bootstrap.replicates == 5
    assert [method.name for method in record.methods] == list(DISTANCES)
    for method in record.methods:
        assert method.optimality_gap == max(row.optimality_gap for row in table.rows if row.method == method.name)
    gmm = record.methods[1]
    assert (gmm.options["components"], gmm.options["seed"], gmm.formula["p"]) == (2, 0, 1.0)
    assert {"Python", "medsegdist", "torch", "POT"} <= set(record.software)
    assert record.preprocessing["grid"] == [32, 40]


def test_the_mixture_is_the_one_that_was_compared(compared_datasets):
    _, record = compared_datasets
    for samples, dataset in zip(samples_of(), record.datasets, strict=True):
        summary = DISTANCES["gmm2d"].metric.summarize(samples)
        assert GaussianMixture.from_dict(dataset.mixture.model_dump()).means.equal(summary.means)


def test_the_spread_of_a_fit_is_a_share_of_the_median_distance():
    k, center = torch.ones(1, dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64)
    still = torch.eye(2, dtype=torch.float64).unsqueeze(0)
    places = {"near": 0.0, "far": 8.0, "farther": 12.0, "farthest": 40.0}
    summaries = {
        (name, "gmm2d"): GaussianMixture(k, center + place / 2**0.5, still, fit_spread=3.0)
        for name, place in places.items()
    }
    row = DistanceRow("far", "near", "gmm2d", 1.0, 1.0, 0.0, None, None, None, 1, False, 4, 4, 0.0)
    table = DistanceTable((row,), summaries=summaries | {("near", "dice"): None})
    assert fit_spread(table, "near") == {"gmm2d": pytest.approx(3 / 12)}
    assert fit_spread(replace(table, summaries={}), "near") == {}


@pytest.mark.parametrize("grid", [(32, 40), (96, 70), (5, 24, 130)])
def test_a_histogram_is_coarse_and_keeps_mass_and_place(grid):
    samples = blobs(grid=grid, n=4, center=(0.5, 0.4, 0.6)[-len(grid) :])
    histogram = segment_histogram(samples)
    mass = np.array(histogram.mass)
    assert mass.shape == tuple(min(size, MAX_BINS) for size in grid[-2:])
    assert histogram.extent == grid[-2:]
    assert mass.sum() == pytest.approx(1, abs=2e-3)
    masks = samples.masks.double().numpy().reshape(len(samples), -1, *grid[-2:]).sum(1)
    exact = np.tensordot(samples.mass.numpy(), masks, 1)
    for axis in (0, 1):
        bins, size = mass.shape[axis], grid[-2:][axis]
        center = (mass.sum(1 - axis) * ((np.arange(bins) + 0.5) * size / bins - 0.5)).sum() / mass.sum()
        expected = (exact.sum(1 - axis) * np.arange(size)).sum() / exact.sum()
        assert center == pytest.approx(expected, abs=size / bins)


@given(st.integers(1, 200), st.integers(1, MAX_BINS))
def test_every_pixel_falls_into_one_bin(size, bins):
    samples = dots("dot", [[(0, size - 1)], [(0, 0)]], grid=(1, size))
    mass = np.array(segment_histogram(samples, bins).mass)
    assert mass.shape == (1, min(size, bins))
    assert mass[0, 0] >= 0.5
    assert mass[0, -1] >= 0.5


def test_characteristics_are_those_of_the_datasets_in_the_units_of_the_study():
    samples = blobs(n=4)
    found, expected = characteristics(samples, "HU"), characterize(samples)
    assert {one.name: (one.mean, one.deviation) for one in found} == {name: one[1:] for name, one in expected.items()}
    units = {one.name: one.unit for one in found}
    assert (units["segment_contrast"], units["segment_size"]) == ("HU", "pixels")


def test_what_no_sample_has_is_not_known():
    samples = dots("full", [[(0, 0), (0, 1)]], grid=(1, 2))
    found = {one.name: one for one in characteristics(samples)}
    assert (found["segment_contrast"].mean, found["segment_contrast"].deviation) == (None, None)
    assert found["segment_size"].mean == 2


LINE = {"weights": [1.0], "means": [[0.0]], "covariances": [[[1.0]]]}


def spoilt(record: StudyRecord, change) -> str:
    content = record.model_dump(mode="json")
    change(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("datasets"), "found in datasets: Field required"),
        (lambda c: c.update(format="something else"), "found in format: Input should be 'medsegdist study'"),
        (lambda c: c.update(version=2), "found in version: Input should be 1"),
        (lambda c: c["datasets"][0]["histogram"].update(mass=[[0.1] * 65]), "should have at most 64 items"),
        (lambda c: c["datasets"][0]["histogram"].update(mass=[[0.1], [0.1, 0.2]]), "expected rows of one length"),
        (lambda c: c["datasets"][0]["mixture"]["weights"].pop(), "found a broken one"),
        (lambda c: c["datasets"][0]["mixture"].update(weights=[0.9, 0.9]), "positive weights that sum to 1"),
        (lambda c: c["datasets"][0]["mixture"]["covariances"][0].reverse(), "found a broken one"),
        (lambda c: c["datasets"][0]["histogram"].update(mass=[[0.5]]), "expected parts that sum to 1, found 0.5"),
        (lambda c: c["datasets"][0].update(mixture=LINE), "found in datasets.0.mixture: .*over 2 axes, found 1"),
    ],
)
def test_a_broken_record_is_refused(tmp_path, compared_datasets, change, message):
    _, record = compared_datasets
    path = tmp_path / "study.json"
    path.write_text(spoilt(record, change))
    with pytest.raises(DataError, match=message) as caught:
        StudyRecord.load(path)
    assert f"{path}: expected what `medsegdist rank` writes there" in str(caught.value)
    assert "run it again, or remove the file" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe\x00"])
def test_what_is_no_record_is_refused(tmp_path, content):
    (tmp_path / "study.json").write_bytes(content)
    with pytest.raises(DataError, match="expected what `medsegdist rank` writes there"):
        StudyRecord.load(tmp_path / "study.json")


def test_everything_that_a_folder_holds(run_folder, compared_datasets):
    run = Results.load(run_folder)
    assert (run.table.rows, run.record) == (compared_datasets[0].rows, compared_datasets[1])
    assert len(run.table.comparisons) == len(compared_datasets[0].comparisons)
    assert (run.name, run.targets) == ("tiny study", ("target", "near", "far"))
    assert run.gains[0] == Gain("target", "near", 0, dice=0.55, dice_baseline=0.5, gain_percent=10.0)
    assert len(run.gains) == 12


def test_targets_that_the_record_alone_knows_are_left_out(run_folder):
    path = run_folder / "study.json"
    path.write_text(path.read_text().replace('"targets":["target"]', '"targets":["gone","near"]'))
    assert Results.load(run_folder).targets == ("near", "target", "far")


@pytest.mark.parametrize(("name", "found"), [("nowhere", "nothing"), ("out/distances.csv", "a file")])
def test_what_is_no_folder(run_folder, name, found):
    with pytest.raises(DataError, match=f"expected a folder with distances.csv, found {found}; `medsegdist rank"):
        Results.load(run_folder.parent / name)


def test_plain_distances_and_gains_are_enough(tmp_path):
    (tmp_path / "distances.csv").write_text("source,target,distance,note\na,t,2,x\n")
    (tmp_path / "gains.csv").write_text("source,target,gain_percent\na,t,5\n")
    run = Results.load(tmp_path)
    assert run.distances == (DistanceRecord("a", "t", 2.0, "distance"),)
    assert (run.table.rows, run.gains) == ((), (Gain("a", "t", gain_percent=5.0),))


def test_a_damaged_table_of_ours_is_not_taken_for_plain_distances(run_folder):
    path = run_folder / "distances.csv"
    path.write_text(path.read_text().replace("rank", "ranc", 1))
    with pytest.raises(DataError, match=r"expected the columns rank; found 'source', 'target'"):
        Results.load(run_folder)


def test_gains_alone_are_enough_and_may_be_a_header(tmp_path):
    write_transfer(tmp_path)
    run = Results.load(tmp_path)
    assert (run.distances, run.record, run.name) == ((), None, "trained study")
    assert (len(run.gains), len(run.controls)) == (10, 4)
    (tmp_path / "gains.csv").write_text("source,target,seed,dice,dice_baseline,gain_percent,status\n")
    assert Results.load(tmp_path).gains == ()


def test_a_folder_without_distances(tmp_path):
    with pytest.raises(DataError, match=r"distances\.csv: expected a table, found no such file"):
        Results.load(tmp_path)
