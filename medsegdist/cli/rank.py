"""`medsegdist rank` and `medsegdist distances`: from a study to its distances, ranked and shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from medsegdist.cli.console import missing_root_explained, reported_errors
from medsegdist.cli.options import (
    REPLICATES,
    AsJson,
    Cache,
    Dask,
    Device,
    Methods,
    NoReport,
    Out,
    Replicates,
    Seed,
    StudyFile,
    Targets,
    Thumbnails,
    Workers,
    pick_device,
)
from medsegdist.cli.report import show
from medsegdist.errors import ManifestError, MedSegDistError
from medsegdist.files import check_writable
from medsegdist.progress import show_progress
from medsegdist.words import did_you_mean, sentence

if TYPE_CHECKING:
    from medsegdist.data.multiclass import MulticlassSamples
    from medsegdist.data.samples import SegmentationSamples
    from medsegdist.data.study import Study
    from medsegdist.distance.dataset_distance import DatasetDistance


@dataclass(frozen=True, slots=True)
class RankOptions:
    """What is to be compared, how, and where the results go.

    Args:
        study_file: the study.
        targets: names; None takes the study's, none at all every dataset.
        methods: names; None takes the study's, else the paper's.
        out: folder of distances.csv, comparisons.csv, study.json, report.html and, if asked for, thumbnails.json.
        cache: folder of prepared samples; None is below `out`.
        device: where to compute.
        seed: of all that is random.
        bootstrap: number of bootstrap replicates; 0 gives no intervals.
        workers: processes; None chooses.
        dask: address of a Dask scheduler, to use its workers instead.
        thumbnails: also keeps pictures of samples that were matched, for the report.
        report: writes report.html.
        as_json: prints JSON instead of tables.
    """

    study_file: Path
    targets: Sequence[str] | None
    methods: Sequence[str] | None
    out: Path
    cache: Path | None
    device: str
    seed: int
    bootstrap: int
    workers: int | None
    dask: str | None
    thumbnails: bool
    report: bool
    as_json: bool


def rank(
    study_file: StudyFile,
    target: Targets = None,
    method: Methods = None,
    out: Out = Path("out"),
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
    """Ranks the sources of a study for its targets, nearest first.

    Methods of the paper: euclidean, gmm2d, gmm3d, fake_classes, fake_class_gmm.

    Comparators: dice, jaccard, hausdorff, hausdorff95, cosine, angular, fingerprint, pixels, mmd, sliced, patches.
    """
    report = not no_report
    options = RankOptions(
        study_file, target, method, out, cache, device, seed, bootstrap, workers, dask, thumbnails, report, as_json
    )
    with reported_errors():
        compare(options, rankings=True)


def distances(
    study_file: StudyFile,
    method: Methods = None,
    out: Out = Path("out"),
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
    """Computes the distances between all pairs of a study's datasets."""
    report = not no_report
    options = RankOptions(
        study_file, [], method, out, cache, device, seed, bootstrap, workers, dask, thumbnails, report, as_json
    )
    with reported_errors():
        compare(options, matrices=True)


