"""What divides points into clusters: k-means++, or any clusterer of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.utils.validation import has_fit_parameter

RESTARTS = 10
"""k-means++ starts, of which the best counts."""

Partition = Callable[[NDArray[np.float64], NDArray[np.float64], int], NDArray[np.int64]]
"""(h, d) distinct points, (h,) masses and a number of clusters -> (h,) labels."""


class Clusterer(Protocol):
    """A scikit-learn estimator that clusters: KMeans, AgglomerativeClustering, GaussianMixture, MiniBatchKMeans ...

    Those that take no `sample_weight` see each distinct point once, however much it weighs. Order, a common factor of
    the weights, and copies of a sample then still change nothing, but neither does the weight of a sample: a heavier
    one no longer pulls the clusters as its copies would, and replicates of a bootstrap differ only by who is missing.
    """

    def fit_predict(self, X: Any, y: Any = None) -> Any:  # noqa: N803
        """(h,) labels of (h, d) points."""
        ...

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Its options, by name."""
        ...


def partition_by(clusterer: Clusterer | None, seed: int) -> Partition:
    """How points are divided into clusters.

    Args:
        clusterer: None is k-means++ with :data:`RESTARTS` starts. Of another one a copy is used, with `n_clusters` or
            `n_components` set to the number asked for, if it has one of them, and `random_state` to the seed, if that
            is None. Points that it calls noise (-1) are a cluster of their own.
        seed: of its random choices.
    """

    def divide(points: NDArray[np.float64], masses: NDArray[np.float64], clusters: int) -> NDArray[np.int64]:
        clusters = min(clusters, len(points))
        masses = masses / masses.mean()
        if clusterer is None:
            kmeans = KMeans(n_clusters=clusters, n_init=RESTARTS, random_state=seed)
            return np.asarray(kmeans.fit(points, sample_weight=masses).labels_)
        if len(points) == 1:
            return np.zeros(1, dtype=np.int64)
        estimator = clone(clusterer)
        options = estimator.get_params()
        chosen = {name: clusters for name in NUMBERS if name in options}
        if "random_state" in options and options["random_state"] is None:
            chosen["random_state"] = seed
        estimator.set_params(**chosen)
        weighed = {"sample_weight": masses} if has_fit_parameter(estimator, "sample_weight") else {}
        return np.asarray(estimator.fit_predict(points, **weighed))

    return divide


NUMBERS = ("n_clusters", "n_components")
"""What estimators call their number of clusters."""


def check_clusterer(clusterer: object, *, number_chosen: bool) -> None:
    """Refuses what cannot cluster.

    Args:
        clusterer: the estimator; None is k-means++.
        number_chosen: whether a rule is to choose the number of clusters.

    Raises:
        TypeError: it is no scikit-learn estimator with `fit_predict`.
        ValueError: a rule is to choose a number that the clusterer does not have.
    """
    if clusterer is None:
        return
    if isinstance(clusterer, type) or not (hasattr(clusterer, "fit_predict") and hasattr(clusterer, "get_params")):
        raise TypeError(
            "expected a clusterer of scikit-learn with fit_predict, such as AgglomerativeClustering(), "
            f"found {clusterer!r}."
        )
    if number_chosen and not any(name in clusterer.get_params() for name in NUMBERS):
        raise ValueError(
            f"expected a clusterer with {' or '.join(NUMBERS)} where a rule chooses the number of classes, "
            f"found {clusterer!r}, which finds it by itself; give a number, which it ignores."
        )
