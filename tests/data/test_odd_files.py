"""NIfTI files that somebody's program, or malice, made odd: read as they are meant, or refused in words."""

from __future__ import annotations

import errno
import gzip
import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsegdist.data.collect import collect, load_samples
from medsegdist.data.export import export_task
from medsegdist.data.inflate import inflate
from medsegdist.data.manifest import make_dataset
from medsegdist.data.options import Preprocessing
from medsegdist.data.readers import read_volume
from medsegdist.errors import DataError
from tests.data.making import (
    PREPROCESSING,
    SHAPE,
    labels,
    pictures_manifest,
    task_manifest,
    voxels,
    write_pictures,
    write_task,
    write_volume,
)

IMAGE, LABEL = "imagesTr/p1_b.nii.gz", "labelsTr/p1_b.nii.gz"
NAN = struct.pack("<f", np.nan)
# Bytes of a NIfTI-1 header.
DIM, SLOPE, UNITS, OFFSET, SFORM = 40, 112, 123, 108, 280


def overwrite(path, place, content):
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[place : place + len(content)] = content
    path.write_bytes(gzip.compress(bytes(raw)))


def colors():
    return np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def endless(path):
    path.unlink()
    path.symlink_to("/dev/zero")


def without_voxels(root):
    write_volume(root / IMAGE, np.zeros((12, 0, 4), np.float32))
    write_volume(root / LABEL, np.zeros((12, 0, 4), np.uint8))


def in_unit(code):
    return lambda root: [overwrite(root / name, UNITS, bytes([code])) for name in (IMAGE, LABEL)]


def singular(root):
    for name in (IMAGE, LABEL):
        overwrite(root / name, SFORM, struct.pack("<12f", *[1, 0, 0, 0] * 3))
        overwrite(root / name, 80, struct.pack("<3f", 3**0.5, 1, 1))


