"""What the benchmarks share: seeded data, seconds of one thread, peaks of memory, a table with the machine's facts."""

from __future__ import annotations

import gc
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from medsegdist.data.samples import SegmentationSamples

T = TypeVar("T")


@contextmanager
def one_thread() -> Iterator[None]:
    """Everything within runs on one thread, so that both sides have the same of a machine that others use, too."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield


def seconds_of(function: Callable[[], T]) -> tuple[T, float]:
    """The result, and the processor seconds that it took: others on the same machine do not count."""
    gc.collect()
    start = time.process_time()
    result = function()
    return result, time.process_time() - start


def least_seconds(work: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The least processor seconds of each piece of work; they take turns, and a first turn does not count."""
    turns = [{name: seconds_of(function)[1] for name, function in work.items()} for _ in range(repeats + 1)]
    return {name: min(turn[name] for turn in turns[1:]) for name in work}


def peak_of(function: Callable[[], T]) -> tuple[T, float | None]:
    """The result, and by how many MiB the resident memory grew at most; None on other systems than Linux."""
    gc.collect()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return function(), None
    before = _resident("VmRSS")
    result = function()
    return result, (_resident("VmHWM") - before) / 1024


def lesions(
    name: str, *, n: int, rows: int, radius: float, seed: int, center: tuple[float, float] = (0.5, 0.5)
) -> SegmentationSamples:
    """Noisy 8-bit slices with one to three elliptic segments each, four slices a patient."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:rows, :rows].astype(np.float32)
    images = np.empty((n, rows, rows), dtype=np.float32)
    masks = np.zeros((n, rows, rows), dtype=bool)
    for k in range(n):
        for _ in range(rng.integers(1, 4)):
            r, c = (rows * (part + rng.normal(0, 0.09)) for part in center)
            height, width = radius * rng.uniform(0.5, 1.5, size=2)
            masks[k] |= ((row - r) / height) ** 2 + ((column - c) / width) ** 2 <= 1
        if not masks[k].any():
            masks[k, rows // 2, rows // 2] = True
        brightness = np.where(masks[k], rng.uniform(120, 190), 60 + 30 * np.cos(column / rows * 5))
        images[k] = np.clip(brightness + rng.normal(0, 12, size=(rows, rows)), 0, 255).round()
    return SegmentationSamples.from_arrays(name, images, masks, patient_ids=[str(k // 4) for k in range(n)])


def show(
    title: str,
    rows: Sequence[Sequence[object]],
    packages: Sequence[str],
    notes: Sequence[str] = (),
    *,
    ratio: str = "there / here",
) -> None:
    """One table: what was measured here and in the other way, their ratio, and what it was meant to be."""
    table = Table(title=title, caption=machine(packages), title_justify="left", caption_justify="left")
    for column in ("work", "here", "there", ratio, "target"):
        table.add_column(column, justify="left" if column == "work" else "right")
    for row in rows:
        table.add_row(*map(str, row))
    console = Console(width=int(os.environ.get("COLUMNS", "110")))
    console.print(table)
    for note in notes:
        console.print(note)


def machine(packages: Sequence[str]) -> str:
    """Processor, cores and versions."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = f"{names[0]} ({len(names)} cores)" if names else processor
    found = ", ".join(f"{package} {_version(package)}" for package in ("torch", "numpy", *packages))
    return f"{processor}, one thread; Python {platform.python_version()}, {found}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _resident(kind: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind))
