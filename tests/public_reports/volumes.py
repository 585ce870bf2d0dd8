"""Volumes whose compression, cache or transport was damaged without a word."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import nibabel as nib
import numpy as np
import ot
import pytest
import torch

from medsegdist.data.collect import load_samples
from medsegdist.data.readers import read_volume
from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.transport import solve_transport
from medsegdist.errors import ConvergenceError, DataError
from tests.data.making import PREPROCESSING, task_manifest, write_task
from tests.data.test_headers import RAW, VOXELS, meta, nrrd
from tests.public_reports import Report

DEFLATED = zlib.compress(RAW)
COMPRESSED = ("CompressedData = False", "CompressedData = True")


def with_size(size: str) -> tuple[str, str]:
    return (COMPRESSED[0], f"{COMPRESSED[1]}\nCompressedDataSize = {size}")


def read(folder: Path, change: tuple[str, str], *, data: bytes = DEFLATED, detached: bool = False) -> None:
    """The stated size of the compressed voxels does not count."""
    path = folder / ("a.mhd" if detached else "a.mha")
    if detached:
        (folder / "a.zraw").write_bytes(data)
        path.write_bytes(meta(change, last="ElementDataFile = a.zraw\n", data=b""))
    else:
        path.write_bytes(meta(change, data=data))
    np.testing.assert_array_equal(read_volume(path)[0], VOXELS.transpose(2, 1, 0))


def refused(folder: Path, data: bytes, message: str) -> None:
    for number, change in enumerate((COMPRESSED, with_size(str(len(data))), with_size("0"), with_size("999999"))):
        path = folder / f"{number}.mha"
        path.write_bytes(meta(change, data=data))
        with pytest.raises(DataError, match=message):
            read_volume(path)


def longer_than_stated(folder: Path) -> None:
    """Voxels of another type or number than the header says; the end of a line is none."""
    long = VOXELS.astype("<i8").tobytes()
    for name, content in {
        "long.mha": meta(("MET_SHORT", "MET_LONG"), data=long),
        "more.mha": meta(data=RAW + b"\n\0\0"),
        "channels.nrrd": nrrd(data=RAW * 3),
    }.items():
        (folder / name).write_bytes(content)
        with pytest.raises(DataError, match=r"\d+ bytes of voxels expected, \d+ found"):
            read_volume(folder / name)


def voxels_in_the_header(folder: Path) -> None:
    """Of a pair of .hdr and .img, or with an offset that nobody wrote."""
    nib.save(nib.Nifti1Image(VOXELS, np.eye(4)), folder / "a.nii")
    content = bytearray((folder / "a.nii").read_bytes())
    content[108:112] = bytes(4)
    for magic in (b"n+1\0", b"ni1\0"):
        content[344:348] = magic
        (folder / "b.nii").write_bytes(content)
        with pytest.raises(DataError, match="expected voxels behind the header, found none of their own place; save"):
            read_volume(folder / "b.nii")


def exchanged_cases(folder: Path, copied: bool) -> None:
    manifest = task_manifest(write_task(folder / "task", ("p1_a", "p2_a")))
    load_samples(manifest, PREPROCESSING, cache=folder / "cache")
    first, second = (folder / "cache").rglob("*.npz")
    contents = first.read_bytes(), second.read_bytes()
    first.write_bytes(contents[1])
    second.write_bytes(contents[1 if copied else 0])
    with pytest.raises(DataError, match=r"is damaged \(ValueError: its digest differs(.|\n)*delete the folder"):
        load_samples(manifest, PREPROCESSING, cache=folder / "cache")


def case_file(folder: Path) -> tuple[Path, Callable[[], SegmentationSamples]]:
    manifest = task_manifest(write_task(folder / "task", ("p1_a",)))
    load = functools.partial(load_samples, manifest, PREPROCESSING, cache=folder / "cache")
    load()
    (file,) = (folder / "cache").rglob("*.npz")
    return file, load


def damaged_case(folder: Path, spoil: Callable[[Path], None]) -> None:
    file, load = case_file(folder)
    spoil(file)
    with pytest.raises(DataError, match=r"is damaged \((.|\n)*delete the folder .* and run again"):
        load()


def flip(file: Path) -> None:
    """One byte of an image, in the middle of the file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 1
    file.write_bytes(content)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-30])


def rewritten(change: Callable[[dict[str, np.ndarray]], object]) -> Callable[[Path], None]:
    """The arrays of a case, changed and stored with checksums that are right."""

    def spoil(file: Path) -> None:
        with np.load(file) as stored:
            arrays = dict(stored)
        change(arrays)
        np.savez(file, **arrays)

    return spoil


