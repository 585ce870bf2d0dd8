#!/usr/bin/env python
"""How long reading a dataset takes, compared with the least that it could: nibabel's bare decoding of the same files.

    python scripts/bench_collect.py [--quick] [--repeats 5] [--workers 1 2] [--cases 6] [--only NAME]

Files are made with a fixed seed in a temporary folder; real volumes under MEDSEGDIST_DATA are read too. The runs of
all columns take turns, and the least time of each counts. "decode" is np.asarray(nib.load(file).dataobj) of every
image and mask in as many processes; "samples" is load_samples without a cache. The processes of both stand
ready before the first run. Memory is the sum of what each process held at most, some 350 MB of code in each included
(counted in /proc, as Linux has it).
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import joblib
import nibabel as nib
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import ndimage

from medsegdist import load_samples
from medsegdist.data.manifest import DatasetManifest
from medsegdist.data.preprocessing import Preprocessing

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
    parser.add_argument("--repeats", type=int, default=5, help="runs of each kind")
    parser.add_argument("--workers", type=int, nargs="+", default=(1, 2), help="numbers of processes")
    parser.add_argument("--cases", type=int, default=6, help="volumes to make")
    parser.add_argument("--only", help="part of the name of the datasets to read")
    parser.add_argument("--memory", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.memory:
        _tell_memory(*options.memory)
        return
    with tempfile.TemporaryDirectory() as folder:
        made = _make_task(Path(folder) / "Task01_Made", options.cases, (32, 32, 16) if options.quick else SHAPE)
        manifests = [_manifest(made, "CT")]
        if not options.quick and (root := os.environ.get("MEDSEGDIST_DATA")):
            manifests += [_manifest(Path(root) / name, kind) for name, kind in REAL.items()]
        console = Console()
        console.print(_machine())
        for manifest in manifests:
            if options.only and options.only not in manifest.name:
                continue
            console.print(_table(manifest, options.workers, options.repeats))


def _table(manifest: DatasetManifest, workers: Sequence[int], repeats: int) -> Table:
    cases = manifest.layout.cases()
    files = [file for case in cases for file in (case.image, case.label)]
    table = Table("samples", "workers", "decode (s)", "samples (s)", "ratio", "peak memory (MB)")
    table.title = f"{manifest.name}: {len(cases)} cases"
    for count in workers:
        with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
            work: dict[str, Callable[[], object]] = {"decode": lambda pool=pool: _decode_all(pool, files)}
            for name, protocol in PROTOCOLS.items():
                work[name] = lambda protocol=protocol, count=count: load_samples(manifest, protocol, workers=count)
            times = _interleaved(work, repeats)
        for name in PROTOCOLS:
            decode, samples = min(times["decode"]), min(times[name])
            table.add_row(
                name, str(count), f"{decode:.2f}", f"{samples:.2f}", f"{samples / decode:.2f}",
                f"{_peak_memory(manifest, name, count):.0f}",
            )  # fmt: skip
    return table


def _interleaved(work: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in work}
    for run in range(repeats + 1):
        for name, function in work.items():
            start = perf_counter()
            function()
            # The first run of each starts processes and fills the disk cache.
            if run:
                times[name].append(perf_counter() - start)
    return times


def _decode_all(pool: ProcessPoolExecutor, files: Sequence[Path]) -> int:
    return sum(pool.map(_decode, files, chunksize=1 + len(files) // 100))


def _decode(file: Path) -> int:
    return np.asarray(nib.load(file).dataobj).size


def _peak_memory(manifest: DatasetManifest, protocol: str, workers: int) -> float:
    command = [sys.executable, __file__, "--memory", manifest.model_dump_json(), protocol, str(workers)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _tell_memory(manifest: str, protocol: str, workers: str) -> None:
    load_samples(DatasetManifest.model_validate_json(manifest), PROTOCOLS[protocol], workers=int(workers))
    # The workers stay for a while, in case that they are needed again.
    print(sum(_most_resident(pid) for pid in (os.getpid(), *_children())))


def _children() -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        lines = status.read_text().splitlines()
        if f"PPid:\t{os.getpid()}" in lines and any(line.startswith("VmHWM") for line in lines):
            found.append(int(status.parent.name))
    return found


def _most_resident(pid: int) -> float:
    """MB of memory that a process has held at most, by Linux's account."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


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


def _machine() -> str:
    cpu = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), platform.machine())
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    with_isal = "with isal" if _has_isal() else "without isal"
    packages = ", ".join(f"{name} {version(name)}" for name in ("nibabel", "torch", "monai"))
    load = os.getloadavg()[0]
    return (
        f"{cpu}, {joblib.cpu_count()} cores, {gigabytes:.0f} GB, load {load:.1f}; "
        f"Python {platform.python_version()}, {packages}, {with_isal}"
    )


def _has_isal() -> bool:
    try:
        importlib.import_module("isal")
    except ImportError:
        return False
    return True


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []


if __name__ == "__main__":
    main()
