"""A source that holds the target's own images or patients: what is ranked is then no transfer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from medsegdist.data.checks.duplicates import common_images
from medsegdist.data.checks.facts import DatasetFacts
from medsegdist.data.checks.patients import common_patients
from medsegdist.data.problems import Problem, Severity
from medsegdist.data.study import Study
from medsegdist.words import counted

_NAMED = 3
_ALLOWED = "the study allows it; mind that the ranking rewards the source for it"


def leaks(study: Study, datasets: Sequence[DatasetFacts]) -> list[Problem]:
    """Images and patients that two datasets of a study have in common.

    Between a target and one of its sources this is an error, or a warning where the study says `shared_images:
    allow`. Two sources with the same images are a warning, unless the study allows it; patients may be in several
    sources.

    Args:
        study: says which datasets are targets and sources.
        datasets: those that could be read.
    """
    problems = []
    for one, other in combinations(datasets, 2):
        target, source = one, other
        if not _ranks(study, target, source):
            target, source = other, one
        ranked = _ranks(study, target, source)
        if not ranked:
            target, source = one, other
        images = common_images(target, source)
        if images and (ranked or study.shared_images == "refuse"):
            problems.append(_problem(study, target, source, images, "the same image", ranked=ranked, sure=True))
        if ranked:
            known = {case for case, _ in images}
            patients, sure = common_patients(target, source)
            patients = [pair for pair in patients if pair[0] not in known]
            if patients:
                what = "the same patient" if sure else "maybe the same patient (equal PatientID)"
                problems.append(_problem(study, target, source, patients, what, ranked=True, sure=sure))
    return problems


def _ranks(study: Study, target: DatasetFacts, source: DatasetFacts) -> bool:
    name = target.manifest.name
    return name in study.targets and source.manifest.name in study.sources_of(name)


def _problem(
    study: Study,
    target: DatasetFacts,
    source: DatasetFacts,
    pairs: Sequence[tuple[str, str]],
    what: str,
    *,
    ranked: bool,
    sure: bool,
) -> Problem:
    shown = ", ".join(f"'{here}'" if here == there else f"'{here}' (there '{there}')" for here, there in pairs[:_NAMED])
    more = f" and {len(pairs) - _NAMED} more" if len(pairs) > _NAMED else ""
    where = f"the source '{source.manifest.name}'" if ranked else f"'{source.manifest.name}', which is a source, too"
    verb = "has" if len(pairs) == 1 else "have"
    total = len(target.patients.sure)
    text = f"{len(pairs)} of {counted(total, 'case')} {verb} {what} in {where}: {shown}{more}"
    severity: Severity = "error" if ranked and sure and study.shared_images == "refuse" else "warning"
    remedy = (
        _ALLOWED
        if study.shared_images == "allow"
        else "take them out of one of the two, or say `shared_images: allow` in the study"
    )
    cases = tuple(here for here, _ in pairs)
    return Problem(target.manifest.name, cases[0] if len(cases) == 1 else "", text, remedy, severity, cases, total)