def compare(options: RankOptions, *, matrices: bool = False, rankings: bool = False) -> None:
    """Computes the distances of a study to its targets, saves them and shows them.

    Args:
        options: what to do.
        matrices: shows the distances of all pairs.
        rankings: shows the sources of each target in their order.
    """
    from medsegdist.data.check import refuse_shared_images
    from medsegdist.data.collect import load_samples
    from medsegdist.data.multiclass import MulticlassSamples
    from medsegdist.data.study import load_study
    from medsegdist.distance.resampling import Bootstrap
    from medsegdist.distance.table import compare_all
    from medsegdist.parallel import dask_cluster
    from medsegdist.report.results import Results

    check_writable(options.out, folder=True)
    if options.bootstrap == 1:
        raise MedSegDistError("--bootstrap: expected 0, for no intervals, or at least 2 replicates, found 1.")
    device = pick_device(options.device)
    study = load_study(options.study_file)
    names = [manifest.name for manifest in study.datasets]
    targets = study.targets if options.targets is None else options.targets or names
    for name in targets:
        study.dataset(name)
    methods = study_distances(study, options.methods, options.study_file, options.seed)
    # Where all pairs are asked for, the study still says what is ranked for what.
    refuse_shared_images(study.model_copy(update={"targets": tuple(options.targets or study.targets)}))
    bootstrap = Bootstrap(options.bootstrap, seed=options.seed) if options.bootstrap else None
    with show_progress(), missing_root_explained(study.datasets, options.study_file):
        samples = load_samples(study, cache=options.cache or options.out / "samples", workers=options.workers)
    samples = [one.to(device) for one in samples]
    with nullcontext() if options.dask is None else dask_cluster(options.dask):
        # Of a dataset with classes, the page shows the foreground of all.
        whole = [one.whole if isinstance(one, MulticlassSamples) else one for one in samples]
        if study.distance.feature_scale == "joint":
            methods = on_one_scale(methods, samples, study.distance.features)
        with show_progress():
            table = compare_all(
                samples,
                methods,
                targets=targets,
                sources=study.sources or names,
                bootstrap=bootstrap,
                workers=options.workers,
            )
            results = Results.of(study, whole, methods, table, bootstrap=bootstrap, thumbnails=options.thumbnails)
    results.save(options.out, report=options.report)
    _warn(whole, with_intervals=bootstrap is not None)
    show(results, options.out, matrices=matrices, rankings=rankings, report=options.report, as_json=options.as_json)


def _warn(samples: Sequence[SegmentationSamples], *, with_intervals: bool) -> None:
    console = Console(stderr=True)
    for one in samples:
        if one.case_summary is not None and one.case_summary.without_sample:
            console.print(escape(one.case_summary.sentence(one.name)), highlight=False, soft_wrap=True)
    alone = [one.name for one in samples if len(one.patients) < 2] if with_intervals else []
    if alone:
        said = f"No interval for distances of {', '.join(alone)}: one patient does not show how patients differ."
        console.print(escape(said))


def study_distances(
    study: Study, methods: Sequence[str] | None, study_file: Path, seed: int
) -> dict[str, DatasetDistance]:
    """The distances of these names, with the options of the study's `distance`.

    Args:
        study: the study.
        methods: names that were asked for; none takes the study's, else the paper's.
        study_file: its file, for messages.
        seed: of clustering, mixture fits and subsampling.

    Raises:
        ManifestError: there is no method of a name, or an option of `distance` does not fit.
    """
    from medsegdist.distance.dataset_distance import DatasetDistance
    from medsegdist.distance.metrics import METHODS, PAPER_METHODS, make_metric, with_options

    delta = study.preprocessing.effective_delta
    # A path without .. and the like, as in the other messages about a study.
    file = study_file.absolute()
    where = "" if methods else f"{file}: methods: "
    chosen = methods or study.methods or PAPER_METHODS
    unknown = [
        f"{where}expected a method among {', '.join(METHODS)}, found '{name}'{did_you_mean(name, METHODS) or '.'}"
        for name in chosen
        if name not in METHODS
    ]
    if unknown:
        raise ManifestError("\n".join(unknown))
    try:
        of_masks, of_formula = study.distance.of_masks(), study.distance.of_formula()
        metrics = {name: with_options(make_metric(name, delta=delta, seed=seed), of_masks) for name in chosen}
        return {name: DatasetDistance(metric, seed=seed, **of_formula) for name, metric in metrics.items()}
    except ValueError as error:
        raise ManifestError(sentence(f"{file}: distance: {error}")) from error


def on_one_scale(
    distances: Mapping[str, DatasetDistance],
    samples: Sequence[SegmentationSamples | MulticlassSamples],
    features: Sequence[str] | None,
) -> dict[str, DatasetDistance]:
    """The same distances, with the features of fake classes on one scale for all of the datasets."""
    from medsegdist.distance.features import joint_scale
    from medsegdist.distance.metrics import with_options
    from medsegdist.distance.pairs import classes_of

    segments = [part.samples for one in samples for part in classes_of(one)]
    scale = {"scale": joint_scale(segments, features)}
    return {
        name: replace(distance, metric=with_options(distance.metric, scale)) for name, distance in distances.items()
    }
