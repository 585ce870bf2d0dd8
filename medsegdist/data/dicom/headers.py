"""What a folder of DICOM files holds, found from their headers alone."""

from __future__ import annotations

import errno
import os
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import DeflatedExplicitVRLittleEndian

from medsegdist.errors import DataError, MedSegDistError

_KINDS = {"SEG": "seg", "RTSTRUCT": "rtstruct"}
_DANGLING = (errno.ENOENT, errno.ELOOP)
_PREAMBLE, _LEAST_LIMIT = 132, 1 << 26  # bytes; a deflated file may always inflate to the second

_ALWAYS = ["SOPClassUID", "Modality", "SeriesInstanceUID"]  # some of these are in every DICOM file
_REFERENCES = ["ReferencedSeriesSequence", "ReferencedFrameOfReferenceSequence"]
_FRAMES = ["FrameOfReferenceUID", "ReferencedFrameOfReferenceSequence", "StructureSetROISequence"]
_SEGMENTS = ["SegmentationType", "SegmentSequence", "StructureSetROISequence"]
# The sequences that hold most of a file; they are read only where the usual references are missing.
_DETAILS = ["PerFrameFunctionalGroupsSequence", "ROIContourSequence"]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A segmentation object (SEG) or structure set (RTSTRUCT): segments that somebody drew on images."""

    path: Path
    patient: str = field(repr=False)  # never shown to anybody
    series: frozenset[str]  # SeriesInstanceUIDs of the images that it names
    instances: frozenset[str]  # SOPInstanceUIDs of these
    # Number and label of each segment, or number and name of each region of interest (ROI).
    names: tuple[tuple[int, str], ...]
    fractional: bool  # whether a SEG holds fractions, and not yes and no


@dataclass(slots=True)
class DicomFolder:
    """The image series and drawings under a folder, files and drawings in the order of their paths."""

    # By SeriesInstanceUID; also files that are neither images nor drawings, which no drawing names.
    images: dict[str, list[Path]] = field(default_factory=dict)
    patients: dict[str, str] = field(default_factory=dict, repr=False)  # the same; never shown to anybody
    series_of: dict[str, str] = field(default_factory=dict, repr=False)  # by SOPInstanceUID of an image
    drawings: dict[str, list[Drawing]] = field(default_factory=lambda: {"seg": [], "rtstruct": []})
    unreadable: list[DataError] = field(default_factory=list)  # with their paths in the folder as cases

    def series_of_drawing(self, drawing: Drawing) -> list[str]:
        """The image series in this folder that a drawing names, or else that hold images which it names."""
        named = sorted(drawing.series & self.images.keys())
        return named or sorted({self.series_of[uid] for uid in drawing.instances if uid in self.series_of})


@dataclass(frozen=True, slots=True)
class DrawnSegment:
    """One segment of a segmentation object, or one region of a structure set."""

    path: str
    number: int
    problem: str = ""  # why it cannot be read; empty if it can
    remedy: str = ""


@contextmanager
def discreet(problem: str, remedy: str = "export it again") -> Iterator[None]:
    """Silence for pydicom's warnings, log and errors: they quote what a header holds, and that may be a name."""
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        try:
            yield
        except MedSegDistError:
            raise
        except Exception as error:
            # The file system's own errors name no patient.
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise DataError(f"{problem} ({type(error).__name__})", remedy) from None


def read_header(path: Path, tags: Sequence[str]) -> Dataset | None:
    """Some elements of a DICOM file, its pixels not among them; None if it is no DICOM file.

    A file that ends in .dcm may lack the preamble, as old ones do, and is refused if it is none.
    """
    named = path.suffix.lower() == ".dcm"
    with discreet("the file cannot be read as DICOM", "copy it again"):
        try:
            _check_deflated(path)
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=[*_ALWAYS, *tags], force=named)
        except InvalidDicomError:
            return None
        except OSError as error:
            if error.errno in _DANGLING:
                raise DataError("the link leads to no file", "restore the file, or remove the link") from None
            raise
    # `force` reads any bytes as elements of some kind, but not of these.
    if named and not any(keyword in header for keyword in _ALWAYS):
        raise DataError("the file is empty or no DICOM file", "copy it again, or move it away")
    return header


def _check_deflated(path: Path) -> None:
    """Refuses a deflated file that inflates beyond measure, as pydicom inflates it whole."""
    with path.open("rb") as file:
        if DeflatedExplicitVRLittleEndian.encode() not in file.read(1 << 12):
            return
        meta = pydicom.filereader.read_file_meta_info(path)
        # After the element that holds the length of the others.
        file.seek(_PREAMBLE + 12 + int(meta.FileMetaInformationGroupLength))
        deflated = file.read()
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflater.decompress(deflated, _LEAST_LIMIT + 10 * len(deflated))
    if inflater.unconsumed_tail:
        raise DataError("the file inflates to more than an image takes", "export it without compression")


