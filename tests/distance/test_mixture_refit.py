"""Mixtures under other weights of the samples, against fits from scratch."""

import numpy as np
import pytest
import torch

from medsegdist.distance.mixture.em import WeightedPoints, expectation, natural_parameters, run_em
from medsegdist.distance.mixture.fit import fit_mixture, refit_mixtures
from medsegdist.distance.mixture.gaussian import mixture_wasserstein
from medsegdist.distance.mixture.pixel_counts import PixelCounts, count_by_sample, count_pixels
from tests.synthetic import blobs, resample_patients, two_places

GRIDS = {"slices": (32, 40), "volumes": (10, 20, 24)}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
@pytest.mark.parametrize("intensity", [False, True])
@pytest.mark.parametrize("limit", [200, 10**6])
def test_the_samples_add_up_to_the_histogram_of_the_dataset(grid, intensity, limit):
    samples = blobs(grid=grid, center=[0.5] * len(grid), seed=3)
    found = count_by_sample(samples, intensity=intensity, limit=limit)
    assert len(found.cells) <= limit
    assert found.counts.sum(1).tolist() == samples.masks.flatten(1).sum(1).tolist()
    cells = found.reweighted(samples.weights[None])
    assert torch.allclose(cells.masses[0], found.cells.masses, rtol=1e-9)
    # Mean and second moments are those of all pixels, however coarse the cells are.
    whole = count_pixels(samples, intensity=intensity)
    points, _, _ = whole.standardized()
    assert torch.allclose(cells.monomials @ cells.masses[0], points.monomials @ points.masses, atol=1e-12)


def test_one_component_is_the_mean_and_covariance_of_the_weighed_pixels():
    samples = blobs(seed=4)
    start = fit_mixture(count_pixels(samples, intensity=True), 1).mixture
    weights = resample_patients(samples, 8, seed=0)
    fitted = refit_mixtures(count_by_sample(samples, intensity=True, limit=10**6), weights, start)
    for row, mixture in zip(weights, fitted, strict=True):
        inside = samples.masks.nonzero().numpy()
        points = np.c_[inside[:, 1:], samples.images[samples.masks].numpy()].astype(float)
        mass = row.numpy()[inside[:, 0]]
        # The intensity of a bin is that of all samples; place and extent of the pixels are exact.
        assert np.allclose(mixture.means[0], np.average(points, axis=0, weights=mass), rtol=1e-4)
        places = np.cov(points[:, :2].T, aweights=mass, bias=True) + np.eye(2) / 12
        assert np.allclose(mixture.covariances[0][:2, :2], places, rtol=1e-9)
        assert np.allclose(mixture.covariances[0], np.cov(points.T, aweights=mass, bias=True), rtol=0.02, atol=0.1)


@pytest.mark.parametrize("intensity", [False, True])
def test_a_refit_is_the_fit_from_scratch_and_the_own_weights_change_nothing(intensity):
    samples = two_places(n=60, grid=(32, 40), radius=3, seed=5)
    start = fit_mixture(count_pixels(samples, intensity=intensity), 2).mixture
    resamples = resample_patients(samples, 6, seed=0)
    refitted = refit_mixtures(count_by_sample(samples, intensity=intensity), resamples, start)
    assert mixture_wasserstein(refitted[0], start) < 0.01
    for b, mixture in enumerate(refitted[1:], start=1):
        fresh = fit_mixture(count_pixels(samples.reweighted(resamples[b]), intensity=intensity), 2).mixture
        assert mixture_wasserstein(mixture, fresh) < 0.02 * mixture_wasserstein(start, mixture)


def test_mixtures_side_by_side_are_fitted_as_each_alone():
    rng = np.random.default_rng(0)
    points = torch.from_numpy(rng.normal(size=(300, 2)))
    masses = torch.from_numpy(rng.dirichlet(np.ones(300), size=4))
    start = fit_mixture(PixelCounts(points, masses.mean(0)), 3).mixture
    together = WeightedPoints(WeightedPoints.of(points, masses[0]).monomials, masses)
    parameters = natural_parameters(start.weights, start.means, start.covariances)[:, None]
    first = expectation(together, parameters.expand(-1, 4, -1).contiguous())[1]
    side_by_side = run_em(together, first, 41, 1e-9)
    for r in range(4):
        alone = WeightedPoints.of(points, masses[r])
        statistics, likelihood, *_ = run_em(alone, expectation(alone, parameters)[1], 41, 1e-9)
        assert torch.allclose(side_by_side[0][:, r], statistics[:, 0], atol=1e-9)
        assert torch.allclose(side_by_side[1][r], likelihood[0], atol=1e-12)
