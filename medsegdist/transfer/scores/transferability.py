"""Scores of pre-trained networks and of sources, more is better: LogME, GBC, NCE, CC-FV, Data Shapley; and Task2Vec."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from functools import cache
from itertools import combinations, permutations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import pdist
from scipy.stats import entropy
from sklearn.decomposition import PCA
from sklearn.linear_model import BayesianRidge
from sklearn.metrics import mutual_info_score
from sklearn.utils import check_array, check_X_y
from torch import Tensor, nn

from medsegdist.distance.mixture.gaussian import squared_bures_wasserstein

Array = ArrayLike | Tensor  # of numpy or torch, on any device


def as_features(features: Array, what: str = "features", *, at_least: int = 1) -> NDArray[np.float64]:
    """(n, d) float64 of finite `features`, which messages call `what`, in `at_least` so many rows."""
    found = check_array(_as_array(features), dtype=np.float64, input_name=what, ensure_min_samples=at_least)
    array: NDArray[np.float64] = found
    return array


def _rows_of_classes(features: Array, labels: Array) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Features, and for each of their rows the index of its class, of which there are at least two."""
    rows, given = check_X_y(_as_array(features), _as_array(labels), dtype=np.float64)
    classes, index = np.unique(given, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"expected labels of at least 2 classes, found only {classes.tolist()}.")
    return rows, index


def _as_array(values: Array) -> NDArray[np.generic]:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


MOST_STEPS = 1000
TINY_SCALE = 1e-10  # keeps precisions finite where a linear model explains the labels without a rest


def log_maximum_evidence(features: Array, labels: Array) -> float:
    """Logarithm of the maximum evidence of a label, per row, mean over the classes; more is better.

    For each class a Bayesian linear regression of "is of this class" (1 or 0) on the features, weights and noise
    Gaussian, without an intercept; the evidence is maximized over both variances. You, Liu, Wang and Long, "LogME:
    Practical Assessment of Pre-trained Models for Transfer Learning", ICML 2021. It is scikit-learn's BayesianRidge
    that finds the maximum.

    Args:
        features: (n, d) of pixels, regions or images; of many millions of pixels a sample will do.
        labels: (n,) their classes.

    Returns:
        Natural logarithm, per row. It has no scale of its own: compare networks on one set of rows.

    Raises:
        ValueError: features or labels are not what is expected.
    """
    rows, index = _rows_of_classes(features, labels)
    # One scale for all channels changes no evidence, but where the iterations of the model begin and end.
    rows = rows / (float(np.sqrt(np.mean(rows**2))) or 1.0)
    model = BayesianRidge(
        fit_intercept=False,
        compute_score=True,
        max_iter=MOST_STEPS,
        tol=1e-8,
        alpha_1=0,
        alpha_2=TINY_SCALE,
        lambda_1=0,
        lambda_2=TINY_SCALE,
    )
    evidences = [model.fit(rows, (index == k).astype(np.float64)).scores_[-1] for k in range(index.max() + 1)]
    return float(np.mean(evidences)) / len(rows)


COMPONENTS = 64
FLOOR = 1e-9
"""Added to the variances of every class, as a part of the mean variance of all rows: no class is infinitely sharp."""


def gaussian_bhattacharyya(features: Array, labels: Array) -> float:
    """Minus the sum of the Bhattacharyya coefficients of every two classes: 0 where none overlap; more is better.

    A Gaussian of diagonal covariance stands for each class; exp(-D_B) is 1 for two equal ones, and every pair counts in
    both orders, so that c classes that are all alike have -c (c - 1). Pandy, Agostinelli, Uijlings, Ferrari and
    Mensink, "Transferability Estimation using Bhattacharyya Class Separability", CVPR 2022.

    Args:
        features: (n, d) of pixels, regions or images; of more than 64 channels, their principal components count.
        labels: (n,) their classes, each of which needs two rows.

    Raises:
        ValueError: features or labels are not what is expected, or a class has one row.
    """
    rows, index = _rows_of_classes(features, labels)
    counts = np.bincount(index)
    if counts.min() < 2:
        raise ValueError(f"expected at least 2 rows of each class, found {counts.tolist()} of the classes in order.")
    if rows.shape[1] > COMPONENTS:
        rows = PCA(min(COMPONENTS, len(rows)), svd_solver="full").fit_transform(rows)
    floor = FLOOR * float(rows.var(axis=0).mean()) or FLOOR
    parts = [rows[index == k] for k in range(len(counts))]
    gaussians = [(part.mean(axis=0), part.var(axis=0, ddof=1) + floor) for part in parts]
    total = 0.0
    for (mean, variance), (other_mean, other_variance) in combinations(gaussians, 2):
        middle = (variance + other_variance) / 2
        # exp(-D_B), by logarithms.
        logs = np.log(middle).sum() - (np.log(variance).sum() + np.log(other_variance).sum()) / 2
        total += float(np.exp(-((mean - other_mean) ** 2 / middle).sum() / 8 - logs / 2))
    return -2 * total


