"""What the covariances of a Gaussian mixture may look like, with the names of scikit-learn's `covariance_type`."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

CovarianceType = Literal["full", "diag", "spherical", "tied"]
"""full: any covariance. diag: axes are independent. spherical: one variance for all axes, in the unit of the points
(pixels and intensities alike). tied: one full covariance for all components."""

COVARIANCE_TYPES: tuple[str, ...] = get_args(CovarianceType)


def constrained(masses: Tensor, covariances: Tensor, kind: CovarianceType) -> Tensor:
    """The likeliest covariances of a type, given the covariance of what each component is responsible for.

    Raising their eigenvalues to a floor afterwards gives the likeliest ones among those that are nowhere narrower, so
    that expectation-maximization climbs monotonically with every type.

    Args:
        masses: (k, ...) of the components.
        covariances: (k, ..., d, d) of the components. The axes must be in one unit if the type is spherical.
        kind: the type.

    Returns:
        (k, ..., d, d).
    """
    if kind == "full":
        return covariances
    if kind == "tied":
        held = masses.clamp(min=0.0)
        share = (held / held.sum(0).clamp(min=1e-300)).unsqueeze(-1).unsqueeze(-1)
        return (share * covariances).sum(0).expand_as(covariances)
    variances = covariances.diagonal(dim1=-2, dim2=-1)
    if kind == "spherical":
        variances = variances.mean(-1, keepdim=True).expand_as(variances)
    return torch.diag_embed(variances)


def free_parameters(components: int, dimensions: int, kind: CovarianceType) -> int:
    """How many numbers a mixture of k components in d dimensions has that could be otherwise."""
    full = dimensions * (dimensions + 1) // 2
    covariances = {
        "full": components * full,
        "diag": components * dimensions,
        "spherical": components,
        "tied": full,
    }[kind]
    return covariances + components * dimensions + components - 1
