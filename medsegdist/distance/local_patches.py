"""Local pairs of a dataset: small image patches with the label patches under them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from scipy.ndimage import binary_erosion
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples

CONSTANT = 1e-6
"""A patch whose standard deviation is below this share of its largest value is constant; float32 rounds at 6e-8."""

_KINDS = 3


@dataclass(frozen=True, slots=True, eq=False)
class LocalPatches:
    """Patches that were drawn from a dataset, and what share of its sample each of them stands for.

    Args:
        patches: (p, 2 * width**d) float64 image and label patches, scaled so that squared distances are means.
        owner: (p,) int64 which distinct sample each patch was drawn from.
        shares: (p,) float64 share of that sample; those of one sample sum to 1.
        distinct: (n,) int64 which distinct sample each sample is; -1 if no patch was drawn from it.
    """

    patches: Tensor
    owner: Tensor
    shares: Tensor
    distinct: Tensor

    def masses(self, weights: Tensor) -> Tensor:
        """(p,) float64 masses of the patches under (n,) weights of the samples; all 0 if none of theirs is left."""
        there = self.distinct >= 0
        own = torch.bincount(self.distinct[there], weights.detach().cpu()[there], minlength=int(self.owner.max()) + 1)
        masses = own[self.owner] * self.shares
        return masses / masses.sum().clamp(min=torch.finfo(torch.float64).tiny)


def draw_patches(
    samples: SegmentationSamples, *, width: int, count: int, mix: Sequence[float], label_weight: float, seed: int
) -> LocalPatches:
    """Draws patches of a dataset, as many of every sample.

    Which pixels of a sample become centers hangs on the seed and on the bytes of its image and mask, on nothing else:
    neither its place in the dataset nor its weight, and an equal sample of the same patient is the same sample, of
    twice the weight. Where there are more samples than patches, samples are chosen likewise, in turn over patients.
    Nothing is drawn by weight; a patch carries the mass of its sample times the share of its kind.

    Args:
        samples: n samples; read one at a time.
        width: odd edge of the patches in pixels.
        count: about how many patches; at most.
        mix: shares of the three kinds of centers: boundary (pixels of the segment that share a face with the
            background), foreground (the rest of the segment), background. Where a sample has none of a kind, the
            others take its share in proportion; where it has none of any wanted kind, any pixel of the segment will do.
        label_weight: what label patches are multiplied by.
        seed: of the choices, >= 0.
    """
    kinds = sum(share > 0 for share in mix)
    order, members = _distinct(samples, seed)
    chosen = _in_turn([samples.patient_ids[members[key][0]] for key in order], max(1, count // kinds))
    quotas = _quotas(max(count // len(chosen), kinds), mix)
    patches, owners, shares = [], [], []
    distinct = torch.full((len(samples),), -1, dtype=torch.int64)
    for number, place in enumerate(chosen):
        key = order[place]
        distinct[members[key]] = number
        k = members[key][0]
        image, mask = samples.images[k].cpu().numpy(), samples.masks[k].cpu().numpy()
        rng = np.random.default_rng([seed, *np.frombuffer(key[0], dtype=np.uint32)])
        centers, of_sample = _centers(mask, quotas, mix, rng)
        around = _around(centers, mask.shape, width)
        scale = around.shape[1] ** -0.5
        patches.append(
            np.concatenate([_zscored(image.reshape(-1)[around]), label_weight * mask.reshape(-1)[around]], 1) * scale
        )
        owners.append(np.full(len(centers), number))
        shares.append(of_sample)
    return LocalPatches(
        patches=torch.from_numpy(np.concatenate(patches)),
        owner=torch.from_numpy(np.concatenate(owners)),
        shares=torch.from_numpy(np.concatenate(shares)),
        distinct=distinct,
    )


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


def _in_turn(patients: Sequence[str], limit: int) -> list[int]:
    """At most `limit` places: the first sample of every patient, then the second of those who have one, and so on."""
    seen: dict[str, int] = {}
    turns = []
    for place, patient in enumerate(patients):
        seen[patient] = seen.get(patient, -1) + 1
        turns.append((seen[patient], place))
    return sorted(place for _, place in sorted(turns)[:limit])


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


def _around(centers: np.ndarray, grid: tuple[int, ...], width: int) -> np.ndarray:
    """(p, width**d) flat indices of the pixels around each center; beyond the border the image is reflected."""
    steps = np.arange(width) - width // 2
    axes = []
    for axis, (place, size) in enumerate(zip(np.unravel_index(centers, grid), grid, strict=True)):
        period = max(2 * (size - 1), 1)
        folded = np.abs((place[:, None] + steps) % period)
        inside = np.minimum(folded, period - folded) if size > 1 else np.zeros_like(folded)
        axes.append(inside.reshape(len(centers), *(width if other == axis else 1 for other in range(len(grid)))))
    flat = reduce(lambda index, pair: index * pair[1] + pair[0], zip(axes, grid, strict=True), 0)
    return np.asarray(flat).reshape(len(centers), -1)


def _zscored(patches: np.ndarray) -> np.ndarray:
    """(p, pixels) float64 patches of mean 0 and standard deviation 1; constant ones become 0."""
    values = patches.astype(np.float64)
    centered = values - values.mean(1, keepdims=True)
    spread = centered.std(1, keepdims=True)
    constant = spread <= CONSTANT * np.abs(values).max(1, keepdims=True)
    return np.where(constant, 0.0, centered / np.where(constant, 1.0, spread))