def negative_conditional_entropy(source_labels: Array, target_labels: Array) -> float:
    """Minus the entropy of the target's labels where the source's are known: 0 where they determine it; more is better.

    Tran, Nguyen and Hassner, "Transferability and Hardness of Supervised Classification Tasks", ICCV 2019. Both labels
    are of the same pixels: those of the source are what its network predicts on the target's images.

    Args:
        source_labels: (n,) classes that the source's network gives.
        target_labels: (n,) true classes.

    Returns:
        In nats, <= 0 and at least minus the entropy of the target's labels.

    Raises:
        ValueError: their numbers differ, or there are none.
    """
    source, target = _as_array(source_labels).ravel(), _as_array(target_labels).ravel()
    if len(source) != len(target) or not len(source):
        raise ValueError(f"expected both labels of the same pixels, found {len(source)} and {len(target)} of them.")
    # The entropy that is left is that of the target less what both have in common; rounding could pass 0.
    return min(0.0, float(mutual_info_score(source, target) - entropy(np.unique(target, return_counts=True)[1])))


COINCIDENT = 1e-12  # features nearer to each other than this on the unit sphere have an infinite energy


def _class_consistency(foreground: Sequence[Array]) -> float:
    """Mean 2-Wasserstein distance between Gaussians of the foreground features of every two cases."""
    cases = [as_features(one, f"foreground of case {k}", at_least=2) for k, one in enumerate(foreground)]
    channels = [one.shape[1] for one in cases]
    if len(cases) < 2 or len(set(channels)) > 1:
        raise ValueError(f"expected the same channels in at least 2 cases, found {channels}.")
    means = torch.from_numpy(np.stack([one.mean(axis=0) for one in cases]))
    spreads = torch.from_numpy(np.stack([np.atleast_2d(np.cov(one, rowvar=False)) for one in cases]))
    # A row at a time: all pairs of wide layers at once would not fit into memory.
    distances = [
        squared_bures_wasserstein(means[k : k + 1], spreads[k : k + 1], means[k + 1 :], spreads[k + 1 :]).sqrt()
        for k in range(len(cases) - 1)
    ]
    return float(torch.cat([one.flatten() for one in distances]).mean())


def _feature_variety(features: Array) -> float:
    """One over the hyperspherical energy: large where directions are spread over the sphere; 0 where two are the same.

    The energy is the mean over all pairs of features, scaled to length 1, of one over their distance. (The paper takes
    the sum, which differs by a factor while the number of features is the same.)
    """
    rows = as_features(features, at_least=2)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not lengths.all():
        return 0.0
    distances = pdist(rows / lengths)
    return 0.0 if distances.min() < COINCIDENT else float(1 / np.mean(1 / distances))


def cc_fv(foreground: Sequence[Array], overall: Array) -> float:
    """Class consistency with feature variety: log(variety / consistency) of a layer's features; more is better.

    Yang, Wei, He, Yang, Ye and Gu, "Pick the Best Pre-trained Model: Towards Transferability Estimation for Medical
    Image Segmentation", MICCAI 2023. Of several layers, or foreground classes, take the mean over them.

    Args:
        foreground: for each case (n_k, channels): features of pixels of the foreground, at least two.
        overall: (m, channels) features from everywhere, foreground and background, of all cases; at least two.

    Returns:
        -inf where features coincide, inf where all cases have the same foreground features.

    Raises:
        ValueError: the features are not what is expected.
    """
    variety, consistency = _feature_variety(overall), _class_consistency(foreground)
    if variety == 0:
        return -math.inf
    return math.log(variety / consistency) if consistency > 0 else math.inf


ORDERS = 200  # orders of the sources at most; where there are no more, all are tried


