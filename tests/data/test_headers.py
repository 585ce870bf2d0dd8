"""Headers of NRRD and MetaImage in every way of writing them: read as ITK reads them, or refused."""

from __future__ import annotations

import re

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from medsegdist.data.readers import read_volume
from medsegdist.errors import DataError

VOXELS = np.random.default_rng(0).integers(0, 200, (4, 10, 12)).astype("<i2")
RAW = VOXELS.tobytes()

NRRD = """NRRD0004
type: short
dimension: 3
space: left-posterior-superior
sizes: 12 10 4
space directions: (0.5,0,0) (0,1.25,0) (0,0,2.5)
kinds: domain domain domain
endian: little
encoding: raw
space origin: (10,-20,30)
"""
META = """ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
CompressedData = False
TransformMatrix = 1 0 0 0 1 0 0 0 1
Offset = 10 -20 30
ElementSpacing = 0.5 1.25 2.5
DimSize = 12 10 4
ElementType = MET_SHORT
"""
LOCAL = "ElementDataFile = LOCAL\n"


def nrrd(*changes: tuple[str, str], data: bytes = RAW, end: str = "\n") -> bytes:
    """A file with parts of its header replaced."""
    header = NRRD
    for old, new in changes:
        assert old in header
        header = header.replace(old, new)
    return f"{header}\n".replace("\n", end).encode() + data


def meta(*changes: tuple[str, str], data: bytes = RAW, end: str = "\n", last: str = LOCAL) -> bytes:
    header = META + last
    for old, new in changes:
        assert old in header
        header = header.replace(old, new)
    return header.replace("\n", end).encode() + data


def channels(kind: str) -> list[tuple[str, str]]:
    return [
        ("dimension: 3", "dimension: 4"),
        ("sizes: 12 10 4", "sizes: 2 12 10 2"),
        ("directions: ", "directions: none "),
        ("kinds: ", f"kinds: {kind} "),
    ]


ALONE = [
    ("space: left-posterior-superior\n", ""),
    ("space directions: (0.5,0,0) (0,1.25,0) (0,0,2.5)\n", ""),
    ("space origin: (10,-20,30)\n", ""),
]
"""No axis is placed in space."""
MINS = "spacings: 0.5 -1.25 2.5\naxis mins: 1 2 3\n"


