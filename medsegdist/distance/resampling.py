"""Patients of a dataset drawn anew: what another sample of patients from the same hospital would have been like."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples


@dataclass(frozen=True, slots=True, eq=False)
class Resamples:
    """Weights of a dataset's samples in many replicates.

    Args:
        weights: (1 + r, n) float64; row 0 holds the dataset's own weights, every other row those of one replicate, in
            which a patient who was drawn twice counts twice and one who was not drawn counts nothing.
    """

    weights: Tensor

    def __len__(self) -> int:
        return len(self.weights)

    def drawn(self, replicate: int) -> Tensor:
        """(n',) indices of the samples that a replicate holds."""
        return (self.weights[replicate] > 0).nonzero()[:, 0]

    def samples(self, samples: SegmentationSamples, replicate: int) -> SegmentationSamples:
        """The samples that a replicate holds, with their weights."""
        drawn = self.drawn(replicate)
        weights = self.weights[replicate][drawn].to(samples.weights.device)
        return replace(samples.take(drawn.tolist()), weights=weights)


def resample_patients(samples: SegmentationSamples, replicates: int, seed: int) -> Resamples | None:
    """Draws as many patients as there are, with replacement, over and over again (bootstrap, Efron 1979).

    The draws depend on the seed, the dataset's name and its patients, on nothing else: not on the order of the
    samples, and not on what the dataset is compared with, so that two sources are judged on the same targets.

    Args:
        samples: n samples.
        replicates: r >= 1.
        seed: >= 0.

    Returns:
        None if there are fewer than two patients: one patient says nothing of how patients differ.
    """
    patients = sorted(set(samples.patient_ids))
    if len(patients) < 2:
        return None
    number = {patient: k for k, patient in enumerate(patients)}
    of_sample = np.array([number[patient] for patient in samples.patient_ids])
    rng = np.random.default_rng([seed, zlib.crc32(samples.name.encode())])
    times = rng.multinomial(len(patients), np.full(len(patients), 1 / len(patients)), size=replicates)
    own = samples.weights.cpu()
    return Resamples(torch.cat([own[None], own * torch.from_numpy(times[:, of_sample].astype(np.float64))]))
