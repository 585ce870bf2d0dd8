"""How many Gaussians a mixture needs, by the three methods that the paper names (Sec. 4.1.2.1)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.mixture.em import maximization, run_em
from medsegdist.distance.mixture.fit import coarse_cells
from medsegdist.distance.mixture.pixel_counts import PixelCounts
from medsegdist.distance.mixture.search import TOLERANCE, converge, grow_mixtures
from medsegdist.parallel import one_thread
from medsegdist.words import check_choice

ComponentRule = Literal["bic", "elbow", "silhouette"]
COMPONENT_RULES: tuple[str, ...] = get_args(ComponentRule)

STEPS = 21  # E steps on all points that the number of components is judged after; the last digits do not count


def component_count(
    pixels: PixelCounts,
    components: int | ComponentRule,
    *,
    most: int = 10,
    observations: float,
    seed: int = 0,
) -> int:
    """The number of components that is asked for, or that a rule chooses for these points.

    One search serves all numbers: it grows mixtures by one component at a time. The mixture itself is then fitted as if
    the number had been given.

    - `bic` (Schwarz 1978): the least of p log(n) - 2 n L, where L is the mean log-likelihood, p the number of free
      parameters and n that of independent observations, see :func:`effective_patients`. More components than
      observations are not looked at.
    - `elbow`: where L bends most as the number grows, see :func:`elbow`.
    - `silhouette` (Rousseeuw 1987): the largest mean silhouette of the points, each given to its likeliest component,
      in standard deviations of the points; never 1, which has none, unless there is but one distinct point.
    """
    check_count("component", components, COMPONENT_RULES)
    check_count("component", most)
    if isinstance(components, int):
        return components
    most = min(most, len(pixels))
    if components == "bic":
        most = max(1, min(most, math.floor(observations + 1e-9)))
    if most == 1:
        return 1
    points, *_ = pixels.standardized()
    coarse = coarse_cells(points, most)
    with one_thread():
        grown = grow_mixtures(coarse, min(most, len(coarse)), np.random.default_rng(seed))
        mixtures = [converge(coarse, found)[0][:, :1] for found in grown]
        if components == "silhouette":
            parameters = (maximization(coarse, one)[:, 0] for one in mixtures)
            labels = [(of_one @ coarse.monomials).argmax(0) for of_one in parameters]
            return int(np.argmax([silhouette(coarse.centers, coarse.masses, one) for one in labels])) + 1
        likelihoods = [float(run_em(points, mixture, STEPS, TOLERANCE).log_likelihood) for mixture in mixtures]
    if components == "elbow":
        return elbow([-likelihood for likelihood in likelihoods])
    d = pixels.points.shape[1]
    criteria = [
        information_criterion(likelihood, k, d, observations) for k, likelihood in enumerate(likelihoods, start=1)
    ]
    return int(np.argmin(criteria)) + 1


def elbow(values: Sequence[float]) -> int:
    """The number 1, 2, ... at which a falling curve bends most; of two values, the second one if it is lower.

    That is where it is farthest below the straight line from its first to its last value (Satopaa et al. 2011), so the
    longest number looked at matters, and 1 is found only if the curve is nowhere below that line.

    >>> elbow([10, 4, 3, 2.5, 2])
    2
    """
    curve = np.asarray(values, dtype=np.float64)
    fall = curve[0] - curve[-1]
    if len(curve) < 3:
        return len(curve) if fall > 0 else 1
    below = curve[0] - fall * np.arange(len(curve)) / (len(curve) - 1) - curve
    return int(below.argmax()) + 1 if below.max() > 1e-9 * max(abs(curve).max(), 1e-300) else 1


def information_criterion(log_likelihood: float, components: int, dimensions: int, observations: float) -> float:
    """BIC of a mixture, p log(n) - 2 n L, L being the mean of n observations; less is better."""
    of_component = 1 + dimensions + dimensions * (dimensions + 1) // 2
    return (components * of_component - 1) * math.log(observations) - 2 * observations * log_likelihood


def silhouette(points: Tensor, masses: Tensor, labels: Tensor) -> float:
    """Mean silhouette of (h, d) points with (h,) masses and labels (Rousseeuw 1987); -1 if all have one label.

    Without weights it is scikit-learn's `silhouette_score`. A point that is alone has the silhouette 0.
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


def check_count(what: str, found: object, rules: Iterable[str] = ()) -> None:
    """Refuses, by ValueError, what is neither a number >= 1 nor the name of a rule that chooses one."""
    if isinstance(found, int) and not isinstance(found, bool):
        if found < 1:
            raise ValueError(f"expected at least 1 {what}, found {found}.")
    else:
        check_choice(f"the number of {what}s, if it is no number,", found, rules)


def effective_patients(samples: SegmentationSamples, sample_index: Tensor | Sequence[int] | None = None) -> float:
    """The n of an information criterion: Kish's effective number of patients, (sum of W)**2 / (sum of W**2).

    W is the weight of all samples of a patient. Pixels of one segment are far from independent, and so are slices of
    one patient: with their number as n, a criterion would always take as many components as it may. Patients are what
    is drawn independently, here as in the bootstrap. A sample that is there twice counts as one of twice the weight.
    All samples are counted unless some are chosen.
    """
    chosen = range(len(samples)) if sample_index is None else [int(k) for k in sample_index]
    of_patient: dict[str, list[int]] = {}
    for k in chosen:
        of_patient.setdefault(samples.patient_ids[k], []).append(k)
    weights = torch.stack([samples.weights[index].sum() for index in of_patient.values()])
    return float(weights.sum().square() / weights.square().sum())
