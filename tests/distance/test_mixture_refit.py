"""Mixtures under other weights of the samples, against fits from scratch."""

import numpy as np
import pytest
import torch

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.em_steps import Cells, climb, expectation, natural_parameters
from medsegdist.distance.expectation_maximization import fit_mixture
from medsegdist.distance.mixture_refit import refit_mixtures
from medsegdist.distance.mixture_transport import mixture_wasserstein
from medsegdist.distance.pixel_histogram import PixelHistogram, pixel_histogram
from medsegdist.distance.resampling import resample_patients
from medsegdist.distance.sample_histograms import sample_histograms
from tests.synthetic import blobs

GRIDS = {"slices": (32, 40), "volumes": (10, 20, 24)}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
@pytest.mark.parametrize("intensity", [False, True])
@pytest.mark.parametrize("limit", [200, 10**6])
def test_the_samples_add_up_to_the_histogram_of_the_dataset(grid, intensity, limit):
    samples = blobs(grid=grid, center=[0.5] * len(grid), seed=3)
    found = sample_histograms(samples, intensity=intensity, limit=limit)
    assert len(found.cells) <= limit
    assert found.counts.sum(1).tolist() == samples.masks.flatten(1).sum(1).tolist()
    cells = found.weighed(samples.weights[None])
    assert torch.allclose(cells.masses[0], found.cells.masses, rtol=1e-9)
    # Mean and second moments are those of all pixels, however coarse the cells are.
    whole = pixel_histogram(samples, intensity=intensity)
    points, _, _ = whole.standard_cells()
    assert torch.allclose(cells.monomials @ cells.masses[0], points.monomials @ points.masses, atol=1e-12)


def test_one_component_is_the_mean_and_covariance_of_the_weighed_pixels():
    samples = blobs(seed=4)
    start = fit_mixture(pixel_histogram(samples, intensity=True), 1).mixture
    weights = resample_patients(samples, 8, seed=0).weights
    fitted = refit_mixtures(sample_histograms(samples, intensity=True, limit=10**6), weights, start)
    for row, mixture in zip(weights, fitted, strict=True):
        inside = samples.masks.nonzero().numpy()
        points = np.c_[inside[:, 1:], samples.images[samples.masks].numpy()].astype(float)
        mass = row.numpy()[inside[:, 0]]
        # The intensity of a bin is that of all samples; place and extent of the pixels are exact.
        assert np.allclose(mixture.means[0], np.average(points, axis=0, weights=mass), rtol=1e-4)
        places = np.cov(points[:, :2].T, aweights=mass, bias=True) + np.eye(2) / 12
        assert np.allclose(mixture.covariances[0][:2, :2], places, rtol=1e-9)
        assert np.allclose(mixture.covariances[0], np.cov(points.T, aweights=mass, bias=True), rtol=0.02, atol=0.1)


def two_places():
    """Segments in two places, so that which two Gaussians are meant is beyond doubt."""
    parts = [
        blobs(n=30, radius=3, center=center, brightness=brightness, seed=seed)
        for center, brightness, seed in (((0.3, 0.3), 90, 5), ((0.7, 0.7), 180, 6))
    ]
    return SegmentationSamples.from_arrays(
        "two places",
        torch.cat([part.images for part in parts]),
        torch.cat([part.masks for part in parts]),
        patient_ids=[f"patient{k // 2}" for k in range(60)],
    )


@pytest.mark.parametrize("intensity", [False, True])
def test_a_refit_is_the_fit_from_scratch_and_the_own_weights_change_nothing(intensity):
    samples = two_places()
    start = fit_mixture(pixel_histogram(samples, intensity=intensity), 2).mixture
    resamples = resample_patients(samples, 6, seed=0)
    refitted = refit_mixtures(sample_histograms(samples, intensity=intensity), resamples.weights, start)
    assert mixture_wasserstein(refitted[0], start) < 0.01
    for b, mixture in enumerate(refitted[1:], start=1):
        anew = fit_mixture(pixel_histogram(resamples.samples(samples, b), intensity=intensity), 2).mixture
        assert mixture_wasserstein(mixture, anew) < 0.02 * mixture_wasserstein(start, mixture)


def test_mixtures_side_by_side_climb_as_each_alone():
    rng = np.random.default_rng(0)
    points = torch.from_numpy(rng.normal(size=(300, 2)))
    masses = torch.from_numpy(rng.dirichlet(np.ones(300), size=4))
    start = fit_mixture(PixelHistogram(points, masses.mean(0)), 3).mixture
    together = Cells(Cells.of_points(points, masses[0]).monomials, masses)
    parameters = natural_parameters(start.weights, start.means, start.covariances, 1e-6)[:, None]
    first = expectation(together, parameters.expand(-1, 4, -1).contiguous())[1]
    side_by_side = climb(together, first, 41, 1e-6, 1e-9)
    for r in range(4):
        alone = Cells.of_points(points, masses[r])
        statistics, likelihood, *_ = climb(alone, expectation(alone, parameters)[1], 41, 1e-6, 1e-9)
        assert torch.allclose(side_by_side[0][:, r], statistics[:, 0], atol=1e-9)
        assert torch.allclose(side_by_side[1][r], likelihood[0], atol=1e-12)
