"""Whether a folder holds DICOM series with segmentation objects or structure sets."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

from medsegdist.data.recognition.found import Found
from medsegdist.words import counted

LOOKED_FOR = "DICOM series with SEG or RTSTRUCT objects, whatever the files are called"

_TRIED = 200


def recognize_dicom(folder: Path) -> Found | None:
    """What was drawn on the DICOM series in a folder; None if it holds no drawing.

    Args:
        folder: where to look.

    Raises:
        DataError: files that end in .dcm cannot be read.
    """
    from medsegdist.data.dicom.headers import files_under, read_header, scan_folder

    if not any(_is_dicom(path) for path in islice(files_under(folder), _TRIED)):
        return None
    scanned = scan_folder(folder)
    seg, rtstruct = scanned.drawings["seg"], scanned.drawings["rtstruct"]
    if not seg and not rtstruct:
        return None
    is_seg = len(seg) >= len(rtstruct)
    drawings = seg if is_seg else rtstruct
    # Segment 0 is the background of a label map.
    names = [[name for number, name in one.names if number or not is_seg] for one in drawings]
    segments: tuple[str, ...] = ()
    if any(len(of_one) != 1 for of_one in names):
        frequency = Counter(name for of_one in names for name in dict.fromkeys(of_one) if name)
        segments = tuple(name for name, _ in frequency.most_common())
    kind = "segmentation objects (SEG)" if is_seg else "structure sets (RTSTRUCT)"
    remarks = []
    if seg and rtstruct:
        other = counted(len(rtstruct), "structure set") if is_seg else counted(len(seg), "segmentation object")
        remarks.append(f"found {other} here as well; `segmentation` says which are read")
    images = [files[0] for uid, files in scanned.images.items() if any(uid in one.series for one in drawings)]
    header = read_header(images[0], []) if images else None
    told = str(header.get("Modality") or "") if header is not None else ""
    return Found(
        what=f"DICOM series with {kind}",
        layout={"kind": "dicom", "segmentation": "seg" if is_seg else "rtstruct"},
        segments=segments,
        modality={"": None, "CT": "CT", "MR": "MR"}.get(told, "other"),
        modality_reason=f"the DICOM headers say {told}" if told else "",
        remarks=tuple(remarks),
    )


def _is_dicom(path: Path) -> bool:
    if path.suffix.lower() == ".dcm":
        return True
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False
