"""From any dataset to a task folder of the Medical Segmentation Decathlon."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
import yaml
from monai.transforms.compose import Compose
from numpy.typing import NDArray

from medsegdist.data.case_statistics import LabelStatistics, all_empty, find_labels, holds_foreground
from medsegdist.data.layouts.listing import Case
from medsegdist.data.layouts.paths import is_picture
from medsegdist.data.manifest import DatasetManifest
from medsegdist.data.problems import Problem, as_error, case_problem
from medsegdist.errors import DataError, ManifestError
from medsegdist.files import check_new_folder, new_folder
from medsegdist.parallel import map_ordered
from medsegdist.transforms import BinarizeLabeld, CheckFinited, CheckSameSpaced, OrientAxiald
from medsegdist.transforms.geometry import closest_axes
from medsegdist.words import listed

IMAGES, LABELS, UNLABELED = "imagesTr", "labelsTr", "imagesTs"
LISTING, MANIFEST = "dataset.json", "dataset.yaml"

# nnU-Net takes the number and the name apart at the only underscore.
_TASK_NAME = re.compile(r"Task\d{2,3}_[A-Za-z0-9.-]*[A-Za-z0-9-]")
_LONGEST_NAME = 200  # leaves room for a suffix
_MODALITIES = {"CT": "CT", "MR": "MRI", "other": "other"}
# How far from a right angle ITK takes two axes for perpendicular, as the cosine between them; found by trial.
_RIGHT_ANGLE = 1e-4
_COMPRESSION = 1  # nibabel's own; the higher ones take several times longer for a few percent
_LONGEST_AXIS = 32767  # the size of an axis is a 16-bit number in NIfTI-1
# A row runs to the patient's left and a column to the back, as in an axial slice on a screen.
_PICTURE_AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, slots=True)
class ExportedTask:
    """A task folder that is complete."""

    directory: Path
    cases: int  # how many it has
    # Cases whose axes are not at right angles, as of a tilted gantry; MONAI and nibabel read them, ITK and nnU-Net do
    # not.
    sheared: tuple[str, ...] = ()


def export_task(
    manifest: DatasetManifest,
    directory: str | Path,
    *,
    label: str = "foreground",
    case_ids: Collection[str] | None = None,
    pseudonyms: bool = False,
    workers: int | None = 1,
) -> ExportedTask:
    """Write a dataset as a task folder of the Decathlon, which MONAI, nnU-Net and medsegdist read.

    Images keep their grid, orientation and intensities; the channel or color that the manifest names is written. Masks
    become 0 and 1. A 2D image becomes a volume of one slice. dataset.json says what the task was made from, and names
    patients if a patient is not a case. dataset.yaml is the manifest of the task.

    The same dataset gives the same bytes. The folder, new or empty and named like Task11_LungNodules, appears when it
    is complete; until then its files are in a hidden folder with the same parent. `label` says what the foreground
    shows. With `pseudonyms`, cases and patients are called case_0001 and patient_0001 on, in their order.

    Raises:
        ManifestError: the folder's name or `label` cannot be used, or the dataset has classes.
        DataError: cases are bad (every one is listed), a wanted label is in no case, or all masks are empty; or
            `case_ids` names others than the dataset has.
        FileExistsError: `directory` holds something already.
        MedSegDistError: a worker was killed.
        OSError: the disk is full or not writable; nothing is left behind.
    """
    directory = Path(directory).resolve()
    check_request(manifest, directory, label)
    cases = manifest.cases()
    if case_ids is not None:
        unknown = sorted(set(case_ids) - {case.id for case in cases})
        cases = [case for case in cases if case.id in case_ids]
        if unknown or not cases:
            found = listed(unknown, quoted=True) if unknown else "none"
            raise DataError(f"expected ids of its cases, found {found}", "look them up", dataset=manifest.name)
    named = _named_cases(cases, manifest.name, pseudonyms=pseudonyms)
    with new_folder(directory) as work:
        for folder in (IMAGES, LABELS, UNLABELED):
            (work / folder).mkdir()
        sheared = _write_cases(manifest, cases, named, work, workers, complete=case_ids is None)
        provenance = _provenance(manifest, cases, sheared=sheared, pseudonyms=pseudonyms)
        listing = _listing(manifest, named, provenance, label)
        (work / LISTING).write_text(json.dumps(listing, indent=2) + "\n", encoding="utf-8", newline="")
        # So that a study can name the task itself.
        kept = manifest.model_dump(
            mode="json", exclude={"layout", "foreground", "mask_threshold"}, exclude_defaults=True
        )
        content = {**kept, "layout": {"kind": "decathlon", "root": "."}, "foreground": [1]}
        (work / MANIFEST).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8", newline="")
    return ExportedTask(directory, len(cases), sheared)


def check_request(manifest: DatasetManifest, directory: Path, label: str) -> None:
    """Refuse a task that cannot be written, before any case is read."""
    if not _TASK_NAME.fullmatch(directory.name):
        raise ManifestError(
            "expected a folder called Task, two or three digits, _ and a name without another _, like "
            f"'Task11_LungNodules', found '{directory.name}'; nnU-Net and MONAI look for such names."
        )
    if not label.strip() or label == "background":
        raise ManifestError(f"expected a name for the foreground, found '{label}'; name what the masks show.")
    manifest.check_one_foreground()
    check_new_folder(directory)


def _named_cases(cases: Sequence[Case], dataset: str, *, pseudonyms: bool) -> list[Case]:
    """The cases as the task calls them and their patients."""
    if pseudonyms:
        several = any(case.patient_id != case.id for case in cases)
        patients = dict.fromkeys(case.patient_id for case in cases) if several else ()
        called = {patient: f"patient_{k:04d}" for k, patient in enumerate(patients, start=1)}
        names = [f"case_{k:04d}" for k in range(1, len(cases) + 1)]
        return [
            replace(case, id=name, patient_id=called.get(case.patient_id, name))
            for case, name in zip(cases, names, strict=True)
        ]
    # nnU-Net passes over files that start with . or _; disks of macOS and Windows take a.nii.gz and A.nii.gz for one.
    count = Counter(case.id.casefold() for case in cases)
    unfit = [
        name
        for name in (case.id for case in cases)
        if not name[:1].isalnum()
        or not name.isprintable()
        or "/" in name
        or len(name.encode()) > _LONGEST_NAME
        or count[name.casefold()] > 1
    ]
    if unfit:
        raise DataError(
            "expected case ids that differ in more than case, start with a letter or digit and can name files, found "
            f"{', '.join(map(repr, unfit))}",
            "rename these cases, or use pseudonyms",
            dataset=dataset,
        )
    return list(cases)


def _write_cases(
    manifest: DatasetManifest,
    cases: Sequence[Case],
    named: Sequence[Case],
    work: Path,
    workers: int | None,
    *,
    complete: bool,
) -> tuple[str, ...]:
    """Write the files of some cases, and judge them together; those of a `complete` dataset hold every label.

    The names of those whose axes are not at right angles are given back.
    """
    results = map_ordered(
        partial(_write_case, manifest, work),
        list(zip(cases, named, strict=True)),
        workers=workers,
        description=f"Writing {manifest.name}",
        name_of=lambda pair: f"case '{pair[0].id}'",
    )
    problems: list[Problem] = []
    sheared: list[str] = []
    held = False
    tally = LabelStatistics(manifest.foreground)
    for case, name, result in zip(cases, named, results, strict=True):
        if isinstance(result, Problem):
            problems.append(result)
            continue
        found, is_sheared = result
        tally.add(found, case.id)
        held |= holds_foreground(found, manifest.foreground)
        sheared += [name.id] if is_sheared else []
    whole = tally.problems(complete=complete and not problems)
    if not whole and not problems and not held:
        whole = [all_empty(len(cases))]
    problems += [Problem(manifest.name, "", problem, remedy) for problem, remedy in whole]
    if problems:
        raise as_error(problems, manifest.name, len(cases))
    return tuple(sheared)


def _write_case(
    manifest: DatasetManifest, work: Path, pair: tuple[Case, Case]
) -> tuple[tuple[float, ...], bool] | Problem:
    """What find_labels gives of the case, and whether its axes are not at right angles."""
    case, named = pair
    try:
        loaded: Any = manifest.load(case.as_item())
        found = find_labels(loaded["label"], manifest.foreground)
        item = _with_mask(loaded, manifest)
        image, label, affine = _nifti_arrays(item, drawn=not isinstance(case.image, (str, os.PathLike)))
        _write_nifti(work / IMAGES / f"{named.id}.nii.gz", image, affine)
        _write_nifti(work / LABELS / f"{named.id}.nii.gz", label, affine)
        # As the file holds it, in 32 bits.
        directions = affine[:3, :3].astype(np.float32).astype(np.float64)
        directions /= np.linalg.norm(directions, axis=0)
        return found, bool(np.abs(directions.T @ directions - np.eye(3)).max() > _RIGHT_ANGLE)
    # Any transform may fail in any way, and one bad case must not hide the others.
    except Exception as error:  # noqa: BLE001
        return case_problem(error, manifest.name, case.id)


def _with_mask(item: Any, manifest: DatasetManifest) -> dict[Any, Any]:
    """A case with every check that a study makes of a pair; the mask, of 0 and 1, is on the image's own voxels."""
    checks = [OrientAxiald(("image", "label")), CheckSameSpaced("image", reference_key="label"), CheckFinited("image")]
    prepared: Any = Compose([*checks, BinarizeLabeld("label", manifest.foreground)])(item)
    mask = prepared["label"]
    if item["image"].ndim == 4:
        # A mask file may order its axes in another way than the image's; here it follows the image.
        axes: Any = nib.orientations
        change = axes.ornt_transform(*(closest_axes(one.affine.numpy()) for one in (mask, item["image"])))
        # A copy, as torch takes no array that is flipped.
        mask = torch.from_numpy(axes.apply_orientation(np.asarray(mask[0]), change).copy())[None]
    return {**item, "label": mask}


