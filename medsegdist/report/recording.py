"""From the samples and distances of a run to its :class:`StudyRecord`: counts and outlines, no pixel and no case."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch

from medsegdist.data.case_tally import CaseTally
from medsegdist.data.orientation import is_oriented
from medsegdist.data.samples import SegmentationSamples
from medsegdist.data.study import Study
from medsegdist.distance.characteristics import characterize
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.mixture import GaussianMixture
from medsegdist.distance.resampling import Bootstrap
from medsegdist.distance.table import DistanceTable
from medsegdist.report.record import (
    MOST_BINS,
    BootstrapRecord,
    Characteristic,
    DatasetRecord,
    MethodRecord,
    PlaneMixture,
    SegmentHistogram,
    StudyRecord,
)
from medsegdist.report.software import versions

UNITS = {"window": "of 255", "hounsfield": "HU", "zscore": "SD"}
"""What intensities are in, by the rule of the preprocessing."""


def record_study(
    study: Study,
    samples: Sequence[SegmentationSamples],
    distances: Mapping[str, DatasetDistance],
    table: DistanceTable,
    *,
    summaries: Mapping[tuple[str, str], Any],
    bootstrap: Bootstrap | None = None,
    tallies: Mapping[str, CaseTally] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> StudyRecord:
    """What a report says of a run beside its distances.

    Args:
        study: describes the datasets.
        samples: those that were compared, one of each dataset.
        distances: how they were compared, by the name of the method.
        table: the result.
        summaries: what the metrics made of the datasets, by the names of dataset and method.
        bootstrap: how patients were drawn anew; None if they were not.
        tallies: which cases of each dataset gave no sample, by its name, where that is known.
        progress: told of every dataset.
    """
    datasets = []
    for done, of_dataset in enumerate(samples, start=1):
        manifest = study.dataset(of_dataset.name)
        tally = (tallies or {}).get(manifest.name)
        datasets.append(
            DatasetRecord(
                name=manifest.name,
                modality=manifest.modality,
                samples=len(of_dataset),
                patients=len(of_dataset.patients),
                cases=None if tally is None else tally.cases,
                without_sample={} if tally is None else tally.reasons,
                description=manifest.description,
                license=manifest.license,
                simulated=manifest.simulated,
                oriented=is_oriented(manifest),
                histogram=segment_histogram(of_dataset),
                mixture=plane_mixture(summaries.get((manifest.name, "gmm2d"))),
                characteristics=characteristics(of_dataset, UNITS[study.preprocessing.intensity]),
            )
        )
        if progress is not None:
            progress(done, len(samples))
    return StudyRecord(
        name=study.name,
        description=study.description,
        targets=tuple(name for name in study.targets if name in table.targets) or table.targets,
        methods=tuple(_method(method, distances[method], table) for method in table.methods),
        datasets=tuple(datasets),
        preprocessing=study.preprocessing.model_dump(mode="json"),
        fingerprint=study.preprocessing.fingerprint,
        bootstrap=None
        if bootstrap is None
        else BootstrapRecord(replicates=bootstrap.replicates, level=bootstrap.level, seed=bootstrap.seed),
        device=str(samples[0].images.device),
        software=versions(),
    )


def segment_histogram(samples: SegmentationSamples, bins: int = MOST_BINS) -> SegmentHistogram:
    """Where the segments of a dataset lie, seen along the slices, each pixel with the mass of its sample.

    Args:
        samples: of slices or volumes.
        bins: along each axis at most.
    """
    total = torch.zeros(samples.grid[-2:], dtype=torch.float64)
    for mask, mass in zip(samples.masks, samples.mass.tolist(), strict=True):
        total += mass * mask.cpu().reshape(-1, *total.shape).sum(0)
    for axis, size in enumerate(total.shape):
        bin_of_line = torch.arange(size) * min(bins, size) // size
        shape = [min(bins, size) if other == axis else length for other, length in enumerate(total.shape)]
        total = torch.zeros(shape, dtype=torch.float64).index_add(axis, bin_of_line, total)
    rows, columns = samples.grid[-2:]
    # Four digits are more than a picture shows.
    mass = [[float(f"{value:.4g}") for value in row] for row in (total / total.sum()).tolist()]
    return SegmentHistogram(extent=(rows, columns), mass=tuple(map(tuple, mass)))


def characteristics(samples: SegmentationSamples, intensity_unit: str = "") -> tuple[Characteristic, ...]:
    """What a dataset looks like, see :func:`~medsegdist.distance.characteristics.characterize`.

    Args:
        samples: of slices or volumes.
        intensity_unit: what intensities are in.
    """
    return tuple(
        Characteristic(
            name=one.name,
            unit=intensity_unit if one.unit == "intensity" else one.unit,
            mean=one.mean if math.isfinite(one.mean) else None,
            deviation=one.deviation if math.isfinite(one.deviation) else None,
        )
        for one in characterize(samples).values
    )


def plane_mixture(summary: object) -> PlaneMixture | None:
    """A mixture over ([slice,] row, column), seen along the slices; None for anything else.

    Args:
        summary: what a mask metric made of a dataset.
    """
    if not isinstance(summary, GaussianMixture):
        return None
    return PlaneMixture.model_validate(
        {
            "weights": summary.weights.tolist(),
            "means": summary.means[:, -2:].tolist(),
            "covariances": summary.covariances[:, -2:, -2:].tolist(),
        }
    )


def _method(name: str, distance: DatasetDistance, table: DistanceTable) -> MethodRecord:
    gaps = [row.optimality_gap for row in table.rows if row.method == name and row.optimality_gap is not None]
    return MethodRecord(
        name=name, options=options_of(distance.metric), formula=options_of(distance), optimality_gap=max(gaps)
    )


def options_of(configured: object) -> dict[str, Any]:
    """The options of a metric or a formula that are plain values.

    Args:
        configured: a metric or a formula; one that is no dataclass has none.
    """
    if not is_dataclass(configured):
        return {}
    values = {field.name: getattr(configured, field.name) for field in fields(configured) if field.init}
    return {name: value for name, value in values.items() if isinstance(value, bool | int | float | str | tuple | dict)}
