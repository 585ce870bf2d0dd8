"""Gaussian mixtures against scipy's normal distributions."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from medsegdist.distance.mixture.gaussian import GaussianMixture
from medsegdist.errors import DataError
from tests.distance.test_mixture_transport import random_mixture


@pytest.mark.parametrize(("k", "d"), [(1, 1), (3, 2), (5, 3), (2, 4)])
def test_log_density_is_scipys(k, d):
    mixture = random_mixture(k, d, 0)
    points = np.random.default_rng(1).normal(scale=30, size=(200, d))
    each = [multivariate_normal(m, c).logpdf(points) for m, c in zip(mixture.means, mixture.covariances, strict=True)]
    expected = logsumexp(np.stack(each), axis=0, b=mixture.weights.numpy()[:, None])
    np.testing.assert_allclose(mixture.log_density(torch.from_numpy(points)), expected, rtol=1e-10)


def test_density_integrates_to_1():
    mixture = random_mixture(2, 2, 0)
    side = torch.arange(-90, 90, 0.1, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    assert float(mixture.log_density(grid).exp().sum() * 0.01) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"weights": [0.5], "means": [[0.0]], "covariances": [[[1.0]]]},
        {"weights": [1.0], "means": [[0.0]], "covariances": [[[float("nan")]]]},
    ],
)
def test_a_broken_stored_mixture_is_a_data_error(stored):
    with pytest.raises(DataError, match="expected a mixture with weights, means, covariances, found a broken one"):
        GaussianMixture.from_dict(stored)


def broken(**changes):
    whole = random_mixture(2, 2, 0)
    parts = {name: getattr(whole, name).clone() for name in ("weights", "means", "covariances")}
    return parts | changes


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (broken(weights=torch.tensor([0.5, 0.6]).double()), "expected positive weights that sum to 1"),
        (broken(weights=torch.tensor([1.5, -0.5]).double()), "expected positive weights that sum to 1"),
        (broken(weights=torch.tensor([0.5, 0.5])), "expected finite float64 weights"),
        (broken(means=torch.full((2, 2), float("nan")).double()), "expected finite float64 means"),
        (broken(means=torch.zeros(3, 2).double()), r"expected weights \(k,\), means \(k, d\) and covariances"),
        (broken(covariances=torch.tensor([[[1.0, 0.5], [0.0, 1.0]]] * 2).double()), "expected symmetric covariances"),
        (broken(covariances=torch.tensor([[[1.0, 2.0], [2.0, 1.0]]] * 2).double()), "without negative eigenvalues"),
    ],
)
def test_what_is_no_mixture_is_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(**parts)


def test_a_singular_mixture_exists_but_has_no_density():
    parts = broken(covariances=torch.stack([torch.eye(2), torch.diag(torch.tensor([1.0, 0.0]))]).double())
    mixture = GaussianMixture(**parts)
    with pytest.raises(ValueError, match=r"expected invertible covariances, found a singular one in component 1"):
        mixture.log_density(torch.zeros(1, 2, dtype=torch.float64))
