#!/usr/bin/env python
"""Processor seconds and peak memory of whole commands, stage by stage, next to the least that they could take.

    python scripts/bench_commands.py [--quick] [--replicates 200] [--only NAME]

Each command runs twice in a process of its own with --workers 1: without a bootstrap and with one, whose difference is
the replicates' share of a stage. The floor is a bare decode of the same files by nibabel or Pillow, and one exact
transport of the images of each pair. Studies on real data need MEDSEGDIST_DATA.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import nibabel as nib
import numpy as np
from _bench import machine, one_thread, seconds_of
from PIL import Image
from rich.console import Console
from rich.table import Table

from medsegdist import load_samples, load_study
from medsegdist.cli import app
from medsegdist.data.samples import SegmentationSamples
from medsegdist.data.study import Study
from medsegdist.distance.image_cost import image_cost
from medsegdist.distance.transport import Transport, solve_transport

MANIFESTS = Path(__file__).parents[1] / "data_manifests"
COMMANDS = {
    "demo": ["demo"],
    "rank real_volumes.yaml": ["rank", str(MANIFESTS / "real_volumes.yaml")],
    "rank real_study.yaml": ["rank", str(MANIFESTS / "real_study.yaml")],
    "rank --paper real_study.yaml": ["rank", str(MANIFESTS / "real_study.yaml"), "--paper"],
}
STAGES = {
    "Reading": "reading",
    "Summarizing": "summaries",
    "Scaling": "scales",
    "Comparing": "distances",
    "Measuring": "noise floors",
    "Describing": "characteristics",
}
"""What a stage is called, by the first word of the step that is logged."""

REST = "start, page"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the demo alone, with 4 replicates")
    parser.add_argument("--replicates", type=int, default=200, help="of the bootstrap")
    parser.add_argument("--only", default="", help="part of the name of the commands to run")
    parser.add_argument("--measure", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        print(json.dumps(_measure(options.measure)))
        return
    names = [name for name in COMMANDS if options.only in name]
    if options.quick or "MEDSEGDIST_DATA" not in os.environ:
        names = ["demo"]
    for name in names:
        _show(name, 4 if options.quick else options.replicates)


def _measure(command: list[str]) -> dict[str, float]:
    """Processor seconds of each stage of a command that runs in this process, and its peak of memory in MiB."""
    clock = _Clock()
    logger = logging.getLogger("medsegdist")
    logger.setLevel(logging.INFO)
    logger.addHandler(clock)
    with one_thread(), redirect_stdout(io.StringIO()):
        try:
            app(command, prog_name="medsegdist")
        except SystemExit as ended:
            if ended.code:
                raise
    clock.enter(REST)
    return clock.seconds | {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


class _Clock(logging.Handler):
    """Processor seconds since the start of the process, by the stage that the log says it is in."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = dict.fromkeys([*STAGES.values(), REST], 0.0)
        self.stage, self.since = REST, 0.0

    def enter(self, stage: str) -> None:
        now = time.process_time()
        self.seconds[self.stage] += now - self.since
        self.stage, self.since = stage, now

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        self.enter(REST if " done in " in said else STAGES.get(said.split()[0], self.stage))


def _show(name: str, replicates: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for count in (0, replicates):
            options = ["--workers", "1", "--bootstrap", str(count), "--out", f"{folder}/{count}"]
            command = [sys.executable, __file__, "--measure", *COMMANDS[name], *options]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
        study = load_study(COMMANDS[name][1] if len(COMMANDS[name]) > 1 else MANIFESTS / "demo.yaml")
        floor = _floor(study, Path(folder) / "0" / "samples")
    plain, whole = found
    title = f"{name}, {replicates} replicates: processor seconds"
    table = Table(title=title, caption=machine(("POT", "nibabel")), title_justify="left", caption_justify="left")
    for column in ("stage", "without replicates", "for replicates", "floor", "all / floor"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for stage in [*STAGES.values(), REST]:
        table.add_row(stage, f"{plain[stage]:.1f}", f"{whole[stage] - plain[stage]:.1f}", f"{floor.get(stage, 0):.1f}")
    sums = [sum(one[stage] for stage in [*STAGES.values(), REST]) for one in (plain, whole)]
    least = sum(floor.values())
    table.add_row("all", f"{sums[0]:.1f}", f"{sums[1] - sums[0]:.1f}", f"{least:.1f}", f"{sums[1] / least:.1f}")
    table.add_row("peak, MiB", f"{plain['peak']:.0f}", f"{whole['peak']:.0f}")
    Console(width=int(os.environ.get("COLUMNS", "110"))).print(table)


def _floor(study: Study, cache: Path) -> dict[str, float]:
    """Processor seconds of decoding all files of a study, and of one transport of images for each pair."""
    real = [one for one in study.datasets if hasattr(one.layout, "root")]
    files = [file for one in real for case in one.layout.cases() for file in (case.image, case.label)]
    with one_thread():
        _, decoding = seconds_of(lambda: [_decode(Path(file)) for file in files])
        samples = {one.name: one for one in load_samples(study, cache=cache, workers=1)}
        pairs = {frozenset((target, source)) for target in study.targets for source in study.sources_of(target)}
        _, transport = seconds_of(lambda: [_transport(*(samples[name] for name in sorted(pair))) for pair in pairs])
    return {"reading": decoding, "distances": transport}


def _transport(one: SegmentationSamples, other: SegmentationSamples) -> Transport:
    return solve_transport(image_cost(one.images, other.images), one.weights, other.weights)


def _decode(file: Path) -> np.ndarray:
    if file.name.endswith((".nii", ".nii.gz")):
        return np.asarray(nib.load(file).dataobj)
    return np.asarray(Image.open(file))


if __name__ == "__main__":
    main()
