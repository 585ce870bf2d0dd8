"""Optimal transport between local pairs of image and label."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import binary_erosion
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples, spread_over_patients
from medsegdist.distance.image_cost import image_cost as euclidean_distances
from medsegdist.distance.metrics.pixels import slice_directions, sliced_wasserstein
from medsegdist.distance.transport import predicted, solve_transport

SLICES = 128  # directions of the sliced solver
CONSTANT = 1e-6  # standard deviation over largest value of a patch that is constant; float32 rounds at 6e-8
SOLVED, SLOPE_ERROR = (12, 24, 48), 0.1
"""Replicates that are solved: as few as tell the slope by which potentials predict the others with this relative
standard error. Widths of intervals then differ by 9 % (one standard deviation) from those of 200 solved replicates, by
8 % with 48 always. Each number divides the next, so that replicates that share a resampled target share its residual.
"""
_KINDS = 3


@dataclass(frozen=True, slots=True, eq=False)
class LocalPatches:
    """Patches that were drawn from a dataset, with their masses."""

    patches: Tensor  # (p, 2 * width**d) float64 of image and label, scaled so that squared distances are means
    owner: Tensor  # (p,) int64 which distinct sample each patch was drawn from
    shares: Tensor  # (p,) float64 share of that sample; those of one sample sum to 1
    distinct: Tensor  # (n,) int64 which distinct sample each sample is; -1 if no patch was drawn from it
    masses: Tensor  # (p,) float64, sum to 1; 0 for patches of samples that are left out

    def reweighted(self, weights: Tensor) -> LocalPatches:
        """The patches under (n,) weights of the samples; all masses are 0 if none of theirs is left."""
        used = self.distinct >= 0
        own = torch.bincount(self.distinct[used], weights.detach().cpu()[used], minlength=int(self.owner.max()) + 1)
        masses = own[self.owner] * self.shares
        return replace(self, masses=masses / masses.sum().clamp(min=torch.finfo(torch.float64).tiny))

    def nonzero(self) -> tuple[Tensor, Tensor]:
        """Patches and masses of those that have a mass."""
        held = self.masses > 0
        return self.patches[held], self.masses[held]


@dataclass(frozen=True, slots=True)
class PatchesMetric:
    """d_Y = W2 between the local pairs of two datasets: z-scored image patches and the label patches under them.

    It asks what a segmentation network must learn locally, and ignores where things lie. Ours, beyond the paper.
    The ground distance is (mean (z - z')^2 + label_weight^2 mean (y - y')^2)^(1/2) over the pixels of a patch.
    As with every metric image_weight * d_X is added to it; `DatasetDistance(PatchesMetric(), image_weight=0)` compares
    patches alone.

    A patch is z-scored by itself; one without contrast is 0 everywhere. Over the border of the image, image and label
    are reflected. Two sets of patches from one distribution lie well apart, for patches have many dimensions: look
    at differences between sources, and at the noise floor.

    Args:
        width: odd edge of the patches in pixels. In volumes a patch has width**3 voxels: 1331 for 11, 13 MB of
            patches per 600, and the same transport.
        count: patches a dataset at most, as many from every sample; at least one of every kind is taken from a sample,
            and if that is too many, samples are chosen in turn over the patients. Exact transport of 1,200 takes
            some tenths of a second a pair, and a tenth of that for every replicate of the bootstrap, which has half as
            many.
        mix: shares of centers on the boundary of the segment (a face or edge touches the background), elsewhere in it,
            and outside.
        label_weight: 2 makes labels -1 and 1, which is the scale of z-scores.
        solver: "exact" transport; or "sliced", which takes any number of patches and measures far smaller numbers.
        power: q of the dataset distance.
        seed: of the choice of centers and of the slices, >= 0.

    Raises:
        ValueError: an option is unknown or out of range.
    """

    name: ClassVar[str] = "patches"
    width: int = 11
    count: int = 1200
    mix: tuple[float, float, float] = (0.5, 0.25, 0.25)
    label_weight: float = 2.0
    solver: Literal["exact", "sliced"] = "exact"
    power: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.width < 1 or self.width % 2 == 0:
            raise ValueError(f"expected an odd width of patches, found {self.width}.")
        if len(self.mix) != 3 or not all(0 <= share < math.inf for share in self.mix) or sum(self.mix) == 0:
            raise ValueError(
                f"expected a mix of three shares >= 0 (boundary, foreground, background), found {self.mix}."
            )
        if self.count < 3:
            raise ValueError(f"expected a count of at least 3 patches, found {self.count}.")
        if not 0 <= self.label_weight < math.inf:
            raise ValueError(f"expected a finite label_weight >= 0, found {self.label_weight}.")
        if self.solver not in ("exact", "sliced"):
            raise ValueError(f"expected the solver 'exact' or 'sliced', found '{self.solver}'.")

    def summarize(self, samples: SegmentationSamples, /) -> LocalPatches:
        """Patches of the dataset, with their masses."""
        return draw_patches(
            samples, width=self.width, count=self.count, mix=self.mix, label_weight=self.label_weight, seed=self.seed
        )

    def resample(self, samples: SegmentationSamples, summary: LocalPatches, weights: Tensor, /) -> list[LocalPatches]:
        """Half as many patches under other weights of the samples; new ones only where none of theirs is left.

        Their transport takes a quarter of the time, and replicates differ a little more than with all patches.
        """
        half = replace(self, count=max(self.count // 2, _KINDS))
        patches = half.summarize(samples)
        found = [patches.reweighted(row) for row in weights]
        return [
            one if bool(one.masses.any()) else half.summarize(samples.reweighted(row))
            for one, row in zip(found, weights, strict=True)
        ]

    def compare(self, source: LocalPatches, target: LocalPatches, image_cost: Tensor, /) -> Tensor:
        """(1, 1) W2, not squared, in standard deviations of a patch."""
        (patches, masses), (other_patches, other_masses) = source.nonzero(), target.nonzero()
        if self.solver == "sliced":
            directions = slice_directions(patches.shape[1], SLICES, self.seed)
            value = sliced_wasserstein(patches, masses, other_patches, other_masses, directions)
        else:
            cost = euclidean_distances(patches, other_patches).square_()
            value = solve_transport(cost, masses, other_masses).value ** 0.5
        return torch.full((1, 1), value, dtype=torch.float64, device=image_cost.device)

    def compare_replicates(
        self, pairs: Sequence[tuple[LocalPatches, LocalPatches]], image_cost: Tensor, /
    ) -> list[Tensor]:
        """W2 of each pair of datasets under other weights; beyond the first 12 to 48, dual potentials predict it.

        Args:
            pairs: patches of two datasets under other weights, those of the datasets as they are first.
            image_cost: (n, m) float64 d_X of the datasets as they are, which says where the results lie.

        Returns:
            A (1, 1) float64 tensor for each pair.
        """
        source, target = pairs[0]
        same = all(one.patches is source.patches and other.patches is target.patches for one, other in pairs)
        if self.solver == "sliced" or not same or len(pairs) <= 1 + SOLVED[-1]:
            return [self.compare(one, other, image_cost) for one, other in pairs]
        cost = euclidean_distances(source.patches, target.patches).square_()
        whole = solve_transport(cost, source.masses, target.masses)
        linear = [
            float(one.masses @ whole.source_potential + other.masses @ whole.target_potential) for one, other in pairs
        ]
        squared = [whole.value]
        for one, other in pairs[1 : 1 + SOLVED[-1]]:
            rows, columns = one.masses > 0, other.masses > 0
            squared.append(solve_transport(cost[rows][:, columns], one.masses[rows], other.masses[columns]).value)
            solved = len(squared) - 1
            if solved in SOLVED and _slope_error(squared[1:], linear[1 : 1 + solved]) <= SLOPE_ERROR:
                break
        values = torch.tensor(predicted(squared, linear), dtype=torch.float64).clamp(min=0).sqrt()
        return list(values.to(image_cost.device)[:, None, None])


def _slope_error(values: Sequence[float], linear: Sequence[float]) -> float:
    """Relative standard error of the slope of the least-squares line of n values; NaN or infinite if there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.sqrt((1 / np.square(np.corrcoef(values, linear)[0, 1]) - 1) / len(values)))


