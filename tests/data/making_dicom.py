"""Tiny DICOM series, structure sets and segmentation objects, and a name that must never be seen again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    RTStructureSetStorage,
    generate_uid,
)

PATIENT_ID, PATIENT_NAME = "MRN0815-4711", "Mustermann^Erika"
SPACING = (0.5, 0.8)
"""mm between rows, mm between columns."""
GAP = 2.5
ORIGIN = (-10.0, -20.0, 30.0)
UPRIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def uid(*name: object) -> str:
    """The same UID for the same name."""
    return str(generate_uid(entropy_srcs=[repr(name)]))


def new_file(sop_class: str, instance: str, modality: str, series: str, patient: str = PATIENT_ID) -> Dataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    content = Dataset()
    content.file_meta = meta
    content.SOPClassUID, content.SOPInstanceUID, content.Modality = sop_class, instance, modality
    content.PatientID, content.PatientName = patient, PATIENT_NAME
    content.PatientBirthDate = content.PatientSex = ""
    content.StudyInstanceUID, content.SeriesInstanceUID = uid("study", patient), series
    content.FrameOfReferenceUID = uid("frame", series)
    content.StudyDate = content.StudyTime = content.AccessionNumber = content.StudyID = ""
    content.ReferringPhysicianName = ""
    content.SeriesNumber = content.InstanceNumber = "1"
    return content


def write(path: Path, content: Dataset) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content.save_as(path, enforce_file_format=True)
    return path


def slice_of(
    pixels: np.ndarray,
    position: Sequence[float],
    *,
    series: str = "s",
    number: int = 1,
    orientation: Sequence[float] = UPRIGHT,
    spacing: Sequence[float] = SPACING,
    rescale: tuple[float, float] = (1.0, -1024.0),
    patient: str = PATIENT_ID,
) -> Dataset:
    """A CT slice of (rows, columns) int16 stored values."""
    content = new_file(CTImageStorage, uid(series, number), "CT", uid(series), patient)
    content.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    content.InstanceNumber = str(number)
    content.ImagePositionPatient = [f"{value:.8g}" for value in position]
    content.ImageOrientationPatient = [f"{value:.8g}" for value in orientation]
    content.PixelSpacing = [f"{value:.8g}" for value in spacing]
    content.SliceThickness = str(GAP)
    content.Rows, content.Columns = pixels.shape
    content.SamplesPerPixel, content.PhotometricInterpretation = 1, "MONOCHROME2"
    content.BitsAllocated = content.BitsStored = 16
    content.HighBit, content.PixelRepresentation = 15, 1
    content.RescaleSlope, content.RescaleIntercept = (f"{value:.8g}" for value in rescale)
    content.PixelData = pixels.astype("<i2").tobytes()
    return content


def stack(stored: np.ndarray, **options) -> list[Dataset]:
    """The slices of (slices, rows, columns) stored values, GAP mm apart, from the feet up."""
    x, y, z = ORIGIN
    return [slice_of(one, (x, y, z + GAP * k), number=k + 1, **options) for k, one in enumerate(stored)]


def stored_values(shape: tuple[int, int, int] = (4, 6, 5)) -> np.ndarray:
    """(slices, rows, columns) int16, all different."""
    return np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape).astype(np.int16)


def write_slices(folder: Path, slices: Sequence[Dataset]) -> list[Path]:
    """Writes slices under names that say nothing, and not in their order."""
    order = np.random.default_rng(1).permutation(len(slices))
    return [write(folder / f"{place:03d}.x", slices[k]) for place, k in enumerate(order)]


def structure_set(
    regions: dict[str, list[np.ndarray]], slices: Sequence[Dataset], kind: str = "CLOSED_PLANAR", patient=PATIENT_ID
) -> Dataset:
    """An RTSTRUCT with (n, 3) contours in mm for each region's name, drawn on `slices`."""
    content = new_file(RTStructureSetStorage, uid("rt", *regions), "RTSTRUCT", uid("rtstruct"), patient)
    del content.FrameOfReferenceUID
    content.StructureSetLabel = "drawn"
    series = Dataset()
    series.SeriesInstanceUID = slices[0].SeriesInstanceUID
    series.ContourImageSequence = Items([reference_to(one) for one in slices])
    study = Dataset()
    study.RTReferencedSeriesSequence = Items([series])
    frame = Dataset()
    frame.FrameOfReferenceUID = slices[0].FrameOfReferenceUID
    frame.RTReferencedStudySequence = Items([study])
    content.ReferencedFrameOfReferenceSequence = Items([frame])
    content.StructureSetROISequence, content.ROIContourSequence = Items(), Items()
    for number, (name, contours) in enumerate(regions.items(), start=1):
        region, drawn = Dataset(), Dataset()
        region.ROINumber, region.ROIName = number, name
        drawn.ReferencedROINumber = number
        drawn.ContourSequence = Items([contour_of(points, kind) for points in contours])
        content.StructureSetROISequence.append(region)
        content.ROIContourSequence.append(drawn)
    return content


def reference_to(image: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    return item


def contour_of(points: np.ndarray, kind: str) -> Dataset:
    item = Dataset()
    item.ContourGeometricType = kind
    item.NumberOfContourPoints = len(points)
    item.ContourData = [f"{value:.8g}" for value in np.asarray(points).ravel()]
    return item


def contour(pixels: Sequence[tuple[float, float]], level: int) -> np.ndarray:
    """(n, 3) mm for (column, row) points on slice `level` of `stack`."""
    x, y, z = ORIGIN
    return np.array([(x + SPACING[1] * column, y + SPACING[0] * row, z + GAP * level) for column, row in pixels])


def rectangle(low: float, high: float, level: int) -> np.ndarray:
    return contour([(low, low), (high, low), (high, high), (low, high)], level)


def segmentation(slices: Sequence[Dataset], masks: np.ndarray, labels: Sequence[str], kind: str = "BINARY") -> Dataset:
    """A SEG that highdicom writes, of (slices, rows, columns, segments) masks drawn on `slices`."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    algorithm = hd.AlgorithmIdentificationSequence("by hand", codes.DCM.ArtificialIntelligence, "1")
    descriptions = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=codes.SCT.Organ,
            segmented_property_type=codes.SCT.Liver,
            algorithm_type="SEMIAUTOMATIC",
            algorithm_identification=algorithm,
        )
        for number, label in enumerate(labels, start=1)
    ]
    return hd.seg.Segmentation(
        source_images=list(slices),
        pixel_array=masks,
        segmentation_type=kind,
        segment_descriptions=descriptions,
        series_instance_uid=uid("seg", *labels),
        series_number=2,
        sop_instance_uid=uid("seg instance", *labels),
        instance_number=1,
        manufacturer="tests",
        manufacturer_model_name="tests",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=True,
    )
