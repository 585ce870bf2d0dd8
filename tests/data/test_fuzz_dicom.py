"""DICOM files with changed bytes: only the library's own errors, no crash of native code, memory in proportion.

`python -m tests.data.test_fuzz_dicom FOLDER SEED SECONDS` runs it for longer, or with another seed.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

SEED, SECONDS = 0, 40
MEGABYTE = 1 << 20


@pytest.mark.ci
@pytest.mark.slow
def test_changed_bytes(tmp_path: Path) -> None:
    arguments = [str(tmp_path), str(SEED), str(SECONDS)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.data.test_fuzz_dicom", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{(tmp_path / 'now').read_text()}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert int(done.stdout.split()[0]) > 300


def whole_files(folder: Path) -> list[tuple[Path, Callable[[Path], object]]]:
    """One of each kind, with what reads it."""
    from pydicom.uid import EnhancedCTImageStorage

    from medsegdist.data.dicom.drawings import read_segmentation, read_structure_set
    from medsegdist.data.dicom.series import read_series
    from tests.data.making_dicom import (
        rectangle,
        segmentation,
        stack,
        stored_values,
        structure_set,
        write,
        write_slices,
    )
    from tests.public_reports.dicom import CODECS, encode, enhanced, image, stored_pixels, with_table

    def series(path: Path) -> object:
        return read_series([path])

    slices = stack(stored_values((4, 12, 10)))
    _, grid = read_series(write_slices(folder / "ct", slices))
    files: list[tuple[Path, Callable[[Path], object]]] = []
    for codec in CODECS:
        path = encode(folder / f"{codec}.dcm", image(np.tile(stored_pixels(16, True), (6, 6))), codec)
        files.append((path, series))
    files.append((write(folder / "table.dcm", with_table([1, 2, 3, 4], 0, 16)), series))
    contours = [rectangle(1.6, 7.4, 1), rectangle(3.6, 5.4, 1), rectangle(4.6, 9.4, 1)]
    drawn = write(folder / "rt.dcm", structure_set({"it": contours}, slices))
    files.append((drawn, lambda path: read_structure_set(path, 1, grid)))
    if find_spec("highdicom"):
        frames = np.stack([stored_pixels(12, True)] * 3)
        content = enhanced(frames, (1.0, 2.0, 3.0), "MONOCHROME1", EnhancedCTImageStorage)
        files.append((write(folder / "enhanced.dcm", content), series))
        for kind in ("BINARY", "FRACTIONAL", "LABELMAP"):
            masks = np.zeros((4, 12, 10), np.uint8)
            masks[1:3, 2:8, 2:8] = 1
            path = write(folder / f"{kind}.dcm", segmentation(slices, masks, ["it"], kind))
            files.append((path, lambda path: read_segmentation(path, 1, grid, 0.5)))
    return files


def changed(whole: bytes, chance: random.Random) -> bytes:
    """Some bytes replaced, mostly in the header, or a part cut out, doubled or moved."""
    data = bytearray(whole)
    end = len(data) if chance.random() < 0.3 else min(len(data), 2000)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        place = chance.randrange(128, end)
        data[place] = chance.choice(
            (0, 1, 0x7F, 0x80, 0xFF, data[place] ^ (1 << chance.randrange(8)), chance.randrange(256))
        )
    if chance.random() < 0.15:
        first, last = sorted(chance.randrange(128, len(data)) for _ in range(2))
        data[first:last] = b"" if chance.random() < 0.5 else data[first:last] * 2
    return bytes(data)


def peak_memory() -> int:
    """Bytes; 0 where nobody counts them."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main(folder: Path, seed: int, seconds: float) -> None:
    from medsegdist.data.dicom.headers import scan_folder
    from medsegdist.errors import MedSegDistError

    warnings.simplefilter("ignore")
    files = [(path.read_bytes(), read) for path, read in whole_files(folder / "whole")]
    place = folder / "changed"
    place.mkdir(exist_ok=True)
    path = place / "a.dcm"
    largest = max(len(whole) for whole, _ in files)
    before, count, end = 0, 0, time.monotonic() + seconds
    while time.monotonic() < end:
        # What is read whole first is the measure.
        chance = random.Random(seed * 1_000_000 + count)
        whole, read = files[count % len(files)]
        path.write_bytes(whole if count < len(files) else changed(whole, chance))
        (folder / "now").write_text(f"seed {seed}, file {count}")
        for reader in (read, lambda path: scan_folder(path.parent)):
            try:
                reader(path)
            except MedSegDistError:
                assert count >= len(files)
        if count < len(files):
            before = peak_memory()
        used = peak_memory() - before
        assert used <= 10 * largest + 200 * MEGABYTE, f"{used / MEGABYTE:.0f} MB"
        count += 1
    sys.stdout.write(f"{count} files, {(peak_memory() - before) / MEGABYTE:.0f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
