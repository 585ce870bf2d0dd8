"""Every problem of a study's datasets at once; nothing is changed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np
from monai.transforms import Compose
from numpy.typing import NDArray

from medsegdist.data.case_statistics import CaseStatistics, LabelStatistics, find_labels, holds_foreground, other_labels
from medsegdist.data.collect import plan_reading
from medsegdist.data.layouts.decathlon import DecathlonLayout
from medsegdist.data.layouts.listing import Case, PartialListingError, labels_of, read_dataset_json
from medsegdist.data.layouts.nnunet import NnunetLayout
from medsegdist.data.leakage import (
    CaseFacts,
    DatasetFacts,
    dataset_facts,
    doubled_images,
    leaks,
    list_files,
    mark_files,
    voxel_mark,
)
from medsegdist.data.manifest import DatasetManifest, Preprocessing
from medsegdist.data.problems import Problem, case_problem, noting_doubts, problem_of, shared_problem
from medsegdist.data.study import Study
from medsegdist.errors import DataError, ManifestError
from medsegdist.parallel import map_ordered
from medsegdist.progress import track
from medsegdist.transforms import BinarizeLabeld, CheckSameSpaced, ClassMasksd, OrientAxiald
from medsegdist.transforms.geometry import along_patient
from medsegdist.words import listed

# Of the pairs of neighbors in 1,594 real pictures and 260 MR volumes, at most 0.13% leap over 7/8 of the range. Of real
# CT and MR reduced modulo 256, 0.4% to 5% do; 4 of 205 hippocampus volumes stay below the limit.
_LEAPS = 0.002
# Noise over the whole range, or equalized contrast, jumps over half of it 16 times as often as it leaps, and wrapped CT
# 1 to 7 times.
_JUMPS_A_LEAP = 12
_FEWEST_PAIRS = 1000
_TYPES = (1 << 8, 1 << 16)

_AXES = ("left to right", "front to back", "feet to head")
# Tukey's outer fences. Five cases are the fewest of which a single one can be beyond them.
_FENCE, _FEWEST_CASES = 3.0, 5
_LEAST_FACTOR = 1.5  # below this factor a difference is one of protocols, which resampling evens out


def check_study(study: Study, *, full: bool = False, workers: int | None = 1) -> list[Problem]:
    """All problems of all datasets of a study, in its order, then those between datasets, equal ones once.

    `full` reads every voxel, as :func:`~medsegdist.data.collect.collect` would: a study without errors can be loaded.
    Otherwise headers are read, and of each dataset masks until one holds foreground; layouts that draw their images
    have neither.
    """
    checked = []
    for one in study.datasets:
        # Datasets of one folder may each have labels of their own.
        tasks = [other.label_values or () for other in study.datasets if other.layout == one.layout]
        named = tuple(value for values in tasks for value in values)
        checked.append(check_dataset(one, study.preprocessing, full=full, workers=workers, named=named))
    problems = [problem for facts in checked for problem in facts.problems]
    return list(dict.fromkeys([*problems, *leaks(study, mark_files(checked))]))


def check_dataset(
    manifest: DatasetManifest,
    preprocessing: Preprocessing,
    *,
    full: bool = True,
    workers: int | None = 1,
    named: Sequence[int] = (),
) -> DatasetFacts:
    """What is known of a dataset for itself, and its problems: those of single cases, then those of it as a whole.

    Besides its own label values and those that its listing names, masks may hold those `named`.
    """
    problems: list[Problem] = []
    facts = DatasetFacts(manifest)
    try:
        manifest.check_fits(preprocessing)
        try:
            cases: Sequence[Case] = manifest.layout.cases()
        except PartialListingError as error:
            cases = error.listed
            problems += [Problem(manifest.name, one.case, one.problem, one.remedy) for one in error.unlisted]
        if cases or not problems:
            manifest.check_fits(preprocessing, cases)
            if full:
                read, found = _read_voxels(manifest, preprocessing, cases, workers)
            else:
                read, found = _read_headers(manifest, cases)
            (facts,) = mark_files([dataset_facts(manifest, cases, read)])
            problems += [*found, *_label_problems(manifest, read, named)]
            problems += [*_intensity_problems(manifest, preprocessing, read), *spacing_outliers(manifest.name, read)]
            problems += [Problem(manifest.name, one.case, *doubt, "warning") for one in read for doubt in one.doubts]
    except (DataError, ManifestError) as error:
        return replace(facts, problems=(*problems, problem_of(error, manifest.name, "")))
    total = len({case.id for case in cases} | {one.case for one in problems if one.case})
    counted = [replace(one, total=total) if one.case else one for one in problems]
    return replace(facts, problems=tuple(dict.fromkeys([*counted, *doubled_images(facts)])))


def _read_headers(manifest: DatasetManifest, cases: Sequence[Case]) -> tuple[list[CaseFacts], list[Problem]]:
    """What headers say, and masks until one holds foreground; nothing for a layout that draws its images.

    It is the first mask, unless a label is named that is rare or nowhere.
    """
    if getattr(manifest.layout, "simulates", ""):
        return [], []
    load = partial(manifest.load, header_only=True)
    read_header = Compose([load, OrientAxiald(("image", "label")), CheckSameSpaced("image", reference_key="label")])
    load_mask = noting_doubts(partial(manifest.load, keys=("label",)))
    classes = None if manifest.classes is None else tuple(manifest.classes.values())
    binarize = BinarizeLabeld("label", manifest.foreground) if classes is None else ClassMasksd("label", classes)
    tally = LabelStatistics(manifest.classes or manifest.foreground)
    facts: list[CaseFacts] = []
    problems: list[Problem] = []
    searching = True
    for case in track(cases, f"Checking {manifest.name}"):
        try:
            header: Any = read_header(case.as_item())
            facts += [replace(one, spacing=_spacing(header["image"])) for one in list_files([case])]
            if not searching:
                continue
            item: Any = load_mask(case.as_item())
            facts[-1] = replace(facts[-1], doubts=item["doubts"])
            found = find_labels(item["label"], manifest.label_values)
            binarize(item)
        # One bad case must not hide the others.
        except Exception as error:  # noqa: BLE001
            problems.append(case_problem(error, manifest.name, case.id))
            continue
        tally.add(found, case.id)
        if holds_foreground(found, manifest.label_values):
            others, filled = other_labels(item["label"], manifest.label_values)
            facts[-1] = replace(facts[-1], others=others, filled=filled)
            searching = False
    if searching:
        whole = tally.problems(complete=not problems)
        problems += [Problem(manifest.name, "", problem, remedy) for problem, remedy in whole]
    return facts, problems


def _read_voxels(
    manifest: DatasetManifest, preprocessing: Preprocessing, cases: Sequence[Case], workers: int | None
) -> tuple[list[CaseFacts], list[Problem]]:
    """What every voxel says, and the problems for which `load_samples` would refuse the dataset."""
    read, tasks = plan_reading(manifest, preprocessing, None, cases)
    read = replace(read, observe=partial(_case_facts, foreground=manifest.label_values))
    statistics = CaseStatistics(read.dataset, read.min_pixels, read.foreground, read.classes)
    results = map_ordered(
        read, tasks, workers=workers, description=f"Reading {manifest.name}", name_of=attrgetter("name")
    )
    facts = []
    for task, case in zip(tasks, results, strict=True):
        statistics.add(case, task.name)
        if case.observed is not None:
            facts.append(case.observed)
    whole = statistics.whole_dataset_problems()
    problems = [*statistics.problems, *whole]
    reasons: dict[str, list[str]] = {}
    for name, reason in statistics.without_sample.items() if not whole else ():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        cure = "check the mask; the case gives no sample"
        problems += shared_problem(read.dataset, names, len(tasks), reason, cure)
    return facts, problems


def _case_facts(
    item: Mapping[Any, Any], labels: tuple[float, ...], foreground: tuple[int, ...] | None
) -> CaseFacts | None:
    image = np.asarray(item["image"][0])
    if not image.size or not np.isfinite([image.min(), image.max()]).all():
        # An error of its own.
        return None
    others, filled = other_labels(item["label"], foreground)
    return CaseFacts(
        item["case_id"],
        image=voxel_mark(item["image"]),
        spacing=_spacing(item["image"]),
        low=float(image.min()),
        high=float(image.max()),
        wrapped=looks_wrapped(image),
        # Where none is foreground, the error of the whole dataset names what there is.
        others=others if holds_foreground(labels, foreground) else (),
        filled=filled,
        doubts=item["doubts"],
    )


def _spacing(image: Any) -> tuple[float, float, float] | None:
    """Mm between voxels along the patient's axes; None for a 2D image, which has no size in mm."""
    affine = np.asarray(image.affine, dtype=np.float64)
    return along_patient(np.linalg.norm(affine[:3, :3], axis=0).tolist(), affine) if image.ndim == 4 else None


