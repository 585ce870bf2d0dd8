"""Weighted expectation-maximization (EM) of many Gaussian mixtures side by side.

The logarithm of a Gaussian density is linear in the monomials 1, x_i, x_i x_j of a point. So are the statistics of the
points that a component is responsible for: their mass, mean and second moments. With the monomials of all points in one
matrix, an E step is one product with it and an M step another, and mixtures fitted side by side are more rows.

Shapes: k components, r mixtures side by side, d axes, f = 1 + d + d (d + 1) / 2 monomials, h points. Components come
first and points last, so that every reduction runs over contiguous memory. All tensors are float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

EMPTY = 1e-10  # a component that holds less than this share of the mass is empty and is given a new place
FLOOR = 1e-6  # smallest variance of a component along any direction, in squared standard deviations of the points
LONGEST = 100.0  # the longest step of the extrapolation, in plain steps


@dataclass(frozen=True, slots=True, eq=False)
class WeightedPoints:
    """Points with masses, each given by its monomials; or cells that stand for several points by their mean monomials.

    The mean log density of a cell's points is exact under any Gaussian, for it is the monomials that are averaged,
    not the points. What a cell cannot do is to divide its points between components: by Jensen's inequality the
    likelihood of cells is a lower bound of that of their points, which EM increases monotonically.
    """

    monomials: Tensor  # (f, h) a row of ones, the d coordinates, then the products x_i x_j with i <= j
    masses: Tensor  # (h,) that sum to 1; or (r, h), one row for each of r mixtures fitted side by side

    @classmethod
    def of(cls, points: Tensor, masses: Tensor, widths: Tensor | None = None) -> WeightedPoints:
        """The monomials of (h, d) points with (h,) masses that sum to 1.

        `widths`, (d,), are those over which the mass of a point is spread evenly along each axis; None: it is in the
        point.
        """
        axes = points.T
        row, column = torch.triu_indices(len(axes), len(axes), device=points.device)
        products = axes[row] * axes[column]
        if widths is not None:
            products += torch.where(row == column, widths[row].square() / 12, 0.0).unsqueeze(1)
        return cls(torch.cat([torch.ones_like(axes[:1]), axes, products]), masses)

    def __len__(self) -> int:
        return self.monomials.shape[1]

    def to(self, device: str | torch.device) -> WeightedPoints:
        """The same points on a device."""
        return WeightedPoints(self.monomials.to(device), self.masses.to(device))

    def select(self, mixtures: Tensor) -> WeightedPoints:
        """The points with the masses of some of the mixtures, given by their numbers."""
        return self if self.masses.ndim == 1 else WeightedPoints(self.monomials, self.masses[mixtures])

    @property
    def centers(self) -> Tensor:
        """(h, d) coordinates."""
        return self.monomials[1 : 1 + _axes(len(self.monomials))].T

    def total(self) -> Tensor:
        """(1, 1, f) statistics of the one component that holds all the mass."""
        return (self.monomials @ self.masses).reshape(1, 1, -1)

    def merged(self, limit: int) -> WeightedPoints:
        """At most `limit` cells, whose order does not depend on the order of the points; see :meth:`grouping`."""
        return self.grouped(self.grouping(limit))

    def grouping(self, limit: int) -> Tensor:
        """(h,) int64: for each point the cell it goes into if there are to be at most `limit`.

        Equal points become one cell. If that leaves too many, points are merged by the finest regular grid of a ladder
        of grids that has at most `limit` occupied boxes.
        """
        centers = self.centers
        if len(self) <= limit:
            inverse: Tensor = torch.unique(centers, dim=0, return_inverse=True)[1]
            return inverse
        low = centers.amin(0)
        span = centers.amax(0) - low
        unit = (centers - low) / torch.where(span > 0, span, 1.0)
        divisions = math.ceil(limit ** (1 / int((span > 0).sum().clamp(min=1))))
        divisions -= int(divisions ** int((span > 0).sum()) > limit)
        group = _boxes(unit, max(divisions, 1))
        # Finer as long as it fits: boxes without points are free.
        while (divisions := math.ceil(1.2 * divisions)) <= 4 * limit:
            finer = _boxes(unit, divisions)
            if int(finer.max()) >= limit:
                break
            group = finer
        return group

    def grouped(self, group: Tensor) -> WeightedPoints:
        """One cell for each number in the (h,) `group`, which holds all from 0 to the largest."""
        count = int(group.max()) + 1
        masses = self.masses.new_zeros(count).index_add_(0, group, self.masses)
        sums = self.masses.new_zeros(len(self.monomials), count).index_add_(1, group, self.monomials * self.masses)
        return WeightedPoints(sums / masses, masses)


def expectation(points: WeightedPoints, parameters: Tensor) -> tuple[Tensor, Tensor]:
    """E step of (k, r, f) natural parameters: (r,) mean log-likelihoods of h points, and (k, r, f) statistics.

    The statistics of a component are sums of responsibilities times masses times monomials. Both are on the device of
    the parameters.
    """
    k, r, f = parameters.shape
    rows = parameters.reshape(k * r, f).to(points.masses.device)
    likelihood = rows.new_zeros(r)
    statistics = rows.new_zeros(k * r, f)
    # Blocks of what stays in a processor's cache make a pass three times faster than one sweep over all points.
    block = max(1, (2**17 if rows.device.type == "cpu" else 2**25) // (k * r))
    for start in range(0, len(points), block):
        monomials, masses = points.monomials[:, start : start + block], points.masses[..., start : start + block]
        densities = (rows @ monomials).view(k, r, -1)
        largest = densities.amax(0)
        densities.sub_(largest).exp_()
        total = densities.sum(0)
        likelihood += ((total.log() + largest) * masses).sum(-1)
        densities.mul_(masses / total)
        statistics += densities.view(k * r, -1) @ monomials.T
    return likelihood.to(parameters.device), statistics.to(parameters.device).view(k, r, f)


def moments(statistics: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Masses (...), means (..., d) and covariances (..., d, d) of components, from their (..., f) statistics."""
    d = _axes(statistics.shape[-1])
    masses = statistics[..., 0]
    per_mass = statistics / masses.clamp(min=EMPTY).unsqueeze(-1)
    means = per_mass[..., 1 : 1 + d]
    second = per_mass[..., 1 + d :].index_select(-1, _packing(d)[0]).view(*masses.shape, d, d)
    return masses, means, second - means.unsqueeze(-1) * means.unsqueeze(-2)


