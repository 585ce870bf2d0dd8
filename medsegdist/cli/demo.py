"""`medsegdist demo`: the paper's ten datasets in miniature."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from medsegdist.cli.console import reported_errors
from medsegdist.cli.options import (
    REPLICATES,
    AsJson,
    Cache,
    Dask,
    Device,
    NoReport,
    Out,
    Replicates,
    Seed,
    Thumbnails,
    Workers,
)
from medsegdist.cli.rank import RankOptions, compare


def demo(
    out: Out = Path("out/demo"),
    cache: Cache = None,
    device: Device = "auto",
    seed: Seed = 0,
    bootstrap: Replicates = REPLICATES,
    workers: Workers = None,
    dask: Dask = None,
    thumbnails: Thumbnails = False,
    no_report: NoReport = False,
    as_json: AsJson = False,
) -> None:
    """Compares the paper's ten datasets in miniature: five distances, and a ranking for both targets."""
    with reported_errors(), as_file(files("medsegdist.data_manifests")) as manifests:
        options = RankOptions(
            manifests / "demo.yaml",
            None,
            None,
            out,
            cache,
            device,
            seed,
            bootstrap,
            workers,
            dask,
            thumbnails,
            not no_report,
            as_json,
        )
        compare(options, matrices=True, rankings=True)