AS_ITK = {
    "CRLF.nrrd": nrrd(end="\r\n"),
    "comment.nrrd": nrrd(("type", "# a\n#data file: x\ntype")),
    "a note that looks like a field.nrrd": nrrd(("type", "data file:=../x\ntype")),
    "no space.nrrd": nrrd(
        ("space: left-posterior-superior\n", ""),
        ("space directions: (0.5,0,0) (0,1.25,0) (0,0,2.5)", "spacings: 0.5 1.25 2.5"),
        ("space origin: (10,-20,30)\n", ""),
    ),
    "axis mins of cells.nrrd": nrrd(*ALONE, ("endian", f"{MINS}centers: cell cell cell\nendian")),
    "axis mins of nodes.nrrd": nrrd(
        *ALONE, ("endian", f"{MINS}axis maxs: 6.5 13.25 10.5\ncenters: node node node\nendian")
    ),
    "axis mins without centers.nrrd": nrrd(*ALONE, ("endian", f"{MINS}endian")),
    "axis mins that are unknown.nrrd": nrrd(("endian", "axismins: nan nan nan\nspacings: NaN NaN NaN\nendian")),
    "thicknesses and centers.nrrd": nrrd(("endian", "thicknesses: 9 9 9\ncenters: cell node ???\nendian")),
    "RAS.nrrd": nrrd(("left-posterior-superior", "right-anterior-superior")),
    "millimeters.nrrd": nrrd(("endian", 'space units: "mm" "mm" "mm"\nendian')),
    "space dimension.nrrd": nrrd(("space: left-posterior-superior", "space dimension: 3")),
    "long type.nrrd": nrrd(("type: short", "type: signed short int")),
    "big endian.nrrd": nrrd(("little", "big"), data=VOXELS.astype(">i2").tobytes()),
    "vectors.nrrd": nrrd(*channels("vector")),
    "vectors behind.nrrd": nrrd(
        ("dimension: 3", "dimension: 4"),
        ("sizes: 12 10 4", "sizes: 12 10 2 2"),
        ("(0,0,2.5)", "(0,0,2.5) none"),
        ("kinds: domain domain domain", "kinds: domain domain domain list"),
    ),
    "notes of a segmentation.nrrd": nrrd(
        ("endian", "Segment0_Name:=a:b = c\nmeasurement frame: (1,0,0) (0,1,0) (0,0,1)\nendian")
    ),
    "turned.nrrd": nrrd(("(0.5,0,0) (0,1.25,0)", "(0,-0.5,0) (1.25,0,0)")),
    "blanks in vectors.nrrd": nrrd(("(0.5,0,0)", "( 0.5, 0, 0 )")),
    "CRLF.mha": meta(end="\r\n"),
    "colons.mha": meta((" = ", " : ")),
    "no blanks.mha": meta((" = ", "=")),
    "comment.mha": meta(("NDims", "Comment = a b = c : d\nNDims")),
    "tags of DICOM.mha": meta(("NDims", "0008|103e = x\nNDims")),
    "other order.mha": meta(("BinaryData = True\n", ""), ("DimSize", "BinaryData = True\nDimSize")),
    "big endian.mha": meta(("MSB = False", "MSB = True"), data=VOXELS.astype(">i2").tobytes()),
    "other name of endian.mha": meta(
        ("BinaryDataByteOrderMSB = False", "ElementByteOrderMSB = True"), data=VOXELS.astype(">i2").tobytes()
    ),
    "Origin.mha": meta(("Offset", "Origin")),
    "Rotation.mha": meta(("TransformMatrix", "Rotation")),
    "ElementSize.mha": meta(("ElementSpacing", "ElementSize")),
    "ElementSize and ElementSpacing.mha": meta(("ElementSpacing", "ElementSize = 9 9 9\nElementSpacing")),
    "no spacing.mha": meta(("ElementSpacing = 0.5 1.25 2.5\n", "")),
    "turned.mha": meta(("1 0 0 0 1 0 0 0 1", "0 1 0 0 0 -1 -1 0 0")),
    "skewed.mha": meta(("1 0 0 0 1 0 0 0 1", "2 0 0 0.5 1 0 0 0 1")),
    "orientation and matrix.mha": meta(("NDims", "AnatomicalOrientation = LPI\nNDims")),
    "usual orientation.mha": meta(("TransformMatrix = 1 0 0 0 1 0 0 0 1", "AnatomicalOrientation = RAI")),
    "unknown orientation.mha": meta(("TransformMatrix = 1 0 0 0 1 0 0 0 1", "AnatomicalOrientation = ???")),
    "center of rotation.mha": meta(
        ("1 0 0 0 1 0 0 0 1", "0 1 0 0 0 -1 -1 0 0"), ("BinaryData = ", "CenterOfRotation = 5 5 5\nBinaryData = ")
    ),
    "negative spacing.mha": meta(("= 0.5", "= -0.5")),
    "channels.mha": meta(("12 10 4", "12 10 2"), ("ElementType", "ElementNumberOfChannels = 2\nElementType")),
    "MET_LONG.mha": meta(("MET_SHORT", "MET_LONG"), data=VOXELS.astype("<i4").tobytes()),
    "MET_ULONG_LONG.mha": meta(("MET_SHORT", "MET_ULONG_LONG"), data=VOXELS.astype("<u8").tobytes()),
    "a line behind the voxels.mha": meta(data=RAW + b"\n"),
}


