"""Reading a dataset to check it: headers and a mask, or every voxel."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medsegdist.data.case import Case
from medsegdist.data.case_reading import FOUND_LABELS
from medsegdist.data.checks.duplicates import voxel_mark
from medsegdist.data.checks.facts import CaseFacts, Voxels, spacing_of
from medsegdist.data.checks.first_mask import look_for_foreground
from medsegdist.data.checks.intensities import looks_wrapped
from medsegdist.data.dataset import header_dataset, prepared_dataset
from medsegdist.data.label_tally import holds_foreground
from medsegdist.data.manifest import DatasetManifest, Preprocessing
from medsegdist.data.problems import Problem, case_problem
from medsegdist.data.reading import CaseReader, Progress
from medsegdist.errors import ManifestError


def read_headers(
    manifest: DatasetManifest, cases: Sequence[Case], progress: Progress | None
) -> tuple[list[CaseFacts], list[Problem]]:
    """What the headers of a dataset and its first masks tell; nothing for a layout that draws its images.

    Args:
        manifest: which dataset.
        cases: all of its cases.
        progress: called after each case.

    Returns:
        The facts of the cases that have no problem, and the problems.
    """
    dataset = header_dataset(manifest, list(cases))
    if dataset is None:
        return [], []
    facts, problems = [], []
    for index, case in enumerate(cases):
        try:
            image = dataset[index]["image"]
            facts.append(CaseFacts(case.id, _series_of(case), _file_of(case), _spacing(image)))
        except ManifestError:
            raise
        # As in CaseReader: one bad case must not hide the others.
        except Exception as error:  # noqa: BLE001
            problems.append(case_problem(error, manifest.name, case.id))
        if progress is not None:
            progress(index + 1, len(cases))
    read = {one.case for one in facts}
    return facts, problems + look_for_foreground(manifest, [case for case in cases if case.id in read])


def read_voxels(
    manifest: DatasetManifest,
    preprocessing: Preprocessing,
    cases: Sequence[Case],
    progress: Progress | None,
    workers: int | None = 1,
) -> tuple[list[CaseFacts], list[Problem]]:
    """What every voxel of a dataset tells, read as :func:`~medsegdist.data.collect.collect` reads it.

    Args:
        manifest: which dataset.
        preprocessing: how it would be prepared.
        cases: all of its cases.
        progress: called after each case.
        workers: processes that read cases, as for `collect`.

    Returns:
        The facts of the cases whose files can be read, and the problems for which `collect` would refuse them.
    """
    facts: list[CaseFacts] = []
    reader = CaseReader(
        prepared_dataset(
            manifest, preprocessing, list(cases), stacked=True, watch=_Watcher(facts, manifest.label_values)
        ),
        name=manifest.name,
        delta=preprocessing.effective_delta,
        min_pixels=preprocessing.min_pixels,
        foreground=manifest.classes or manifest.foreground,
        classes=None if manifest.classes is None else tuple(manifest.classes),
        workers=workers,
        notes=facts,
    )
    for _ in reader.samples(progress):
        pass
    return reader.noted, [*reader.problems, *reader.whole_dataset_problems()]


def list_files(cases: Sequence[Case]) -> list[CaseFacts]:
    """What tells the images of cases apart without a look into them: their files, or their DICOM series.

    Args:
        cases: all of a dataset.
    """
    return [CaseFacts(case.id, _series_of(case), _file_of(case)) for case in cases]


@dataclass(slots=True)
class _Watcher:
    """Notes the facts of each item that it is shown.

    Args:
        facts: where to; the reader takes them from there after each item.
        foreground: the label values that were asked for.
    """

    facts: list[CaseFacts]
    foreground: tuple[int, ...] | None

    def __call__(self, item: Mapping[Any, Any]) -> None:
        image = np.asarray(item["image"][0])
        if not image.size or not np.isfinite([image.min(), image.max()]).all():
            # An error of its own.
            return
        spacing = _spacing(item["image"])
        affine = None if spacing is None else np.asarray(item["image"].affine)
        voxels = Voxels(
            low=float(image.min()),
            high=float(image.max()),
            wrapped=looks_wrapped(image),
            empty=not holds_foreground(item[FOUND_LABELS], self.foreground),
        )
        self.facts.append(CaseFacts(item["case_id"], voxel_mark(image, affine), "", spacing, voxels))


def _spacing(image: Any) -> tuple[float, float, float] | None:
    # A picture has no size in mm.
    return spacing_of(np.asarray(image.affine, dtype=np.float64)) if image.ndim == 4 else None


def _file_of(case: Case) -> str:
    return os.fspath(case.image) if isinstance(case.image, (str, os.PathLike)) else ""


def _series_of(case: Case) -> str:
    """What tells the series of a DICOM case from all others, from the header of its first file."""
    from medsegdist.data.dicom.headers import header_text

    files = case.image.get("files") if isinstance(case.image, dict) else case.image
    paths = getattr(files, "paths", ())
    series = header_text(Path(paths[0]), "SeriesInstanceUID") if paths else ""
    return f"series {series}" if series else ""
