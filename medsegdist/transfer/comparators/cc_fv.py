"""CC-FV: foreground that looks alike from case to case, in features that are spread out (Yang et al. 2023)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.distance import pdist

from medsegdist.distance.mixture_transport import squared_bures_wasserstein
from medsegdist.transfer.comparators.features import Array, as_features

COINCIDENT = 1e-12
"""Features nearer to each other than this on the unit sphere have an infinite energy."""


@dataclass(frozen=True, slots=True, eq=False)
class LayerFeatures:
    """Features of one layer of a network on some cases.

    Args:
        foreground: for each case (n_k, channels): features of pixels of the foreground, at least two.
        overall: (m, channels) features from everywhere, foreground and background, of all cases; at least two.
    """

    foreground: Sequence[Array]
    overall: Array


def class_consistency(foreground: Sequence[Array]) -> float:
    """Mean 2-Wasserstein distance between the foreground features of every two cases; less is more consistent.

    A Gaussian stands for the features of a case (with the covariance of its pixels), for which the distance is known.

    Args:
        foreground: for each of at least two cases (n_k, channels), n_k >= 2.

    Returns:
        Distance in the unit of the features.

    Raises:
        ValueError: there are fewer cases or pixels, or the channels differ.
    """
    cases = [as_features(one, f"foreground features of case {k}") for k, one in enumerate(foreground)]
    if len(cases) < 2:
        raise ValueError(f"expected foreground features of at least 2 cases, found {len(cases)}.")
    for k, one in enumerate(cases):
        if len(one) < 2 or one.shape[1] != cases[0].shape[1]:
            raise ValueError(
                f"expected at least 2 pixels with {cases[0].shape[1]} channels for case {k}, found features of shape "
                f"{one.shape}."
            )
    means = torch.from_numpy(np.stack([one.mean(axis=0) for one in cases]))
    spreads = torch.from_numpy(np.stack([np.atleast_2d(np.cov(one, rowvar=False)) for one in cases]))
    # A row at a time: all pairs of wide layers at once would not fit into memory.
    distances = [
        squared_bures_wasserstein(means[k : k + 1], spreads[k : k + 1], means[k + 1 :], spreads[k + 1 :]).sqrt()
        for k in range(len(cases) - 1)
    ]
    return float(torch.cat([one.flatten() for one in distances]).mean())


def feature_variety(features: Array, *, s: float = 1.0) -> float:
    """One over the hyperspherical energy of the features: large where their directions are spread over the sphere.

    The energy is the mean over all pairs of features, scaled to length 1, of their distance to the power -s. (The
    paper takes the sum, which differs by a factor while the number of features is the same.)

    Args:
        features: (m, channels), m >= 2; a few hundred sampled pixels are enough.
        s: > 0.

    Returns:
        No unit; 0 where two features have the same direction, or one is 0.

    Raises:
        ValueError: there are fewer than two, or s is not above 0.
    """
    rows = as_features(features)
    if len(rows) < 2 or not s > 0:
        raise ValueError(f"expected at least 2 features and s > 0, found {len(rows)} and s = {s}.")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not lengths.all():
        return 0.0
    distances = pdist(rows / lengths)
    return 0.0 if distances.min() < COINCIDENT else float(1 / np.mean(distances**-s))


def cc_fv(layers: Sequence[LayerFeatures], *, s: float = 1.0) -> float:
    """Class consistency with feature variety: mean over layers of log(variety / consistency); more is better.

    Yang, Wei, He, Yang, Ye and Gu, "Pick the Best Pre-trained Model: Towards Transferability Estimation for Medical
    Image Segmentation", MICCAI 2023. Of several foreground classes take the mean over them.

    Args:
        layers: features of the layers of a network, which the paper takes from the decoder.
        s: of :func:`feature_variety`.

    Returns:
        -inf where features of a layer coincide, inf where all cases have the same foreground features.

    Raises:
        ValueError: there is no layer, or its features are not what is expected.
    """
    if not layers:
        raise ValueError("expected features of at least 1 layer, found none.")
    logs = []
    for layer in layers:
        variety, consistency = feature_variety(layer.overall, s=s), class_consistency(layer.foreground)
        if variety == 0:
            return -math.inf
        logs.append(math.log(variety) - (math.log(consistency) if consistency > 0 else -math.inf))
    return math.fsum(logs) / len(logs) if math.inf not in logs else math.inf