def header_text(path: Path, keyword: str) -> str:
    """An element of a DICOM file as text; empty if it has none or is no DICOM file. A PatientID is shown to nobody."""
    with discreet(f"{keyword} cannot be read"):
        return _text(read_header(path, [keyword]) or Dataset(), keyword)


def check_frame(drawing: Path, roi: int, image: Path) -> None:
    """Refuse a SEG, or an ROI of a structure set, that is known to be in another frame of reference than an image."""
    with discreet(f"{drawing.name}: its frame of reference cannot be read"):
        header, shown = (read_header(path, _FRAMES) or Dataset() for path in (drawing, image))
        regions = [item for item in header.get("StructureSetROISequence") or () if int(item.ROINumber) == roi]
        frame = _text(regions[0], "ReferencedFrameOfReferenceUID") if regions else _text(header, "FrameOfReferenceUID")
        # rt-utils invents a frame of its own, in which it names the series.
        frames = header.get("ReferencedFrameOfReferenceSequence") or ()
        named = [_references(item)[0] for item in frames if _text(item, "FrameOfReferenceUID") == frame]
        known = {frame, _text(shown, "FrameOfReferenceUID")} - {""}
        if len(known) > 1 and not any(_text(shown, "SeriesInstanceUID") in series for series in named):
            problem = f"{drawing.name}: expected the frame of reference of the images, found another one"
            raise DataError(problem, "add the series that it was drawn on, or leave the case out")


def folders_under(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """A folder and all below it, as os.walk gives them, in a fixed order, without hidden ones.

    Links are followed, as subsets of large collections are often made of them; each folder comes once.
    """
    seen = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(folder), folders, sorted(name for name in names if not name.startswith("."))


def files_under(root: Path) -> Iterator[Path]:
    """Every regular file under a folder but hidden ones, and links that lead nowhere, in a fixed order."""
    for folder, _, names in folders_under(root):
        # A pipe would be waited for.
        yield from (path for path in map(folder.joinpath, names) if path.is_file() or not path.exists())


def scan_folder(root: Path) -> DicomFolder:
    """The image series and drawings under a folder, whatever the files are called; no bad file hides the others."""
    found = DicomFolder()
    for path in files_under(root):
        try:
            with discreet("its header cannot be read"):
                header = read_header(path, ["SOPInstanceUID", "PatientID", *_REFERENCES, *_SEGMENTS])
                if header is not None:
                    _add(found, path, header)
        except DataError as error:
            found.unreadable.append(DataError(error.problem, error.remedy, case=path.relative_to(root).as_posix()))
    return found


def _add(found: DicomFolder, path: Path, header: Dataset) -> None:
    patient = _text(header, "PatientID")
    if kind := _KINDS.get(_text(header, "Modality")):
        found.drawings[kind].append(_drawing(path, patient, header))
        return
    # Anonymizers may empty it; files of one folder then belong together.
    uid = _text(header, "SeriesInstanceUID") or f"folder {path.parent}"
    found.images.setdefault(uid, []).append(path)
    found.patients.setdefault(uid, patient)
    found.series_of[_text(header, "SOPInstanceUID")] = uid


def _drawing(path: Path, patient: str, header: Dataset) -> Drawing:
    series, instances = _references(header)
    if not series and not instances:
        series, instances = _references(read_header(path, _DETAILS) or Dataset())
    try:
        segments, regions = (header.get(f"{part}Sequence") or () for part in ("Segment", "StructureSetROI"))
        names = [(int(item.SegmentNumber), _text(item, "SegmentLabel")) for item in segments]
        names += [(int(item.ROINumber), _text(item, "ROIName")) for item in regions]
    except (AttributeError, TypeError, ValueError):
        raise DataError("its segments have no numbers", "export it again") from None
    return Drawing(path, patient, series, instances, tuple(names), _text(header, "SegmentationType") == "FRACTIONAL")


def _references(header: Dataset) -> tuple[frozenset[str], frozenset[str]]:
    """SeriesInstanceUIDs and SOPInstanceUIDs that a drawing names, however deep they are nested."""
    series: set[str] = set()
    instances: set[str] = set()
    # Its own series stands at the top, not in a sequence.
    items = [item for element in header if element.VR == "SQ" for item in element.value]
    for element in (element for item in items for element in item.iterall()):
        if element.keyword == "SeriesInstanceUID":
            series.add(str(element.value or "").strip())
        elif element.keyword in ("ReferencedInstanceSequence", "ContourImageSequence", "SourceImageSequence"):
            instances.update(_text(image, "ReferencedSOPInstanceUID") for image in element.value)
    return frozenset(series), frozenset(instances)


def _text(item: Dataset, keyword: str) -> str:
    return str(item.get(keyword) or "").strip()
