"""Fits of every type of covariance against closed forms, scikit-learn and planted mixtures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture as ReferenceMixture

from medsegdist.distance.metrics import GmmMetric
from medsegdist.distance.mixture.em import (
    WeightedPoints,
    expectation,
    maximization,
    run_em,
)
from medsegdist.distance.mixture.fit import fit_mixture, mixtures_of, refit_mixtures
from medsegdist.distance.mixture.gaussian import mixture_wasserstein
from medsegdist.distance.mixture.pixel_counts import PixelCounts, count_by_sample, count_pixels
from medsegdist.errors import DataError
from tests.synthetic import blobs, resample_patients


def planted(n=1500, seed=0):
    rng = np.random.default_rng(seed)
    centers = np.array([[20.0, 30], [70, 40], [45, 90]])
    points = np.round(centers[rng.integers(3, size=n)] + rng.normal(size=(n, 2)) * [6, 3])
    distinct, counts = np.unique(points, axis=0, return_counts=True)
    return points, PixelCounts(points=torch.from_numpy(distinct), masses=torch.from_numpy(counts).double())


def test_planted_mixture_is_found_from_every_seed_and_in_any_order():
    _, histogram = planted()
    fit = fit_mixture(histogram, 3)
    np.testing.assert_allclose(fit.mixture.means.numpy(), [[20, 30], [45, 90], [70, 40]], atol=1)
    order = torch.randperm(len(histogram), generator=torch.Generator().manual_seed(0))
    shuffled = PixelCounts(points=histogram.points[order], masses=5 * histogram.masses[order])
    for other in (fit_mixture(histogram, 3, seed=9), fit_mixture(shuffled, 3)):
        assert mixture_wasserstein(fit.mixture, other.mixture) < 1e-4


def test_a_constant_axis_and_a_single_point_are_fitted():
    _, histogram = planted()
    flat = PixelCounts(
        points=torch.cat([histogram.points, torch.full((len(histogram), 1), 5.0).double()], 1), masses=histogram.masses
    )
    assert fit_mixture(flat, 2).mixture.means[:, 2].tolist() == pytest.approx([5, 5])
    single = PixelCounts(points=torch.tensor([[3.0, 4.0]]).double(), masses=torch.ones(1).double())
    assert fit_mixture(single, 1).mixture.means.tolist() == [[3, 4]]


def test_many_points_are_searched_on_few_cells():
    rng = np.random.default_rng(0)
    points = torch.from_numpy(np.concatenate([rng.normal(0, 1, (4000, 3)), rng.normal(9, 1, (4000, 3))]))
    fit = fit_mixture(PixelCounts(points=points, masses=torch.ones(8000).double()), 2)
    np.testing.assert_allclose(fit.mixture.means.numpy(), [[0] * 3, [9] * 3], atol=0.1)


@pytest.mark.parametrize("rows", [20, 21])
def test_the_spread_of_a_fit_is_the_distance_to_the_other_way_of_cutting_a_rectangle(rows):
    points = torch.cartesian_prod(torch.arange(rows), torch.arange(22)).double()
    pixels = PixelCounts(points, torch.ones(len(points)).double(), torch.ones(2).double())
    fit = fit_mixture(pixels, 2)
    cells, center, scale = pixels.standardized()
    upper = (points[:, 0] < rows / 2).double()
    halves = torch.stack([cells.monomials @ (cells.masses * half) for half in (upper, 1 - upper)]).unsqueeze(1)
    other = run_em(cells, halves, 2001, 1e-11)
    assert fit.log_likelihood > float(other.log_likelihood) - float(scale.log().sum())
    apart = mixture_wasserstein(fit.mixture, mixtures_of(other.statistics, center, scale)[0])
    assert fit.mixture.fit_spread == pytest.approx(apart, rel=1e-4)


def test_bad_input_is_refused():
    _, histogram = planted()
    with pytest.raises(ValueError, match="at least 1 component, found 0"):
        fit_mixture(histogram, 0)
    two = PixelCounts(points=histogram.points[:2], masses=histogram.masses[:2])
    with pytest.raises(DataError, match="found 2 pixels for 5 components"):
        fit_mixture(two, 5)


def disc(radius=9):
    """All pixels of a disc, evenly."""
    axis = np.arange(-radius, radius + 1)
    inside = np.argwhere(axis[:, None] ** 2 + axis[None] ** 2 <= radius**2).astype(float)
    return torch.from_numpy(inside)


def test_no_component_collapses_onto_a_row_of_pixels():
    points = disc()
    masses = torch.ones(len(points)).double()
    narrowest = [
        torch.linalg.eigvalsh(fit_mixture(PixelCounts(points, masses, widths), 5).mixture.covariances)[:, 0].min()
        for widths in (torch.ones(2).double(), None)
    ]
    assert narrowest[0] > 1
    assert narrowest[1] < 1e-3, "mere points do have such components"


def test_the_likelihood_of_pixels_is_that_of_places_within_them():
    points, rng = disc(), np.random.default_rng(0)
    fit = fit_mixture(PixelCounts(points, torch.ones(len(points)).double(), torch.ones(2).double()), 1)
    within = points.numpy()[rng.integers(0, len(points), 400_000)] + rng.uniform(-0.5, 0.5, (400_000, 2))
    assert fit.log_likelihood == pytest.approx(
        float(fit.mixture.log_density(torch.from_numpy(within)).mean()), abs=0.005
    )
    assert torch.allclose(fit.mixture.covariances[0], torch.from_numpy(np.cov(within.T)), rtol=0.01, atol=0.1)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_long_steps_end_where_plain_ones_creep_to(dimensions):
    generator = torch.Generator().manual_seed(0)
    clouds = torch.cat([torch.randn(300, dimensions, generator=generator).double() + 1.5 * i for i in range(3)])
    masses = torch.rand(900, generator=generator).double() + 0.1
    points = WeightedPoints.of((clouds - clouds.mean(0)) / clouds.std(0), masses / masses.sum())
    shares = torch.randn(3, 900, generator=generator).double().mul(2).softmax(0)
    start = ((shares * points.masses) @ points.monomials.T).unsqueeze(1)
    fits = run_em(points, start, 20001, 1e-9)
    assert float(fits.change) <= 1e-9
    assert float(fits.statistics[..., 0].sum()) == pytest.approx(1, abs=1e-12), "no step makes mass"
    plain = fits.statistics
    for _ in range(5000):
        likelihood, plain = expectation(points, maximization(points, plain))
    torch.testing.assert_close(fits.statistics, plain, rtol=0, atol=1e-6)
    assert float(fits.log_likelihood) == pytest.approx(float(likelihood), abs=1e-12)


def long_groups(n=400, d=2, seed=0):
    """Three groups, long along the first axis, whose axes have very different spreads."""
    rng = np.random.default_rng(seed)
    centers = np.array([[20.0, 30, 400], [70, 40, 700], [45, 90, 100]])[:, :d]
    points = centers[rng.integers(3, size=n)] + rng.normal(size=(n, d)) * [9, 3, 40][:d]
    return points, PixelCounts(points=torch.from_numpy(points), masses=torch.ones(n).double())


@pytest.mark.parametrize("d", [2, 3])
def test_likelihood_is_not_below_the_best_of_scikit_learn(d):
    points, histogram = long_groups(d=d)
    options = {"n_init": 5, "tol": 1e-7, "max_iter": 1000, "reg_covar": 1e-9, "random_state": 0}
    reference = ReferenceMixture(3, **options).fit(points)
    fit = fit_mixture(histogram, 3)
    assert fit.converged
    assert fit.log_likelihood >= reference.score(points) - 1e-6
    assert fit.mixture.log_likelihood(histogram) == pytest.approx(fit.log_likelihood, abs=1e-9)


def test_one_component_has_the_closed_form_and_a_pixel_is_a_square():
    points, plain = long_groups()
    squares = PixelCounts(plain.points, plain.masses, widths=torch.tensor([1.0, 1.0]).double())
    covariance = np.cov(points.T, bias=True)
    for histogram, square in ((plain, 0.0), (squares, 1 / 12)):
        expected = covariance + square * np.eye(2)
        found = fit_mixture(histogram, 1).mixture.covariances[0]
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("d", [2, 3])
def test_the_likelihood_never_falls(d):
    rng = np.random.default_rng(d)
    _, histogram = long_groups(d=d)
    cells, *_ = histogram.standardized()
    # Responsibilities at random: far from every optimum, eight mixtures side by side.
    held = torch.from_numpy(rng.dirichlet(np.full(4, 0.3), size=(8, len(cells)))).permute(2, 0, 1)
    statistics = (held * cells.masses) @ cells.monomials.T
    before = torch.full((8,), -float("inf"), dtype=torch.float64)
    for _ in range(40):
        likelihood, statistics = expectation(cells, maximization(cells, statistics))
        assert (likelihood >= before - 1e-12).all()
        before = likelihood
    assert (run_em(cells, statistics, 31, 0.0)[1] >= before - 1e-12).all()


def test_the_own_weights_change_nothing():
    samples = blobs(n=16, patients=8, seed=3)
    metric = GmmMetric(components=2)
    start = metric.summarize(samples)
    refitted = metric.resample(samples, start, resample_patients(samples, 3, seed=0))
    assert mixture_wasserstein(start, refitted[0]) < 0.1 * mixture_wasserstein(start, refitted[1])


def test_a_refit_of_one_component_is_the_closed_form():
    samples = blobs(seed=4)
    start = fit_mixture(count_pixels(samples, intensity=False), 1).mixture
    weights = resample_patients(samples, 4, seed=0)
    histograms = count_by_sample(samples, intensity=False, limit=10**6)
    for row, mixture in zip(weights, refit_mixtures(histograms, weights, start), strict=True):
        inside = samples.masks.nonzero().numpy()
        covariance = np.cov(inside[:, 1:].T, aweights=row.numpy()[inside[:, 0]], bias=True)
        np.testing.assert_allclose(mixture.covariances[0], covariance + np.eye(2) / 12, rtol=1e-9)