def _nifti_arrays(item: Mapping[str, Any], *, drawn: bool) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float64]]:
    """Image and mask, (x, y, z), and affine (4, 4) of a case; intensities, grid and orientation are the image's own.

    A 2D image becomes a volume of one slice, columns first, that every reader shows as the image. The order of the axes
    of an image that was `drawn`, and is in no file, is nobody's choice: slices go last, where nnU-Net expects them.
    """
    image, label = (item[key].as_subclass(torch.Tensor).numpy()[0] for key in ("image", "label"))
    if max(image.shape) > _LONGEST_AXIS:
        raise DataError(
            f"expected at most {_LONGEST_AXIS} pixels along each axis, which is what NIfTI can hold, "
            f"found {image.shape}; crop or split the image."
        )
    if image.ndim == 2:
        image, label, affine = image.T[..., None], label.T[..., None], _PICTURE_AFFINE
    else:
        affine = item["image"].affine.double().numpy()
        if drawn and closest_axes(affine)[0, 0] == 2:
            image, label, affine = image.T, label.T, affine[:, [2, 1, 0, 3]]
    return _narrowest(image), label.astype(np.uint8), affine


def _narrowest(values: NDArray[Any]) -> NDArray[Any]:
    """The same values as the smallest integers that hold them all, or as float32."""
    for kind in (np.uint8, np.int16, np.uint16):
        limits = np.iinfo(kind)
        if limits.min <= values.min() and values.max() <= limits.max and np.array_equal(values, np.rint(values)):
            return values.astype(kind)
    return values.astype(np.float32, copy=False)


