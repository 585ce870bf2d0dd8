"""Fits of every type of covariance against closed forms, scikit-learn and planted mixtures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture as ReferenceMixture

from medsegdist.distance.metrics import FakeClassGmmMetric, GmmMetric
from medsegdist.distance.mixture.em import (
    COVARIANCE_TYPES,
    WeightedPoints,
    constrained,
    expectation,
    free_parameters,
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
    other = run_em(cells, halves, 2001, 1e-6, 1e-11)
    assert fit.log_likelihood > float(other.log_likelihood) - float(scale.log().sum())
    apart = mixture_wasserstein(fit.mixture, mixtures_of(other.statistics, 1e-6, center, scale)[0])
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
    fits = run_em(points, start, 20001, 1e-6, 1e-9)
    assert float(fits.change) <= 1e-9
    assert float(fits.statistics[..., 0].sum()) == pytest.approx(1, abs=1e-12), "no step makes mass"
    plain = fits.statistics
    for _ in range(5000):
        likelihood, plain = expectation(points, maximization(points, plain, 1e-6))
    torch.testing.assert_close(fits.statistics, plain, rtol=0, atol=1e-6)
    assert float(fits.log_likelihood) == pytest.approx(float(likelihood), abs=1e-12)


def long_groups(n=400, d=2, seed=0):
    """Three groups, long along the first axis, whose axes have very different spreads."""
    rng = np.random.default_rng(seed)
    centers = np.array([[20.0, 30, 400], [70, 40, 700], [45, 90, 100]])[:, :d]
    points = centers[rng.integers(3, size=n)] + rng.normal(size=(n, d)) * [9, 3, 40][:d]
    return points, PixelCounts(points=torch.from_numpy(points), masses=torch.ones(n).double())


def has_the_type(covariances, kind):
    off_diagonal = covariances - torch.diag_embed(covariances.diagonal(dim1=-2, dim2=-1))
    variances = covariances.diagonal(dim1=-2, dim2=-1)
    if kind == "tied":
        return torch.allclose(covariances, covariances[:1].expand_as(covariances), rtol=1e-9)
    if kind in ("diag", "spherical") and not torch.allclose(off_diagonal, torch.zeros_like(off_diagonal), atol=1e-9):
        return False
    return kind != "spherical" or torch.allclose(variances, variances[:, :1].expand_as(variances), rtol=1e-9)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
@pytest.mark.parametrize("d", [2, 3])
def test_likelihood_is_not_below_the_best_of_scikit_learn(kind, d):
    points, histogram = long_groups(d=d)
    options = {"n_init": 5, "tol": 1e-7, "max_iter": 1000, "reg_covar": 1e-9, "random_state": 0}
    reference = ReferenceMixture(3, covariance_type=kind, **options).fit(points)
    fit = fit_mixture(histogram, 3, covariance=kind)
    assert fit.converged
    assert fit.log_likelihood >= reference.score(points) - 1e-6
    assert fit.mixture.log_likelihood(histogram) == pytest.approx(fit.log_likelihood, abs=1e-9)
    assert has_the_type(fit.mixture.covariances, kind)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_one_component_has_the_closed_form_and_a_pixel_is_a_square(kind):
    points, plain = long_groups()
    squares = PixelCounts(plain.points, plain.masses, widths=torch.tensor([1.0, 1.0]).double())
    covariance = np.cov(points.T, bias=True)
    for histogram, square in ((plain, 0.0), (squares, 1 / 12)):
        expected = covariance + square * np.eye(2)
        if kind in ("diag", "spherical"):
            expected = np.diag(np.diag(expected))
        if kind == "spherical":
            expected = np.eye(2) * np.trace(expected) / 2
        found = fit_mixture(histogram, 1, covariance=kind).mixture.covariances[0]
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
@pytest.mark.parametrize("d", [2, 3])
def test_the_likelihood_never_falls(kind, d):
    rng = np.random.default_rng(d)
    _, histogram = long_groups(d=d)
    cells, *_ = histogram.standardized(isotropic=kind == "spherical")
    # Responsibilities at random: far from every optimum, eight mixtures side by side.
    held = torch.from_numpy(rng.dirichlet(np.full(4, 0.3), size=(8, len(cells)))).permute(2, 0, 1)
    statistics = (held * cells.masses) @ cells.monomials.T
    before = torch.full((8,), -float("inf"), dtype=torch.float64)
    for _ in range(40):
        likelihood, statistics = expectation(cells, maximization(cells, statistics, 1e-6, kind))
        assert (likelihood >= before - 1e-12).all()
        before = likelihood
    assert (run_em(cells, statistics, 31, 1e-6, 0.0, kind)[1] >= before - 1e-12).all()


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_an_m_step_takes_the_likeliest_covariances_of_the_type(kind):
    _, histogram = long_groups()
    cells = WeightedPoints.of(histogram.points, histogram.masses)
    rng = np.random.default_rng(0)
    held = torch.from_numpy(rng.dirichlet(np.ones(2), size=len(cells))).T
    masses = held @ cells.masses
    means = (held * cells.masses) @ histogram.points / masses[:, None]
    apart = histogram.points[None] - means[:, None]
    covariances = torch.einsum("kh,khi,khj->kij", held * cells.masses, apart, apart) / masses[:, None, None]

    def expected_log_likelihood(chosen):
        inner = (torch.linalg.inv(chosen) * covariances).sum((-2, -1))
        return float(-0.5 * masses @ (torch.logdet(chosen) + inner))

    best = constrained(masses, covariances, kind)
    for _ in range(50):
        factor = torch.from_numpy(rng.normal(scale=0.1, size=(2, 2, 2)))
        nearby = constrained(masses, best + factor @ factor.mT * best.diagonal(dim1=-2, dim2=-1).mean(), kind)
        assert expected_log_likelihood(nearby) <= expected_log_likelihood(best)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
@pytest.mark.parametrize(("k", "d"), [(1, 2), (4, 3)])
def test_free_parameters_are_those_that_scikit_learn_counts(kind, k, d):
    reference = ReferenceMixture(k, covariance_type=kind, random_state=0).fit(
        np.random.default_rng(0).normal(size=(60, d))
    )
    assert free_parameters(k, d, kind) == reference._n_parameters()


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_a_refit_keeps_the_type_and_the_own_weights_change_nothing(kind):
    samples = blobs(n=16, patients=8, seed=3)
    metric = GmmMetric(components=2, covariance=kind)
    start = metric.summarize(samples)
    weights = resample_patients(samples, 3, seed=0)
    refitted = metric.resample(samples, start, weights)
    scale = mixture_wasserstein(start, refitted[1])
    assert mixture_wasserstein(start, refitted[0]) < 0.1 * scale
    assert all(has_the_type(mixture.covariances, kind) for mixture in refitted)


def test_a_refit_of_one_spherical_component_is_the_closed_form():
    samples = blobs(seed=4)
    start = fit_mixture(count_pixels(samples, intensity=False), 1, covariance="spherical").mixture
    weights = resample_patients(samples, 4, seed=0)
    histograms = count_by_sample(samples, intensity=False, limit=10**6, isotropic=True)
    for row, mixture in zip(weights, refit_mixtures(histograms, weights, start, covariance="spherical"), strict=True):
        inside = samples.masks.nonzero().numpy()
        covariance = np.cov(inside[:, 1:].T, aweights=row.numpy()[inside[:, 0]], bias=True)
        assert mixture.covariances[0, 0, 0].item() == pytest.approx(np.trace(covariance) / 2 + 1 / 12, rel=1e-9)


@pytest.mark.parametrize("metric", [GmmMetric, FakeClassGmmMetric])
def test_an_unknown_type_is_refused(metric):
    with pytest.raises(
        ValueError, match="one of full, diag, spherical, tied, found 'sperical'; did you mean 'spherical'"
    ):
        metric(covariance="sperical")
    with pytest.raises(ValueError, match="found 'round'"):
        fit_mixture(long_groups()[1], 1, covariance="round")
