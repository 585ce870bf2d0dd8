"""From datasets whose masks have several classes to samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medsegdist.data.collect import OnBadCase, ReadCase, gather, plan_reading
from medsegdist.data.manifest import DatasetManifest
from medsegdist.data.multiclass import MulticlassSamples
from medsegdist.data.prepared_case import ItemDataset, case_tasks
from medsegdist.data.preprocessing import Preprocessing
from medsegdist.errors import ManifestError


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
    tasks, folder = case_tasks(dataset)
    read = ReadCase(dataset.__getitem__, name, delta, min_pixels, tuple(classes), folder=folder)
    fields = gather(read, tasks, max_samples, seed, on_bad_case, workers)
    samples = MulticlassSamples(name=name, classes=tuple(classes), preprocessing=preprocessing, **fields)
    samples.check_classes()
    return samples


def load_class_samples(
    manifest: DatasetManifest,
    preprocessing: Preprocessing,
    *,
    cache: Path | None = None,
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
    read, tasks = plan_reading(manifest, preprocessing, cache)
    fields = gather(read, tasks, preprocessing.max_samples, preprocessing.seed, on_bad_case, workers)
    classes = tuple(manifest.classes)
    samples = MulticlassSamples(name=manifest.name, classes=classes, preprocessing=preprocessing.fingerprint, **fields)
    samples.check_classes()
    return samples
