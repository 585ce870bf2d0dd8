"""Intensities of single slices: stored values, however they are compressed, and what rescales them."""

from __future__ import annotations

import struct
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pydicom
import SimpleITK
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from medsegdist.data.dicom.headers import discreet
from medsegdist.errors import DataError

_SYNTAXES: dict[tuple[bool | None, bool | None], UID] = {
    (True, True): ImplicitVRLittleEndian,
    (False, True): ExplicitVRLittleEndian,
    (False, False): ExplicitVRBigEndian,
}
_BITS = ["BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"]
_STORED = ["Rows", "Columns", "SamplesPerPixel", *_BITS, "PixelData"]
_JPEG_2000, _JP2 = b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  "
# Of JPEG and JPEG-LS.
_FRAME_STARTS = (*(marker for marker in range(0xC0, 0xD0) if marker not in (0xC4, 0xC8, 0xCC)), 0xF7)
_RESCALED = ["Modality", "PhotometricInterpretation", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"]


def read_pixels(path: Path) -> NDArray[np.float32]:
    """The intensities of a slice, (rows, columns), by its slope and intercept or its modality lookup table."""
    name = path.name
    with discreet(f"{name}: the pixels cannot be read", "copy the file again"):
        content = pydicom.dcmread(path, specific_tags=[*_STORED, *_RESCALED], force=True)
        if "TransferSyntaxUID" not in content.file_meta:
            content.file_meta.TransferSyntaxUID = _SYNTAXES[content.original_encoding]
        syntax = content.file_meta.TransferSyntaxUID
        by_pydicom = not syntax.is_encapsulated or syntax == RLELossless
        stored = content.pixel_array if by_pydicom else _decoded(content)
    with discreet(f"{name}: its slope, intercept or ModalityLUTSequence cannot be used"):
        if content.get("ModalityLUTSequence"):
            table = content.ModalityLUTSequence[0]
            # pydicom knows these only.
            table.LUTDescriptor[2] = 8 if table.LUTDescriptor[2] <= 8 else 16
            # The table's indices leave the range of 16 bits.
            intensities = apply_modality_lut(stored.astype(np.int32), content)
            # Tables hold no negative numbers: -1000 becomes 64536.
            if content.get("Modality") == "CT" and intensities.max() > np.iinfo(np.int16).max:
                problem = f"{name}: expected HU, found values up to {intensities.max()} by its ModalityLUTSequence"
                raise DataError(problem, "export it with a slope and an intercept")
            return intensities.astype(np.float32)
        check_rescale(content, name)
        return np.asarray(apply_modality_lut(stored, content), dtype=np.float32)


def check_rescale(content: Dataset, name: str) -> None:
    """Refuse a slope of 0, or what is no finite number; where slope or intercept is absent or empty, it is set."""
    for keyword, usual in (("RescaleSlope", 1), ("RescaleIntercept", 0)):
        if content.get(keyword) in (None, ""):
            setattr(content, keyword, usual)
    if not content.RescaleSlope or not np.isfinite([content.RescaleSlope, content.RescaleIntercept]).all():
        raise DataError(f"{name}: its slope is 0, or its slope or intercept is no finite number", "export it again")


def _decoded(content: Dataset) -> NDArray[np.generic]:
    """The stored values by GDCM, which decodes all kinds of JPEG.

    It is given nothing but the pixels, as it would invert MONOCHROME1, and trust all that a header says.
    """
    frame = get_frame(content.PixelData, 0, number_of_frames=1)
    if frame.startswith(_JP2):
        # Within the boxes of a file, which some programs leave around it.
        frame = frame[frame.index(_JPEG_2000) :]
    if _size_of(frame) != (content.Rows, content.Columns, 1):
        raise ValueError("the frame's own header states another size")
    bare = Dataset()
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = content.file_meta.TransferSyntaxUID
    bare.SOPClassUID, bare.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    bare.PhotometricInterpretation = "MONOCHROME2"
    for keyword in _STORED:
        bare[keyword] = content[keyword]
    bare.PixelData = encapsulate([frame])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "pixels.dcm"
        bare.save_as(path, enforce_file_format=True)
        image = SimpleITK.ReadImage(str(path), imageIO="GDCMImageIO")
    return SimpleITK.GetArrayFromImage(image).reshape(int(bare.Rows), int(bare.Columns))


def _size_of(frame: bytes) -> tuple[int, int, int]:
    """Rows, columns and colors that a frame's own header states: decoders allocate them."""
    if frame.startswith(_JPEG_2000):
        right, bottom, left, top = struct.unpack_from(">4I", frame, 8)
        return bottom - top, right - left, struct.unpack_from(">H", frame, 40)[0]
    place = 2
    while frame[place] == 0xFF and frame[place + 1] not in _FRAME_STARTS:
        place += 2 + int.from_bytes(frame[place + 2 : place + 4], "big")
    rows, columns, colors = struct.unpack_from(">HHB", frame, place + 5)
    return rows, columns, colors
