"""From any dataset to a task folder of the Medical Segmentation Decathlon."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import yaml
from numpy.typing import NDArray

from medsegdist.data.case import Case
from medsegdist.data.case_statistics import FOUND_LABELS, LabelStatistics, all_empty, holds_foreground
from medsegdist.data.dataset import raw_dataset
from medsegdist.data.layouts.paths import is_picture
from medsegdist.data.manifest import DatasetManifest
from medsegdist.data.problems import Problem, as_error, case_problem
from medsegdist.errors import DataError, ManifestError, MedSegDistError
from medsegdist.files import atomic_write
from medsegdist.parallel import map_ordered
from medsegdist.words import counted

IMAGES, LABELS, UNLABELED = "imagesTr", "labelsTr", "imagesTs"
LISTING, MANIFEST = "dataset.json", "dataset.yaml"

# nnU-Net takes the number and the name apart at the only underscore.
_TASK_NAME = re.compile(r"Task\d{2,3}_[A-Za-z0-9.-]*[A-Za-z0-9-]")
# Room for a suffix and for the names of files that are being written.
_LONGEST_NAME = 200
# As the Decathlon's own tasks call them.
_MODALITIES = {"CT": "CT", "MR": "MRI", "other": "other"}
# How far from a right angle ITK takes two axes for perpendicular, as the cosine between them; found by trial.
_RIGHT_ANGLE = 1e-4
# nibabel's own level: the higher ones take several times longer for a few percent.
_COMPRESSION = 1


@dataclass(frozen=True, slots=True)
class ExportedTask:
    """A task folder that is complete.

    Args:
        directory: the folder.
        cases: how many it has.
        resumed: how many of them an interrupted run had written before.
        sheared: names of cases in it whose axes are not at right angles, as of a tilted gantry. MONAI and nibabel read
            them; ITK does not, and so neither does nnU-Net by its default reader.
    """

    directory: Path
    cases: int
    resumed: int
    sheared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Name:
    """What a case is called in a task, and its patient; None if that is no other than the case itself."""

    case: str
    patient: str | None


@dataclass(frozen=True, slots=True)
class _Written:
    """What is known of a case whose files are written; `found` is what LabelStatistics takes."""

    found: list[float]
    channels: int
    sheared: bool
    resumed: bool


def export_task(
    manifest: DatasetManifest,
    directory: str | Path,
    *,
    label: str = "foreground",
    overwrite: bool = False,
    pseudonyms: bool = False,
    workers: int | None = 1,
) -> ExportedTask:
    """Write a dataset as a task folder of the Decathlon, which MONAI, nnU-Net and medsegdist read.

    Images keep their grid, orientation and intensities; the channel or color that the manifest names is written.
    Masks become 0 and 1. A 2D image becomes a volume of one slice. dataset.json says what the task was made from, and
    names patients if a patient is not a case. dataset.yaml is the manifest of the task.

    The same dataset gives the same bytes. The folder appears when it is complete; until then its files are in a hidden
    folder with the same parent, and a run after an interruption writes those that are missing.

    Args:
        manifest: which dataset.
        directory: new or empty folder to write, named like Task11_LungNodules.
        label: what the foreground shows, for dataset.json.
        overwrite: replace the task that is in `directory`, once the new one is complete.
        pseudonyms: call cases and patients case_0001 and patient_0001 on, in their order, instead of by their ids.
        workers: processes that read and compress cases, as for :func:`~medsegdist.parallel.map_ordered`.

    Raises:
        ManifestError: the folder's name or `label` cannot be used, the folder holds the dataset itself, or the dataset
            has classes.
        DataError: cases are bad (every one is listed), a wanted label is in no case, or all masks are empty.
        FileExistsError: `directory` holds something already.
        MedSegDistError: a worker was killed.
        OSError: the disk is full or not writable.
    """
    # Through a symbolic link to the true place: renaming would replace the link.
    directory = Path(directory).resolve()
    _check_request(manifest, directory, label)
    cases = manifest.cases()
    names = _names_of(cases, manifest.name, pseudonyms=pseudonyms)
    _check_place(directory, overwrite=overwrite)
    work = _work_folder(manifest, directory, names)
    for folder in (IMAGES, LABELS, UNLABELED):
        (work / folder).mkdir(parents=True, exist_ok=True)
    try:
        written = _write_cases(manifest, cases, names, work, workers)
        sheared = tuple(name.case for name, one in zip(names, written, strict=True) if one.sheared)
        channels = written[0].channels
        provenance = _provenance(manifest, cases, sheared=sheared, pseudonyms=pseudonyms)
        # dataset.json comes last: a task that has it has everything.
        for file, text in (
            (MANIFEST, _manifest_text(manifest, channels)),
            (LISTING, _listing_text(manifest, names, provenance, label=label, channels=channels)),
        ):
            with atomic_write(work / file) as stream:
                stream.write(text)
        _publish(work, directory, len(cases), overwrite=overwrite)
    except BaseException as error:
        finished = len(list((work / LABELS).glob("*.nii.gz")))
        if finished:
            error.add_note(
                f"{finished} of {counted(len(cases), 'case')} are finished and wait in {work}; run the same again to "
                "go on, or delete that folder."
            )
        else:
            shutil.rmtree(work, ignore_errors=True)
        raise
    return ExportedTask(directory, len(cases), sum(one.resumed for one in written), sheared)


def _check_request(manifest: DatasetManifest, directory: Path, label: str) -> None:
    if not _TASK_NAME.fullmatch(directory.name):
        raise ManifestError(
            "expected a folder called Task, two or three digits, _ and a name without another _, like "
            f"'Task11_LungNodules', found '{directory.name}'; nnU-Net and MONAI look for such names."
        )
    if not label.strip() or label == "background":
        raise ManifestError(f"expected a name for the foreground, found '{label}'; name what the masks show.")
    for _, value in manifest.layout:
        if isinstance(value, Path) and (value.resolve() == directory or directory in value.resolve().parents):
            raise ManifestError(
                f"the dataset is in {directory} itself, where the task is to be written",
                "choose another folder",
                dataset=manifest.name,
            )
    manifest.check_one_foreground()


def _names_of(cases: Sequence[Case], dataset: str, *, pseudonyms: bool) -> list[_Name]:
    if pseudonyms:
        number = {patient: k for k, patient in enumerate(dict.fromkeys(case.patient_id for case in cases), start=1)}
        several = any(case.patient_id != case.id for case in cases)
        return [
            _Name(f"case_{k:04d}", f"patient_{number[case.patient_id]:04d}" if several else None)
            for k, case in enumerate(cases, start=1)
        ]
    # Disks of macOS and Windows take a.nii.gz and A.nii.gz for one file.
    count = Counter(case.id.casefold() for case in cases)
    unfit = [case.id for case in cases if not _fits_a_file(case.id) or count[case.id.casefold()] > 1]
    if unfit:
        raise DataError(
            "expected case ids that differ in more than case, start with a letter or digit and can name files, found "
            f"{', '.join(map(repr, unfit))}",
            "rename these cases, or use pseudonyms",
            dataset=dataset,
        )
    return [_Name(case.id, case.patient_id if case.patient_id != case.id else None) for case in cases]


def _fits_a_file(case_id: str) -> bool:
    # nnU-Net passes over files that start with . or _
    fits = case_id[:1].isalnum() and case_id.isprintable() and "/" not in case_id
    return fits and len(case_id.encode()) <= _LONGEST_NAME


def _check_place(directory: Path, *, overwrite: bool) -> None:
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return
    is_task = (directory / LISTING).is_file()
    if is_task:
        # Left by a process that was killed right after the new task took its place.
        for replaced in directory.parent.glob(_hidden(directory, "replaced")):
            shutil.rmtree(replaced, ignore_errors=True)
    if not overwrite or not is_task:
        problem = (
            f"expected a task to overwrite, but found no {LISTING} in it; choose another folder"
            if overwrite
            else "expected a new or empty folder; choose another, or allow this task to be overwritten (--force)"
        )
        raise FileExistsError(errno.EEXIST, problem, directory)


def _work_folder(manifest: DatasetManifest, directory: Path, names: Sequence[_Name]) -> Path:
    """Hidden folder in which the task is made; another one for another dataset, foreground or naming."""
    made_from = [version("medsegdist"), manifest.layout.model_dump(mode="json"), manifest.foreground]
    content = json.dumps([*made_from, [name.case for name in names]], default=str)
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    return directory.with_name(f".{directory.name}.{digest}.unfinished")


def _hidden(directory: Path, what: str) -> str:
    """A pattern for the hidden folders of this task, and not of one whose name begins alike."""
    return f".{directory.name}.{'[0-9a-f]' * 8}.{what}"


def _publish(work: Path, directory: Path, cases: int, *, overwrite: bool) -> None:
    """Put the complete folder in its place, and remove what interrupted runs have left."""
    _check_place(directory, overwrite=overwrite)
    for partial_file in work.rglob("*.partial"):
        partial_file.unlink()
    if len(list((work / LABELS).iterdir())) != cases:
        raise MedSegDistError(f"another process has moved files out of {work}; run the same again.")
    replaced = work.with_suffix(".replaced")
    if directory.exists():
        directory.rename(replaced)
    work.rename(directory)
    for left in (replaced, *directory.parent.glob(_hidden(directory, "unfinished"))):
        shutil.rmtree(left, ignore_errors=True)


def _write_cases(
    manifest: DatasetManifest, cases: Sequence[Case], names: Sequence[_Name], work: Path, workers: int | None
) -> list[_Written]:
    """Write the files of all cases that have none, and judge all of them together."""
    from medsegdist.data.native import native_reader

    write = partial(_write_case, manifest, native_reader(manifest), work)
    results = map_ordered(
        write,
        list(zip(cases, names, strict=True)),
        workers=workers,
        description=f"Writing {manifest.name}",
        name_of=lambda pair: f"case '{pair[0].id}'",
    )
    problems: list[Problem] = []
    written: list[_Written] = []
    tally = LabelStatistics(manifest.foreground)
    channels: dict[int, str] = {}
    for case, result in zip(cases, results, strict=True):
        if isinstance(result, Problem):
            problems.append(result)
        else:
            written.append(result)
            tally.add(result.found, case.id)
            channels.setdefault(result.channels, case.id)
    whole = tally.problems(len(cases), complete=not problems)
    if not whole and not problems and not any(holds_foreground(one.found, manifest.foreground) for one in written):
        whole = [all_empty(len(cases))]
    if len(channels) > 1:
        named = ", ".join(f"{count} (case '{case}')" for count, case in sorted(channels.items()))
        whole.append((f"expected as many channels in every image, found {named}", "choose one channel"))
    problems += [Problem(manifest.name, "", problem, remedy) for problem, remedy in whole]
    if problems:
        raise as_error(problems, manifest.name, len(cases))
    return written


def _write_case(
    manifest: DatasetManifest, read: Callable[[Case], dict[str, Any]], work: Path, pair: tuple[Case, _Name]
) -> _Written | Problem:
    from medsegdist.data.native import nifti_arrays

    case, name = pair
    image_file, label_file = (work / folder / f"{name.case}.nii.gz" for folder in (IMAGES, LABELS))
    try:
        resumed = _is_newer(image_file, case) and _is_newer(label_file, case)
        if resumed:
            found = raw_dataset(manifest, [case], "masks")[0][FOUND_LABELS]
        else:
            item = read(case)
            found = item[FOUND_LABELS]
            image, label, affine = nifti_arrays(item, drawn=not _file_of(case.image))
            _write_nifti(image_file, image, affine)
            _write_nifti(label_file, label, affine)
        header: Any = nib.load(image_file)
        directions = header.affine[:3, :3] / np.linalg.norm(header.affine[:3, :3], axis=0)
        return _Written(
            found=np.atleast_1d(np.asarray(found)).astype(float).tolist(),
            channels=header.shape[3] if len(header.shape) == 4 else 1,
            sheared=bool(np.abs(directions.T @ directions - np.eye(3)).max() > _RIGHT_ANGLE),
            resumed=resumed,
        )
    # Any transform may fail in any way, and one bad case must not hide the others.
    except Exception as error:  # noqa: BLE001
        return case_problem(error, manifest.name, case.id)


def _is_newer(file: Path, case: Case) -> bool:
    """Whether a file was written after the files that its case is read from."""
    sources = [path for path in (_file_of(case.image), _file_of(case.label)) if path]
    return file.exists() and all(path.stat().st_mtime_ns <= file.stat().st_mtime_ns for path in sources)


def _file_of(source: object) -> Path | None:
    return Path(source) if isinstance(source, (str, os.PathLike)) and Path(source).is_file() else None


def _write_nifti(path: Path, voxels: NDArray[Any], affine: NDArray[np.float64]) -> None:
    image: Any = nib.nifti1.Nifti1Image(voxels, affine, dtype=voxels.dtype)  # type: ignore[no-untyped-call]
    image.header.set_xyzt_units("mm")
    # gzip would note the time and the file's name.
    with (
        atomic_write(path, binary=True) as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=_COMPRESSION, fileobj=file, mtime=0) as packed,
    ):
        image.to_stream(packed)


def _listing_text(
    manifest: DatasetManifest, names: Sequence[_Name], provenance: dict[str, Any], *, label: str, channels: int
) -> str:
    """The content of dataset.json; no path of this machine is in it, nor the time."""
    modality = _MODALITIES[manifest.modality]
    entries = [
        {"image": f"./{IMAGES}/{name.case}.nii.gz", "label": f"./{LABELS}/{name.case}.nii.gz"}
        | ({} if name.patient is None else {"patient_id": name.patient})
        for name in names
    ]
    # nnU-Net and MONAI ask for all of these keys; nnU-Net demands imagesTs and "test" even of a task that has none.
    listing = {
        "name": manifest.name,
        "description": manifest.description,
        "reference": f"made by medsegdist from a dataset of layout '{manifest.layout.kind}'",
        "licence": manifest.license,
        "release": f"medsegdist {version('medsegdist')}",
        "tensorImageSize": "3D" if channels == 1 else "4D",
        "modality": {str(channel): modality for channel in range(channels)},
        "labels": {"0": "background", "1": label},
        "numTraining": len(names),
        "numTest": 0,
        "provenance": provenance,
        "training": entries,
        "test": [],
    }
    return json.dumps(listing, indent=2) + "\n"


def _provenance(
    manifest: DatasetManifest, cases: Sequence[Case], *, sheared: Sequence[str], pseudonyms: bool
) -> dict[str, Any]:
    layout = manifest.layout
    options = layout.model_dump(mode="json")
    local = [name for name in options if isinstance(getattr(layout, name), Path)]
    found: dict[str, Any] = {
        "medsegdist": version("medsegdist"),
        "layout": {name: value for name, value in options.items() if name not in local},
        "foreground": "the only value besides 0" if manifest.foreground is None else list(manifest.foreground),
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


def _manifest_text(manifest: DatasetManifest, channels: int) -> str:
    """A manifest of the task itself, so that a study can name it."""
    layout: dict[str, Any] = {"kind": "decathlon", "root": "."} | ({"channel": 0} if channels > 1 else {})
    content = manifest.model_dump(mode="json", exclude={"layout", "foreground"}, exclude_defaults=True)
    return yaml.safe_dump({**content, "layout": layout, "foreground": [1]}, sort_keys=False)
