"""GBC, against closed forms and an integral."""

import numpy as np
import pytest
from scipy import integrate, stats

from medsegdist.transfer.comparators.bhattacharyya import gaussian_bhattacharyya

KINDS = ("full", "diagonal", "spherical")


def with_moments(mean, deviation, n=50):
    """n numbers of exactly this mean and sample deviation."""
    values = stats.norm.ppf((np.arange(n) + 0.5) / n)
    return mean + deviation * (values - values.mean()) / values.std(ddof=1)


@pytest.mark.parametrize("covariance", KINDS)
def test_in_one_dimension_it_is_the_integral_of_the_root_of_both_densities(covariance):
    features = np.concatenate([with_moments(0.0, 1.0), with_moments(1.5, 2.0)])[:, None]
    overlap = integrate.quad(lambda x: np.sqrt(stats.norm.pdf(x) * stats.norm.pdf(x, 1.5, 2)), -20, 20)[0]
    found = gaussian_bhattacharyya(features, np.repeat([0, 1], 50), covariance=covariance)
    assert found == pytest.approx(-2 * overlap, rel=1e-7)


@pytest.mark.parametrize("covariance", KINDS)
def test_classes_that_are_alike_have_the_least_and_those_far_apart_0(covariance):
    rows = np.random.default_rng(0).normal(size=(40, 3))
    for classes in (2, 3):
        alike = np.concatenate([rows] * classes)
        labels = np.repeat(np.arange(classes), 40)
        assert gaussian_bhattacharyya(alike, labels, covariance=covariance) == pytest.approx(-classes * (classes - 1))
        apart = alike + 1e3 * labels[:, None]
        assert gaussian_bhattacharyya(apart, labels, covariance=covariance) == pytest.approx(0, abs=1e-12)


def test_full_covariances_by_the_formula():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(30, 3)) @ rng.normal(size=(3, 3)), rng.normal(size=(40, 3)) + 0.5
    s, t = np.cov(a.T), np.cov(b.T)
    m, shift = (s + t) / 2, a.mean(0) - b.mean(0)
    determinants = [np.linalg.det(one) for one in (m, s, t)]
    distance = shift @ np.linalg.inv(m) @ shift / 8 + np.log(determinants[0] / np.sqrt(np.prod(determinants[1:]))) / 2
    found = gaussian_bhattacharyya(np.concatenate([a, b]), np.repeat([0, 1], [30, 40]), covariance="full")
    assert found == pytest.approx(-2 * np.exp(-distance), rel=1e-6)


def test_only_full_covariances_see_what_differs_in_correlation_alone():
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, 500))
    rising, falling = np.stack([x, x + 0.1 * noise], 1), np.stack([x, -x + 0.1 * noise], 1)
    features, labels = np.concatenate([rising, falling]), np.repeat([0, 1], 500)
    assert gaussian_bhattacharyya(features, labels, covariance="diagonal") < -1.9
    assert gaussian_bhattacharyya(features, labels, covariance="full") > -0.5


def test_components_keep_what_varies_most():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 50)
    features = np.concatenate([20 * labels[:, None] + rng.normal(size=(100, 1)), 0.01 * rng.normal(size=(100, 99))], 1)
    assert gaussian_bhattacharyya(features, labels, components=1) == pytest.approx(0, abs=1e-6)
    assert gaussian_bhattacharyya(features, labels, covariance="full", components=5) > -1e-6


def test_a_channel_that_never_changes_breaks_nothing():
    features = np.stack([with_moments(0, 1, 20), np.full(20, 3.0)], 1)
    found = gaussian_bhattacharyya(np.concatenate([features, features]), np.repeat([0, 1], 20), covariance="full")
    assert found == pytest.approx(-2)
    assert gaussian_bhattacharyya(np.ones((4, 2)), [0, 0, 1, 1]) == pytest.approx(-2)


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"expected at least 2 rows of each class, found 1 of class 7"):
        gaussian_bhattacharyya(np.zeros((3, 2)), [0, 0, 7])
    with pytest.raises(ValueError, match=r"expected the covariance to be one of full, .*found 'diag'"):
        gaussian_bhattacharyya(np.zeros((4, 2)), [0, 0, 1, 1], covariance="diag")
