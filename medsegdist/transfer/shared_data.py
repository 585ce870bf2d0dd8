"""Samples where every process of a study can map them into memory, without the names of patients and cases."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from medsegdist.data.samples import SegmentationSamples
from medsegdist.data.store import load_samples, save_samples


def share(samples: SegmentationSamples, folder: Path) -> tuple[str, Path]:
    """Store samples for the runs of a study, once.

    Args:
        samples: a dataset.
        folder: holds one directory for each content.

    Returns:
        The fingerprint of the content, and the directory for
        :func:`~medsegdist.data.store.load_samples`.

    Raises:
        OSError: the disk is full or not writable.
    """
    nameless = replace(
        samples,
        name="samples",
        case_ids=_numbered("case", samples.case_ids),
        patient_ids=_numbered("patient", samples.patient_ids),
    )
    found = fingerprint(nameless)
    directory = folder / found
    if not directory.exists():
        try:
            save_samples(nameless, directory)
        except FileExistsError:
            # Another process was first, with the same content.
            load_samples(directory)
    return found, directory


def fingerprint(samples: SegmentationSamples) -> str:
    """16 hexadecimal digits that change with any pixel, and with which samples are of one case or patient.

    Args:
        samples: whose `case_ids` and `patient_ids` are numbered in the order of their first samples.
    """
    digest = hashlib.blake2b(digest_size=8)
    digest.update(repr((samples.preprocessing, tuple(samples.images.shape))).encode())
    digest.update(repr((samples.case_ids, samples.patient_ids)).encode())
    for image, mask in zip(samples.images, samples.masks, strict=True):
        digest.update(image.cpu().contiguous().numpy().data)
        digest.update(mask.cpu().contiguous().numpy().data)
    return digest.hexdigest()


def _numbered(what: str, names: Sequence[str]) -> tuple[str, ...]:
    place = {name: k for k, name in enumerate(dict.fromkeys(names))}
    return tuple(f"{what} {place[name]}" for name in names)
