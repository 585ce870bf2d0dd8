"""How a run came about, and what its datasets look like: counts and outlines, no pixel and no case."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from medsegdist.data.samples import SegmentationSamples
from medsegdist.data.study import Study
from medsegdist.distance.characteristics import characterize
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics.fake_classes import ClassMixtures
from medsegdist.distance.mixture.gaussian import GaussianMixture, mixture_wassersteins
from medsegdist.distance.table import DistanceTable
from medsegdist.report.record import (
    MAX_BINS,
    Characteristic,
    DatasetRecord,
    MethodRecord,
    MixtureNumbers,
    SegmentHistogram,
    TransferRecord,
)

if TYPE_CHECKING:
    from medsegdist.transfer.outcomes import TransferResult

UNITS = {"window": "of 255", "hounsfield": "HU", "zscore": "SD"}  # of intensities, by their rule
PACKAGES = ("medsegdist", "torch", "monai", "numpy", "scipy", "scikit-learn", "scikit-image", "POT")
"""Whose versions may change a number."""


def describe_method(name: str, distance: DatasetDistance, table: DistanceTable) -> MethodRecord:
    """How a method of a table was set, and the largest optimality gap of its transports."""
    gaps = [row.optimality_gap for row in table.rows if row.method == name and row.optimality_gap is not None]
    return MethodRecord(
        name=name, options=options_of(distance.metric), formula=options_of(distance), optimality_gap=max(gaps)
    )


def describe_dataset(study: Study, samples: SegmentationSamples, table: DistanceTable) -> DatasetRecord:
    """What a dataset of a study looks like: counts, outlines and the table's mixture, no pixel and no case."""
    manifest, cases = study.dataset(samples.name), samples.case_summary
    by_rule = any(getattr(manifest.layout, key, None) for key in ("patient_pattern", "patient_key"))
    return DatasetRecord(
        name=manifest.name,
        modality=manifest.modality,
        family=study.family_of(manifest.name),
        samples=len(samples),
        patients=len(samples.patients),
        patients_known=manifest.layout.kind == "phantom" or by_rule or samples.patient_ids != samples.case_ids,
        cases=None if cases is None else cases.cases,
        without_sample={} if cases is None else cases.reasons,
        doubtful=0 if cases is None else cases.doubtful,
        description=manifest.description,
        license=manifest.license,
        simulated=manifest.simulated,
        oriented=manifest.is_oriented(),
        histogram=segment_histogram(samples),
        mixture=plane_mixture(table.summaries.get((manifest.name, "gmm2d"))),
        fit_spread=fit_spread(table, manifest.name),
        characteristics=characteristics(samples, UNITS[study.preprocessing.intensity]),
    )


def describe_transfer(study: Study, targets: Sequence[str], result: TransferResult, device: str) -> TransferRecord:
    """How the gains of a transfer study came about on a device: `transfer.json`."""
    from medsegdist.transfer.gains import UNDEFINED

    taken = {*targets, *(source for target in targets for source in study.sources_of(target))}
    return TransferRecord(
        name=study.name,
        description=study.description,
        targets=tuple(targets),
        options=study.transfer.model_dump(mode="json"),
        preprocessing=study.preprocessing.model_dump(mode="json"),
        simulated={one.name: one.simulated for one in study.datasets if one.simulated and one.name in taken},
        not_converged=result.not_converged,
        undefined=tuple(
            f"{one.source} \N{RIGHTWARDS ARROW} {one.target}, seed {one.seed}"
            for one in result.gains
            if one.status == UNDEFINED
        ),
        failed=tuple(title for title, _ in result.failed),
        done=result.done,
        device=device,
        software=versions(),
    )


