"""Cells of tables that are formulas, and numbers too large to square."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from medsegdist import (
    DatasetDistance,
    EuclideanMetric,
    FakeClassGmmMetric,
    FakeClassMetric,
    GmmMetric,
    MaskMetric,
    compare_all,
)
from medsegdist.cli import app
from medsegdist.data.samples import SegmentationSamples
from medsegdist.errors import DataError
from medsegdist.files import write_csv
from medsegdist.transfer.gains import OK, Gain, write_gains
from tests.public_reports import Report

FORMULAS = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")']


def cells(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        return [cell for row in csv.reader(file) for cell in row]


def no_formula(path: Path) -> None:
    assert not [
        cell for cell in cells(path) if cell[:1] in tuple("=+@\t\r") or (cell[:1] == "-" and not _is_number(cell))
    ]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def frame_is_plain(folder: Path, formula: str) -> None:
    write_csv(folder / "a.csv", pd.DataFrame({"name": [formula, "a"], "value": [-1.5, 2.0]}), float_format="%.3g")
    no_formula(folder / "a.csv")
    assert cells(folder / "a.csv")[2:] == ["'" + formula.replace("\r", " "), "-1.5", "a", "2"]


def gains_are_plain(folder: Path, formula: str) -> None:
    write_gains(folder / "gains.csv", [Gain(formula, formula, 0, 0.8, 0.9, status=OK)])
    no_formula(folder / "gains.csv")


def agreement_is_plain(folder: Path, formula: str) -> None:
    """From somebody's tables to ours, by the command."""
    names = ["a", "b", "c", formula]
    with (folder / "distances.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["source", "target", "method", "distance"], *([name, "t", formula, k] for k, name in enumerate(names))]
        )
    with (folder / "gains.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["source", "target", "gain_percent"], *([name, "t", -k] for k, name in enumerate(names))]
        )
    paths = [str(folder / name) for name in ("distances.csv", "gains.csv")]
    result = CliRunner().invoke(app, ["agreement", *paths, "--out", str(folder / "out"), "--no-report"])
    assert result.exit_code == 0, result.output
    for path in (folder / "out").glob("*.csv"):
        no_formula(path)


# Numbers


def samples(scale: float, seed: int, weights: list[float] | None = None) -> SegmentationSamples:
    rng = np.random.default_rng(seed)
    images = rng.random((4, 8, 8)).astype(np.float32) * np.float32(scale)
    return SegmentationSamples.from_arrays(f"d{seed}", images, rng.random((4, 8, 8)) > 0.6, weights=weights)


def distances(*metrics: MaskMetric) -> dict[str, DatasetDistance]:
    return {metric.name: DatasetDistance(metric) for metric in metrics}


def weights_refused_in_words(folder: Path, weights: list[float]) -> None:
    with pytest.raises(DataError, match=r"expected weights between 1e-100 and 1e\+100|positive and finite"):
        samples(1, 0, weights)


def large_weights(folder: Path, scale: float) -> None:
    methods = distances(EuclideanMetric(), GmmMetric(components=2, intensity=False))
    plain = compare_all([samples(1, 0), samples(1, 1)], methods, targets=["d0"])
    scaled = [samples(1, k, [scale] * 4) for k in range(2)]
    found = compare_all(scaled, methods, targets=["d0"])
    for one, other in zip(found.rows, plain.rows, strict=True):
        assert one.distance == pytest.approx(other.distance, rel=1e-9)


@pytest.mark.filterwarnings("ignore")
def large_images(folder: Path, scale: float) -> None:
    """A finite distance, of the images' own scale, or a word."""
    metrics = (EuclideanMetric(), FakeClassMetric(), GmmMetric(components=2), FakeClassGmmMetric(components=1))
    table = compare_all([samples(scale, 0), samples(scale, 1)], distances(*metrics), targets=["d0"])
    assert len(table.rows) == 4
    assert all(np.isfinite(row.distance) and row.distance > scale / 10 for row in table.rows)


REPORTS = [
    *(
        Report("", f"cell {formula!r} of a table", "no formula", lambda folder, f=formula: frame_is_plain(folder, f))
        for formula in FORMULAS
    ),
    *(
        Report("", f"cell {formula!r} of gains", "no formula", lambda folder, f=formula: gains_are_plain(folder, f))
        for formula in FORMULAS[:3]
    ),
    *(
        Report(
            "",
            f"cell {formula!r} through agreement",
            "no formula",
            lambda folder, f=formula: agreement_is_plain(folder, f),
        )
        for formula in FORMULAS[:4]
    ),
    *(
        Report("", f"weights {weights}", "refused", lambda folder, w=weights: weights_refused_in_words(folder, w))
        for weights in (
            [1e308] * 4,
            [1e308, 1, 1, 1],
            [1e-308] * 4,
            [5e-324, 1, 1, 1],
            [np.inf, 1, 1, 1],
            [np.nan, 1, 1, 1],
            [-1, 1, 1, 1],
        )
    ),
    *(
        Report("", f"weights of {scale:g}", "as of 1", lambda folder, s=scale: large_weights(folder, s))
        for scale in (1e-99, 1e99)
    ),
    *(
        Report("", f"intensities of {scale:g}", "finite", lambda folder, s=scale: large_images(folder, s))
        for scale in (1e18, 3e38)
    ),
]
