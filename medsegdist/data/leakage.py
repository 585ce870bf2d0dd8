"""The same image or patient twice: in one dataset, or in a target and its source."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import numpy as np
from monai.data.meta_tensor import MetaTensor

from medsegdist.data.itk import detached_data
from medsegdist.data.layouts.dicom import DicomLayout
from medsegdist.data.layouts.lidc import LidcLayout
from medsegdist.data.layouts.listing import Case
from medsegdist.data.layouts.phantom import PhantomLayout
from medsegdist.data.manifest import DatasetManifest
from medsegdist.data.problems import Problem, Severity
from medsegdist.data.study import Study
from medsegdist.errors import DataError, ManifestError
from medsegdist.files import sha256_of
from medsegdist.transforms import OrientAxial
from medsegdist.words import counted, listed

_NAMED = 3
# The public names of a public collection, which its DICOM headers and tasks made of it have as well.
_LIDC_PATIENT = re.compile(r"LIDC-IDRI-\d{4}")


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """What is known of a case that could be read."""

    case: str
    image: str = ""  # the same text for the same image, in any dataset; empty if unknown
    file: str = ""  # its file, to be compared; empty if there is none, or its voxels were compared
    # (3,) mm between voxels to the patient's left, back and head; None for 2D images, or if unknown.
    spacing: tuple[float, float, float] | None = None
    low: float = math.nan  # the least intensity; NaN if no voxel was read
    high: float = math.nan
    wrapped: bool = False  # whether intensities look as if they had overflowed
    others: tuple[float, ...] = ()  # values of the mask that are neither foreground nor 0
    filled: bool = False  # whether the mask is foreground everywhere
    doubts: tuple[tuple[str, str], ...] = ()  # problem and remedy of what its files leave open


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What is known of a dataset; patients are never shown to anybody."""

    manifest: DatasetManifest
    cases: tuple[CaseFacts, ...] = ()  # those that could be read
    # Case -> patient, in words that mean the same patient in any dataset.
    patients: dict[str, str] = field(default_factory=dict)
    # Case -> patient, in words that another patient elsewhere may have, too.
    likely: dict[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.manifest.name


def dataset_facts(manifest: DatasetManifest, cases: Sequence[Case], facts: Iterable[CaseFacts]) -> DatasetFacts:
    """What is known of a dataset, its patients in words that can be compared between datasets.

    A patient "1" is somebody else in every dataset. Names are comparable if they come from one origin: those of files
    in one folder, the PatientIDs of one DICOM folder, or LIDC-IDRI's own. PatientIDs of two folders are likely, but
    not surely, of one patient if they are equal.
    """
    layout = manifest.layout
    names = {case.id: case.patient_id for case in cases}
    likely: dict[str, str] = {}
    if isinstance(layout, DicomLayout):
        names = likely = {case.id: patient for case in cases if (patient := _patient_of_header(case))}
        origin = os.path.realpath(layout.root)
    elif isinstance(layout, LidcLayout):
        origin = "LIDC-IDRI"
    elif isinstance(layout, PhantomLayout):
        origin = f"phantom {layout.organ} {layout.seed}"
    else:
        folders = {os.path.realpath(Path(case.image).parent) for case in cases}
        origin = os.path.commonpath(folders) if folders else ""
    patients = {
        case: patient if _LIDC_PATIENT.fullmatch(patient) else f"{origin} {patient}" for case, patient in names.items()
    }
    return DatasetFacts(manifest, tuple(facts), patients, likely)


def _patient_of_header(case: Case) -> str:
    """The patient of a DICOM case: a public name, or else a digest that keeps nobody's name."""
    from medsegdist.data.dicom.headers import header_text

    files = case.image or (case.label.path,)
    patient = header_text(Path(files[0]), "PatientID")
    if not patient or _LIDC_PATIENT.fullmatch(patient):
        return patient
    return hashlib.sha256(patient.encode()).hexdigest()


def list_files(cases: Sequence[Case]) -> list[CaseFacts]:
    """The images of cases, not read: their files, or their DICOM series."""
    from medsegdist.data.dicom.headers import header_text

    facts = []
    for case in cases:
        series, file = "", os.fspath(case.image) if isinstance(case.image, (str, os.PathLike)) else ""
        files = case.image.get("files") if isinstance(case.image, dict) else case.image
        if files and isinstance(files, tuple):
            series = header_text(Path(files[0]), "SeriesInstanceUID")
        facts.append(CaseFacts(case.id, series and f"series {series}", file))
    return facts


def mark_files(datasets: Sequence[DatasetFacts]) -> list[DatasetFacts]:
    """The facts, with an `image` that is the same for files of the same bytes.

    A file is read only if another one has its size.
    """
    marks = file_marks(case.file for facts in datasets for case in facts.cases if case.file)
    return [
        replace(facts, cases=tuple(replace(case, image=marks.get(case.file, case.image)) for case in facts.cases))
        for facts in datasets
    ]


def file_marks(paths: Iterable[str]) -> dict[str, str]:
    """A text for each file that is the same for files of the same bytes; a header stands for the file of its voxels."""
    real = {path: Path(detached_data(Path(path)) or path).resolve() for path in paths}
    sizes = Counter(file.stat().st_size for file in set(real.values()) if file.exists())

    @lru_cache(None)
    def mark(file: Path) -> object:
        try:
            return sha256_of(file) if sizes[file.stat().st_size] > 1 else file
        # A problem of its own when the case is read.
        except OSError:
            return file

    return {path: f"file {mark(file)}" for path, file in real.items()}


def voxel_mark(volume: MetaTensor) -> str:
    """A text that is the same for images, (1, *spatial), of the same intensities; empty for blank ones.

    Compression, type and the order of the axes make no difference, nor whether a slice is a volume or a 2D image.
    """
    image = np.asarray(OrientAxial()(volume))
    if image.min() == image.max():
        return ""
    shape = tuple(size for size in image.shape if size > 1)
    # Adding 0 makes -0 and 0 one.
    content = np.ascontiguousarray(image, dtype=np.float32) + np.float32(0)
    return hashlib.blake2b(content.tobytes(), digest_size=16, salt=str(shape).encode()[:16]).hexdigest()


def doubled_images(facts: DatasetFacts) -> list[Problem]:
    """A warning for each image that several cases of a dataset have: it counts that often."""
    by_image: dict[str, list[str]] = defaultdict(list)
    for case in facts.cases:
        by_image[case.image].append(case.case)
    remedy = "keep one of them; or, if each has a mask of its own, join the masks"
    return [
        Problem(
            facts.name,
            first,
            f"its image is also that of {listed(others, _NAMED, quoted=True)}",
            remedy,
            "warning",
            (first, *others),
        )
        for image, (first, *others) in by_image.items()
        if image and others
    ]


def refuse_shared_images(study: Study) -> None:
    """Refuse a study with a source that holds images or patients of its target, unless the study allows it.

    Files are compared by their bytes, and patients by their names; no image is read. Datasets that cannot be listed are
    skipped, as reading them says why. Every pair of datasets with something in common is named.
    """
    if study.shared_images == "allow":
        return
    known = []
    for manifest in study.compared(study.targets):
        try:
            cases = manifest.layout.cases()
            known.append(dataset_facts(manifest, cases, list_files(cases)))
        except (DataError, ManifestError):
            continue
    shared = [problem for problem in leaks(study, mark_files(known)) if problem.severity == "error"]
    if shared:
        lines = [f"  dataset '{problem.dataset}', {problem}" for problem in shared]
        raise DataError("\n".join([f"study '{study.name}': a source holds what its target holds:", *lines]))


def leaks(study: Study, datasets: Sequence[DatasetFacts]) -> list[Problem]:
    """Images and patients that two datasets of a study have in common.

    Between a target and one of its sources this is an error, or a warning if the study says `shared_images: allow`.
    Two sources with the same images are a warning, unless the study allows it; patients may be in several sources.
    """
    problems = []
    allowed = study.shared_images == "allow"
    remedy = (
        "take them out of one of the two, group both under `same_images`, or say `shared_images: allow` in the study"
    )
    if allowed:
        remedy = "the study allows it; mind that the ranking rewards the source for it"
    for one, other in combinations(datasets, 2):
        pairs = [(one, other), (other, one)]
        ranked = [(a, b) for a, b in pairs if a.name in study.targets and b.name in study.sources_of(a.name)]
        target, source = (ranked or pairs)[0]
        images = _in_common(*({case.case: case.image for case in side.cases} for side in (target, source)))
        declared = any({one.name, other.name} <= set(group) for group in study.same_images)
        found = [("the same image", images, True)] if ranked or not (allowed or declared) else []
        if ranked:
            patients = _in_common(target.patients, source.patients)
            sure = bool(patients)
            patients = patients or _in_common(target.likely, source.likely)
            what = "the same patient" if sure else "maybe the same patient (equal PatientID)"
            found.append((what, {case: there for case, there in patients.items() if case not in images}, sure))
        where = f"the source '{source.name}'" if ranked else f"'{source.name}', which is a source, too"
        total = len(target.patients)
        for what, shared, sure in found:
            cases = tuple(shared)
            if not cases:
                continue
            shown = [f"'{case}'" if case == there else f"'{case}' (there '{there}')" for case, there in shared.items()]
            verb, name = ("has", cases[0]) if len(cases) == 1 else ("have", "")
            text = f"{len(cases)} of {counted(total, 'case')} {verb} {what} in {where}: {listed(shown, _NAMED)}"
            severity: Severity = "error" if ranked and sure and not allowed else "warning"
            problems.append(Problem(target.name, name, text, remedy, severity, cases, total))
    return problems


def _in_common(here: Mapping[str, str], there: Mapping[str, str]) -> dict[str, str]:
    """Each case whose image, or patient, is also that of a case there, with the first such case."""
    first = {what: case for case, what in reversed(list(there.items()))}
    return {case: first[what] for case, what in here.items() if what and what in first}
