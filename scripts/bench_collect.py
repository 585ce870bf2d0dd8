#!/usr/bin/env python
"""What reading a dataset takes, compared with the least that it could: nibabel's bare decoding of the same files.

    python scripts/bench_collect.py [--quick] [--repeats 3] [--cases 3] [--only NAME]

Files are made with a fixed seed in a temporary folder; real volumes under MEDSEGDIST_DATA are read too. "here" is
load_samples without a cache in one process, "there" np.asarray(nib.load(file).dataobj) of every image and mask. All
of them take turns, and the least processor seconds of each count: waiting for the disk or for others is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
from _bench import least_seconds, one_thread, show
from scipy import ndimage

from medsegdist import load_samples
from medsegdist.data.manifest import DatasetManifest
from medsegdist.data.options import Preprocessing

SHAPE = (512, 512, 120)
PROTOCOLS = {
    "2D": Preprocessing(grid=(128, 128)),
    "2D, 8 slices a case": Preprocessing(grid=(128, 128), max_per_case=8),
    "3D": Preprocessing(dimensions=3, grid=(32, 64, 64)),
}
REAL = {"Task04_Hippocampus": "MR", "la2018_heart_mr3d": "MR"}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few tiny files, to see that it runs")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each kind, after one that does not count")
    parser.add_argument("--cases", type=int, default=3, help="volumes to make")
    parser.add_argument("--only", default="", help="part of the name of the datasets to read")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, one_thread():
        made = _make_task(Path(folder) / "Task01_Made", options.cases, (32, 32, 16) if options.quick else SHAPE)
        manifests = [_manifest(made, "CT")]
        if not options.quick and (root := os.environ.get("MEDSEGDIST_DATA")):
            manifests += [_manifest(Path(root) / name, kind) for name, kind in REAL.items()]
        wanted = [manifest for manifest in manifests if options.only in manifest.name]
        rows = [row for manifest in wanted for row in _rows(manifest, options.repeats)]
    show("Reading, processor seconds", rows, ("nibabel", "monai", "isal"), ratio="here / there")


def _rows(manifest: DatasetManifest, repeats: int) -> Iterator[tuple[object, ...]]:
    cases = manifest.layout.cases()
    files = [file for case in cases for file in (case.image, case.label)]
    work: dict[str, Callable[[], object]] = {"decode": lambda: [np.asarray(nib.load(file).dataobj) for file in files]}
    for name, protocol in PROTOCOLS.items():
        work[name] = partial(load_samples, manifest, protocol, workers=1)
    seconds = least_seconds(work, repeats)
    there = seconds.pop("decode")
    for name, here in seconds.items():
        what = f"{manifest.name}: {len(cases)} cases, {name}"
        yield what, f"{here:.2f} s", f"{there:.2f} s", f"{here / there:.2f}", "<= 1.5"


def _manifest(root: Path, modality: str) -> DatasetManifest:
    return DatasetManifest.model_validate(
        {"name": root.name, "modality": modality, "layout": {"kind": "decathlon", "root": str(root)}, "foreground": [1]}
    )


def _make_task(root: Path, cases: int, shape: tuple[int, int, int]) -> Path:
    """A body of smooth tissue and noise in air, with an ellipsoid on about half of the slices."""
    rng = np.random.default_rng(0)
    x, y, z = np.ogrid[tuple(slice(-1, 1, size * 1j) for size in shape)]
    inside = (x / 0.8) ** 2 + (y / 0.65) ** 2 < 1
    mask = (((x - 0.2) / 0.3) ** 2 + ((y + 0.1) / 0.25) ** 2 + ((z - 0.1) / 0.5) ** 2 < 1).astype(np.uint8)
    affine = np.diag([-0.8, -0.8, 2.5, 1])
    training = []
    for k in range(cases):
        coarse = rng.normal(size=(16, 16, 8)).astype(np.float32)
        tissue = ndimage.zoom(coarse, np.divide(shape, coarse.shape), order=1) * 200 + 40
        image = np.where(inside, tissue, -1000) + rng.normal(0, 12, shape).astype(np.float32)
        entry = {"image": f"imagesTr/case_{k}.nii.gz", "label": f"labelsTr/case_{k}.nii.gz"}
        for name, voxels in (("image", image.astype(np.int16)), ("label", mask)):
            (root / entry[name]).parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(voxels, affine), root / entry[name])
        training.append(entry)
    (root / "dataset.json").write_text(json.dumps({"name": root.name, "training": training}))
    return root


if __name__ == "__main__":
    main()
