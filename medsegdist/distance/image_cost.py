"""Euclidean distances between every two images (d_X) or every two segments, right to the last digits that count."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor
from torch.linalg import vector_norm

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.transport import Transport, solve_transport
from medsegdist.errors import DataError, PreprocessingMismatchError
from medsegdist.words import counted

Embedding = Callable[[Tensor], Tensor]
"""From (n, *grid) float32 images to (n, features), each row from its own image alone."""

BATCH = 64  # images that an embedding is given at once
BLOCK_BYTES = 32 * 2**20  # of float64 blocks of pixels; larger ones leave the cache and are slower
CANCELLATION = 1e-7  # squared distances below this part of the squared norms are computed directly
PAIR_BYTES = 40  # that the direct difference of two images takes a pixel, or of two segments a pixel of one
ENTRY_BYTES = 16  # of a sparse matrix, for each number that is not 0
SPARSE_SLOWDOWN = 40  # of a multiplication in a sparse product over a dense one (measured: 14 to 59)

OTHER_SCALE, NEAR_SCALE = 10.0, 3.0
"""Ratios of the scales of two datasets' intensities: 0 to 1 and 0 to 255 are of different kinds, and two scanners are
within a factor of three."""


def image_cost(source: Tensor, target: Tensor) -> Tensor:
    """(n, m) float64 d_X = ||X - X'||_2 of (n, *grid) source and (m, *grid) target images (below the paper's Eq. 3).

    Gram products of float64 blocks of pixels, centered on the mean of both sets, and the direct difference for pairs so
    close that the products would cancel. The relative error stays below 1e-6 for every pair, also for values like HU +
    2048, and equal images are at distance 0 exactly. The samples are read in place; next to them the memory holds 8 n m
    bytes of distances, an eighth of that for comparisons, and one block.
    """
    a, b = source.flatten(1), target.flatten(1)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"expected images on one grid, found {a.shape[1]} and {b.shape[1]} pixels.")
    blocks = (
        (a[:, columns].to(torch.float64, copy=True), b[:, columns].to(torch.float64, copy=True))
        for columns in _column_blocks(a.shape[1], len(a) + len(b), BLOCK_BYTES)
    )
    distance, close = _gram_distances(blocks, len(a), len(b), a.device)
    for pairs in close.split(max(1, BLOCK_BYTES // (PAIR_BYTES * a.shape[1]))):
        rows, columns = pairs.T
        difference = a[rows].to(torch.float64) - b[columns].to(torch.float64)
        distance[rows, columns] = difference.square().sum(dim=1).sqrt()
    return distance


def segment_cost(source: sparse.csr_array, target: sparse.csr_array) -> Tensor:
    """(n, m) distance of the rows of (n, pixels) and (m, pixels) matrices of mostly 0, such as neutralized segments.

    Small segments are multiplied as sparse matrices, large ones as dense blocks, whichever is faster. It is as accurate
    as :func:`image_cost`.
    """
    n, m = source.shape[0], target.shape[0]
    per_pixel_a, per_pixel_b = source.count_nonzero(axis=0), target.count_nonzero(axis=0)
    per_pixel = per_pixel_a + per_pixel_b
    support = np.flatnonzero(per_pixel)
    # A part is there twice, and dense blocks have half the size.
    parts = list(_parts(np.cumsum(per_pixel[support]), BLOCK_BYTES // (4 * ENTRY_BYTES)))
    if SPARSE_SLOWDOWN * float(np.dot(per_pixel_a, per_pixel_b)) < n * m * len(support):
        distance, close = _sparse_distances(source, target, [support[part] for part in parts])
    else:
        blocks = (block for part in parts for block in _dense_blocks(source, target, support[part]))
        distance, close = _gram_distances(blocks, n, m, torch.device("cpu"))
    longest = int(max(np.diff(source.indptr).max(), np.diff(target.indptr).max(), 1))
    for pairs in close.split(max(1, BLOCK_BYTES // (2 * PAIR_BYTES * longest))):
        rows, columns = pairs.numpy().T
        difference = source[rows] - target[columns]
        distance[rows, columns] = torch.from_numpy(np.sqrt(difference.multiply(difference).sum(axis=1)))
    return distance


def embed_images(samples: SegmentationSamples, embedding: Embedding) -> Tensor:
    """The (n, features) of every image of a dataset, as the embedding gave them, on the device of the samples."""
    if isinstance(embedding, torch.nn.Module) and embedding.training:
        raise ValueError("expected an embedding in evaluation mode, found one in training mode; call its .eval().")
    found: list[Tensor] = []
    with torch.no_grad():
        for start in range(0, len(samples), BATCH):
            batch = samples.images[start : start + BATCH].clone()
            features = embedding(batch)
            _check_features(features, samples, start, len(batch), found[0].shape[1] if found else None)
            found.append(features.detach().to(samples.images.device))
    return torch.cat(found)


def _check_features(features: Tensor, samples: SegmentationSamples, start: int, count: int, width: int | None) -> None:
    where = f"dataset '{samples.name}', from case '{samples.case_ids[start]}' on"
    kind = getattr(features, "dtype", None) if isinstance(features, Tensor) else type(features).__name__
    if kind not in (torch.float32, torch.float64):
        raise DataError(f"{where}: expected the embedding to return a float32 or float64 tensor, found {kind}.")
    if features.ndim != 2 or len(features) != count or features.shape[1] == 0 or width not in (None, features.shape[1]):
        raise DataError(
            f"{where}: expected the embedding to return features of shape ({count}, {width or 'features'}) for "
            f"{counted(count, 'image')}, found {tuple(features.shape)}."
        )
    finite = torch.isfinite(features).all(dim=1)
    if not bool(finite.all()):
        bad = start + int((~finite).nonzero()[0, 0])
        raise DataError(
            f"dataset '{samples.name}', case '{samples.case_ids[bad]}': expected finite features, found NaN or "
            f"infinite ones ({int((~finite).sum())} of {counted(count, 'image')}); look at the embedding, and at the "
            "scale it expects of intensities."
        )


def _gram_distances(
    blocks: Iterable[tuple[Tensor, Tensor]], n: int, m: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """(n, m) distances from blocks of pixels (overwritten), and the (pairs, 2) indices of cancelled ones."""
    gram, squared_norm_a, squared_norm_b = (
        torch.zeros(shape, dtype=torch.float64, device=device) for shape in ((n, m), n, m)
    )
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


def _parts(entries: NDArray[np.int64], limit: int) -> Iterator[slice]:
    """Runs of pixels with at most `limit` entries together, or of one with more; `entries` are counted up."""
    start = 0
    while start < len(entries):
        before = int(entries[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(entries, before + limit, side="right")))
        yield slice(start, stop)
        start = stop


def _dense_blocks(
    source: sparse.csr_array, target: sparse.csr_array, pixels: NDArray[np.int64]
) -> Iterator[tuple[Tensor, Tensor]]:
    """The columns of some pixels as dense blocks."""
    low, high = pixels[0], pixels[-1] + 1
    sides = [side[:, low:high].tocsc() for side in (source, target)]
    for columns in _column_blocks(len(pixels), source.shape[0] + target.shape[0], BLOCK_BYTES // 2):
        a, b = (torch.from_numpy(side[:, pixels[columns] - low].toarray()) for side in sides)
        yield a, b


def _sparse_distances(
    source: sparse.csr_array, target: sparse.csr_array, parts: Iterable[NDArray[np.int64]]
) -> tuple[Tensor, Tensor]:
    """The same from sparse products of some pixels each."""
    # Without a copy of the entries.
    squared_norm_a, squared_norm_b = (
        np.array([np.dot(row, row) for row in np.split(one.data, one.indptr[1:-1])]) for one in (source, target)
    )
    squared_norm_a = squared_norm_a[:, None]
    squared = np.zeros((source.shape[0], target.shape[0]))
    for pixels in parts:
        low, high = pixels[0], pixels[-1] + 1
        squared += (source[:, low:high] @ target[:, low:high].T).toarray()
    squared *= -2
    squared += squared_norm_a
    squared += squared_norm_b
    close = np.argwhere(squared <= CANCELLATION * (squared_norm_a + squared_norm_b))
    return torch.from_numpy(np.sqrt(np.maximum(squared, 0))), torch.from_numpy(close)


def _column_blocks(pixels: int, rows: int, block_bytes: int) -> Iterator[slice]:
    width = max(1, block_bytes // (8 * rows))
    return (slice(start, start + width) for start in range(0, pixels, width))


def check_scales(source: SegmentationSamples, target: SegmentationSamples) -> None:
    """Warns of scales of intensities that differ where neither dataset says how it was prepared.

    The scale of a dataset is the median of the largest intensities of its images. One that is :data:`OTHER_SCALE` times
    the other is refused.
    """
    scales = [float(vector_norm(one.images.flatten(1), torch.inf, 1).median()) for one in (source, target)]
    if not max(scales) >= NEAR_SCALE * min(scales) > 0:
        return
    ranges = " and ".join(f"from {one.images.min():g} to {one.images.max():g}" for one in (source, target))
    names = f"'{source.name}' and '{target.name}'"
    problem = f"datasets {names} have intensities {ranges}, and neither says how it was prepared"
    remedy = "bring both to one range; if they are as meant, give both one name by `preprocessing=`"
    if max(scales) >= OTHER_SCALE * min(scales):
        raise PreprocessingMismatchError(problem, remedy)
    warnings.warn(f"{problem}; {remedy}.", UserWarning, stacklevel=4)


@dataclass(eq=False)
class ImagePair:
    """The images of two datasets side by side: what all mask metrics share."""

    image_cost: Tensor  # (n, m) float64 d_X
    source_weights: Tensor  # (n,) positive
    target_weights: Tensor  # (m,) positive
    source: str = ""
    target: str = ""
    start: tuple[Tensor, Tensor] | None = None  # (n,) and (m,) dual potentials of a similar pair to start from

    @cached_property
    def transport(self) -> Transport:
        """Optimal transport on the image cost alone, solved once."""
        return solve_transport(self.image_cost, self.source_weights, self.target_weights, start=self.start)


def pair_images(
    source: SegmentationSamples,
    target: SegmentationSamples,
    source_features: Tensor | None = None,
    target_features: Tensor | None = None,
) -> ImagePair:
    """The images of two datasets side by side; d_X compares their (n, f) and (m, f) features, if they are given."""
    if source.grid != target.grid:
        raise PreprocessingMismatchError(
            f"datasets '{source.name}' and '{target.name}' lie on different grids, {source.grid} and "
            f"{target.grid}; prepare both with one preprocessing."
        )
    if source.preprocessing != target.preprocessing:
        raise PreprocessingMismatchError(
            f"datasets '{source.name}' and '{target.name}' were prepared differently (fingerprints "
            f"{source.preprocessing} and {target.preprocessing}), so their distance would measure the "
            "preparation; prepare both with one preprocessing."
        )
    if source.preprocessing == "unspecified":
        check_scales(source, target)
    if source_features is None or target_features is None:
        source_features, target_features = source.images, target.images
    elif source_features.shape[1] != target_features.shape[1]:
        raise DataError(
            f"expected the embedding to give all images equally many features, found {source_features.shape[1]} for "
            f"dataset '{source.name}' and {target_features.shape[1]} for '{target.name}'."
        )
    cost = image_cost(source_features, target_features)
    return ImagePair(cost, source.weights, target.weights, source.name, target.name)