def natural_parameters(masses: Tensor, means: Tensor, covariances: Tensor) -> Tensor:
    """M step: (..., f) coefficients of log(mass * density) in the monomials.

    Eigenvalues of the covariances are raised to the floor. That is the likeliest covariance among those that are
    nowhere narrower, so that EM stays monotone, as it would not if something were added to the diagonal.
    """
    d = means.shape[-1]
    lower, failed = torch.linalg.cholesky_ex(covariances)
    # Unlike cholesky_inverse it does not raise where there is none.
    precisions = torch.linalg.inv_ex(covariances)[0]
    log_roots = lower.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    # No eigenvalue of a precision is above its trace. Rounding can make that of a nearly singular matrix negative.
    trace = precisions.diagonal(dim1=-2, dim2=-1).abs().sum(-1)
    if int(failed.max()) != 0 or not float(trace.max()) * FLOOR <= 1:
        narrow = ~((failed == 0) & (trace * FLOOR <= 1))
        values, vectors = torch.linalg.eigh(covariances[narrow])
        values = values.clamp(min=FLOOR)
        precisions[narrow] = (vectors / values.unsqueeze(-2)) @ vectors.mT
        log_roots[narrow] = 0.5 * values.log().sum(-1)
    linear = (precisions @ means.unsqueeze(-1)).squeeze(-1)
    exponent = 0.5 * (d * math.log(2 * math.pi) + (linear * means).sum(-1))
    constant = masses.clamp(min=EMPTY).log() - exponent - log_roots
    _, upper, factors = _packing(d)
    quadratic = precisions.flatten(-2).index_select(-1, upper) * factors
    return torch.cat([constant.unsqueeze(-1), linear, quadratic], -1)


def likeliest_parameters(statistics: Tensor) -> Tensor:
    """M step: (..., f) natural parameters of the components that (..., f) statistics make the likeliest."""
    return natural_parameters(*moments(statistics))


def floored(covariances: Tensor) -> Tensor:
    """(..., d, d) covariances with every eigenvalue at least FLOOR, as the M step has them."""
    values, vectors = torch.linalg.eigh(covariances)
    raised: Tensor = (vectors * values.clamp(min=FLOOR).unsqueeze(-2)) @ vectors.mT
    # Symmetric to the last digit, which matters if axes have scales far apart.
    return 0.5 * (raised + raised.mT)


def maximization(points: WeightedPoints, statistics: Tensor) -> Tensor:
    """M step for (k, r, f) statistics of an E step; an empty component moves to the worst explained point."""
    masses = statistics[..., 0]
    parameters = likeliest_parameters(statistics)
    for r in torch.nonzero((masses < EMPTY).any(0)).flatten().tolist():
        own = points.select(torch.tensor(r))
        parameters[:, r] = _with_empty_reseeded(own, parameters[:, r], masses[:, r] < EMPTY)
    return parameters


