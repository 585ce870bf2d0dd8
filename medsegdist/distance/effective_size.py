"""How many independent observations a dataset is worth."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples


def effective_patients(samples: SegmentationSamples, sample_index: Tensor | Sequence[int] | None = None) -> float:
    """The n of an information criterion: Kish's effective number of patients, (sum of W)**2 / (sum of W**2).

    W is the weight of all samples of a patient. Pixels of one segment are far from independent, and so are slices of
    one patient: with their number as n, a criterion would always take as many components as it may. Patients are what
    is drawn independently, here as in the bootstrap. A sample that stands twice counts as one of twice the weight.

    Args:
        samples: the dataset.
        sample_index: which samples to count; all by default.

    Returns:
        Between 1 and the number of patients, which it reaches where all weigh the same.
    """
    chosen = range(len(samples)) if sample_index is None else [int(k) for k in sample_index]
    of_patient: dict[str, list[int]] = {}
    for k in chosen:
        of_patient.setdefault(samples.patient_ids[k], []).append(k)
    weights = torch.stack([samples.weights[index].sum() for index in of_patient.values()])
    return float(weights.sum().square() / weights.square().sum())
