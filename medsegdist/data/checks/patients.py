"""The same patient on both sides of a split: in a target and its source, or in two folds of a datalist."""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from medsegdist.data.case import Case
from medsegdist.data.checks.facts import DatasetFacts, Patients
from medsegdist.data.grouping import gathered
from medsegdist.data.layouts.datalist import DatalistLayout
from medsegdist.data.layouts.dicom import DicomLayout
from medsegdist.data.layouts.lidc import LidcLayout
from medsegdist.data.layouts.listing import PartialListingError
from medsegdist.data.layouts.phantom import PhantomLayout
from medsegdist.data.manifest import DatasetManifest, Layout
from medsegdist.data.problems import Problem, problem_of
from medsegdist.errors import DataError, ManifestError

# The public names of a public collection, which its DICOM headers and tasks made of it have as well.
_LIDC_PATIENT = re.compile(r"LIDC-IDRI-\d{4}")


def patients_in(layout: Layout, cases: Sequence[Case]) -> Patients:
    """Whom cases show, in words that can be compared between datasets.

    A patient "1" is somebody else in every dataset. Names are comparable if they come from one origin: those of files
    in one folder, the PatientIDs of one DICOM folder, or LIDC-IDRI's own, which are its patients' wherever they
    stand. PatientIDs of two folders are likely, but not surely, of one patient if they are equal.

    Args:
        layout: how the dataset lies on disk.
        cases: all of its cases.
    """
    if isinstance(layout, DicomLayout):
        headers = {case.id: _patient_id(case) for case in cases}
        likely = {case: patient for case, patient in headers.items() if patient}
        root = os.path.realpath(layout.root)
        return Patients({case: _of_origin(root, patient) for case, patient in likely.items()}, likely)
    if isinstance(layout, LidcLayout):
        origin = "LIDC-IDRI"
    elif isinstance(layout, PhantomLayout):
        origin = f"phantom {layout.organ} {layout.seed}"
    else:
        folders = {os.path.realpath(Path(case.image).parent) for case in cases}
        origin = os.path.commonpath(folders) if folders else ""
    return Patients({case.id: _of_origin(origin, case.patient_id) for case in cases}, {})


def _of_origin(origin: str, patient: str) -> str:
    return patient if _LIDC_PATIENT.fullmatch(patient) else f"{origin} {patient}"


def common_patients(target: DatasetFacts, source: DatasetFacts) -> tuple[list[tuple[str, str]], bool]:
    """The cases of two datasets that show the same patients.

    Args:
        target: one dataset.
        source: another one.

    Returns:
        For each such case of `target`, its name and that of a case of `source`; and whether the patients are surely
        the same.
    """
    for sure in (True, False):
        here, there = (facts.patients.sure if sure else facts.patients.likely for facts in (target, source))
        case_of: dict[str, str] = {}
        for case, patient in there.items():
            case_of.setdefault(patient, case)
        found = [(case, case_of[patient]) for case, patient in here.items() if patient in case_of]
        if found:
            return found, sure
    return [], True


def patients_in_two_folds(manifest: DatasetManifest) -> list[Problem]:
    """Patients whose cases lie in several folds of a datalist.

    An error if the dataset takes some folds only, as the others then hold its patients; otherwise a warning. What is
    wrong with entries of other folds is a warning as well: the dataset does not need them.

    Args:
        manifest: which dataset.
    """
    layout = manifest.layout
    if not isinstance(layout, DatalistLayout):
        return []
    problems = []
    try:
        every = layout.cases_with_folds()
    except PartialListingError as error:
        every = list(error.listed)
        # Without `folds`, the dataset needs all entries, and has been told of them.
        if layout.folds is not None:
            problems = [Problem(manifest.name, one.case, one.problem, one.remedy, "warning") for one in error.unlisted]
    except (DataError, ManifestError) as error:
        return [replace(problem_of(error, manifest.name, ""), severity="warning")]
    cases_of: dict[str, list[tuple[Case, int]]] = defaultdict(list)
    for case, fold in every:
        if fold is not None:
            cases_of[case.patient_id].append((case, fold))
    taken = layout.folds
    cut = [
        case.id
        for cases in cases_of.values()
        if len({fold for _, fold in cases}) > 1
        for case, fold in cases
        if taken is None or (fold in taken and any(other not in taken for _, other in cases))
    ]
    total = sum(1 for cases in cases_of.values() for _, fold in cases if taken is None or fold in taken)
    text = "the patient is in other folds as well" if taken is None else "the patient is also in a fold not taken"
    remedy = "put all cases of a patient into one fold"
    return problems + gathered(manifest.name, cut, total, text, remedy, "warning" if taken is None else "error")


def _patient_id(case: Case) -> str:
    """What tells the patient of a DICOM case from others: a public name, or else a digest that keeps nobody's name."""
    from medsegdist.data.dicom.headers import header_text

    files = getattr(case.image, "paths", ()) or (case.label.path,)
    patient = header_text(Path(files[0]), "PatientID")
    if not patient or _LIDC_PATIENT.fullmatch(patient):
        return patient
    return hashlib.sha256(patient.encode()).hexdigest()