class Fits(NamedTuple):
    """Mixtures that were fitted side by side."""

    statistics: Tensor  # (k, r, f), after one more step of EM
    log_likelihood: Tensor  # (r,) mean, of the mixtures before that step
    change: Tensor  # (r,) largest change of a statistic in that step
    steps: int  # E steps over the points


def run_em(points: WeightedPoints, statistics: Tensor, steps: int, tolerance: float) -> Fits:
    """Accelerated EM from (k, r, f) statistics: every second step is a long one, kept only if the likelihood agrees.

    Two steps S, M(S), M(M(S)) show the direction and the rate of the slow part of convergence; squared extrapolation
    (SQUAREM, Varadhan and Roland 2008) goes on along it. If that would lower the likelihood, M(M(S)) is taken instead,
    so each mixture's likelihood never falls. A mixture has converged when one step changes no statistic by more than
    the tolerance; there are `steps` E steps at most.
    """
    start = statistics.clone()
    likelihood, image = expectation(points, maximization(points, start))
    change = (image - start).abs().amax((0, 2))
    made = 1
    moving = torch.nonzero(change > tolerance).flatten()
    while len(moving) and made + 2 <= steps:
        first, second = start[:, moving], image[:, moving]
        seen = points.select(moving)
        likelihood_second, third = expectation(seen, maximization(seen, second))
        step = second - first
        bend = (third - second) - step
        length = (step.square().sum((0, 2)) / bend.square().sum((0, 2)).clamp(min=1e-300)).sqrt().clamp(1.0, LONGEST)
        length = length.unsqueeze(-1)
        trial = first + 2 * length * step + length.square() * bend
        # Rounding grows with the square of the length, and more mass than there is would pass for likelihood.
        trial /= trial[..., 0].sum(0).unsqueeze(-1)
        likelihood_trial, after = expectation(seen, maximization(seen, trial))
        # Too long a step can leave a mass below 0; what then takes its place makes the masses add up to more than 1.
        better = (likelihood_trial >= likelihood_second) & (trial[..., 0] >= EMPTY).all(0)
        choose = better.unsqueeze(-1)
        start[:, moving] = torch.where(choose, trial, second)
        image[:, moving] = torch.where(choose, after, third)
        likelihood[moving] = torch.where(better, likelihood_trial, likelihood_second)
        change[moving] = (image[:, moving] - start[:, moving]).abs().amax((0, 2))
        made += 2
        moving = moving[change[moving] > tolerance]
    return Fits(image, likelihood, change, made)


def _with_empty_reseeded(points: WeightedPoints, parameters: Tensor, empty: Tensor) -> Tensor:
    parameters = parameters.clone()
    filled = torch.nonzero(~empty).flatten()
    d = _axes(parameters.shape[-1])
    for component in torch.nonzero(empty).flatten().tolist():
        density = torch.logsumexp(parameters[filled].to(points.masses.device) @ points.monomials, 0)
        worst = int((points.masses.log() - density).argmax())
        covariance = torch.eye(d, dtype=torch.float64) * 1e-3
        parameters[component] = natural_parameters(points.masses[worst].cpu(), points.centers[worst].cpu(), covariance)
        filled = torch.cat([filled, torch.tensor([component])])
    return parameters


def _boxes(unit: Tensor, divisions: int) -> Tensor:
    """Number of the occupied box of each point, counted along the grid; unit (h, d) in [0, 1]."""
    index = (unit * divisions).long().clamp_(max=divisions - 1)
    key = index[:, 0].clone()
    for axis in range(1, unit.shape[1]):
        key.mul_(divisions).add_(index[:, axis])
    boxes = divisions ** unit.shape[1]
    if boxes > 2**24:
        inverse: Tensor = torch.unique(key, return_inverse=True)[1]
        return inverse
    occupied = torch.zeros(boxes, dtype=torch.bool, device=key.device)
    occupied[key] = True
    numbers: Tensor = (occupied.cumsum(0) - 1)[key]
    return numbers


@cache
def _packing(d: int) -> tuple[Tensor, Tensor, Tensor]:
    """How a symmetric (d, d) matrix is packed: into the entries of its upper triangle.

    Where each of its entries is in the packed ones, where each packed one is in it, and what the logarithm of a density
    multiplies that one by.
    """
    row, column = torch.triu_indices(d, d)
    places = torch.empty(d, d, dtype=torch.int64)
    places[row, column] = places[column, row] = torch.arange(len(row))
    return places.flatten(), row * d + column, torch.where(row == column, -0.5, -1.0).double()


def _axes(monomials: int) -> int:
    """The d of f = 1 + d + d (d + 1) / 2."""
    return (math.isqrt(8 * monomials + 1) - 3) // 2