def looks_wrapped(image: NDArray[np.number]) -> bool:
    """Whether (*spatial) intensities seem to have overflowed an 8 or 16 bit type, so that 256 became 0, or -1 65535.

    If a smooth image crosses the end of the type, neighbors leap from one end of the range to the other: their share is
    measured. Pairs with the least or the largest intensity are not counted: a clipped image leaps between these two.
    Nor is noise over the whole range meant, where shorter jumps are many times as frequent.
    """
    low, high = float(image.min()), float(image.max())
    modulus = next((size for size in _TYPES if size * 7 / 8 <= high - low < size), None)
    if modulus is None:
        return False
    leaps = jumps = pairs = 0
    # By slabs, so that no second volume is in memory.
    for k in range(len(image)):
        # As floats: the difference of two 8-bit integers would overflow itself.
        slab = image[k : k + 2].astype(np.float32)
        if not np.array_equal(slab[0], np.rint(slab[0])):
            return False
        for axis in range(image.ndim):
            values = np.moveaxis(slab if axis == 0 else slab[:1], axis, 0)
            change = np.abs(np.diff(values, axis=0))
            inside = (values > low) & (values < high)
            pairs += change.size
            jumps += int(((change >= modulus * 3 / 8) & (change < modulus * 5 / 8)).sum())
            leaps += int(((change >= modulus * 7 / 8) & inside[:-1] & inside[1:]).sum())
    return pairs >= _FEWEST_PAIRS and leaps >= _LEAPS * pairs and _JUMPS_A_LEAP * leaps >= jumps


