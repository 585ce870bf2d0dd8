"""From any MONAI dataset to the samples that distances read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, overload

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
    workers: int | None = 1,
) -> SegmentationSamples:
    """Read a dataset once and keep its samples.

    Any MONAI or PyTorch dataset will do (Dataset, CacheDataset, PersistentDataset, ...), and so will a list, if its
    items are dicts with "image" (1, *grid) and "label" (1, *grid) of 0 and 1, or lists of such dicts (slices of a
    volume). "case_id" and "patient_id" are used where an item has them; a case is otherwise called by its image file
    (by its path, where file names repeat) or its index, and is a patient of its own.

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
    workers: int | None = 1,
) -> MulticlassSamples:
    """Read a dataset whose masks have several classes once.

    As :func:`~medsegdist.data.collect.collect`, but for items whose "label" is (classes, *grid) of 0 and 1, one channel
    for each class.

    Args:
        dataset: the items; all samples must have one grid.
        classes: names of the classes, in the order of the channels.
        name: the dataset's name, for tables and messages.
        preprocessing: as for `collect`.
        delta: as for `collect`.
        min_pixels: foreground pixels that each class of a sample needs; a smaller one is taken off the sample, and a
            sample without any class is left out.
        max_samples: the most samples to keep, whatever classes they show; None keeps all.
        seed: as for `collect`.
        on_bad_case: as for `collect`.
        workers: as for `collect`.

    Raises:
        DataError: cases are bad (every one is listed), a class is in no sample, or no sample is left.
        MedSegDistError: a worker was killed.
        ValueError: an option is out of range.
    """
    tasks = case_tasks(dataset)
    read = ReadCase(dataset.__getitem__, name, delta, min_pixels, tuple(classes))
    samples: MulticlassSamples = gather(read, tasks, preprocessing, max_samples, seed, on_bad_case, workers)
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
        The samples of each dataset of a study, in order, with a mask for each class where it has classes; or those of
        the one dataset.

    Raises:
        ManifestError: the preprocessing has no meaning for a dataset, or the one dataset has classes.
        DataError: cases are bad (every one is listed), a wanted label is in no case, no sample is left, or a cached
            case is damaged.
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
    most, seed = preprocessing.max_samples, preprocessing.seed
    samples = []
    for manifest in manifests:
        read, tasks = plan_reading(manifest, preprocessing, cache)
        samples.append(gather(read, tasks, preprocessing.fingerprint, most, seed, on_bad_case, workers))
    return samples if isinstance(source, Study) else samples[0]


def load_class_samples(
    manifest: DatasetManifest,
    preprocessing: Preprocessing,
    *,
    cache: str | Path | None = None,
    on_bad_case: OnBadCase = "raise",
    workers: int | None = 1,
) -> MulticlassSamples:
    """The samples of a dataset with a mask for each of its classes, read from their files once.

    A sample shows any of the classes. Each class of it needs the preprocessing's `min_pixels`; a smaller one is taken
    off. `max_samples` and `max_per_case` count samples, whatever classes they show.

    Args:
        manifest: which dataset; it has `classes`.
        preprocessing: how to prepare it.
        cache: as for `load_samples`.
        on_bad_case: as for `load_samples`.
        workers: as for `load_samples`.

    Raises:
        ManifestError: the preprocessing has no meaning for this dataset, or it has no classes.
        DataError: cases are bad (every one is listed), a class or one of its labels is in no case, or no sample is
            left.
        MedSegDistError: a worker was killed.
    """
    if manifest.classes is None:
        raise ManifestError(
            "expected `classes`, found none",
            "name the label values of each class, or load one foreground with load_samples",
            dataset=manifest.name,
        )
    most, seed = preprocessing.max_samples, preprocessing.seed
    read, tasks = plan_reading(manifest, preprocessing, cache)
    samples: MulticlassSamples = gather(read, tasks, preprocessing.fingerprint, most, seed, on_bad_case, workers)
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
    preprocessing: str,
    max_samples: int | None,
    seed: int,
    on_bad_case: OnBadCase,
    workers: int | None,
) -> Any:
    """The samples of a dataset, with a mask for each class where `read` has classes."""
    _check_options(read.min_pixels, max_samples, on_bad_case, workers)
    name, description = read.dataset, f"Reading {read.dataset}"
    if not tasks:
        raise DataError("the dataset is empty; expected at least one item.", dataset=name)
    statistics = CaseStatistics(name, read.min_pixels, read.foreground, read.classes)
    # Of each sample: the place of its case, its own place there, its case and patient.
    found: list[tuple[int, int, Any, Any]] = []
    pixels: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # of those that are not in the cache
    is_cached = [task.file is not None and task.file.is_file() for task in tasks]
    to_read = [task for task, cached in zip(tasks, is_cached, strict=True) if not cached]
    results = map_ordered(read, to_read, workers=workers, description=description, name_of=attrgetter("name"))
    names: list[Any] = []
    for index, task in enumerate(tasks):
        case = load_case(task.file, pixels=False) if is_cached[index] and task.file else next(results)
        names.append(case.name)
        if not statistics.add(case, task.name) or (statistics.problems and on_bad_case == "raise"):
            continue
        for k, ids in enumerate(zip(case.case_ids, case.patient_ids, strict=True)):
            if case.images is not None and case.masks is not None:
                pixels[len(found)] = case.images[k], case.masks[k]
            found.append((index, k, *ids))
        if max_samples is not None and len(pixels) > 2 * max_samples:
            # A sample that falls out now would not come back: those that follow only push others back.
            kept = spread_over_patients([patient for *_, patient in found], max_samples, seed)
            pixels = {row: (_alone(pixels[row][0]), _alone(pixels[row][1])) for row in kept}
    for _ in results:  # ends what is shown of the progress
        pass
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
    for k, (image, mask) in enumerate(_pixels(pixels, [found[row] for row in rows], rows, tasks)):
        images[k], masks[k] = image, mask
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


def _alone(array: np.ndarray) -> np.ndarray:
    """The array in memory of its own, and no longer in that of a whole case."""
    return array if array.base is None else array.copy()


def _pixels(
    pixels: dict[int, tuple[np.ndarray, np.ndarray]],
    found: Sequence[tuple[int, int, Any, Any]],
    rows: Sequence[int],
    tasks: Sequence[CaseTask],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Image and mask of each chosen sample, from memory or from the cache, one case of which is read at a time."""
    loaded, case = -1, None
    for row, (index, k, *_) in zip(rows, found, strict=True):
        if row in pixels:
            yield pixels.pop(row)
            continue
        file = tasks[index].file
        if loaded != index and file is not None:
            loaded, case = index, load_case(file, pixels=True)
        if case is not None and case.images is not None and case.masks is not None:
            yield case.images[k], case.masks[k]


def _check_options(min_pixels: int, max_samples: int | None, on_bad_case: str, workers: int | None) -> None:
    if min_pixels < 1 or (max_samples is not None and max_samples < 1):
        raise ValueError(f"expected min_pixels >= 1 and max_samples >= 1, found {min_pixels} and {max_samples}.")
    if on_bad_case not in ("raise", "skip"):
        raise ValueError(f"expected on_bad_case to be 'raise' or 'skip', found '{on_bad_case}'.")
    if workers is not None and workers < 1:
        raise ValueError(f"expected workers >= 1, or None to choose, found {workers}.")
