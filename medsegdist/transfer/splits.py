"""Which samples are trained, validated and tested on: whole patients, drawn with a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medsegdist.data.options import TransferOptions
from medsegdist.data.samples import SegmentationSamples
from medsegdist.errors import DataError
from medsegdist.words import counted


@dataclass(frozen=True, slots=True)
class Split:
    """Indices of samples in increasing order; no patient is in two of the three."""

    train: tuple[int, ...]  # samples to train on, at least one
    # Samples that choose the best weights, at least one; those of `train` where the last weights count.
    validation: tuple[int, ...]
    test: tuple[int, ...] = ()  # samples that Dice is reported on; none for a source


def split_source(
    name: str, patient_ids: Sequence[str], options: TransferOptions, seed: int, left_out: Collection[int] = ()
) -> Split:
    """Training and validation patients of a source, from the patient of each sample; nothing is tested on it.

    `left_out` are indices of samples whose patients are tested on in a target.
    """
    hidden = {patient_ids[k] for k in left_out}
    patients = [patient for patient in dict.fromkeys(patient_ids) if patient not in hidden]
    if len(patients) < 2:
        others = f" besides the {len(hidden)} that a target is tested on" if hidden else ""
        raise DataError(
            f"expected at least 2 patients to pre-train on, one of them for validation, found {len(patients)}{others}",
            "add patients, or check that the layout distinguishes patients",
            dataset=name,
        )
    drawn = _shuffled(patients, seed)
    if options.select == "last":
        return _by_patient(patient_ids, drawn, drawn)
    held_out = _share(options.validation_fraction, len(drawn))
    return _by_patient(patient_ids, drawn[held_out:], drawn[:held_out])


def split_target(name: str, patient_ids: Sequence[str], options: TransferOptions, seed: int) -> Split:
    """Training, validation and test patients of a target.

    The test patients are the same for all seeds. With `target_cases`, so many of the other patients are trained on,
    and validation keeps its proportion to them: a short sample is short in all that is labeled. With `select` "last"
    no patient is set aside to validate on.
    """
    patients = list(dict.fromkeys(patient_ids))
    if len(patients) < 3:
        raise DataError(
            f"expected at least 3 patients of a target, one each to train, validate and test on, found {len(patients)}",
            "add patients, or check that the layout distinguishes patients",
            dataset=name,
        )
    drawn = _shuffled(patients, options.split_seed)
    # Two patients must be left, one to train and one to validate on.
    tested = min(_share(options.test_fraction, len(drawn)), len(drawn) - 2)
    rest = _shuffled(drawn[tested:], seed)
    fraction = options.validation_fraction
    if options.select == "last":
        held_out, trained = 0, options.target_cases or len(rest)
    elif options.target_cases is None:
        held_out = min(_share(fraction, len(rest)), len(rest) - 1)
        trained = len(rest) - held_out
    else:
        trained = options.target_cases
        held_out = max(1, round(trained * fraction / (1 - fraction)))
    if trained + held_out > len(rest):
        validated = f" and {held_out} to validate on" if held_out else ""
        raise DataError(
            f"target_cases {trained} needs {counted(trained, 'patient')} to train on{validated}, found {len(rest)} "
            f"besides the {tested} to test on",
            "lower target_cases or the fractions",
            dataset=name,
        )
    training = rest[held_out : held_out + trained]
    return _by_patient(patient_ids, training, rest[:held_out] or training, drawn[:tested])


def _share(fraction: float, patients: int) -> int:
    """At least one patient, and never all of them."""
    return min(max(1, round(fraction * patients)), patients - 1)


def _shuffled(patients: Sequence[str], seed: int) -> list[str]:
    return [patients[k] for k in np.random.default_rng(seed).permutation(len(patients))]


def _by_patient(patient_ids: Sequence[str], *parts: Sequence[str]) -> Split:
    members = (frozenset(part) for part in parts)
    return Split(*(tuple(k for k, patient in enumerate(patient_ids) if patient in some) for some in members))


def seen_test_samples(
    samples: Mapping[str, SegmentationSamples],
    tested: Mapping[str, Sequence[int]],
    sources_of: Callable[[str], Sequence[str]],
) -> dict[str, tuple[int, ...]]:
    """Indices of samples that the pre-training on a source leaves out, in increasing order, of sources that have any.

    Several tasks on the same images make such sources: one holds the images that another is tested on. Two datasets
    with an image in common are taken for such a pair; of the source, every patient is left out who has an image, or
    the name, of a test patient of the target. Datasets without a common image may use the same names for other
    patients.
    """
    digests = {
        name: [hashlib.blake2b(image.cpu().contiguous().numpy().data, digest_size=16).digest() for image in one.images]
        for name, one in samples.items()
    }
    left_out: dict[str, set[int]] = {}
    for target, rows in tested.items():
        of_target = set(digests[target])
        images = {digests[target][k] for k in rows}
        names = {samples[target].patient_ids[k] for k in rows}
        for source in sources_of(target):
            if of_target.isdisjoint(digests[source]):
                continue
            owners = samples[source].patient_ids
            patients = names | {owners[k] for k, digest in enumerate(digests[source]) if digest in images}
            left_out.setdefault(source, set()).update(k for k, owner in enumerate(owners) if owner in patients)
    return {source: tuple(sorted(found)) for source, found in left_out.items() if found}