def _label_problems(manifest: DatasetManifest, cases: Sequence[CaseFacts], named: Sequence[int]) -> list[Problem]:
    """Warnings of masks that are foreground everywhere or hold values that nothing names."""
    known = {*named, *(manifest.label_values or ())}
    if isinstance(manifest.layout, DecathlonLayout | NnunetLayout):
        known.update(*labels_of(read_dataset_json(manifest.layout.root).get("labels")).values())
    filled = [one.case for one in cases if one.filled]
    cure = "check which value is the segment; the whole image counts as one"
    problems = shared_problem(manifest.name, filled, len(cases), "the mask is foreground everywhere", cure)
    unnamed = {one.case: found for one in cases if (found := set(one.others) - known)}
    if unnamed:
        shown = listed([f"{value:g}" for value in sorted(set[float]().union(*unnamed.values()))], 8)
        key = "foreground" if manifest.classes is None else "classes"
        text = f"the mask holds values besides 0 that `{key}` does not name, which count as background: {shown}"
        cure = f"add those that are meant to `{key}`"
        if manifest.classes is None:
            cure += ", or write `mask_threshold` (128 for 8 bits) in its place if edges are soft, as JPEG makes them"
        problems += shared_problem(manifest.name, list(unnamed), len(cases), text, cure)
    return problems


def _intensity_problems(
    manifest: DatasetManifest, preprocessing: Preprocessing, cases: Sequence[CaseFacts]
) -> list[Problem]:
    """Warnings of intensities that look wrong, each for all cases that have it."""
    in_hu = manifest.modality == "CT" and manifest.window is None
    no_air = [one for one in cases if in_hu and not one.wrapped and one.low >= 0]
    window = manifest.window_under(preprocessing) if preprocessing.intensity == "window" else None
    first, last = window or (-math.inf, math.inf)
    outside = [one for one in cases if one.high <= first or one.low >= last]
    least, largest = min((one.low for one in outside), default=0), max((one.high for one in outside), default=0)
    grayed = f"the window from {first:g} to {last:g} makes one gray of the image, whose intensities lie outside"
    found = [
        (
            [one for one in cases if one.wrapped],
            "neighboring voxels leap from one end of the range to the other, as if intensities had overflowed",
            "write the image again, in a type that holds all of its values",
        ),
        (
            [one for one in no_air if one.high <= 255],
            "a CT with intensities from 0 to 255 only is not in HU",
            "state `window: [0, 255]`, or restore the HU",
        ),
        (
            [one for one in no_air if one.high > 255],
            "a CT without a value below 0 is hardly in HU, where air is -1000",
            "subtract the offset (often 1024), or state a `window`",
        ),
        (outside, f"{grayed} (from {least:g} to {largest:g})", "correct the window"),
    ]
    return [
        problem
        for some, text, cure in found
        for problem in shared_problem(manifest.name, [one.case for one in some], len(cases), text, cure)
    ]


def spacing_outliers(dataset: str, cases: Sequence[CaseFacts]) -> list[Problem]:
    """Cases whose spacing is far from that of the others: a header that lost its unit, a scout view, other axes.

    Per axis of the patient and on a log scale: a spacing is an outlier beyond Tukey's outer fences (three times the
    distance of the quartiles) if it is also 1.5 times the median or more, or less than the median by as much. If a
    quarter of the cases differ, the dataset is mixed and none of them is an outlier.
    """
    known = [(case.case, case.spacing) for case in cases if case.spacing is not None]
    if len(known) < _FEWEST_CASES:
        return []
    logs = np.log([spacing for _, spacing in known])
    low, middle, high = np.quantile(logs, [0.25, 0.5, 0.75], axis=0)
    margin = _FENCE * (high - low)
    outside = (logs < low - margin - 1e-9) | (logs > high + margin + 1e-9)
    outside &= np.abs(logs - middle) >= np.log(_LEAST_FACTOR) - 1e-9
    problems = []
    for (name, spacing), axes in zip(known, outside, strict=True):
        if axes.any():
            said = ", ".join(
                f"{spacing[k]:.4g} mm from {_AXES[k]} where the dataset's median is {np.exp(middle[k]):.4g} mm"
                for k in np.flatnonzero(axes)
            )
            remedy = "check the header of the image, or leave the case out"
            problems.append(Problem(dataset, name, f"the spacing is an outlier: {said}", remedy, "warning"))
    return problems
