"""What MW2 of mixtures and W2 of pixels have to do with each other.

MW2 is never below W2 of the densities of two mixtures. It may lie on either side of W2 of the pixels that they were
fitted to: with one component it is a lower bound, with one for every pixel it is equal, and between them the two
differ by no more than the fits do from their pixels.
"""

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medsegdist.distance.metrics import GmmMetric, PixelsMetric
from medsegdist.distance.mixture.gaussian import GaussianMixture, mixture_wasserstein
from medsegdist.distance.transport import solve_transport
from tests.distance.lidc_masks import counted_samples, nodule_counts
from tests.synthetic import dots

NOTHING = torch.zeros(1, 1, dtype=torch.float64)


def wasserstein(one, other):
    """W2 between two binned measures, and how far bins can be wrong."""
    (x, u, error), (y, v, other_error) = one, other
    cost = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()
    return solve_transport(cost, u, v).value ** 0.5, error + other_error


def density_bins(mixture, low, high, step, width):
    """The mixture's density in two dimensions on a fine grid, put into bins that stand at their means."""
    line = torch.arange(low, high, step, dtype=torch.float64)
    points = torch.cartesian_prod(line, line)
    masses = mixture.log_density(points).exp()
    assert float(masses.sum()) * step**2 == pytest.approx(1, abs=1e-3), "the grid holds the density"
    masses /= masses.sum()
    _, number = torch.unique(torch.floor(points / width), dim=0, return_inverse=True)
    total = torch.bincount(number, masses)
    means = (
        torch.stack([torch.bincount(number, masses * axis) for axis in points.T], 1) / total.clamp(min=1e-300)[:, None]
    )
    error = float((masses * (points - means[number]).square().sum(1)).sum()) ** 0.5
    there = total > 1e-12
    return means[there], total[there], error + step / 6**0.5


def pixels(bins):
    return bins.points, bins.masses, bins.error


def moments(points, masses):
    mean = masses @ points
    return GaussianMixture(
        torch.ones(1, dtype=torch.float64), mean[None], ((points - mean).T @ (masses[:, None] * (points - mean)))[None]
    )


def random_mixture(k, seed):
    rng = np.random.default_rng(seed)
    factors = rng.uniform(-4, 4, size=(k, 2, 2))
    weights = torch.from_numpy(rng.uniform(0.2, 2, size=k))
    covariances = torch.from_numpy(factors @ factors.transpose(0, 2, 1) + 4 * np.eye(2))
    return GaussianMixture(weights / weights.sum(), torch.from_numpy(rng.uniform(20, 60, size=(k, 2))), covariances)


@given(k=st.integers(1, 4), other_k=st.integers(1, 4), seed=st.integers(0, 10_000))
@settings(max_examples=15)
def test_mw2_is_not_below_w2_of_the_densities(k, other_k, seed):
    a, b = random_mixture(k, seed), random_mixture(other_k, seed + 1)
    one, other = (density_bins(mixture, -10, 90, 1.0, 4.0) for mixture in (a, b))
    found, error = wasserstein(one, other)
    assert error < 6
    assert mixture_wasserstein(a, b) >= found - error


places = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=12, unique=True)


@given(first=places, second=places)
@settings(max_examples=40)
def test_a_component_for_every_pixel_makes_mw2_the_w2_of_the_pixels(first, second):
    metric = PixelsMetric()
    a, b = (metric.summarize(dots("dots", [places])) for places in (first, second))
    one, other = (GaussianMixture(s.masses, s.points, torch.zeros(len(s), 2, 2, dtype=torch.float64)) for s in (a, b))
    expected = float(metric.compare(a, b, NOTHING))
    assert mixture_wasserstein(one, other) == pytest.approx(expected, rel=1e-9, abs=1e-6)


@given(first=places, second=places)
@settings(max_examples=40)
def test_one_component_makes_mw2_a_lower_bound_of_the_w2_of_the_pixels(first, second):
    metric = PixelsMetric()
    a, b = (metric.summarize(dots("dots", [places])) for places in (first, second))
    bound = mixture_wasserstein(moments(a.points, a.masses), moments(b.points, b.masses))
    assert bound <= float(metric.compare(a, b, NOTHING)) * (1 + 1e-9) + 1e-6


@pytest.mark.slow
def test_on_real_nodules_pixels_lie_between_one_gaussian_and_the_fit_of_five():
    levels = {level: counted_samples(f"LIDC {level}", counts) for level, counts in nodule_counts().items()}
    metric = PixelsMetric()
    binned = {level: metric.summarize(samples) for level, samples in levels.items()}
    single, five = (
        {level: GmmMetric(components=k, intensity=False).summarize(samples) for level, samples in levels.items()}
        for k in (1, 5)
    )
    densities = {level: density_bins(mixture, -120, 640, 4.0, 20.0) for level, mixture in five.items()}
    for a, b in combinations(levels, 2):
        found, error = wasserstein(pixels(binned[a]), pixels(binned[b]))
        assert float(metric.compare(binned[a], binned[b], NOTHING)) == pytest.approx(found, rel=1e-9)
        assert mixture_wasserstein(single[a], single[b]) <= found + error
        mw2 = mixture_wasserstein(five[a], five[b])
        of_densities, density_error = wasserstein(densities[a], densities[b])
        assert mw2 >= of_densities - density_error
        assert mw2 >= found - error, "no theorem: these fits are close enough"
        fits = [wasserstein(pixels(binned[level]), densities[level]) for level in (a, b)]
        assert abs(of_densities - found) <= sum(distance + slack for distance, slack in fits)
