"""NCE: how much the labels of one task tell of those of another (Tran et al. 2019, the paper's [43])."""

from __future__ import annotations

import numpy as np

from medsegdist.transfer.comparators.features import Array, as_classes


def negative_conditional_entropy(source_labels: Array, target_labels: Array) -> float:
    """Minus the entropy of the target's labels where the source's are known: 0 where they tell all; more is better.

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
    _, source = as_classes(source_labels)
    _, target = as_classes(target_labels)
    if len(source) != len(target) or not len(source):
        raise ValueError(f"expected both labels of the same pixels, found {len(source)} and {len(target)} of them.")
    joint = np.zeros((source.max() + 1, target.max() + 1))
    np.add.at(joint, (source, target), 1 / len(source))
    given = joint / joint.sum(axis=1, keepdims=True)
    known = joint > 0
    return float((joint[known] * np.log(given[known])).sum())
