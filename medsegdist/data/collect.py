"""From any MONAI dataset to the samples that distances read."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from medsegdist.data.case_reading import ItemDataset
from medsegdist.data.case_tally import CaseTally, Tallied, not_drawn
from medsegdist.data.grouping import as_error
from medsegdist.data.multiclass import MulticlassSamples
from medsegdist.data.problems import SkippedCasesWarning
from medsegdist.data.reading import CaseReader, Progress
from medsegdist.data.sample import Sample
from medsegdist.data.samples import SegmentationSamples
from medsegdist.data.scratch import Scratch
from medsegdist.data.spread import SpreadSelection
from medsegdist.data.store import check_vacant, load_multiclass_samples, load_samples, save_samples
from medsegdist.errors import DataError
from medsegdist.words import counted

OnBadCase = Literal["raise", "skip"]


def collect(
    dataset: ItemDataset,
    *,
    name: str,
    preprocessing: str = "unspecified",
    delta: float | None = None,
    min_pixels: int = 1,
    max_samples: int | None = None,
    seed: int = 0,
    on_bad_case: OnBadCase = "raise",
    directory: Path | None = None,
    progress: Progress | None = None,
    foreground: tuple[int, ...] | None = None,
    workers: int | None = 1,
    tallied: Tallied | None = None,
) -> SegmentationSamples:
    """Read a dataset once and keep its samples in memory-mapped files.

    Any MONAI or PyTorch dataset will do (Dataset, CacheDataset, PersistentDataset, ...), and so will a list, if its
    items are dicts with "image" (1, *grid) and "label" (1, *grid) of 0 and 1, or lists of such dicts (slices of a
    volume). "case_id" and "patient_id" are used where an item has them; a case is otherwise called by its image file
    (by its path, where file names repeat) or its index, and is a patient of its own. One item at a time is in memory,
    or two for each worker.

    Args:
        dataset: the items; all samples must have one grid.
        name: the dataset's name, for tables and messages.
        preprocessing: fingerprint of how the items are made; only datasets with equal ones can be compared.
        delta: what segments will be neutralized by (paper Eq. 7); it must lie below the intensities of every
            segment. None: not checked.
        min_pixels: foreground pixels a sample needs; smaller ones are left out.
        max_samples: the most samples to keep, spread evenly over patients at random; None keeps all.
        seed: seed of that choice.
        on_bad_case: "raise" ends with one error that lists every bad case; "skip" leaves bad cases out and names
            them in a SkippedCasesWarning.
        directory: where to store the samples for :func:`~medsegdist.data.store.load_samples`; must not exist yet, or
            be empty. None keeps them in nameless temporary files that vanish with the samples.
        progress: called after each item with (items read, items there are).
        foreground: label values that the items' masks were made from, if the items tell which they found
            (:func:`~medsegdist.data.dataset.load_dataset_samples` uses this).
        workers: processes that read items, with the same samples for any number; each imports the calling script,
            which therefore needs `if __name__ == "__main__":`. 1 reads in this process, and so does a dataset that
            cannot be pickled or has more than 64 MB in memory. None starts one for each core, up to 8, once the pace
            of the first items shows that it saves time.
        tallied: told which cases gave no sample, once all are read.

    Raises:
        DataError: cases are bad (every one is listed), or no sample is left.
        FileExistsError: `directory` holds something already.
        MedSegDistError: a worker was killed.
        ValueError: an option is out of range.
    """
    reader = CaseReader(dataset, name=name, delta=delta, min_pixels=min_pixels, foreground=foreground, workers=workers)
    found = _gathered(reader, name, min_pixels, max_samples, seed, on_bad_case, directory, progress)
    samples = SegmentationSamples(name=name, preprocessing=preprocessing, **found.fields)
    warn_of_skipped(name, found.skipped)
    if directory is not None:
        save_samples(samples, directory, skipped=found.skipped, tally=found.tally)
    if tallied is not None:
        tallied(found.tally)
    if directory is None:
        return samples
    return load_samples(directory)


def collect_classes(
    dataset: ItemDataset,
    classes: Sequence[str],
    *,
    name: str,
    preprocessing: str = "unspecified",
    delta: float | None = None,
    min_pixels: int = 1,
    max_samples: int | None = None,
    seed: int = 0,
    on_bad_case: OnBadCase = "raise",
    directory: Path | None = None,
    progress: Progress | None = None,
    foreground: Mapping[str, tuple[int, ...]] | None = None,
    workers: int | None = 1,
) -> MulticlassSamples:
    """Read a dataset whose masks have several classes once, and keep its samples in memory-mapped files.

    As :func:`collect`, but for items whose "label" is (classes, *grid) of 0 and 1, one channel for each class.

    Args:
        dataset: the items; all samples must have one grid.
        classes: names of the classes, in the order of the channels.
        name: the dataset's name, for tables and messages.
        preprocessing: as for :func:`collect`.
        delta: as for :func:`collect`.
        min_pixels: foreground pixels that each class of a sample needs; a smaller one is taken off the sample, and a
            sample without any class is left out.
        max_samples: the most samples to keep, whatever classes they show; None keeps all.
        seed: as for :func:`collect`.
        on_bad_case: as for :func:`collect`.
        directory: as for :func:`collect`; to be read by :func:`~medsegdist.data.store.load_multiclass_samples`.
        progress: called after each item with (items read, items there are).
        foreground: label values that each class was made from, if the items tell which they found.
        workers: as for :func:`collect`.

    Raises:
        DataError: cases are bad (every one is listed), a class is in no sample, or no sample is left.
        FileExistsError: `directory` holds something already.
        MedSegDistError: a worker was killed.
        ValueError: an option is out of range.
    """
    reader = CaseReader(
        dataset,
        name=name,
        delta=delta,
        min_pixels=min_pixels,
        foreground=foreground,
        classes=classes,
        workers=workers,
    )
    found = _gathered(reader, name, min_pixels, max_samples, seed, on_bad_case, directory, progress)
    samples = MulticlassSamples(name=name, classes=tuple(classes), preprocessing=preprocessing, **found.fields)
    samples.check_classes()
    warn_of_skipped(name, found.skipped)
    if directory is None:
        return samples
    save_samples(samples, directory, skipped=found.skipped, tally=found.tally)
    return load_multiclass_samples(directory)


def warn_of_skipped(name: str, skipped: tuple[str, ...]) -> None:
    """Say which cases were left out.

    Args:
        name: the dataset's name.
        skipped: what is wrong with each of them.
    """
    if skipped:
        lines = "\n".join(f"  {problem}" for problem in skipped)
        warnings.warn(
            f"dataset '{name}': left out {counted(len(skipped), 'bad case')}:\n{lines}",
            SkippedCasesWarning,
            stacklevel=3,
        )


@dataclass(frozen=True, slots=True)
class _Gathered:
    fields: dict[str, Any]
    skipped: tuple[str, ...]
    tally: CaseTally


def _gathered(
    reader: CaseReader,
    name: str,
    min_pixels: int,
    max_samples: int | None,
    seed: int,
    on_bad_case: OnBadCase,
    directory: Path | None,
    progress: Progress | None,
) -> _Gathered:
    """What samples are made of, read from all items of a dataset."""
    if min_pixels < 1 or (max_samples is not None and max_samples < 1):
        raise ValueError(f"expected min_pixels >= 1 and max_samples >= 1, found {min_pixels} and {max_samples}.")
    if on_bad_case not in ("raise", "skip"):
        raise ValueError(f"expected on_bad_case to be 'raise' or 'skip', found '{on_bad_case}'.")
    if directory is not None:
        check_vacant(directory)
        directory.parent.mkdir(parents=True, exist_ok=True)
    selection = SpreadSelection(max_samples, seed)
    ids: dict[int, tuple[str, str]] = {}
    item_of: dict[int, int] = {}
    with Scratch(None if directory is None else directory.parent) as scratch:
        for index, samples in enumerate(reader.samples(progress)):
            if reader.problems and on_bad_case == "raise":
                continue
            # What another sample of the same item pushes out again is not written.
            kept: dict[int, Sample] = {}
            for sample in samples:
                slot = selection.offer(sample.patient_id)
                if slot is not None:
                    kept[slot] = sample
            for slot, sample in kept.items():
                scratch.put(slot, sample.image, sample.mask)
                ids[slot] = sample.case_id, sample.patient_id
                item_of[slot] = index
        skipped = _judge(reader, on_bad_case, name, kept=len(ids))
        slots = [sample.slot for sample in selection.kept]
        images, masks = scratch.arrays(slots)
    fields = {
        "images": torch.from_numpy(images),
        "masks": torch.from_numpy(masks),
        "case_ids": tuple(ids[slot][0] for slot in slots),
        "patient_ids": tuple(ids[slot][1] for slot in slots),
        "weights": torch.ones(len(slots), dtype=torch.float64),
    }
    return _Gathered(fields, skipped, _tally(reader, set(item_of.values()), max_samples))


def _tally(reader: CaseReader, kept: set[int], max_samples: int | None) -> CaseTally:
    """Which cases gave no sample; of a case with several items one that did is enough."""
    with_sample = {reader.names[index] for index in kept}
    without = {
        name: reader.without_sample.get(index) or not_drawn(max_samples)
        for index, name in reader.names.items()
        if name not in with_sample
    }
    return CaseTally(len({*reader.names.values(), *(problem.case for problem in reader.problems)}), without)


def _judge(reader: CaseReader, on_bad_case: OnBadCase, name: str, kept: int) -> tuple[str, ...]:
    """The cases to skip, or an error that tells all that is wrong."""
    whole = reader.whole_dataset_problems()
    if whole or (reader.problems and (on_bad_case == "raise" or not kept)):
        raise as_error([*reader.problems, *whole], name, reader.read)
    if not kept:
        raise DataError(f"dataset '{name}': no sample is left of {counted(reader.read, 'case')}.")
    return tuple(str(problem) for problem in reader.problems)
