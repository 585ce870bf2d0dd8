"""How many Gaussians a mixture needs, by the three methods that the paper names (Sec. 4.1.2.1)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from medsegdist.distance.choices import check_count
from medsegdist.distance.covariance_types import CovarianceType, free_parameters
from medsegdist.distance.elbow import elbow
from medsegdist.distance.em_steps import Cells, climb, maximization
from medsegdist.distance.expectation_maximization import coarse_cells
from medsegdist.distance.mixture_search import SETTLED, Search, growing_mixtures, settled
from medsegdist.distance.pixel_histogram import PixelHistogram
from medsegdist.threads import one_thread

ComponentRule = Literal["bic", "elbow", "silhouette"]
COMPONENT_RULES: tuple[str, ...] = get_args(ComponentRule)

STEPS = 21
"""Steps on all points that the number of components is judged after; the last digits decide nothing."""


def component_count(
    histogram: PixelHistogram,
    components: int | ComponentRule,
    *,
    most: int = 10,
    observations: float,
    covariance: CovarianceType = "full",
    seed: int = 0,
) -> int:
    """The number of components that is asked for, or that a rule chooses for these points.

    One search serves all numbers: it grows mixtures by one component at a time. The number it finds says nothing of
    how the mixture itself is found, which is the one that would be fitted had the number been given.

    - `bic` (Schwarz 1978): the least of p log(n) - 2 n L, where L is the mean log-likelihood, p the number of free
      parameters and n that of independent observations. More components than observations are not looked at.
    - `elbow`: where L bends most as the number grows; :func:`medsegdist.distance.elbow.elbow` says how.
    - `silhouette` (Rousseeuw 1987): the largest mean silhouette of the points, each given to its likeliest component,
      in standard deviations of the points; never 1, which has none, where there are two distinct points.

    Args:
        histogram: h points.
        components: the number, or the rule.
        most: the most that a rule may choose.
        observations: n of `bic`, see :func:`medsegdist.distance.effective_size.effective_patients`.
        covariance: what covariances may look like.
        seed: of the search.

    Raises:
        ValueError: a number below 1, or an unknown rule.
    """
    check_count("component", components, COMPONENT_RULES)
    check_count("component", most)
    if isinstance(components, int):
        return components
    most = min(most, len(histogram))
    if components == "bic":
        most = max(1, min(most, math.floor(observations + 1e-9)))
    if most == 1:
        return 1
    grown = _grown(histogram, most, Search(covariance=covariance), seed, silhouettes=components == "silhouette")
    likelihoods, silhouettes = zip(*grown, strict=True)
    if components == "elbow":
        return elbow([-likelihood for likelihood in likelihoods])
    if components == "silhouette":
        return int(np.argmax(silhouettes)) + 1
    d = histogram.points.shape[1]
    criteria = [
        information_criterion(likelihood, k, d, observations, covariance)
        for k, likelihood in enumerate(likelihoods, start=1)
    ]
    return int(np.argmin(criteria)) + 1


def information_criterion(
    log_likelihood: float, components: int, dimensions: int, observations: float, covariance: CovarianceType = "full"
) -> float:
    """BIC of a mixture, p log(n) - 2 n L; the smaller, the better.

    Args:
        log_likelihood: L, the mean over the observations.
        components: k.
        dimensions: d of the points.
        observations: n >= 1.
        covariance: what covariances may look like.
    """
    penalty = free_parameters(components, dimensions, covariance) * math.log(observations)
    return penalty - 2 * observations * log_likelihood


def silhouette(points: Tensor, masses: Tensor, labels: Tensor) -> float:
    """Mean silhouette of weighted points (Rousseeuw 1987); without weights it is scikit-learn's `silhouette_score`.

    Args:
        points: (h, d).
        masses: (h,) positive.
        labels: (h,) int64; a point that is alone has the silhouette 0.

    Returns:
        Between -1 and 1; -1 if all points have one label.
    """
    names, index = torch.unique(labels, return_inverse=True)
    if len(names) < 2:
        return -1.0
    member = torch.nn.functional.one_hot(index).double()
    sums = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist") @ (member * masses.unsqueeze(1))
    held = masses @ member
    own = member.bool()
    others = (held.expand_as(sums)[own] - masses).clamp(min=0)
    alone = member.sum(0)[index] == 1
    inside = torch.where(alone, 0.0, sums[own] / torch.where(alone, 1.0, others))
    outside = (sums / held).masked_fill(own, math.inf).amin(1)
    widest = torch.maximum(inside, outside)
    values = torch.where(alone | (widest == 0), 0.0, (outside - inside) / torch.where(widest > 0, widest, 1.0))
    return float(values @ masses / masses.sum())


def _grown(
    histogram: PixelHistogram, most: int, search: Search, seed: int, *, silhouettes: bool
) -> Iterator[tuple[float, float]]:
    """Mean log-likelihood on all points, up to a constant, and silhouette of the best mixture of each size."""
    cells, *_ = histogram.standard_cells(isotropic=search.covariance == "spherical")
    coarse = coarse_cells(cells, most)
    most = min(most, len(coarse))
    with one_thread():
        for carried, _ in growing_mixtures(coarse, most, search, np.random.default_rng(seed)):
            best = settled(coarse, carried, search)[0][:, :1]
            likelihood = climb(cells, best, STEPS, search.floor, SETTLED, search.covariance)[1]
            yield float(likelihood), _silhouette_of(coarse, best, search) if silhouettes else 0.0


def _silhouette_of(cells: Cells, statistics: Tensor, search: Search) -> float:
    parameters = maximization(cells, statistics, search.floor, search.covariance)[:, 0]
    return silhouette(cells.centers, cells.masses, (parameters @ cells.monomials).argmax(0))
