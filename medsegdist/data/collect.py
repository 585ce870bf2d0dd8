"""From any MONAI dataset to the samples that distances read."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, get_args, overload

import numpy as np
import torch

from medsegdist.data.case_statistics import CaseStatistics
from medsegdist.data.class_samples import MulticlassSamples
from medsegdist.data.layouts.listing import Case
from medsegdist.data.manifest import DatasetManifest, Preprocessing
from medsegdist.data.prepared_case import (
    CaseTask,
    ItemDataset,
    ReadCase,
    cached_files,
    case_tasks,
    load_case,
    shown_names,
)
from medsegdist.data.problems import (
    DoubtfulCasesWarning,
    SkippedCasesWarning,
    as_error,
    merge_similar,
    noting_doubts,
)
from medsegdist.data.samples import CaseSummary, SegmentationSamples, spread_over_patients
from medsegdist.data.study import Study, load_study
from medsegdist.errors import DataError, ManifestError
from medsegdist.parallel import map_ordered
from medsegdist.words import check_choice, counted

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
    workers: int | None = 1,
) -> SegmentationSamples:
    """Read a dataset once and keep its samples.

    Any MONAI or PyTorch dataset will do (Dataset, CacheDataset, PersistentDataset, ...), and so will a list, if its
    items are dicts with "image" (1, *grid) and "label" (1, *grid) of 0 and 1, or lists of such dicts (slices of a
    volume). "case_id" and "patient_id" are used where an item has them (None, NaN and "" count as not given); a case is
    otherwise called by its image file (by its path, where file names repeat) or, where no file is certain, its index,
    and is a patient of its own. Arrays are read as they are; affines of other axes than the first case's, or of a mask
    that lies elsewhere than its image, give a DoubtfulCasesWarning.

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
        workers: processes that read items, with the same samples for any number; 1 reads in this process. None starts
            one for each core, up to 8, once the pace of the first items shows that it saves time.

    Returns:
        The samples; their `case_summary` says which cases gave none.

    Raises:
        DataError: cases are bad (every one is listed), or no sample is left.
        MedSegDistError: a worker was killed.
        ValueError: an option is out of range.

    >>> import numpy as np
    >>> items = [{"image": np.eye(4)[None] + k, "label": np.eye(4)[None]} for k in range(3)]
    >>> collect(items, name="diagonals").images.shape
    torch.Size([3, 4, 4])
    """
    tasks = case_tasks(dataset)
    read = ReadCase(dataset.__getitem__, name, delta, min_pixels)
    samples: SegmentationSamples = gather(read, tasks, preprocessing, max_samples, seed, on_bad_case, workers)
    return samples


@overload
def load_samples(
    source: Study | str | Path,
    preprocessing: None = None,
    *,
    names: Sequence[str] | None = None,
    cache: str | Path | None = None,
    on_bad_case: OnBadCase = "raise",
    workers: int | None = 1,
) -> list[SegmentationSamples | MulticlassSamples]: ...


@overload
def load_samples(
    source: DatasetManifest,
    preprocessing: Preprocessing,
    *,
    cache: str | Path | None = None,
    on_bad_case: OnBadCase = "raise",
    workers: int | None = 1,
) -> SegmentationSamples: ...


def load_samples(
    source: Study | DatasetManifest | str | Path,
    preprocessing: Preprocessing | None = None,
    *,
    names: Sequence[str] | None = None,
    cache: str | Path | None = None,
    on_bad_case: OnBadCase = "raise",
    workers: int | None = 1,
) -> list[SegmentationSamples | MulticlassSamples] | SegmentationSamples | MulticlassSamples:
    """The samples of the datasets of a study, or of one dataset, read from their files once and cached case by case.

    Args:
        source: a study, the path of its YAML file, or one dataset.
        preprocessing: how to prepare one dataset; a study has its own.
        names: which datasets of a study; None takes all.
        cache: folder that keeps prepared cases, one file for each content of manifest, preprocessing and files (paths,
            sizes, times of change) and each version of medsegdist; a killed run goes on there. None keeps nothing.
        on_bad_case: "raise" or "skip", as for :func:`collect`.
        workers: processes that read cases, as for :func:`collect`.

    Returns:
        Those of each dataset of a study, in order, with a mask for each class where it has classes; or of the one.

    Raises:
        ManifestError: the preprocessing has no meaning for a dataset, or the one dataset has classes.
        DataError: cases are bad (every one is listed), a wanted label is in no case, or no sample is left.
        MedSegDistError: a worker was killed.
        ValueError: an option is out of range, or the preprocessing of a dataset is missing.
    """
    if isinstance(source, str | Path):
        source = load_study(source)
    if isinstance(source, Study):
        preprocessing = source.preprocessing
        manifests = list(source.datasets) if names is None else [source.dataset(name) for name in names]
    else:
        source.check_one_foreground()
        manifests = [source]
    if preprocessing is None:
        raise ValueError("expected the preprocessing of the dataset, found none.")
    settings = preprocessing.fingerprint, preprocessing.max_samples, preprocessing.seed, on_bad_case, workers
    samples = []
    for manifest in manifests:
        read, tasks = plan_reading(manifest, preprocessing, cache)
        samples.append(gather(read, tasks, *settings))
    return samples if isinstance(source, Study) else samples[0]


def load_class_samples(
    manifest: DatasetManifest, preprocessing: Preprocessing, *, cache: str | Path | None = None, **options: Any
) -> MulticlassSamples:
    """The samples of a dataset with a mask for each of its classes, read from their files once.

    A sample shows any of the classes. Each class of it needs the preprocessing's `min_pixels`; a smaller one is taken
    off. `max_samples` and `max_per_case` count samples, whatever classes they show.

    Args:
        manifest: which dataset; it has `classes`.
        preprocessing: how to prepare it.
        cache: as for `load_samples`.
        **options: `on_bad_case` and `workers` of `load_samples`.

    Raises:
        ManifestError: the preprocessing has no meaning for this dataset, or it has no classes.
        DataError: cases are bad (every one is listed), or a class or one of its labels is in no case.
        MedSegDistError: a worker was killed.
    """
    if manifest.classes is None:
        remedy = "name the label values of each class, or load one foreground with load_samples"
        raise ManifestError("expected `classes`, found none", remedy, dataset=manifest.name)
    settings = preprocessing.fingerprint, preprocessing.max_samples, preprocessing.seed
    read, tasks = plan_reading(manifest, preprocessing, cache)
    samples: MulticlassSamples = gather(read, tasks, *settings, **options)
    return samples


def plan_reading(
    manifest: DatasetManifest,
    preprocessing: Preprocessing,
    cache: str | Path | None,
    cases: Sequence[Case] | None = None,
) -> tuple[ReadCase, list[CaseTask]]:
    """What :func:`gather` needs to read a dataset from its files."""
    manifest.check_fits(preprocessing)
    cases = manifest.cases() if cases is None else cases
    manifest.check_fits(preprocessing, cases)
    read = ReadCase(
        noting_doubts(manifest.load),
        manifest.name,
        preprocessing.effective_delta,
        preprocessing.min_pixels,
        None if manifest.classes is None else tuple(manifest.classes),
        manifest.classes or manifest.foreground,
        steps=tuple(manifest.transform(preprocessing, split=False).transforms),
        sliced=preprocessing.dimensions == 2,
    )
    files = [None] * len(cases) if cache is None else cached_files(cache, manifest, preprocessing, cases)
    return read, [CaseTask(case.as_item(), case.id, file) for case, file in zip(cases, files, strict=True)]


def gather(
    read: ReadCase,
    tasks: Sequence[CaseTask],
    preprocessing: str = "unspecified",
    max_samples: int | None = None,
    seed: int = 0,
    on_bad_case: OnBadCase = "raise",
    workers: int | None = 1,
) -> Any:
    """The samples of a dataset, with a mask for each class where `read` has classes."""
    if read.min_pixels < 1 or (max_samples is not None and max_samples < 1):
        raise ValueError(f"expected min_pixels >= 1 and max_samples >= 1, found {read.min_pixels} and {max_samples}.")
    check_choice("on_bad_case", on_bad_case, get_args(OnBadCase))
    if workers is not None and workers < 1:
        raise ValueError(f"expected workers >= 1, or None to choose, found {workers}.")
    name = read.dataset
    if not tasks:
        raise DataError("the dataset is empty; expected at least one item.", dataset=name)
    statistics = CaseStatistics(name, read.min_pixels, read.foreground, read.classes)
    # Of each sample: the place of its case, its own place there, its case and patient.
    found: list[tuple[int, int, Any, Any]] = []
    pixels: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # of those that are not in the cache
    results = map_ordered(read, tasks, workers=workers, description=f"Reading {name}", name_of=attrgetter("name"))
    names: list[Any] = []
    for index, (task, case) in enumerate(zip(tasks, results, strict=True)):
        names.append(case.name)
        if not statistics.add(case, task.name) or (statistics.problems and on_bad_case == "raise"):
            continue
        for k, ids in enumerate(zip(case.case_ids, case.patient_ids, strict=True)):
            if case.images is not None and case.masks is not None:
                # Copies, which do not keep the whole case in memory.
                pixels[len(found)] = case.images[k].copy(), case.masks[k].copy()
            found.append((index, k, *ids))
        if max_samples is not None and len(pixels) > 2 * max_samples:
            # A sample that falls out now would not come back: those that follow only push others back.
            kept = spread_over_patients([patient for *_, patient in found], max_samples, seed)
            pixels = {row: pixels[row] for row in kept}
    shown = shown_names([*names, *(one.case for one in statistics.problems), *(case for *_, case, _ in found)])
    patients = shown_names([patient for *_, patient in found])
    statistics.rename(shown)
    names = [shown[case] for case in names]
    problems = statistics.whole_dataset_problems()
    if problems or (statistics.problems and (on_bad_case == "raise" or not found)):
        raise as_error([*statistics.problems, *problems], name, len(tasks))
    if not found:
        raise DataError(f"no sample is left of {counted(len(tasks), 'case')}.", dataset=name)
    rows = spread_over_patients([patient for *_, patient in found], max_samples or len(found), seed)
    channels = () if read.classes is None else (len(read.classes),)
    images = np.empty((len(rows), *statistics.grid), dtype=np.float32)
    masks = np.empty((len(rows), *channels, *statistics.grid), dtype=bool)
    load = lru_cache(1)(partial(load_case, pixels=True))  # one case is in memory at a time
    for place, row in enumerate(rows):
        index, k, *_ = found[row]
        if row in pixels:
            images[place], masks[place] = pixels.pop(row)
        else:
            stored: Any = load(tasks[index].file)
            images[place], masks[place] = stored.images[k], stored.masks[k]
    drawn = {names[found[row][0]] for row in rows}
    summary = CaseSummary(
        cases=len({*names, *(one.case for one in statistics.problems)}),
        without_sample=statistics.without_sample,
        not_drawn=tuple(case for case in statistics.with_sample if case not in drawn),
        skipped=tuple(map(str, statistics.problems)),
        doubtful=len({one.case for one in statistics.doubts}),
    )
    if summary.skipped:
        lines = "\n".join(f"  {problem}" for problem in summary.skipped)
        text = f"dataset '{name}': left out {counted(len(summary.skipped), 'bad case')}:\n{lines}"
        warnings.warn(text, SkippedCasesWarning, stacklevel=3)
    for doubt in merge_similar([replace(one, total=len(tasks)) for one in statistics.doubts]):
        warnings.warn(f"dataset '{name}': {doubt}", DoubtfulCasesWarning, stacklevel=3)
    fields: dict[str, Any] = {
        "name": name,
        "images": torch.from_numpy(images),
        "masks": torch.from_numpy(masks),
        "case_ids": tuple(shown[found[row][2]] for row in rows),
        "patient_ids": tuple(patients[found[row][3]] for row in rows),
        "weights": torch.ones(len(rows), dtype=torch.float64),
        "preprocessing": preprocessing,
        "case_summary": summary,
    }
    if read.classes is None:
        return SegmentationSamples(**fields)
    samples = MulticlassSamples(classes=read.classes, **fields)
    samples.check_classes()
    return samples
