"""Sinkhorn divergence: optimal transport with entropy, freed of the bias that the entropy brings.

    OT_e(a, b) = min over plans of <plan, cost> + e KL(plan | a b)
    S(a, b) = OT_e(a, b) - OT_e(a, a) / 2 - OT_e(b, b) / 2

It is >= 0, vanishes on equal measures, and tends to the optimal transport as e falls (Feydy et al. 2019). All in the
log domain and in float64, so that no kernel underflows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from medsegdist.distance.image_cost import BLOCK_BYTES
from medsegdist.errors import ConvergenceError

Softmin = Callable[[Tensor, float], Tensor]
"""From h (m,) and e to log sum_j exp(h_j - cost_ij / e) for all i: (n,)."""

TOLERANCE = 1e-4
"""The iterations rest when no dual potential moves by more, in units of e; S, which is an optimum, moves far less."""

MAX_ITERATIONS = 5000

COPIES = 4
"""Blocks of the same size that one softmin holds at once (measured: 3.0)."""

VECTORS = 24
"""Vectors of the size of a measure that the iterations hold at once: eight potentials, masses, what comes between."""


def sinkhorn_divergence(
    source_masses: Tensor,
    target_masses: Tensor,
    softmins: Sequence[Softmin],
    *,
    epsilon: float,
    largest: float,
) -> float:
    """The divergence S of two measures, in the unit of the cost.

    The three problems are iterated side by side with one rule that treats both sides alike, so that S of a measure
    with itself is 0 to the last bit.

    Args:
        source_masses: (n,) float64 >= 0 that sum to 1.
        target_masses: (m,) likewise.
        softmins: four, source from target, target from source, source from source, target from target.
        epsilon: e > 0, in the unit of the cost; reached in steps of a factor 4 from `largest`.
        largest: the largest cost.

    Raises:
        ConvergenceError: potentials still move after many iterations.
    """
    log_a, log_b = source_masses.log(), target_masses.log()
    of_a, of_b = source_masses > 0, target_masses > 0
    f, g, p, q = (torch.zeros_like(log) for log in (log_a, log_b, log_a, log_b))
    e = max(largest, epsilon)
    for _ in range(MAX_ITERATIONS):
        moved_f = -e * softmins[0](g / e + log_b, e)
        moved_g = -e * softmins[1](f / e + log_a, e)
        moved_p = -e * softmins[2](p / e + log_a, e)
        moved_q = -e * softmins[3](q / e + log_b, e)
        change = max(
            float((moved - potential)[of].abs().max())
            for moved, potential, of in ((moved_f, f, of_a), (moved_g, g, of_b), (moved_p, p, of_a), (moved_q, q, of_b))
        )
        if e == epsilon and change <= TOLERANCE * e:
            return float(
                torch.dot((moved_f - moved_p)[of_a], source_masses[of_a])
                + torch.dot((moved_g - moved_q)[of_b], target_masses[of_b])
            )
        f, g, p, q = (f + moved_f) / 2, (g + moved_g) / 2, (p + moved_p) / 2, (q + moved_q) / 2
        e = max(e / 4, epsilon)
    raise ConvergenceError(
        f"Sinkhorn's iterations still move by {change / epsilon:.1e} of the entropy after {MAX_ITERATIONS}; "
        "raise blur, or take solver='exact'."
    )


def lattice_softmin(shape: Sequence[int], width: float, *, block_bytes: int = BLOCK_BYTES) -> Softmin:
    """The softmin of squared distances on a regular lattice: one small kernel per axis, and no cost matrix.

    Args:
        shape: of the lattice.
        width: of a step, along every axis.
        block_bytes: what is computed at once takes no more.
    """
    cells = block_bytes // (8 * COPIES)
    costs = []
    for size in shape:
        steps = torch.arange(size, dtype=torch.float64) * width
        costs.append((steps[:, None] - steps[None, :]).square())

    def softmin(h: Tensor, epsilon: float) -> Tensor:
        values = h.reshape(tuple(shape))
        for axis, cost in enumerate(costs):
            lines = values.movedim(axis, -1)
            flat = lines.reshape(-1, lines.shape[-1])
            blocks = flat.split(max(1, cells // cost.numel()))
            flat = torch.cat([torch.logsumexp(block[:, None, :] - cost / epsilon, -1) for block in blocks])
            values = flat.reshape(lines.shape).movedim(-1, axis)
        return values.reshape(-1)

    return softmin


def matrix_softmin(cost: Tensor, *, block_bytes: int = BLOCK_BYTES) -> Softmin:
    """The softmin of an (n, m) cost matrix.

    Args:
        cost: (n, m) float64.
        block_bytes: what is computed at once takes no more.
    """
    blocks = cost.split(max(1, block_bytes // (8 * COPIES * cost.shape[1])))
    return lambda h, epsilon: torch.cat([torch.logsumexp(h - block / epsilon, -1) for block in blocks])


def blurred_epsilon(blur: float) -> float:
    """The entropy with which exp(-|x - y|^2 / e) is a Gaussian of standard deviation `blur`."""
    return 2.0 * blur**2


def require_blur(blur: float) -> None:
    """Raises ValueError if a blur is not a positive length."""
    if not (blur > 0 and math.isfinite(blur)):
        raise ValueError(f"expected a blur > 0, found {blur}.")