BAD = {
    "label that 32 bits confuse with another": (
        lambda r: write_volume(r / LABEL, labels().astype(np.int32) * (2**24 + 1)),
        "expected label values between -16777216 and 16777216, which 32-bit floats hold exactly, found 16777216; ren",
    ),
    "label beyond all floats": (
        lambda r: write_volume(r / LABEL, labels() * 1e300),
        "expected whole numbers as label values, found NaN or infinite ones; repair the label map",
    ),
    "label a hair below 1": (
        lambda r: write_volume(r / LABEL, (labels() * np.float32(0.9999999)).astype(np.float32)),
        "expected whole numbers as label values, found 0.9999999; if this is a probability map, threshold it first",
    ),
    "labels on both sides of 0": (
        lambda r: write_volume(r / LABEL, np.where(labels() > 0, 1, -1).astype(np.int16)),
        "expected a mask of 0 and one other value, found -1, 1; name the values that are foreground",
    ),
    "mask of two channels": (
        lambda r: write_volume(r / LABEL, np.stack([labels()] * 2, -1)),
        "expected a mask of one channel, found shape (12, 10, 4, 2); put the labels into one channel",
    ),
    "colors": (
        lambda r: write_volume(r / IMAGE, colors()),
        "expected one intensity for each voxel, found colors; save the volume in gray",
    ),
    "complex": (
        lambda r: write_volume(r / IMAGE, (voxels(0) * 1j).astype(np.complex64)),
        "expected real intensities, found complex ones; save the magnitude",
    ),
    "no voxels": (without_voxels, "expected a volume with voxels, found shape (12, 0, 4); save it again"),
    "voxels that begin behind the end": (
        lambda r: overwrite(r / IMAGE, OFFSET, struct.pack("<f", 1e9)),
        "(ValueError: 1920 bytes of voxels expected, 0 found); copy or download it again",
    ),
    "micrometers": (in_unit(3), "expected millimeters, found the unit micron; write the file in mm"),
    "intensities beyond all floats": (
        lambda r: overwrite(r / IMAGE, SLOPE, struct.pack("<f", 1e38)),
        "'image': expected finite intensities, found 476 of 480 that are NaN or infinite; repair the image",
    ),
    "offset of intensities that is none": (
        lambda r: overwrite(r / IMAGE, SLOPE + 4, NAN),
        "the file cannot be read (HeaderDataError: Valid slope but invalid intercept nan)",
    ),
    "axes that coincide": (singular, "the affine of the volume is singular or not finite: [[1.0, 0.0, 0.0, 0.0], [1.0"),
    "bytes behind the end": (
        lambda r: (r / IMAGE).write_bytes((r / IMAGE).read_bytes() + b"garbage"),
        "the file cannot be read (BadGzipFile",
    ),
    "pipe": (lambda r: pipe(r / IMAGE), "the file is a pipe or a device; put a regular file in its place"),
    "device without end": (lambda r: endless(r / IMAGE), "the file is a pipe or a device; put a regular file"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # MONAI's norm of a NaN
def test_it_is_refused_in_words(tmp_path, kind):
    spoil, message = BAD[kind]
    root = write_task(tmp_path / "source")
    spoil(root)
    manifest = task_manifest(root)
    with pytest.raises(DataError) as caught:
        load_samples(manifest, PREPROCESSING, cache=tmp_path / "cache")
    head, line = str(caught.value).splitlines()
    assert head == "dataset 'tiny': 1 of 3 cases cannot be used:"
    assert line.startswith("  case 'p1_b': ")
    assert message in line
    with pytest.raises(DataError) as caught:
        export_task(manifest, tmp_path / "Task07_Tiny")
    assert str(caught.value).splitlines() == [head, line]
    assert not (tmp_path / "Task07_Tiny").exists()


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_negative_label_is_another_label(tmp_path, dimensions):
    root = write_task(tmp_path)
    preprocessing = Preprocessing(grid=(4, 10, 12)[-dimensions:], dimensions=dimensions, min_pixels=1)
    expected = load_samples(task_manifest(root), preprocessing).masks
    write_volume(root / LABEL, -labels().astype(np.int16))
    message = (
        r"the same in every case, found -1 \(case 'p1_b'\), 1 \(case 'p1_a'\); name the values that are foreground"
    )
    with pytest.raises(DataError, match=message):
        load_samples(task_manifest(root), preprocessing)
    for path in (root / "labelsTr").iterdir():
        write_volume(path, -labels().astype(np.int16))
    for foreground in (None, (-1,)):
        samples = load_samples(task_manifest(root, foreground=foreground), preprocessing)
        np.testing.assert_array_equal(samples.masks, expected)


@pytest.mark.parametrize(
    "content", [NAN, NAN + NAN, struct.pack("<f", 0), struct.pack("<f", np.inf)], ids=["nan", "nans", "0", "infinite"]
)
def test_a_slope_that_is_none_scales_nothing(tmp_path, content):
    """The standard says so of 0; nibabel writes NaN itself."""
    path = write_volume(tmp_path / "a.nii.gz", voxels(0))
    overwrite(path, SLOPE, content)
    np.testing.assert_array_equal(read_volume(path)[0], voxels(0))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_volume_of_one_slice(tmp_path, dimensions):
    root = write_task(tmp_path, ("p1_a",))
    write_volume(root / "imagesTr" / "p1_a.nii.gz", voxels(0)[:, :, 1:2])
    write_volume(root / "labelsTr" / "p1_a.nii.gz", labels()[:, :, 1:2])
    grid = (1, 10, 12)[-dimensions:]
    samples = load_samples(task_manifest(root), Preprocessing(grid=grid, dimensions=dimensions, min_pixels=1))
    assert samples.masks.shape == (1, *grid)
    np.testing.assert_array_equal(samples.masks.reshape(10, 12), labels()[:, :, 1].T > 0)


def failing(number):
    def fail(path, *arguments, **options):
        raise OSError(number, os.strerror(number), str(path))

    return fail


@pytest.mark.parametrize("make", [write_task, write_pictures])
def test_a_file_that_may_not_be_read_is_a_bad_case(tmp_path, monkeypatch, make):
    manifest = {write_task: task_manifest, write_pictures: pictures_manifest}[make](make(tmp_path))
    dataset = make_dataset(manifest, PREPROCESSING)
    for name in ("read_bytes", "open"):
        monkeypatch.setattr(Path, name, failing(errno.EACCES))
    said = r"image .*: the file may not be read \(permission denied\); change its permissions \| label .*: the file may"
    with pytest.raises(DataError, match=said):
        collect(dataset, name="tiny")


@pytest.mark.parametrize("make", [write_task, write_pictures])
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM])
def test_the_machines_trouble_skips_no_case(tmp_path, monkeypatch, make, number):
    manifest = {write_task: task_manifest, write_pictures: pictures_manifest}[make](make(tmp_path))
    dataset = make_dataset(manifest, PREPROCESSING)
    for name in ("read_bytes", "open"):
        monkeypatch.setattr(Path, name, failing(number))
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        collect(dataset, name="tiny", on_bad_case="skip")
    assert caught.value.errno == number


def inflated(content: bytes) -> tuple[str, object]:
    try:
        return "whole", inflate(content, 300)
    except (OSError, EOFError, zlib.error) as error:
        return type(error).__name__, str(error)


@given(st.binary(max_size=300), st.data())
def test_isal_inflates_what_gzip_does_and_refuses_what_gzip_refuses(voxels, data):
    content = bytearray(gzip.compress(voxels, mtime=0))
    kind = data.draw(st.sampled_from(["whole", "flipped", "cut", "longer"]))
    where = data.draw(st.integers(0, len(content) - 1))
    if kind == "flipped":
        content[where] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del content[where:]
    elif kind == "longer":
        content += data.draw(st.sampled_from([b"\0" * 5, b"junk", gzip.compress(b"more", mtime=0)]))
    with_isal = inflated(bytes(content))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "isal", None)
        assert inflated(bytes(content)) == with_isal
    if kind == "whole":
        assert with_isal == ("whole", voxels)