def _write_nifti(path: Path, voxels: NDArray[Any], affine: NDArray[np.float64]) -> None:
    image: Any = nib.nifti1.Nifti1Image(voxels, affine, dtype=voxels.dtype)  # type: ignore[no-untyped-call]
    image.header.set_xyzt_units("mm")
    # gzip would note the time and the file's name.
    with (
        path.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=_COMPRESSION, fileobj=file, mtime=0) as packed,
    ):
        image.to_stream(packed)


def _listing(
    manifest: DatasetManifest, named: Sequence[Case], provenance: dict[str, Any], label: str
) -> dict[str, Any]:
    """The content of dataset.json; no path of this machine is in it, nor the time."""
    entries = [
        {"image": f"./{IMAGES}/{case.id}.nii.gz", "label": f"./{LABELS}/{case.id}.nii.gz"}
        | ({} if case.patient_id == case.id else {"patient_id": case.patient_id})
        for case in named
    ]
    # nnU-Net and MONAI ask for all of these keys; nnU-Net demands imagesTs and "test" even of a task that has none.
    return {
        "name": manifest.name,
        "description": manifest.description,
        "reference": f"made by medsegdist from a dataset of layout '{manifest.layout.kind}'",
        "licence": manifest.license,
        "release": f"medsegdist {version('medsegdist')}",
        "tensorImageSize": "3D",
        "modality": {"0": _MODALITIES[manifest.modality]},
        "labels": {"0": "background", "1": label},
        "numTraining": len(named),
        "numTest": 0,
        "provenance": provenance,
        "training": entries,
        "test": [],
    }


def _provenance(
    manifest: DatasetManifest, cases: Sequence[Case], *, sheared: Sequence[str], pseudonyms: bool
) -> dict[str, Any]:
    options = manifest.layout.model_dump()
    found: dict[str, Any] = {
        "medsegdist": version("medsegdist"),
        "layout": {name: value for name, value in options.items() if not isinstance(value, Path)},
        "foreground": "the only value besides 0" if manifest.foreground is None else list(manifest.foreground),
        **({} if manifest.mask_threshold is None else {"mask_threshold": manifest.mask_threshold}),
        "simulated": manifest.simulated or "nothing",
        "case_names": "pseudonyms" if pseudonyms else "those of the source",
    }
    if manifest.window is not None:
        found["window"] = list(manifest.window)
    if any(is_picture(case.image) for case in cases):
        found["spacing"] = "unknown; 1 mm stands for one pixel"
    if sheared:
        found["not_at_right_angles"] = list(sheared)
    return found
