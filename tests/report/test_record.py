"""study.json: what it says is true of the samples, it says nothing of cases, and a broken one is refused."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsegdist.distance.characteristics import characterize
from medsegdist.distance.mixture.gaussian import GaussianMixture
from medsegdist.errors import DataError
from medsegdist.report.describe import characteristics, segment_histogram
from medsegdist.report.record import MAX_BINS, StudyRecord
from tests.report.making_run import CENTERS, DISTANCES, samples_of
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
    found, expected = characteristics(samples, "HU"), characterize(samples).values()
    assert [(one.name, one.mean, one.deviation) for one in found] == [
        (one.name, one.mean, one.deviation) for one in expected
    ]
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
