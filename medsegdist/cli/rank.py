"""`medsegdist rank`, `distances` and `demo`: from a study to its distances, ranked and shown."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from medsegdist.cli.console import missing_root_explained, reported_errors, say, study_distances
from medsegdist.cli.options import Methods, Paper, RankOptions, StudyFile, Targets, takes
from medsegdist.cli.report import show
from medsegdist.errors import DataError, MedSegDistError
from medsegdist.files import check_writable
from medsegdist.progress import show_progress
from medsegdist.words import listed


@takes(RankOptions)
def rank(
    study_file: StudyFile, target: Targets = None, method: Methods = None, paper: Paper = False, **options: Any
) -> None:
    """Rank the sources of a study for its targets, the recommended one first."""
    with reported_errors():
        _compare(study_file, target, method, RankOptions(**options), paper=paper, rankings=True)


@takes(RankOptions)
def distances(study_file: StudyFile, method: Methods = None, paper: Paper = False, **options: Any) -> None:
    """Compute the distances between all pairs of a study's datasets."""
    with reported_errors():
        _compare(study_file, [], method, RankOptions(**options), paper=paper, matrices=True)


@takes(RankOptions, out=Path("out/demo"))
def demo(**options: Any) -> None:
    """Compare the paper's ten datasets in miniature: five distances, and a ranking for both targets."""
    with reported_errors(), as_file(files("medsegdist.data_manifests")) as manifests:
        study_file = manifests / "demo.yaml"
        _compare(study_file, None, None, RankOptions(**options), paper=True, matrices=True, rankings=True)


def _compare(
    study_file: Path,
    target: Sequence[str] | None,
    method: Sequence[str] | None,
    options: RankOptions,
    *,
    paper: bool,
    **tables: bool,
) -> None:
    """Compute the distances of a study to its targets, or of all pairs if `target` is empty; save and show them."""
    from medsegdist.data.collect import load_samples
    from medsegdist.data.leakage import refuse_shared_images
    from medsegdist.data.study import load_study
    from medsegdist.distance.dataset_distance import with_joint_scale
    from medsegdist.distance.resampling import Bootstrap
    from medsegdist.distance.table import compare_all
    from medsegdist.parallel import check_device, dask_cluster
    from medsegdist.recommend.learned import LearnedRanking
    from medsegdist.report.results import Results

    out, workers = options.out, options.workers
    check_writable(out, folder=True)
    if options.bootstrap == 1:
        raise MedSegDistError("--bootstrap: expected 0, for no intervals, or at least 2 replicates, found 1.")
    device = check_device(options.device)
    ranking = None if options.ranking is None else LearnedRanking.load(options.ranking)
    study = load_study(study_file)
    if ranking is not None:
        ranking.check_named({one.name: one.library for one in study.datasets})
    targets = study.targets if target is None else target or [one.name for one in study.datasets]
    for name in targets:
        study.dataset(name)
    methods = study_distances(study, study_file, method, options.seed, paper=paper)
    # Where all pairs are asked for, the study still says what is ranked for what.
    refuse_shared_images(study.model_copy(update={"targets": tuple(target or study.targets)}))
    _say_what_goes(out / "distances.csv", methods, targets)
    bootstrap = Bootstrap(options.bootstrap, seed=options.seed) if options.bootstrap else None
    # A scheduler that is missing is said before anything is read.
    with show_progress(), nullcontext() if options.dask is None else dask_cluster(options.dask):
        cache = options.cache or out / "samples"
        with missing_root_explained(study.datasets, study_file):
            samples = [one.to(device) for one in load_samples(study, cache=cache, workers=workers)]
        if study.distance.feature_scale == "joint":
            methods = with_joint_scale(methods, samples, study.distance.features)
        sources = {name: study.sources_of(name) for name in targets}
        table = compare_all(samples, methods, targets=targets, sources=sources, bootstrap=bootstrap, workers=workers)
        extras = {"thumbnails": options.thumbnails, "cases": options.cases}
        results = Results.of(study, samples, methods, table, bootstrap=bootstrap, ranking=ranking, **extras)
    results = results.save(out, report=not options.no_report)
    for one in samples:
        if one.case_summary is not None and one.case_summary.without_sample:
            say(one.case_summary.sentence(one.name), stderr=True)
    alone = ", ".join(one.name for one in samples if bootstrap is not None and len(one.patients) < 2)
    if alone:
        say(f"No interval for distances of {alone}: one patient does not show how patients differ.", stderr=True)
    show(results, out, as_json=options.as_json, **tables)


def _say_what_goes(earlier: Path, methods: Collection[str], targets: Collection[str]) -> None:
    """Say which methods and targets of an earlier table this run will not put back; before it is replaced."""
    from medsegdist.distance.table import DistanceTable

    try:
        table = DistanceTable.load(earlier) if earlier.exists() else DistanceTable(())
    except DataError:
        return  # no table of ours
    gone = [one for one in (*table.methods, *table.targets) if one not in {*methods, *targets}]
    if gone:
        held = f"{earlier} will be replaced, and holds no more {listed(gone)}; to keep it, use another --out."
        say(held, stderr=True)
