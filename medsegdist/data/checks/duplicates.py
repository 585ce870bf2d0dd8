"""The same image twice: in one dataset, or in a target and its source."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray

from medsegdist.data.checks.facts import CaseFacts, DatasetFacts
from medsegdist.data.grouping import named
from medsegdist.data.itk import detached_data
from medsegdist.data.problems import Problem

_SAMPLE = 1 << 16


def file_marks(paths: Iterable[str]) -> dict[str, str]:
    """A text for each file that is the same for files of the same bytes.

    A file is read only as far as others resemble it: by its size, by a piece in its middle, and then as a whole.

    Args:
        paths: the files; of those that hold no voxels themselves, the file beside them counts that does.
    """
    real = {path: os.path.realpath(detached_data(Path(path)) or path) for path in dict.fromkeys(paths)}
    groups: list[list[str]] = [sorted(set(real.values()))]
    for look in (_size, _middle, _digest):
        groups = [group for found in groups for group in (_split(found, look) if len(found) > 1 else [found])]
    first = {path: group[0] for group in groups for path in group}
    return {path: f"file {first[file]}" for path, file in real.items()}


def voxel_mark(image: NDArray[np.floating], affine: NDArray[np.float64] | None) -> str:
    """A text that is the same for images of the same intensities, however their files store them.

    Compression, type and the order of the axes make no difference, nor whether a slice is a volume or a picture.

    Args:
        image: (*spatial) intensities.
        affine: (4, 4), from voxels to mm; None for pictures.

    Returns:
        The text; empty for an image that is the same everywhere, as blank ones are all alike.
    """
    if image.min() == image.max():
        return ""
    if affine is not None:
        stored, axial = io_orientation(affine), axcodes2ornt(("S", "P", "L"))  # type: ignore[no-untyped-call]
        image = apply_orientation(image, ornt_transform(stored, axial))  # type: ignore[no-untyped-call]
    shape = tuple(size for size in image.shape if size > 1)
    # Adding 0 makes -0 and 0 one.
    content = np.ascontiguousarray(image, dtype=np.float32) + np.float32(0)
    return hashlib.blake2b(content.tobytes(), digest_size=16, salt=str(shape).encode()[:16]).hexdigest()


def doubled_images(dataset: str, cases: Sequence[CaseFacts]) -> list[Problem]:
    """A warning for each image that several cases of a dataset have: it counts that often.

    Args:
        dataset: its name.
        cases: those that were read.
    """
    by_image: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        if case.image:
            by_image[case.image].append(case.case)
    return [
        Problem(
            dataset,
            same[0],
            f"its image is also that of {named(same[1:])}",
            "keep one of them; or, if each has a mask of its own, join the masks",
            "warning",
            tuple(same),
        )
        for same in by_image.values()
        if len(same) > 1
    ]


def common_images(target: DatasetFacts, source: DatasetFacts) -> list[tuple[str, str]]:
    """The cases of two datasets that have the same image.

    Args:
        target: one dataset.
        source: another one.

    Returns:
        For each such case of `target`, its name and that of the first case of `source` with the same image.
    """
    there: dict[str, str] = {}
    for case in source.cases:
        there.setdefault(case.image, case.case)
    return [(case.case, there[case.image]) for case in target.cases if case.image and case.image in there]


def _split(paths: Sequence[str], look: Callable[[str], object]) -> list[list[str]]:
    groups: dict[object, list[str]] = defaultdict(list)
    for path in paths:
        try:
            groups[look(path)].append(path)
        except OSError:
            # Told of when the case is read.
            groups[path].append(path)
    return list(groups.values())


def _size(path: str) -> object:
    return Path(path).stat().st_size


def _middle(path: str) -> object:
    with Path(path).open("rb") as file:
        file.seek(max(Path(path).stat().st_size - _SAMPLE, 0) // 2)
        return file.read(_SAMPLE)


def _digest(path: str) -> object:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
