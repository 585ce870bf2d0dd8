"""Reading a study, changing nothing, and naming every problem at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from medsegdist.data.case import Case
from medsegdist.data.checks.duplicates import doubled_images, file_marks
from medsegdist.data.checks.facts import DatasetFacts
from medsegdist.data.checks.intensities import empty_masks, outside_the_window, suspicious_intensities
from medsegdist.data.checks.leakage import leaks
from medsegdist.data.checks.patients import patients_in, patients_in_two_folds
from medsegdist.data.checks.reading import list_files, read_headers, read_voxels
from medsegdist.data.checks.spacings import spacing_outliers
from medsegdist.data.layouts.listing import PartialListingError
from medsegdist.data.manifest import DatasetManifest, Preprocessing
from medsegdist.data.problems import Problem, problem_of
from medsegdist.data.reading import Progress
from medsegdist.data.study import Study
from medsegdist.errors import DataError, ManifestError


def check_study(
    study: Study,
    *,
    full: bool = False,
    progress: Callable[[str], Progress] | None = None,
    workers: int | None = 1,
) -> list[Problem]:
    """All problems of all datasets of a study, and of what they have in common.

    Args:
        study: which study.
        full: read every voxel, as :func:`~medsegdist.data.collect.collect` would: a study without errors can be
            loaded. Otherwise read the headers, and of each dataset masks until one holds foreground; layouts that draw
            their images have neither.
        progress: called with each dataset's name; gives what is called after each of its cases.
        workers: processes that read voxels, as for :func:`~medsegdist.data.collect.collect`; the problems are the same
            for any number. Headers are read in this one.

    Returns:
        The problems of each dataset, in the study's order, then those between datasets; empty if all is well.
    """
    read, problems = [], []
    for manifest in study.datasets:
        advance = None if progress is None else progress(manifest.name)
        facts, found = _read(manifest, study.preprocessing, advance, full=full, workers=workers)
        problems.append(found)
        read.append(facts)
    known = [facts for facts in read if facts is not None]
    known = _with_file_marks(known)
    own = {facts.manifest.name: doubled_images(facts.manifest.name, facts.cases) for facts in known}
    listed = [
        problem
        for manifest, found in zip(study.datasets, problems, strict=True)
        for problem in (*found, *own.get(manifest.name, ()))
    ]
    return [*listed, *leaks(study, known)]


def refuse_shared_images(study: Study) -> None:
    """Refuse a study with a source that holds images or patients of its target, unless the study allows it.

    Files are compared by their bytes, as far as they are of one size, and patients by their names; no image is read.
    Datasets that cannot be listed are passed over, as reading them tells why.

    Args:
        study: which study.

    Raises:
        DataError: a source and its target have images or patients in common; every such pair is named.
    """
    if study.shared_images == "allow":
        return
    ranked = {name for target in study.targets for name in (target, *study.sources_of(target))}
    known = []
    for manifest in study.datasets:
        if manifest.name in ranked:
            try:
                cases = manifest.layout.cases()
                known.append(DatasetFacts(manifest, tuple(list_files(cases)), patients_in(manifest.layout, cases)))
            except (DataError, ManifestError):
                continue
    shared = [problem for problem in leaks(study, _with_file_marks(known)) if problem.severity == "error"]
    if shared:
        lines = [f"  dataset '{problem.dataset}', {problem}" for problem in shared]
        raise DataError("\n".join([f"study '{study.name}': a source holds what its target holds:", *lines]))


def check_dataset(
    manifest: DatasetManifest,
    preprocessing: Preprocessing,
    progress: Progress | None = None,
    *,
    full: bool = True,
    workers: int | None = 1,
) -> list[Problem]:
    """All problems of one dataset.

    Args:
        manifest: which dataset.
        preprocessing: how it would be prepared.
        progress: called after each case with (cases read, cases there are).
        full: read every voxel, as :func:`check_study` does.
        workers: as for :func:`check_study`.

    Returns:
        The problems of single cases in their order, then those of the dataset as a whole; empty if all is well.
    """
    facts, problems = _read(manifest, preprocessing, progress, full=full, workers=workers)
    if facts is None:
        return problems
    (facts,) = _with_file_marks([facts])
    return [*problems, *doubled_images(manifest.name, facts.cases)]


def _read(
    manifest: DatasetManifest,
    preprocessing: Preprocessing,
    progress: Progress | None,
    *,
    full: bool,
    workers: int | None,
) -> tuple[DatasetFacts | None, list[Problem]]:
    """What is known of a dataset, None if it cannot be listed; and what is wrong with it for itself."""
    name = manifest.name
    unlisted: list[Problem] = []
    cases: list[Case] = []
    try:
        manifest.check_fits(preprocessing)
        try:
            cases = manifest.layout.cases()
        except PartialListingError as error:
            cases, unlisted = list(error.listed), _unlisted(error, name)
        if unlisted and not cases:
            return None, _of_total(unlisted, unlisted, cases)
        manifest.check_fits(preprocessing, cases)
        if full:
            facts, problems = read_voxels(manifest, preprocessing, cases, progress, workers)
        else:
            facts, problems = read_headers(manifest, cases, progress)
        told = {(problem.case, problem.problem) for problem in unlisted}
        problems += [one for one in patients_in_two_folds(manifest) if (one.case, one.problem) not in told]
        patients = patients_in(manifest.layout, cases)
    except (DataError, ManifestError) as error:
        return None, [*unlisted, problem_of(error, name, "")]
    problems += [
        *empty_masks(name, facts),
        *suspicious_intensities(manifest, facts),
        *outside_the_window(manifest, preprocessing, facts),
        *spacing_outliers(name, facts),
    ]
    return DatasetFacts(manifest, tuple(facts), patients), _of_total([*unlisted, *problems], unlisted, cases)


def _of_total(problems: Sequence[Problem], unlisted: Sequence[Problem], cases: Sequence[Case]) -> list[Problem]:
    """The problems of single cases, told how many cases there are, those that cannot be listed among them."""
    names = {case.id for case in cases} | {problem.case for problem in unlisted if problem.case}
    return [replace(problem, total=len(names)) if problem.case else problem for problem in problems]


def _unlisted(error: PartialListingError, name: str) -> list[Problem]:
    """What keeps cases of a dataset from being listed, as problems."""
    return [Problem(name, one.case, one.problem, one.remedy) for one in error.unlisted]


def _with_file_marks(datasets: list[DatasetFacts]) -> list[DatasetFacts]:
    """The facts, with the images whose voxels were not read told apart by the bytes of their files."""
    marks = file_marks(case.file for facts in datasets for case in facts.cases if case.file)
    return [
        replace(facts, cases=tuple(replace(case, image=marks.get(case.file, case.image)) for case in facts.cases))
        for facts in datasets
    ]