def segment_histogram(samples: SegmentationSamples, bins: int = MAX_BINS, *, min_patients: int = 1) -> SegmentHistogram:
    """Where the segments of a dataset lie, seen along the slices, each pixel with the mass of its sample.

    There are at most `bins` cells along each axis; those that fewer than `min_patients` touch read 0, like empty ones.
    """
    rows, columns = samples.grid[-2:]
    to_rows, to_columns = (_membership(size, min(bins, size)) for size in (rows, columns))
    total = torch.zeros(len(to_rows), len(to_columns), dtype=torch.float64)
    touched: dict[str, torch.Tensor] = {}
    for patient, mask, mass in zip(samples.patient_ids, samples.masks, samples.mass.tolist(), strict=True):
        cells = to_rows @ mask.cpu().reshape(-1, rows, columns).sum(0).double() @ to_columns.T
        total += mass * cells
        touched[patient] = (cells > 0) | touched.get(patient, torch.zeros(1, dtype=torch.bool))
    # Of what is shown only: what is missing to 1 would give away the cells that are not.
    shown = total * (torch.stack(list(touched.values())).sum(0) >= min_patients)
    if not bool(shown.any()):
        return SegmentHistogram(extent=(rows, columns), mass=None)
    # Four digits are more than a picture shows.
    parts = [tuple(float(f"{value:.4g}") for value in row) for row in (shown / shown.sum()).tolist()]
    return SegmentHistogram(extent=(rows, columns), mass=tuple(parts))


def _membership(size: int, bins: int) -> torch.Tensor:
    """(bins, size) float64: 1 where a bin holds a line of pixels."""
    return functional.one_hot(torch.arange(size) * bins // size, bins).double().T


def characteristics(samples: SegmentationSamples, intensity_unit: str = "") -> tuple[Characteristic, ...]:
    """What a dataset looks like, see :func:`~medsegdist.distance.characteristics.characterize`."""
    return tuple(
        Characteristic(
            name=name,
            unit=intensity_unit if unit == "intensity" else unit,
            mean=mean if math.isfinite(mean) else None,
            deviation=deviation if math.isfinite(deviation) else None,
        )
        for name, (unit, mean, deviation) in characterize(samples).items()
    )


def plane_mixture(summary: object) -> MixtureNumbers | None:
    """A mixture over ([slice,] row, column), seen along the slices; None for anything else."""
    if not isinstance(summary, GaussianMixture):
        return None
    plane = GaussianMixture(summary.weights, summary.means[:, -2:], summary.covariances[:, -2:, -2:])
    return MixtureNumbers.of(plane)


def fit_spread(table: DistanceTable, name: str) -> dict[str, float]:
    """How uncertain the fits of a dataset's mixtures are, by the methods of a table that compare mixtures.

    It is the largest `fit_spread` as a share of the median MW2 to the mixtures of the other datasets.
    """
    found = {}
    for method in table.methods:
        of_dataset = {one: _mixtures(summary) for (one, of), summary in table.summaries.items() if of == method}
        own = of_dataset.pop(name, ())
        others = [mixture for mixtures in of_dataset.values() for mixture in mixtures]
        spreads = [mixture.fit_spread for mixture in own if mixture.fit_spread is not None]
        usual = float(mixture_wassersteins(own, others).quantile(0.5)) if spreads and others else 0.0
        if usual > 0:
            found[method] = max(spreads) / usual
    return found


def _mixtures(summary: object) -> tuple[GaussianMixture, ...]:
    if isinstance(summary, ClassMixtures):
        return summary.mixtures
    return (summary,) if isinstance(summary, GaussianMixture) else ()


def options_of(configured: object) -> dict[str, Any]:
    """The options of a metric or a formula that are plain values; what is no dataclass has none."""
    if not is_dataclass(configured):
        return {}
    values = {field.name: getattr(configured, field.name) for field in fields(configured) if field.init}
    return {name: value for name, value in values.items() if isinstance(value, bool | int | float | str | tuple | dict)}


def versions() -> dict[str, str]:
    """Python's version and those of the packages, by name."""
    return {"Python": platform.python_version(), **{package: version(package) for package in PACKAGES}}