def draw_patches(
    samples: SegmentationSamples, *, width: int, count: int, mix: Sequence[float], label_weight: float, seed: int
) -> LocalPatches:
    """Draws patches of a dataset, as many of every sample, with the options of :class:`PatchesMetric`.

    Which pixels of a sample become centers depends on the seed and the bytes of its image and mask, on nothing else:
    neither its place in the dataset nor its weight, and an equal sample of the same patient is the same sample, of
    twice the weight. Where there are more samples than patches, samples are chosen in turn over patients.
    Nothing is drawn by weight; a patch carries the mass of its sample times the share of its kind. Where a sample has
    no centers of a kind, the others take its share in proportion; where it has none of any wanted kind, any pixel of
    the segment will do.
    """
    kinds = sum(share > 0 for share in mix)
    order, members = _distinct(samples, seed)
    chosen = spread_over_patients([patient for _, patient in order], max(1, count // kinds), seed)
    quotas = _quotas(max(count // len(chosen), kinds), mix)
    patches, owners, shares = [], [], []
    distinct = torch.full((len(samples),), -1, dtype=torch.int64)
    for number, place in enumerate(chosen):
        key = order[place]
        distinct[members[key]] = number
        k = members[key][0]
        image, mask = samples.images[k].cpu().numpy(), samples.masks[k].cpu().numpy()
        rng = np.random.default_rng([seed, *np.frombuffer(key[0], dtype=np.uint32)])
        centers, share = _centers(mask, quotas, mix, rng)
        sides = [_zscored(_around(image, centers, width)), label_weight * _around(mask, centers, width)]
        patches.append(np.concatenate(sides, 1) * sides[0].shape[1] ** -0.5)
        owners.append(np.full(len(centers), number))
        shares.append(share)
    owner, share_of_sample = torch.from_numpy(np.concatenate(owners)), torch.from_numpy(np.concatenate(shares))
    drawn = LocalPatches(torch.from_numpy(np.concatenate(patches)), owner, share_of_sample, distinct, share_of_sample)
    return drawn.reweighted(samples.weights)


_Key = tuple[bytes, str]


def _distinct(samples: SegmentationSamples, seed: int) -> tuple[list[_Key], dict[_Key, list[int]]]:
    """Content and patient of each distinct sample, in the order of the contents, and the samples that have them."""
    members: dict[_Key, list[int]] = {}
    for k, patient in enumerate(samples.patient_ids):
        content = hashlib.blake2b(seed.to_bytes(16, "little"), digest_size=16)
        content.update(np.packbits(samples.masks[k].cpu().numpy()).data)
        content.update(np.ascontiguousarray(samples.images[k].cpu().numpy()).data)
        members.setdefault((content.digest(), patient), []).append(k)
    return sorted(members), members


def _quotas(count: int, mix: Sequence[float]) -> list[int]:
    """Patches of each kind that sum to `count`, at least one of each that has a share, else by largest remainder."""
    free = count - sum(share > 0 for share in mix)
    wanted = [free * share / sum(mix) for share in mix]
    quotas = [int(part) + (share > 0) for part, share in zip(wanted, mix, strict=True)]
    by_remainder = sorted(range(_KINDS), key=lambda kind: int(wanted[kind]) - wanted[kind])
    for kind in by_remainder[: count - sum(quotas)]:
        quotas[kind] += 1
    return quotas


def _centers(
    mask: np.ndarray, quotas: Sequence[int], mix: Sequence[float], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(p,) flat indices of the centers in one sample and (p,) their shares of it, which sum to 1."""
    inner = binary_erosion(mask, border_value=1)
    centers, shares = [], []
    for where, quota, share in zip((mask & ~inner, inner, ~mask), quotas, mix, strict=True):
        pixels = np.flatnonzero(where)
        if quota and len(pixels):
            drawn = np.sort(rng.choice(pixels, min(quota, len(pixels)), replace=False, shuffle=False))
            centers.append(drawn)
            shares.append(np.full(len(drawn), share / len(drawn)))
    if not centers:
        pixels = np.flatnonzero(mask)
        centers.append(rng.choice(pixels, min(sum(quotas), len(pixels)), replace=False))
        shares.append(np.ones(len(centers[0])))
    total = np.concatenate(shares)
    return np.concatenate(centers), total / total.sum()


def _around(image: np.ndarray, centers: np.ndarray, width: int) -> np.ndarray:
    """(p, width**d) pixels around each of (p,) flat indices; beyond the border the image is reflected."""
    windows = sliding_window_view(np.pad(image, width // 2, mode="reflect"), (width,) * image.ndim)
    return windows[np.unravel_index(centers, image.shape)].reshape(len(centers), -1)


def _zscored(patches: np.ndarray) -> np.ndarray:
    """(p, pixels) float64 patches of mean 0 and standard deviation 1; constant ones become 0."""
    values = patches.astype(np.float64)
    centered = values - values.mean(1, keepdims=True)
    spread = centered.std(1, keepdims=True)
    constant = spread <= CONSTANT * np.abs(values).max(1, keepdims=True)
    return np.where(constant, 0.0, centered / np.where(constant, 1.0, spread))
