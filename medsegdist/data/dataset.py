"""From a dataset's description to a MONAI dataset, and to its samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from medsegdist.data.cache_names import cache_name
from medsegdist.data.case import Case
from medsegdist.data.case_tally import Tallied
from medsegdist.data.collect import OnBadCase, collect, collect_classes, warn_of_skipped
from medsegdist.data.manifest import DatasetManifest, Preprocessing
from medsegdist.data.multiclass import MulticlassSamples
from medsegdist.data.reading import Progress
from medsegdist.data.samples import SegmentationSamples
from medsegdist.data.store import load_multiclass_samples, load_samples, load_skipped, load_tally
from medsegdist.errors import ManifestError

if TYPE_CHECKING:
    from monai.data.dataset import Dataset

Watch = Callable[[Mapping[Any, Any]], None]
"""Is shown the items of a dataset as they are read."""
_Samples = TypeVar("_Samples", SegmentationSamples, MulticlassSamples)


def make_dataset(manifest: DatasetManifest, preprocessing: Preprocessing) -> Dataset:
    """A MONAI dataset of the prepared cases, one item a case.

    Args:
        manifest: which dataset.
        preprocessing: how to prepare it.

    Returns:
        A dataset whose items are dicts with "image" (1, *grid) float32, "label" (1, *grid) of 0 and 1, "case_id" and
        "patient_id"; in 2D, a volume's item is a list of such dicts, one for each slice with foreground. Where the
        manifest has classes, "label" is (classes, *grid). Its `data` and `transform` also go into CacheDataset or
        PersistentDataset.

    Raises:
        ManifestError: the preprocessing has no meaning for this dataset.
        DataError: the dataset's files are not as described.
    """
    return prepared_dataset(manifest, preprocessing, stacked=False)


def prepared_dataset(
    manifest: DatasetManifest,
    preprocessing: Preprocessing,
    cases: list[Case] | None = None,
    *,
    stacked: bool,
    watch: Watch | None = None,
) -> Dataset:
    """A MONAI dataset of the prepared cases, as :func:`make_dataset` gives, or of some of them.

    Args:
        manifest: the dataset they belong to.
        preprocessing: how to prepare them.
        cases: which cases; None is all.
        stacked: whether items are :class:`~medsegdist.data.sample_stack.SampleStack`, for CaseReader: the same numbers
            in less time, and which label values the masks held.
        watch: for stacks, is shown every item as the layout reads it, before any check of it.

    Raises:
        ManifestError: the preprocessing has no meaning for this dataset.
        DataError: the dataset's files are not as described.
    """
    manifest.check_fits(preprocessing)
    if cases is None:
        cases = manifest.cases()
    manifest.check_fits(preprocessing, cases)
    from monai.data.dataset import Dataset
    from monai.transforms.compose import Compose
    from monai.transforms.utility.array import Lambda

    from medsegdist.data.label_watch import NoteLabels
    from medsegdist.transforms import preprocessing_pipeline

    pipeline = preprocessing_pipeline(
        dimensions=preprocessing.dimensions,
        grid=preprocessing.grid,
        spacing=preprocessing.spacing,
        foreground=manifest.foreground,
        classes=None if manifest.classes is None else tuple(manifest.classes.values()),
        intensity=preprocessing.intensity,
        window=_fixed_window(manifest, preprocessing),
        percentiles=preprocessing.percentiles,
        max_slices=preprocessing.max_per_case,
        seed=preprocessing.seed,
        track_meta=not stacked,
    )
    items = [case.as_item() for case in cases]
    # A plain function would be random to MONAI, and PersistentDataset would keep nothing.
    load = Lambda(manifest.layout.load)
    if not stacked:
        return Dataset(items, Compose([load, *pipeline.transforms]))
    steps: list[Any] = [load, NoteLabels(manifest.label_values)]
    if watch is not None:
        steps.append(partial(_shown, watch))
    return Dataset(items, Compose([*steps, *pipeline.transforms]))


def header_dataset(manifest: DatasetManifest, cases: list[Case]) -> Dataset | None:
    """A MONAI dataset of the headers of cases, with the checks of :func:`make_dataset` that need no voxel.

    Args:
        manifest: the dataset they belong to.
        cases: which cases.

    Returns:
        A dataset whose items are dicts with "image" and "label" on the meta device, (slices, rows, columns) or
        (rows, columns) after the channel, "case_id" and "patient_id"; None for a layout that draws its images.
    """
    from monai.data.dataset import Dataset
    from monai.transforms.compose import Compose

    from medsegdist.transforms import CheckSameSpaced, OrientAxiald

    if getattr(manifest.layout, "simulates", ""):
        return None
    steps = [
        partial(manifest.layout.load, header_only=True),
        OrientAxiald(("image", "label")),
        CheckSameSpaced("image", reference_key="label"),
    ]
    return Dataset([case.as_item() for case in cases], Compose(steps))


def mask_dataset(manifest: DatasetManifest, cases: list[Case]) -> Dataset:
    """A MONAI dataset of the masks of cases, with the checks of :func:`make_dataset` that need no image.

    Args:
        manifest: the dataset they belong to.
        cases: which cases.

    Returns:
        A dataset whose items are dicts with "label" (1, *spatial), or (classes, *spatial), of 0 and 1 on the grid of
        its file, "case_id", "patient_id", and "found_labels" for LabelTally.
    """
    from monai.data.dataset import Dataset
    from monai.transforms.compose import Compose

    from medsegdist.data.label_watch import NoteLabels
    from medsegdist.transforms import BinarizeLabeld, ClassMasksd

    read = partial(manifest.layout.load, keys=("label",))
    binarize = (
        BinarizeLabeld("label", manifest.foreground)
        if manifest.classes is None
        else ClassMasksd("label", tuple(manifest.classes.values()))
    )
    return Dataset([case.as_item() for case in cases], Compose([read, NoteLabels(manifest.label_values), binarize]))


def load_dataset_samples(
    manifest: DatasetManifest,
    preprocessing: Preprocessing,
    *,
    cache: Path | None = None,
    on_bad_case: OnBadCase = "raise",
    progress: Progress | None = None,
    workers: int | None = 1,
    tallied: Tallied | None = None,
) -> SegmentationSamples:
    """The samples of a dataset, read from its files once and from the cache from then on.

    Args:
        manifest: which dataset.
        preprocessing: how to prepare it.
        cache: folder that keeps samples, one directory for each content of manifest, preprocessing and files (their
            paths, sizes and times of change) and each version of medsegdist; None keeps nothing.
        on_bad_case: "raise" or "skip", as for :func:`~medsegdist.data.collect.collect`.
        progress: called after each case with (cases read, cases there are); not called if the cache has the samples.
        workers: processes that read cases, as for :func:`~medsegdist.data.collect.collect`.
        tallied: told which cases gave no sample, read or from the cache.

    Raises:
        ManifestError: the preprocessing has no meaning for this dataset, or the dataset has classes.
        DataError: cases are bad (every one is listed), a wanted label is in no case, or no sample is left.
        MedSegDistError: a worker was killed.
    """
    manifest.check_one_foreground()
    gather = partial(collect, foreground=manifest.foreground, progress=progress, workers=workers, tallied=tallied)
    return _through_cache(manifest, preprocessing, cache, on_bad_case, gather, load_samples, tallied)


def load_class_samples(
    manifest: DatasetManifest,
    preprocessing: Preprocessing,
    *,
    cache: Path | None = None,
    on_bad_case: OnBadCase = "raise",
    progress: Progress | None = None,
    workers: int | None = 1,
) -> MulticlassSamples:
    """The samples of a dataset with a mask for each of its classes, read from its files once, as for one foreground.

    A sample shows any of the classes. Each class of it needs the preprocessing's `min_pixels`; a smaller one is taken
    off. `max_samples` and `max_per_case` count samples, whatever classes they show.

    Args:
        manifest: which dataset; it has `classes`.
        preprocessing: how to prepare it.
        cache: as for :func:`load_dataset_samples`.
        on_bad_case: as for :func:`load_dataset_samples`.
        progress: as for :func:`load_dataset_samples`.
        workers: as for :func:`load_dataset_samples`.

    Raises:
        ManifestError: the preprocessing has no meaning for this dataset, or it has no classes.
        DataError: cases are bad (every one is listed), a class or one of its labels is in no case, or no sample is
            left.
        MedSegDistError: a worker was killed.
    """
    if manifest.classes is None:
        raise ManifestError(
            f"dataset '{manifest.name}': expected `classes`, found none; name the label values of each class, or load "
            "one foreground with load_dataset_samples."
        )
    classes = manifest.classes
    gather = partial(collect_classes, classes=tuple(classes), foreground=classes, progress=progress, workers=workers)
    return _through_cache(manifest, preprocessing, cache, on_bad_case, gather, load_multiclass_samples)


def _through_cache(
    manifest: DatasetManifest,
    preprocessing: Preprocessing,
    cache: Path | None,
    on_bad_case: OnBadCase,
    gather: Callable[..., _Samples],
    load: Callable[[Path], _Samples],
    tallied: Tallied | None = None,
) -> _Samples:
    manifest.check_fits(preprocessing)
    cases = manifest.cases()
    directory = None if cache is None else cache / cache_name(manifest, preprocessing, cases, on_bad_case)
    if directory is not None and directory.is_dir():
        return _from_cache(directory, load, tallied)
    try:
        return gather(
            prepared_dataset(manifest, preprocessing, cases, stacked=True),
            name=manifest.name,
            preprocessing=preprocessing.fingerprint,
            delta=preprocessing.effective_delta,
            min_pixels=preprocessing.min_pixels,
            max_samples=preprocessing.max_samples,
            seed=preprocessing.seed,
            on_bad_case=on_bad_case,
            directory=directory,
        )
    except FileExistsError:
        # Another process has finished the same work meanwhile.
        if directory is None:
            raise
        return _from_cache(directory, load, tallied)


def _shown(watch: Watch, item: dict[Any, Any]) -> dict[Any, Any]:
    watch(item)
    return item


def _from_cache(directory: Path, load: Callable[[Path], _Samples], tallied: Tallied | None) -> _Samples:
    samples = load(directory)
    tally = load_tally(directory)
    if tallied is not None and tally is not None:
        tallied(tally)
    warn_of_skipped(samples.name, load_skipped(directory))
    return samples


def _fixed_window(manifest: DatasetManifest, preprocessing: Preprocessing) -> tuple[float, float] | None:
    if manifest.window is not None or manifest.modality != "CT":
        return manifest.window
    return preprocessing.ct_window
