"""Euclidean distances between every two images (d_X) or every two segments, right to the last digits that count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

BLOCK_BYTES = 32 * 2**20
"""What float64 blocks of pixels may take by default; larger ones leave the cache and are slower."""

CANCELLATION = 1e-7
"""Where a squared distance is this small beside the squared norms it is the difference of, it is computed anew."""

SPARSE_SLOWDOWN = 40
"""How much slower one multiplication is in a sparse product than in a dense one (measured on one thread: 14 to 59)."""


def image_cost(source: Tensor, target: Tensor, *, block_bytes: int = BLOCK_BYTES) -> Tensor:
    """Euclidean distance between every source and every target image: d_X = ||X - X'||_2 (below the paper's Eq. 3).

    Gram products of float64 blocks of pixels, centered on the mean of both sets, and the direct difference for pairs
    so close that the products would cancel. The relative error stays below 1e-6 for every pair, also for
    values like HU + 2048, and equal images are at distance 0 exactly. The samples are read in place; beside them the
    memory holds 8 n m bytes of distances, an eighth of that for comparisons, and one block.

    Args:
        source: (n, *grid) float32 or float64.
        target: (m, *grid), the same grid.
        block_bytes: what one float64 block of pixels of all samples may take.

    Returns:
        (n, m) float64 on the device of `source`, in the unit of the intensities times sqrt(pixels).
    """
    a = source.reshape(len(source), -1)
    b = target.reshape(len(target), -1)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"expected images on one grid, found {a.shape[1]} and {b.shape[1]} pixels.")
    blocks = (
        (a[:, columns].to(torch.float64, copy=True), b[:, columns].to(torch.float64, copy=True))
        for columns in _column_blocks(a.shape[1], len(a) + len(b), block_bytes)
    )
    distance, close = _gram_distances(blocks, len(a), len(b), a.device)
    for pairs in close.split(max(1, block_bytes // (16 * a.shape[1]))):
        rows, columns = pairs.T
        difference = a[rows].to(torch.float64) - b[columns].to(torch.float64)
        distance[rows, columns] = difference.square().sum(dim=1).sqrt()
    return distance


def segment_cost(source: sparse.csr_array, target: sparse.csr_array, *, block_bytes: int = BLOCK_BYTES) -> Tensor:
    """Euclidean distance between every two rows of matrices that are mostly zero, such as neutralized segments.

    Small segments are multiplied as sparse matrices, large ones as dense blocks, whichever is faster.

    Args:
        source: (n, pixels) float64.
        target: (m, pixels) float64.
        block_bytes: as for :func:`image_cost`.

    Returns:
        (n, m) float64 CPU tensor, as accurate as :func:`image_cost`.
    """
    n, m = source.shape[0], target.shape[0]
    per_pixel_a, per_pixel_b = source.count_nonzero(axis=0), target.count_nonzero(axis=0)
    support = np.flatnonzero(per_pixel_a + per_pixel_b)
    if SPARSE_SLOWDOWN * float(np.dot(per_pixel_a, per_pixel_b)) < n * m * len(support):
        distance, close = _sparse_distances(source, target)
    else:
        columns_a, columns_b = source.tocsc()[:, support], target.tocsc()[:, support]
        blocks = (
            (torch.from_numpy(columns_a[:, columns].toarray()), torch.from_numpy(columns_b[:, columns].toarray()))
            for columns in _column_blocks(len(support), n + m, block_bytes)
        )
        distance, close = _gram_distances(blocks, n, m, torch.device("cpu"))
    for pairs in close.split(4096):
        rows, columns = pairs.numpy().T
        difference = source[rows] - target[columns]
        distance[rows, columns] = torch.from_numpy(np.sqrt(difference.multiply(difference).sum(axis=1)))
    return distance


def _gram_distances(
    blocks: Iterable[tuple[Tensor, Tensor]], n: int, m: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """(n, m) distances from blocks of pixels (overwritten), and the (pairs, 2) indices of cancelled ones."""
    gram = torch.zeros((n, m), dtype=torch.float64, device=device)
    squared_norm_a = torch.zeros(n, dtype=torch.float64, device=device)
    squared_norm_b = torch.zeros(m, dtype=torch.float64, device=device)
    for block_a, block_b in blocks:
        center = (block_a.sum(dim=0) + block_b.sum(dim=0)) / (n + m)
        block_a -= center
        block_b -= center
        gram.addmm_(block_a, block_b.T)
        squared_norm_a += torch.linalg.vecdot(block_a, block_a)
        squared_norm_b += torch.linalg.vecdot(block_b, block_b)
        del block_a, block_b  # before the next ones are made
    squared = gram.mul_(-2).add_(squared_norm_a[:, None]).add_(squared_norm_b[None, :])
    close = torch.empty((n, m), dtype=torch.bool, device=device)
    for row, norm in enumerate(squared_norm_a):  # one at a time: no second matrix of this size
        torch.le(squared[row], CANCELLATION * (norm + squared_norm_b), out=close[row])
    return squared.clamp_(min=0).sqrt_(), close.nonzero()


def _sparse_distances(source: sparse.csr_array, target: sparse.csr_array) -> tuple[Tensor, Tensor]:
    """The same from one sparse product."""
    squared_norm_a = np.asarray(source.multiply(source).sum(axis=1))[:, None]
    squared_norm_b = np.asarray(target.multiply(target).sum(axis=1))[None, :]
    squared = (source @ target.T).toarray()
    squared *= -2
    squared += squared_norm_a
    squared += squared_norm_b
    close = np.argwhere(squared <= CANCELLATION * (squared_norm_a + squared_norm_b))
    return torch.from_numpy(np.sqrt(np.maximum(squared, 0))), torch.from_numpy(close)


def _column_blocks(pixels: int, rows: int, block_bytes: int) -> Iterator[slice]:
    width = max(1, block_bytes // (8 * rows))
    return (slice(start, start + width) for start in range(0, pixels, width))
