"""`medsegdist demo`: the paper's ten datasets in miniature."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from medsegdist.cli import options
from medsegdist.cli.console import reported_errors
from medsegdist.cli.rank import compare
from medsegdist.cli.report import show


def demo(
    out: options.Out = Path("out/demo"),
    cache: options.Cache = None,
    device: options.Device = "auto",
    seed: options.Seed = 0,
    bootstrap: options.Replicates = options.REPLICATES,
    workers: options.Workers = None,
    dask: options.Dask = None,
    thumbnails: options.Thumbnails = False,
    no_report: options.NoReport = False,
    as_json: options.AsJson = False,
) -> None:
    """Compare the paper's ten datasets in miniature: five distances, and a ranking for both targets."""
    with reported_errors(), as_file(files("medsegdist.data_manifests")) as manifests:
        study_file = manifests / "demo.yaml"
        results = compare(
            study_file, None, None, out, cache, device, seed, bootstrap, workers, dask, thumbnails, no_report
        )
        show(results, out, matrices=True, rankings=True, report=not no_report, as_json=as_json)
