"""`medsegdist characteristics`: what the datasets of a study look like."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from medsegdist.cli.console import progress_bars, reported_errors
from medsegdist.cli.options import AsJson, Cache, StudyFile
from medsegdist.cli.reading import read_samples
from medsegdist.files import check_writable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medsegdist.distance.characteristics import DatasetCharacteristics
    from medsegdist.transfer.characteristic_agreement import CharacteristicAgreement


def characteristics(
    study_file: StudyFile,
    out: Annotated[
        Path,
        typer.Option("--out", help="Folder for characteristics.csv and characteristic_distances.csv.", file_okay=False),
    ] = Path("out"),
    gains: Annotated[
        Path | None,
        typer.Option(help="gains.csv: also correlate the differences between datasets with gain.", metavar="GAINS.csv"),
    ] = None,
    cache: Cache = None,
    workers: Annotated[int | None, typer.Option(help="Processes that read files. [default: as needed]", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """Contrast, segment size, boundary, location, texture and background of each dataset (the paper's Table 14).

    characteristic_distances.csv holds the differences between datasets, for `medsegdist agreement`.
    """
    from medsegdist.data.study import load_study
    from medsegdist.distance.characteristics import characterize
    from medsegdist.transfer.characteristic_agreement import correlate_characteristics
    from medsegdist.transfer.gains import read_gains

    with reported_errors():
        check_writable(out, folder=True)
        study = load_study(study_file)
        for manifest in study.datasets:
            manifest.check_one_foreground()
        runs = read_gains(gains) if gains is not None else None
        with progress_bars() as progress:
            folder = cache or out / "samples"
            read = read_samples(study, folder, workers, progress, study_file=study_file)
            found = [characterize(one) for one in read]
        _save(found, out)
        correlated = correlate_characteristics(found, runs) if runs is not None else None
    if as_json:
        typer.echo(json.dumps(_fields(found, correlated), indent=2, allow_nan=False))
        return
    _show(found, correlated)
    Console().print(f"With deviations: {escape(str(out / 'characteristics.csv'))}", soft_wrap=True)


def _save(found: Sequence[DatasetCharacteristics], out: Path) -> None:
    import pandas as pd

    from medsegdist.files import atomic_write
    from medsegdist.transfer.characteristic_agreement import characteristic_distances

    rows = [
        {"dataset": one.dataset, "samples": one.samples, "patients": one.patients, **_named(asdict(value))}
        for one in found
        for value in one.values
    ]
    tables = {
        "characteristics.csv": pd.DataFrame(rows),
        "characteristic_distances.csv": pd.DataFrame(
            [asdict(record) for record in characteristic_distances(found)],
            columns=["source", "target", "method", "distance"],
        ),
    }
    for name, table in tables.items():
        with atomic_write(out / name) as file:
            table.to_csv(file, index=False, float_format="%.17g")


def _named(value: dict[str, Any]) -> dict[str, Any]:
    return {"characteristic": value.pop("name"), **value}


def _fields(
    found: Sequence[DatasetCharacteristics], correlated: Sequence[CharacteristicAgreement] | None
) -> dict[str, Any]:
    content: dict[str, Any] = {"datasets": [asdict(one) for one in found]}
    if correlated is not None:
        content["gain"] = [asdict(one) for one in correlated]
    for one in (*(value for dataset in content["datasets"] for value in dataset["values"]), *content.get("gain", ())):
        one.update({key: None for key, value in one.items() if isinstance(value, float) and not math.isfinite(value)})
    return content


def _show(found: Sequence[DatasetCharacteristics], correlated: Sequence[CharacteristicAgreement] | None) -> None:
    from medsegdist.report.characteristics import characteristics_tables, correlation_table

    console = Console()
    for table in characteristics_tables(found):
        console.print(table)
    if correlated is not None:
        console.print(correlation_table(correlated))
        console.print(
            "Difference: |source - target| against gain; below 0, sources like the target gained more. Direction: "
            "source - target against gain. Spearman; p by shuffling within targets, adjusted for the number of rows."
        )
