"""The datasets of a study, read with a bar for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import Progress

from medsegdist.commands.console import bar

if TYPE_CHECKING:
    from medsegdist.data.case_tally import CaseTally
    from medsegdist.data.samples import SegmentationSamples
    from medsegdist.data.study import Study


def read_samples(
    study: Study,
    cache: Path,
    workers: int | None,
    progress: Progress,
    names: Iterable[str] | None = None,
    tallied: Callable[[str, CaseTally], None] | None = None,
) -> Iterator[SegmentationSamples]:
    """The samples of each dataset of a study.

    Args:
        study: what to read.
        cache: folder of prepared samples.
        workers: processes that read; None leaves it to the loader.
        progress: where it is shown.
        names: which datasets, in that order; None takes all, in the study's.
        tallied: told which cases of each dataset gave no sample.
    """
    from medsegdist.data.dataset import load_dataset_samples

    for manifest in study.datasets if names is None else map(study.dataset, names):
        advance = bar(progress, f"Reading {manifest.name}")
        yield load_dataset_samples(
            manifest,
            study.preprocessing,
            cache=cache,
            progress=advance,
            workers=workers,
            tallied=None if tallied is None else partial(tallied, manifest.name),
        )