def seven(arrays: dict[str, np.ndarray]) -> None:
    arrays["masks"].view(np.uint8)[0, 2, 3] = 7


def plan_refused(folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """A plan that is none, from a solver that calls it optimal."""
    cost = torch.from_numpy(np.random.default_rng(0).random((6, 5)) + 0.1)
    solve = ot.emd

    def spoiled(*arguments: object, **options: object) -> tuple[np.ndarray, object]:
        plan, log = solve(*arguments, **options)
        return change(plan), log

    weights = torch.full((6,), 2.0, dtype=torch.float64), torch.ones(5, dtype=torch.float64)
    assert solve_transport(cost, *weights).plan.sum() == pytest.approx(1)
    with patch.object(ot, "emd", spoiled), pytest.raises(ConvergenceError, match=r"a plan that is none|its own lower"):
        solve_transport(cost, *weights)


def single_precision(folder: Path) -> None:
    cost = torch.from_numpy(np.random.default_rng(0).random((6, 5)))
    weights = torch.ones(6), torch.ones(5)
    expected, solve = solve_transport(cost, *weights).value, ot.emd

    def rounded(*arguments: object, **options: object) -> tuple[np.ndarray, object]:
        plan, log = solve(*arguments, **options)
        return plan.astype(np.float32), log

    with patch.object(ot, "emd", rounded):
        assert solve_transport(cost, *weights).value == pytest.approx(expected, rel=1e-6)


def moved(plan: np.ndarray) -> np.ndarray:
    plan[0], plan[1] = plan[0] + plan[1] / 2, plan[1] / 2
    return plan


def negative(plan: np.ndarray) -> np.ndarray:
    """All sums stay what they are."""
    plan[:2, :2] += np.array([[-1, 1], [1, -1]])
    return plan


def one_nan(plan: np.ndarray) -> np.ndarray:
    plan[3, 3] = np.nan
    return plan


def stored_samples(folder: Path, spoil: Callable[[Path], None]) -> None:
    """Samples that somebody keeps on disk."""
    images = np.random.default_rng(0).random((3, 8, 8), dtype=np.float32)
    SegmentationSamples.from_arrays("a", images, images > 0.5).save(folder / "a")
    np.testing.assert_array_equal(SegmentationSamples.load(folder / "a").images, images)
    spoil(folder / "a")
    with pytest.raises(DataError, match=r"the stored samples are damaged \(.*\); delete this folder and save"):
        SegmentationSamples.load(folder / "a")


def spoiled_array(name: str, value: int) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[-20] = value
        (folder / name).write_bytes(content)

    return spoil


def cut_array(folder: Path) -> None:
    (folder / "images.npy").write_bytes((folder / "images.npy").read_bytes()[:-4])


META_IO, MONAI, POT = "Kitware/MetaIO#142", "Project-MONAI/MONAI#5723", "PythonOT/POT#24"
EVERY, DAMAGED, NO_PLAN = "every voxel", "the file is damaged", "an error"


def row(
    address: str, case: str, right: str, check: Callable[..., None], *arguments: object, **options: object
) -> Report:
    return Report(address, case, right, lambda folder: check(folder, *arguments, **options))


REPORTS = [
    row(META_IO, "compressed .mha without CompressedDataSize", EVERY, read, COMPRESSED),
    row(META_IO, "compressed .mha with a CompressedDataSize of 0", EVERY, read, with_size("0")),
    row(META_IO, "compressed .mha with a CompressedDataSize that is too small", EVERY, read, with_size("100")),
    row(META_IO, "compressed .mha with a CompressedDataSize that is too large", EVERY, read, with_size("123456")),
    row(META_IO, "compressed .mha with a negative CompressedDataSize", EVERY, read, with_size("-1")),
    row(META_IO, "compressed .mhd without CompressedDataSize", EVERY, read, COMPRESSED, detached=True),
    row(META_IO, "compressed .mhd with a CompressedDataSize of 0", EVERY, read, with_size("0"), detached=True),
    row(META_IO, "compressed .mha with bytes behind the voxels", EVERY, read, COMPRESSED, data=DEFLATED + b"\n"),
    row(
        META_IO,
        "compressed .mha cut in the middle",
        DAMAGED,
        refused,
        DEFLATED[:200],
        "the compressed voxels end too e",
    ),
    row(
        META_IO,
        "compressed .mha cut before its checksum",
        DAMAGED,
        refused,
        DEFLATED[:-4],
        "compressed voxels end too e",
    ),
    row(META_IO, "compressed .mha without voxels", DAMAGED, refused, b"", "the compressed voxels end too early"),
    row(
        META_IO, "compressed .mha of fewer voxels", DAMAGED, refused, zlib.compress(RAW[:-2]), "960 bytes of voxels exp"
    ),
    row(
        META_IO,
        "compressed .mha of more voxels",
        DAMAGED,
        refused,
        zlib.compress(RAW + RAW),
        "960 bytes expected, more",
    ),
    row(META_IO, "compressed .mha that is not compressed", DAMAGED, refused, RAW, "incorrect header check"),
    row(
        META_IO, "compressed .mha with a flipped byte", DAMAGED, refused, DEFLATED[:-2] + b"xx", "incorrect data check"
    ),
    row("", "raw voxels or numbers beyond those that are stated", DAMAGED, longer_than_stated),
    row("", "NIfTI whose voxels begin in its header", "refused", voxels_in_the_header),
    row(MONAI, "cached cases that changed places", DAMAGED, exchanged_cases, copied=False),
    row(MONAI, "cached case in the place of another", DAMAGED, exchanged_cases, copied=True),
    row(
        MONAI,
        "cached case with another intensity, stored as a new archive",
        DAMAGED,
        damaged_case,
        rewritten(lambda arrays: arrays["images"].__iadd__(1)),
    ),
    row(MONAI, "cached case with a flipped byte", DAMAGED, damaged_case, flip),
    row(MONAI, "cached case that is cut off", DAMAGED, damaged_case, cut),
    row(MONAI, "cached case that is empty", DAMAGED, damaged_case, lambda file: file.write_bytes(b"")),
    row(MONAI, "cached case that is another file", DAMAGED, damaged_case, lambda file: file.write_text("{}")),
    row(MONAI, "cached case with a mask byte of 7", DAMAGED, damaged_case, rewritten(seven)),
    row(
        MONAI,
        "cached case of another version, with masks of numbers",
        DAMAGED,
        damaged_case,
        rewritten(lambda arrays: arrays.update(masks=arrays["masks"].astype(np.uint8))),
    ),
    row(
        MONAI,
        "cached case of another version, in float64",
        DAMAGED,
        damaged_case,
        rewritten(lambda arrays: arrays.update(images=arrays["images"].astype(np.float64))),
    ),
    row(
        MONAI,
        "cached case of another version, with other fields",
        DAMAGED,
        damaged_case,
        rewritten(lambda arrays: arrays.update(case=np.frombuffer(b'{"name": "a"}', np.uint8))),
    ),
    row(MONAI, "cached case without masks", DAMAGED, damaged_case, rewritten(lambda arrays: arrays.pop("masks"))),
    row(
        MONAI,
        "cached case with a sample less",
        DAMAGED,
        damaged_case,
        rewritten(lambda arrays: arrays.update(images=arrays["images"][:1])),
    ),
    row(
        MONAI,
        "cached case on another grid",
        DAMAGED,
        damaged_case,
        rewritten(lambda arrays: arrays.update(images=arrays["images"].swapaxes(1, 2))),
    ),
    row("", "stored samples with a flipped byte of an image", DAMAGED, stored_samples, spoiled_array("images.npy", 1)),
    row("", "stored samples with a mask byte of 7", DAMAGED, stored_samples, spoiled_array("masks.npy", 7)),
    row("", "stored samples that are cut off", DAMAGED, stored_samples, cut_array),
    row(POT, "plan that lost a tenth of its mass", NO_PLAN, plan_refused, lambda plan: 0.9 * plan),
    row(POT, "plan with a tenth of mass too much", NO_PLAN, plan_refused, lambda plan: 1.1 * plan),
    row(POT, "plan without mass", NO_PLAN, plan_refused, np.zeros_like),
    row(POT, "plan that lost one row", NO_PLAN, plan_refused, lambda plan: plan * (np.arange(6) > 0)[:, None]),
    row(POT, "plan with mass moved from row to row", NO_PLAN, plan_refused, moved),
    row(POT, "plan with mass moved from column to column", NO_PLAN, plan_refused, lambda plan: moved(plan.T).T),
    row(POT, "plan with negative masses whose sums are right", NO_PLAN, plan_refused, negative),
    row(POT, "plan with NaN", NO_PLAN, plan_refused, one_nan),
    row(POT, "plan with an infinite mass", NO_PLAN, plan_refused, lambda plan: np.where(plan > 0, np.inf, plan)),
    Report(POT, "plan in single precision", "the value to 1e-6", single_precision),
]