@pytest.mark.parametrize("name", AS_ITK)
def test_headers_are_read_as_by_itk(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(AS_ITK[name])
    image = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(image)
    several = array.ndim > 3
    for channel in range(array.shape[3]) if several else [None]:
        volume = read_volume(path, channel)
        expected = array[..., channel] if several else array
        np.testing.assert_array_equal(volume[0], expected.transpose(2, 1, 0))
        for index in ((0, 0, 0), (3, 0, 0), (0, 2, 0), (1, 2, 1)):
            left, posterior, superior = image.TransformIndexToPhysicalPoint(index)
            place = volume.affine.numpy() @ [*index, 1]
            np.testing.assert_allclose(place[:3], [-left, -posterior, superior], atol=1e-9)


@pytest.mark.parametrize(("centers", "maxs"), [("cell", "7 14.5 13"), ("node", "6.5 13.25 10.5"), ("???", "7 14.5 13")])
def test_axis_mins_and_maxs_say_the_spacing(tmp_path, centers, maxs):
    """By the definition of the format; ITK takes 1 mm."""
    path = tmp_path / "a.nrrd"
    said = f"axis mins: 1 2 3\naxis maxs: {maxs}\ncenters: {centers} {centers} {centers}\nendian"
    path.write_bytes(nrrd(*ALONE, ("endian", said)))
    half = 0 if centers == "node" else 0.5
    expected = np.diag([-0.5, -1.25, 2.5, 1])
    expected[:3, 3] = -1 - half * 0.5, -2 - half * 1.25, 3 + half * 2.5
    np.testing.assert_allclose(read_volume(path).affine, expected)


@pytest.mark.parametrize(("row", "column"), [((0.6, 0, 0.8), (0, 1.25, 0)), ((0, 2, 0), (0, 0, -3))])
def test_a_slice_may_lie_anywhere_in_space(tmp_path, row, column):
    path = tmp_path / "a.nrrd"
    content = nrrd(
        ("dimension: 3", "dimension: 2"),
        ("sizes: 12 10 4", "sizes: 12 10"),
        ("(0.5,0,0) (0,1.25,0) (0,0,2.5)", f"{row} {column}".replace(" ", "").replace(")(", ") (")),
        ("domain domain domain", "domain domain"),
        data=VOXELS[0].tobytes(),
    )
    path.write_bytes(content)
    affine = np.diag([-1, -1, 1, 1]) @ read_volume(path).affine.numpy()
    across = np.cross(row, column)
    expected = np.column_stack([row, column, across / np.linalg.norm(across), (10, -20, 30)])
    np.testing.assert_allclose(affine[:3], expected, atol=1e-12)


def test_axes_without_a_direction_are_channels(tmp_path):
    """ITK refuses them where the header does not say of which kind they are."""
    path = tmp_path / "a.nrrd"
    path.write_bytes(nrrd(*channels("list")[:3], ("kinds: domain domain domain\n", "")))
    np.testing.assert_array_equal(read_volume(path, 1)[0], VOXELS.reshape(2, 10, 12, 2)[..., 1].transpose(2, 1, 0))


REFUSED = {
    "scanner.nrrd": (nrrd(("left-posterior-superior", "scanner-xyz")), "found another space; write the file"),
    "type twice.nrrd": (nrrd(("type", "type: float\ntype")), "the header says something twice"),
    "no colon.nrrd": (nrrd(("type", "nothing\ntype")), "a line of the header is no field"),
    "no endian.nrrd": (nrrd(("endian: little\n", "")), "the header has no endian"),
    "unknown encoding.nrrd": (nrrd(("encoding: raw", "encoding: zrl")), "type or encoding of the voxels is not known"),
    "complex.nrrd": (nrrd(*channels("complex")), "expected real intensities, found complex ones"),
    "two axes of channels.nrrd": (
        nrrd(("kinds: domain domain domain", "kinds: list list domain")),
        "expected 2 or 3 axes of space",
    ),
    "seconds.nrrd": (nrrd(("type", 'space units: "s" "mm" "mm"\ntype')), "expected millimeters, found another unit"),
    "axes that coincide.nrrd": (nrrd(("(0,1.25,0)", "(1,0,0)")), "the axes have no length, coincide"),
    "endless direction.nrrd": (nrrd(("(0,1.25,0)", "(0,inf,0)")), "the axes have no length, coincide"),
    "short vector.nrrd": (nrrd(("(0,1.25,0)", "(0,1.25)")), "3 numbers expected in a line of the header"),
    "space and axes alone.nrrd": (nrrd(("endian", "axis mins: 0 0 0\nendian")), "found both; keep one of them"),
    "space and spacings.nrrd": (nrrd(("endian", "spacings: 1 1 1\nendian")), "found both; keep one of them"),
    "two places.nrrd": (nrrd(ALONE[1], ("endian", f"{MINS}endian")), "found both; keep one of them"),
    "endless axis mins.nrrd": (nrrd(*ALONE, ("endian", "axis mins: inf 0 0\nendian")), "coincide or are not finite"),
    "few centers.nrrd": (nrrd(("endian", "centers: cell\nendian")), "3 axes expected, another number described"),
    "orientation alone.mha": (
        meta(("TransformMatrix = 1 0 0 0 1 0 0 0 1", "AnatomicalOrientation = LPI")),
        "found an AnatomicalOrientation alone; add its TransformMatrix",
    ),
    "lines to skip.nrrd": (nrrd(("type", "line skip: 1\ntype")), "found some to be skipped"),
    "bytes to skip.nrrd": (nrrd(("type", "byteskip: 7\ntype"), data=b"skipped" + RAW), "found some to be skipped"),
    "voxels at the end.mha": (meta(("NDims", "HeaderSize = -1\nNDims"), data=b"x" + RAW), "found some to be skipped"),
    "text.nrrd": (nrrd(("encoding: raw", "encoding: text")), "type or encoding of the voxels is not known"),
    "text.mha": (meta(("BinaryData = True", "BinaryData = False")), "found numbers written as text; save"),
    "no NRRD.nrrd": (b"\x89PNG\r\n\x1a\n" + nrrd()[8:], "not a NRRD file"),
    "no spacing of columns.mha": (meta(("= 0.5", "= 0")), "the axes have no length, coincide"),
    "spacing that is none.mha": (meta(("= 0.5", "= nan")), "the axes have no length, coincide"),
    "direction that is none.nrrd": (nrrd(("(0.5,", "(nan,")), "the axes have no length, coincide"),
    "other case.mha": (meta(("NDims", "ndims")), "a key of the header is written in another case"),
    "two origins.mha": (meta(("NDims", "Origin = 1 2 3\nNDims")), "one of Offset, Position, Origin expected"),
    "DimSize twice.mha": (meta(("NDims", "DimSize = 1 1 1\nNDims")), "the header says something twice"),
    "micrometers.mha": (meta(("NDims", "DistanceUnits = um\nNDims")), "expected millimeters, found another unit"),
    "offset of intensities.mha": (
        meta(("NDims", "ElementToIntensityFunctionOffset = -1024\nNDims")),
        "found a slope or an offset",
    ),
    "neither true nor false.mha": (meta(("BinaryData = True", "BinaryData = maybe")), "True or False expected for Bin"),
    "no channels.mha": (meta(("NDims", "ElementNumberOfChannels = 0\nNDims")), "or it has no channels"),
    "a mesh.mha": (meta(("= Image", "= Mesh")), "the type of object or of its voxels is not known"),
    "no data file.mha": (meta(last=""), "the header names no ElementDataFile"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_be_read_in_two_ways_is_refused(tmp_path, name):
    content, message = REFUSED[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(message)):
        read_volume(path)
