"""`medsegdist rank` and `medsegdist distances`: from a study to its distances, ranked and shown."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from medsegdist.cli import options
from medsegdist.cli.console import missing_root_explained, reported_errors, study_distances
from medsegdist.cli.report import show
from medsegdist.errors import MedSegDistError
from medsegdist.files import check_writable
from medsegdist.progress import show_progress

if TYPE_CHECKING:
    from medsegdist.data.class_samples import MulticlassSamples
    from medsegdist.data.samples import SegmentationSamples
    from medsegdist.report.results import Results


def rank(
    study_file: options.StudyFile,
    target: options.Targets = None,
    method: options.Methods = None,
    out: options.Out = Path("out"),
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
    """Rank the sources of a study for its targets, nearest first.

    Methods of the paper: euclidean, gmm2d, gmm3d, fake_classes, fake_class_gmm.

    Comparators: dice, jaccard, hausdorff, hausdorff95, cosine, angular, fingerprint, pixels, mmd, sliced, patches.
    """
    with reported_errors():
        results = compare(
            study_file, target, method, out, cache, device, seed, bootstrap, workers, dask, thumbnails, no_report
        )
        show(results, out, rankings=True, report=not no_report, as_json=as_json)


def distances(
    study_file: options.StudyFile,
    method: options.Methods = None,
    out: options.Out = Path("out"),
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
    """Compute the distances between all pairs of a study's datasets."""
    with reported_errors():
        results = compare(
            study_file, [], method, out, cache, device, seed, bootstrap, workers, dask, thumbnails, no_report
        )
        show(results, out, matrices=True, report=not no_report, as_json=as_json)


def compare(
    study_file: Path,
    target: Sequence[str] | None,
    method: Sequence[str] | None,
    out: Path,
    cache: Path | None,
    device: str,
    seed: int,
    bootstrap: int,
    workers: int | None,
    dask: str | None,
    thumbnails: bool,
    no_report: bool,
) -> Results:
    """Compute the distances of a study to its targets, or of all pairs if no target is given, and save them."""
    from medsegdist.data.collect import load_samples
    from medsegdist.data.leakage import refuse_shared_images
    from medsegdist.data.study import load_study
    from medsegdist.distance.methods import with_joint_scale
    from medsegdist.distance.resampling import Bootstrap
    from medsegdist.distance.table import compare_all
    from medsegdist.parallel import dask_cluster
    from medsegdist.report.results import Results

    check_writable(out, folder=True)
    if bootstrap == 1:
        raise MedSegDistError("--bootstrap: expected 0, for no intervals, or at least 2 replicates, found 1.")
    device = options.pick_device(device)
    study = load_study(study_file)
    names = [manifest.name for manifest in study.datasets]
    targets = study.targets if target is None else target or names
    for name in targets:
        study.dataset(name)
    methods = study_distances(study, study_file, method, seed)
    # Where all pairs are asked for, the study still says what is ranked for what.
    refuse_shared_images(study.model_copy(update={"targets": tuple(target or study.targets)}))
    resampling = Bootstrap(bootstrap, seed=seed) if bootstrap else None
    # A scheduler that is missing is said before anything is read.
    with show_progress(), nullcontext() if dask is None else dask_cluster(dask):
        with missing_root_explained(study.datasets, study_file):
            samples = load_samples(study, cache=cache or out / "samples", workers=workers)
        samples = [one.to(device) for one in samples]
        if study.distance.feature_scale == "joint":
            methods = with_joint_scale(methods, samples, study.distance.features)
        sources = study.sources or names
        table = compare_all(samples, methods, targets=targets, sources=sources, bootstrap=resampling, workers=workers)
        results = Results.of(study, samples, methods, table, bootstrap=resampling, thumbnails=thumbnails)
    results.save(out, report=not no_report)
    _warn(samples, with_intervals=resampling is not None)
    return results


def _warn(samples: Sequence[SegmentationSamples | MulticlassSamples], *, with_intervals: bool) -> None:
    console = Console(stderr=True)
    for one in samples:
        if one.case_summary is not None and one.case_summary.without_sample:
            console.print(escape(one.case_summary.sentence(one.name)), highlight=False, soft_wrap=True)
    alone = [one.name for one in samples if len(set(one.patient_ids)) < 2] if with_intervals else []
    if alone:
        said = f"No interval for distances of {', '.join(alone)}: one patient does not show how patients differ."
        console.print(escape(said))
