"""DICOM: image series, with the segmentation objects (SEG) or structure sets (RTSTRUCT) that were drawn on them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from medsegdist.data.case import Case
from medsegdist.data.layouts._paths import PatientPattern, Root, patients_of
from medsegdist.errors import DataError

if TYPE_CHECKING:
    from medsegdist.data.dicom.headers import Drawing


class DicomLayout(BaseModel):
    """DICOM files, however they are called: image series and what was drawn on them.

    A case is a drawing (SEG or RTSTRUCT) with the image series that it refers to, and is called by the drawing's path
    in `root`. Series without a drawing are passed over. Of several drawings on one series, the one that has the wanted
    segment counts. Cases whose header has the same PatientID show one patient, who is called like the first of these
    cases: nothing else of the patient is kept, and no header is repeated in a message.

    Args:
        root: the folder; may hold ${VARIABLES} and ~.
        segmentation: "seg" reads segmentation objects (by highdicom: `pip install medsegdist[dicom]`), "rtstruct"
            structure sets.
        segment: number or label of the segment of a SEG; None where each has only one.
        roi: name of the region of interest in an RTSTRUCT; None where each has only one.
        contour_edges: which voxels an RTSTRUCT's contours enclose: "exclude" takes those whose centers lie inside;
            "include" adds all voxels on the outlines, as rt-utils does, about half a voxel on every side. None is
            "exclude".
        fractional_threshold: from which fraction on a voxel of a FRACTIONAL segmentation belongs to the segment; None
            refuses such segmentations.
        patient_pattern: regular expression with one group, searched for in the case's id; the group is the patient.
            None takes the PatientID in the headers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["dicom"] = "dicom"
    root: Root
    segmentation: Literal["seg", "rtstruct"]
    segment: int | str | None = None
    roi: str | None = None
    contour_edges: Literal["exclude", "include"] | None = None
    fractional_threshold: Annotated[float, Field(gt=0, le=1)] | None = None
    patient_pattern: PatientPattern = None

    @model_validator(mode="after")
    def _check_options_fit(self) -> DicomLayout:
        if self.segmentation == "rtstruct" and (self.segment is not None or self.fractional_threshold is not None):
            raise ValueError("`segment` and `fractional_threshold` are for 'seg'; an 'rtstruct' has an `roi`")
        if self.segmentation == "seg" and self.roi is not None:
            raise ValueError("`roi` is for 'rtstruct'; a 'seg' has a `segment`")
        if self.segmentation == "seg" and self.contour_edges is not None:
            raise ValueError("`contour_edges` is for 'rtstruct'; a 'seg' has voxels and no contours")
        return self

    def cases(self) -> list[Case]:
        """The drawings with their image series, in the order of their paths; no pixel is read.

        What is wrong with a single case, such as images that are not there, is told when it is read.

        Raises:
            DataError: the folder does not exist, holds no drawing, or has files that cannot be read.
        """
        from medsegdist.data.dicom.headers import scan_folder

        if not self.root.is_dir():
            raise DataError(f"the folder {self.root} does not exist; set `root` to where the dataset lies.")
        found = scan_folder(self.root)
        drawings = found.drawings[self.segmentation]
        if not drawings:
            raise DataError(
                f"{self.root} holds {len(found.images)} DICOM series but no {self.segmentation.upper()}; "
                "correct `root` or `segmentation`."
            )
        of_series: dict[str, list[Drawing]] = defaultdict(list)
        astray: list[tuple[Drawing, list[str]]] = []
        for drawing in drawings:
            series = found.series_of_drawing(drawing)
            if len(series) == 1:
                of_series[series[0]].append(drawing)
            else:
                astray.append((drawing, series))
        read = []
        for uid, candidates in of_series.items():
            chosen, number, problem = self._chosen(candidates)
            read.append((self._case(chosen, number, found.images[uid], problem), found.patients[uid]))
        for drawing, series in astray:
            read.append((self._case(drawing, 0, [], _astray(drawing, series)), drawing.patient))
        doubled = [case_id for case_id, count in Counter(case.id for case, _ in read).items() if count > 1]
        if doubled:
            raise DataError(f"{self.root}: several drawings would be called {', '.join(doubled)}; rename the files.")
        return self._with_patients(sorted(read, key=lambda pair: pair[0].id))

    def loader(self) -> Any:
        """A MONAI transform that reads an item as (1, columns, rows, slices) float32 tensors with their affine.

        Raises:
            MissingDependencyError: highdicom, which reads SEG, is not installed.
        """
        from medsegdist.data.dicom.loading import ReadDicom

        return ReadDicom(
            self.fractional_threshold, self.contour_edges or "exclude", needs_highdicom=self.segmentation == "seg"
        )

    def _chosen(self, candidates: Sequence[Drawing]) -> tuple[Drawing, int, str]:
        """The drawing of a series that has the wanted segment, its number, and what is wrong."""
        matches = [(drawing, number) for drawing in candidates for number in self._numbers(drawing)]
        if len(matches) == 1:
            return *matches[0], ""
        option, wanted = ("segment", self.segment) if self.segmentation == "seg" else ("roi", self.roi)
        there = " and ".join(f"{_listed(drawing.names)} in {drawing.path.name}" for drawing in candidates)
        if wanted is None:
            problem = f"expected one {option}, found {there}; choose one by `{option}`."
        else:
            remedy = f"correct `{option}`, or leave the case out" if not matches else "keep one of them"
            problem = f"expected one {option} {wanted!r}, found {there}; {remedy}."
        return candidates[0], 0, problem

    def _numbers(self, drawing: Drawing) -> list[int]:
        """Numbers of the segments that are wanted."""
        wanted = self.segment if self.segmentation == "seg" else self.roi
        if wanted is None:
            # Segment 0 is the background of a label map.
            return [number for number, _ in drawing.names if number or self.segmentation == "rtstruct"]
        return [number for number, name in drawing.names if wanted in (number, name)]

    def _case(self, drawing: Drawing, number: int, images: Sequence[Path], problem: str) -> Case:
        from medsegdist.data.dicom.headers import DrawnSegment, SeriesFiles

        path = drawing.path.relative_to(self.root)
        case_id = "__".join(path.with_suffix("" if path.suffix.lower() == ".dcm" else path.suffix).parts)
        label = DrawnSegment.of(drawing.path, self.segmentation, number, problem)
        return Case(case_id, case_id, SeriesFiles.of(images), label)

    def _with_patients(self, read: Sequence[tuple[Case, str]]) -> list[Case]:
        """The cases, each with the name of its patient; what the headers say decides but is forgotten."""
        ids = [case.id for case, _ in read]
        if self.patient_pattern is not None:
            patients = patients_of(ids, self.patient_pattern, str(self.root))
        else:
            first: dict[str, str] = {}
            patients = [first.setdefault(header, case.id) if header else case.id for case, header in read]
        return [replace(case, patient_id=patient) for (case, _), patient in zip(read, patients, strict=True)]


def _listed(names: Sequence[tuple[int, str]]) -> str:
    return ", ".join(f"{number} {name!r}" for number, name in names) or "nothing"


def _astray(drawing: Drawing, series: Sequence[str]) -> str:
    if series:
        return (
            f"{drawing.path.name}: expected a drawing on one image series, found one on {len(series)}; "
            "keep the series that it was drawn on."
        )
    return (
        f"{drawing.path.name}: the images that it refers to are not in the folder; "
        "add their series, or leave the case out."
    )
