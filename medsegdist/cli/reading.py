"""The datasets of a study, read with a bar for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import Progress

from medsegdist.cli.console import bar
from medsegdist.errors import DataError

if TYPE_CHECKING:
    from medsegdist.data.case_tally import CaseTally
    from medsegdist.data.manifest import DatasetManifest
    from medsegdist.data.multiclass import MulticlassSamples
    from medsegdist.data.samples import SegmentationSamples
    from medsegdist.data.study import Study


def read_samples(
    study: Study,
    cache: Path,
    workers: int | None,
    progress: Progress,
    names: Iterable[str] | None = None,
    tallied: Callable[[str, CaseTally], None] | None = None,
    study_file: Path | None = None,
) -> Iterator[SegmentationSamples | MulticlassSamples]:
    """The samples of each dataset of a study, of one that has `classes` with a mask for each.

    Args:
        study: what to read.
        cache: folder of prepared samples.
        workers: processes that read; None leaves it to the loader.
        progress: where it is shown.
        names: which datasets, in that order; None takes all, in the study's.
        tallied: told which cases of each dataset gave no sample.
        study_file: file of the study, named where the folder of a dataset is not there.
    """
    from medsegdist.data.dataset import load_class_samples, load_dataset_samples

    samples: SegmentationSamples | MulticlassSamples
    for manifest in study.datasets if names is None else map(study.dataset, names):
        advance = bar(progress, f"Reading {manifest.name}")
        with root_told(manifest, study_file, "or in the dataset's own file that it names"):
            if manifest.classes is None:
                samples = load_dataset_samples(
                    manifest,
                    study.preprocessing,
                    cache=cache,
                    progress=advance,
                    workers=workers,
                    tallied=None if tallied is None else partial(tallied, manifest.name),
                )
            else:
                samples = load_class_samples(
                    manifest, study.preprocessing, cache=cache, progress=advance, workers=workers
                )
        yield samples


@contextmanager
def root_told(manifest: DatasetManifest, file: Path | None, elsewhere: str = "") -> Iterator[None]:
    """Say where the `root` of a dataset stands, if it is not there.

    Args:
        manifest: the dataset.
        file: the YAML file that describes it; None says nothing.
        elsewhere: where else it may stand; empty if nowhere.
    """
    try:
        yield
    except DataError as error:
        root = getattr(manifest.layout, "root", None)
        if file is not None and root is not None and not root.is_dir():
            error.add_note(f"`root` is in {file.absolute()}{f', {elsewhere}' if elsewhere else ''}.")
        raise
