"""Reading everything, changing nothing, and naming every problem at once."""

from __future__ import annotations

from medsegdist.data.dataset import prepared_dataset
from medsegdist.data.manifest import DatasetManifest, Preprocessing
from medsegdist.data.problems import Problem, problem_of
from medsegdist.data.reading import CaseReader, Progress
from medsegdist.errors import DataError, ManifestError


def check_dataset(
    manifest: DatasetManifest,
    preprocessing: Preprocessing,
    progress: Progress | None = None,
    *,
    workers: int | None = 1,
) -> list[Problem]:
    """Read every case as a study would, and list what is wrong.

    The checks are those of :func:`~medsegdist.data.collect.collect`: a dataset without problems can be loaded.

    Args:
        manifest: which dataset.
        preprocessing: how it would be prepared.
        progress: called after each case with (cases read, cases there are).
        workers: processes that read cases, as for :func:`~medsegdist.data.collect.collect`.

    Returns:
        The problems of single cases in their order, then those of the dataset as a whole; empty if all is well.
    """
    try:
        dataset = prepared_dataset(manifest, preprocessing, note_labels=True)
    except (DataError, ManifestError) as error:
        return [problem_of(error, manifest.name, "")]
    reader = CaseReader(
        dataset,
        name=manifest.name,
        delta=preprocessing.effective_delta,
        min_pixels=preprocessing.min_pixels,
        foreground=manifest.foreground,
        workers=workers,
    )
    for _ in reader.samples(progress):
        pass
    return [*reader.problems, *reader.whole_dataset_problems()]
