"""DICOM: image series, with the segmentation objects (SEG) or structure sets (RTSTRUCT) that were drawn on them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal
from unicodedata import normalize

from pydantic import BaseModel, Field, model_validator

from medsegdist.data.layouts.listing import Case, PartialListingError, Recognized, build_cases
from medsegdist.data.layouts.paths import PatientPattern, Root
from medsegdist.errors import DataError
from medsegdist.words import counted

if TYPE_CHECKING:
    from medsegdist.data.dicom.headers import Drawing


class DicomLayout(BaseModel, frozen=True, extra="forbid"):
    """DICOM files, however they are called: image series and what was drawn on them.

    A case is a drawing (SEG or RTSTRUCT) with the image series that it refers to, and is called by the drawing's path
    in `root`. Series without a drawing are passed over. Of several drawings on one series, the one that has the wanted
    segment counts. Cases whose header has the same PatientID show one patient, who is called the patient of the first
    of these cases: nothing else of the patient is kept, and no header is repeated in a message.
    """

    looked_for: ClassVar[str] = "DICOM series with SEG or RTSTRUCT objects, whatever the files are called"

    kind: Literal["dicom"] = "dicom"
    root: Root
    segmentation: Literal["seg", "rtstruct"]  # SEG are read by highdicom: `pip install medsegdist[dicom]`
    segment: int | str | None = None  # number or label in a SEG; None if each has only one
    roi: str | None = None  # name in an RTSTRUCT; None if each has only one
    contour_edges: Literal["exclude", "include"] | None = None  # None is "exclude", see read_structure_set
    # Least fraction in a FRACTIONAL segmentation, which None refuses.
    fractional_threshold: Annotated[float, Field(gt=0, le=1)] | None = None
    patient_pattern: PatientPattern = None  # None takes the PatientID in the headers

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

        What is wrong with a single case, such as images that are not there, is raised when it is loaded.
        """
        from medsegdist.data.dicom.headers import scan_folder

        if not self.root.is_dir():
            raise DataError(f"the folder {self.root} does not exist", "set `root` to where the dataset is")
        found = scan_folder(self.root)
        drawings = found.drawings[self.segmentation]
        if not drawings:
            if found.unreadable:
                raise PartialListingError(str(self.root), found.unreadable)
            problem = f"{self.root} holds {len(found.images)} DICOM series but no {self.segmentation.upper()}"
            raise DataError(problem, "correct `root` or `segmentation`")
        of_series: dict[str, list[Drawing]] = defaultdict(list)
        read: list[tuple[Case, str]] = []
        for drawing in drawings:
            series = found.series_of_drawing(drawing)
            if len(series) == 1:
                of_series[series[0]].append(drawing)
            else:
                read.append((self._case(drawing, 0, [], *_astray(drawing, series)), drawing.patient))
        for uid, candidates in of_series.items():
            chosen, number, wrong = self._chosen(candidates)
            read.append((self._case(chosen, number, found.images[uid], *wrong), found.patients[uid]))
        doubled = [case_id for case_id, count in Counter(case.id for case, _ in read).items() if count > 1]
        if doubled:
            raise DataError(f"{self.root}: several drawings would be called {', '.join(doubled)}", "rename the files")
        # Cases with one PatientID have a patient by the name of the first of them; the header itself is forgotten.
        first: dict[str, str] = {}
        named = [
            (one.id, one.image, one.label, first.setdefault(header, f"patient of {one.id}") if header else None)
            for one, header in sorted(read, key=lambda pair: pair[0].id)
        ]
        return build_cases(named, self.patient_pattern, self.root, found.unreadable)

    def load(
        self, item: Mapping[Hashable, Any], *, header_only: bool = False, keys: Sequence[str] = ("image", "label")
    ) -> dict[Hashable, Any]:
        """A case read as (1, columns, rows, slices) float32 tensors with their affine."""
        from medsegdist.data.dicom.drawings import read_segmentation, read_structure_set
        from medsegdist.data.dicom.headers import check_frame
        from medsegdist.data.dicom.series import as_tensor, read_series, read_series_grid, require_highdicom

        drawing = item["label"]
        if self.segmentation == "seg":
            require_highdicom()
        if drawing.problem:
            raise DataError(drawing.problem, drawing.remedy)
        paths, path = [Path(name) for name in item["image"]], Path(drawing.path)
        check_frame(path, drawing.number, paths[0])
        if header_only:
            grid = read_series_grid(paths)
            image = as_tensor(grid.shape, grid.affine)
            return {**item, "image": image, "label": image}
        voxels, grid = read_series(paths)
        try:
            if self.segmentation == "seg":
                mask = read_segmentation(path, drawing.number, grid, self.fractional_threshold)
            else:
                mask = read_structure_set(path, drawing.number, grid, self.contour_edges or "exclude")
        except DataError as error:
            raise DataError(f"{path.name}: {error.problem}", error.remedy) from None
        return {**item, "image": as_tensor(voxels, grid.affine), "label": as_tensor(mask, grid.affine)}

    @classmethod
    def recognize(cls, root: Path) -> Recognized | None:
        """What was drawn on the DICOM series in a folder; None if it holds no drawing."""
        from medsegdist.data.dicom.headers import files_under, header_text, scan_folder

        if not any(_is_dicom(path) for path in islice(files_under(root), 200)):
            return None
        scanned = scan_folder(root)
        seg, rtstruct = scanned.drawings["seg"], scanned.drawings["rtstruct"]
        if not seg and not rtstruct:
            return None
        is_seg = len(seg) >= len(rtstruct)
        drawings, what = (seg, "segmentation objects (SEG)") if is_seg else (rtstruct, "structure sets (RTSTRUCT)")
        # Segment 0 is the background of a label map.
        names = [[name for number, name in one.names if number or not is_seg] for one in drawings]
        segments: tuple[str, ...] = ()
        if any(len(of_one) != 1 for of_one in names):
            frequency = Counter(name for of_one in names for name in dict.fromkeys(of_one) if name)
            segments = tuple(name for name, _ in frequency.most_common())
        layout: dict[str, Any] = {"kind": "dicom", "segmentation": "seg" if is_seg else "rtstruct"}
        remarks = []
        if seg and rtstruct:
            other = counted(len(rtstruct), "structure set") if is_seg else counted(len(seg), "segmentation object")
            remarks.append(f"found {other} here as well; `segmentation` says which are read")
        if fractional := sum(one.fractional for one in drawings):
            layout["fractional_threshold"] = 0.5
            remarks.append(
                f"fractions (FRACTIONAL) in {fractional} of {counted(len(seg), 'segmentation object')}: voxels count "
                "from half of the largest possible one on; `fractional_threshold` changes that"
            )
        images = [files[0] for uid, files in scanned.images.items() if any(uid in one.series for one in drawings)]
        modality = header_text(images[0], "Modality") if images else ""
        # A header's text is not repeated.
        said = modality if modality in ("CT", "MR") else "neither CT nor MR"
        return Recognized(
            what=f"DICOM series with {what}",
            layout=layout,
            segments=segments,
            modality={"": None, "CT": "CT", "MR": "MR"}.get(modality, "other"),
            modality_reason=f"the DICOM headers say {said}" if modality else "",
            remarks=tuple(remarks),
        )

    def _chosen(self, candidates: Sequence[Drawing]) -> tuple[Drawing, int, tuple[str, ...]]:
        """The drawing of a series that has the wanted segment, its number, and what is wrong with a remedy."""
        matches = [(drawing, number) for drawing in candidates for number in self._numbers(drawing)]
        if len(matches) == 1:
            return *matches[0], ()
        option, wanted = ("segment", self.segment) if self.segmentation == "seg" else ("roi", self.roi)
        names = [", ".join(f"{number} {name!r}" for number, name in one.names) or "nothing" for one in candidates]
        there = " and ".join(f"{shown} in {one.path.name}" for shown, one in zip(names, candidates, strict=True))
        if wanted is None:
            or_keep_one = ", or keep one of the files" if len(candidates) > 1 else ""
            return candidates[0], 0, (f"expected one {option}, found {there}", f"choose one by `{option}`{or_keep_one}")
        remedy = f"correct `{option}`, or leave the case out" if not matches else "keep one of them"
        return candidates[0], 0, (f"expected one {option} {wanted!r}, found {there}", remedy)

    def _numbers(self, drawing: Drawing) -> list[int]:
        """Numbers of the segments that are wanted."""
        wanted = self.segment if self.segmentation == "seg" else self.roi
        if wanted is None:
            # Segment 0 is the background of a label map.
            return [number for number, _ in drawing.names if number or self.segmentation == "rtstruct"]
        # An accented letter may be one character or two, which look alike.
        wanted = wanted if isinstance(wanted, int) else normalize("NFC", wanted)
        return [number for number, name in drawing.names if wanted in (number, normalize("NFC", name))]

    def _case(self, drawing: Drawing, number: int, images: Sequence[Path], *wrong: str) -> Case:
        from medsegdist.data.dicom.headers import DrawnSegment

        path = drawing.path.relative_to(self.root)
        case_id = "__".join(path.with_suffix("" if path.suffix.lower() == ".dcm" else path.suffix).parts)
        label = DrawnSegment(str(drawing.path), number, *wrong)
        return Case(case_id, case_id, tuple(map(str, images)), label)


def _is_dicom(path: Path) -> bool:
    if path.suffix.lower() == ".dcm":
        return True
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _astray(drawing: Drawing, series: Sequence[str]) -> tuple[str, str]:
    """What is wrong with a drawing that has not one image series, and what to do."""
    name = drawing.path.name
    if not drawing.series and not drawing.instances:
        return f"{name}: it names no images", "export it with references to them, or leave the case out"
    if not series:
        return f"{name}: the images that it refers to are not in the folder", "add their series, or leave the case out"
    problem = f"{name}: expected a drawing on one image series, found one on {len(series)}"
    return problem, "keep the series that it was drawn on"
