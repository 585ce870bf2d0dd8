"""Gaussian mixtures of a dataset whose samples are weighed anew, many times over, from the mixture of the whole."""

from __future__ import annotations

import torch
from torch import Tensor

from medsegdist.distance.covariance_types import CovarianceType
from medsegdist.distance.em_steps import climb, expectation, natural_parameters
from medsegdist.distance.expectation_maximization import mixture_of
from medsegdist.distance.mixture import GaussianMixture
from medsegdist.distance.sample_histograms import SampleHistograms
from medsegdist.threads import one_thread

STEPS = 101
"""E steps at most. The start is near, and a fit whose slowest direction still creeps has found its place."""

TOLERANCE = 1e-5
"""A fit rests when no statistic moves by more, in standard deviations of the points: far below what samples differ."""

SIDE_BY_SIDE = 64
"""Mixtures that are fitted in one batch, which bounds the memory."""


def refit_mixtures(
    histograms: SampleHistograms,
    weights: Tensor,
    start: GaussianMixture,
    *,
    floor: float = 1e-6,
    covariance: CovarianceType = "full",
) -> list[GaussianMixture]:
    """The mixtures of the same pixels under other weights of the samples.

    All of them climb from one start, side by side, on cells that stand for the pixels. Each stays in the optimum that
    the start lies in: what is seen is how far the samples move a mixture, not that a search might end elsewhere.

    Args:
        histograms: pixels of n samples; isotropic for spherical covariances.
        weights: (r, n) float64, >= 0; each row leaves at least one sample.
        start: the mixture of all samples, k components in the units of the points.
        floor: smallest variance of a component along any direction, in squared standard deviations of the points.
        covariance: what covariances may look like.

    Returns:
        r mixtures in the units of the points.
    """
    cells = histograms.weighed(weights)
    scale = histograms.scale
    parameters = natural_parameters(
        start.weights.cpu(),
        (start.means.cpu() - histograms.center) / scale,
        start.covariances.cpu() / (scale[:, None] * scale[None, :]),
        floor,
    )
    fitted = []
    for rows in torch.arange(len(weights)).split(SIDE_BY_SIDE):
        seen = cells.of_mixtures(rows)
        with one_thread():
            first = expectation(seen, parameters.unsqueeze(1).expand(-1, len(rows), -1).contiguous())[1]
            statistics, *_ = climb(seen, first, STEPS, floor, TOLERANCE, covariance)
        fitted += [mixture_of(statistics[:, r], floor, histograms.center, scale, covariance) for r in range(len(rows))]
    return fitted