def data_shapley(sources: Iterable[str], utility: Callable[[frozenset[str]], float]) -> dict[str, float]:
    """Shapley value of each source: the mean, over orders in which sources join, of what the utility rises by.

    Ghorbani and Zou, "Data Shapley: Equitable Valuation of Data for Machine Learning", ICML 2019, without truncation,
    over at most 200 orders. Values sum to utility(all) - utility(none).

    Args:
        sources: names of the datasets.
        utility: what any set of them is worth together, the empty one included; it is asked once for each set.

    Raises:
        ValueError: a source stands twice or there is none; the utility is NaN or infinite.
    """
    names = list(sources)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"expected at least 1 source, each named once, found {names}.")

    @cache
    def worth(some: frozenset[str]) -> float:
        found = float(utility(some))
        if not math.isfinite(found):
            raise ValueError(f"expected a finite utility of {{{', '.join(sorted(some))}}}, found {found}.")
        return found

    rng = np.random.default_rng(0)
    orders: Iterable[Sequence[str]] = permutations(names)
    if math.factorial(len(names)) > ORDERS:
        orders = [[names[k] for k in rng.permutation(len(names))] for _ in range(ORDERS)]
    rises: dict[str, list[float]] = {name: [] for name in names}
    for order in orders:
        for k, name in enumerate(order):
            rises[name].append(worth(frozenset(order[: k + 1])) - worth(frozenset(order[:k])))
    return {name: float(np.mean(found)) for name, found in rises.items()}


def task_embedding(
    probe: nn.Module,
    images: Tensor,
    draw: Callable[[Tensor], Tensor],
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    draws: int = 1,
) -> Tensor:
    """Diagonal of the Fisher information of a probe network's weights on a dataset, averaged over each filter.

    The Fisher information of a weight is the mean over examples of the squared derivative of the log-likelihood:
    weights that matter to the task have much of it. Achille et al., "Task2Vec: Task Embedding for Meta-Learning", ICCV
    2019. As there, one network with the same weights serves all datasets, and only its last layer is trained on each
    of them beforehand. The network runs in evaluation mode and is left as it was.

    Args:
        probe: any module; small, for each example is differentiated on its own. Parameters count that require a
            gradient; the last layer should not.
        images: (n, ...) examples.
        draw: from outputs to labels, by the network's own belief.
        loss: negative log-likelihood, one number, of the outputs and labels of one example (first axis of length 1).
        draws: how often labels of each example are drawn.

    Returns:
        (k,) float64 on the CPU, one entry for each output channel of each parameter, in the order of the parameters.

    Raises:
        ValueError: there is no example, or no such parameter.
    """
    probe = deepcopy(probe).eval()
    chosen = [one for one in probe.parameters() if one.requires_grad]
    if not chosen or not len(images):
        raise ValueError(
            f"expected parameters that require a gradient and examples, found {len(chosen)} and {len(images)}."
        )
    sums = [torch.zeros_like(one, dtype=torch.float64) for one in chosen]
    for image in images.split(1) * draws:
        with torch.enable_grad():
            output = probe(image)
            gradients = torch.autograd.grad(loss(output, draw(output.detach())), chosen, allow_unused=True)
        for total, gradient in zip(sums, gradients, strict=True):
            if gradient is not None:
                total += gradient.double().square()
    count = len(images) * draws
    # Mean over all axes but the first one, which counts output channels.
    return torch.cat([total.reshape(*total.shape[:1] or (1,), -1).mean(dim=1).cpu() / count for total in sums])


def task_distance(one: Tensor, other: Tensor) -> float:
    """Task2Vec's symmetric distance: the cosine distance of both embeddings over their sum, 0 to 1.

    `one` and `other` are (k,) embeddings of :func:`task_embedding` by one probe. The sum takes away how sensitive a
    weight is for any task. Entries that are 0 in both count for nothing.

    Raises:
        ValueError: they are of two probes, or one has no entry above 0.
    """
    if one.shape != other.shape:
        raise ValueError(
            f"expected embeddings of one probe, found {tuple(one.shape)} and {tuple(other.shape)} entries."
        )
    if not (bool((one > 0).any()) and bool((other > 0).any())):
        raise ValueError("expected embeddings with entries above 0, found one without; is the loss constant?")
    total = one.double() + other.double()
    shares = [torch.where(total > 0, each.double() / total.clamp_min(1e-300), 0.0) for each in (one, other)]
    cosine = shares[0] @ shares[1] / (shares[0].norm() * shares[1].norm())
    return max(0.0, 1 - float(cosine))
