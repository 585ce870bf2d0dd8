"""The hand-over of a dataset to MONAI's Auto3DSeg: a task folder, folds of whole patients, AutoRunner's input."""

from __future__ import annotations

import errno
import json
import re
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from sklearn.model_selection import StratifiedGroupKFold

from medsegdist.data.auto3dseg_readme import readme_text
from medsegdist.data.case import Case
from medsegdist.data.export import export_task
from medsegdist.data.layouts._paths import is_picture
from medsegdist.data.manifest import DatasetManifest
from medsegdist.data.reading import Progress
from medsegdist.data.task_names import names_of
from medsegdist.data.unfinished_task import IMAGES, LABELS
from medsegdist.errors import DataError, ManifestError
from medsegdist.files import atomic_write

DATALIST, INPUT, README, PRETRAINED = "datalist.json", "input.yaml", "README.md", "pretrained"
# Auto3DSeg knows two: CT is scaled by a range, and the other by each image's own mean and deviation.
_MODALITIES = {"CT": "CT", "MR": "MRI", "other": "MRI"}
_IN_A_BUNDLE = ("configs/metadata.json", "configs/inference.json", "models/model.pt")


@dataclass(frozen=True, slots=True)
class HandOver:
    """A folder that Auto3DSeg can start from.

    Args:
        directory: the folder.
        cases: how many are to be trained and validated on.
        folds: how many cases each fold has.
        bundle: the copy of the pre-training; None if there is none.
    """

    directory: Path
    cases: int
    folds: tuple[int, ...]
    bundle: Path | None


def export_auto3dseg(
    manifest: DatasetManifest,
    directory: str | Path,
    *,
    folds: int = 5,
    seed: int = 0,
    label: str = "foreground",
    bundle: str | Path | None = None,
    overwrite: bool = False,
    pseudonyms: bool = False,
    progress: Progress | None = None,
) -> HandOver:
    """Write what Auto3DSeg needs to go on with a dataset: a task folder, datalist.json and input.yaml, and a README.

    The task folder is that of :func:`~medsegdist.data.export.export_task`: masks of 0 and 1, images as they are.
    Entries of the datalist have "image" and "label" relative to `directory`, "fold", and "patient", a number that
    medsegdist's datalist layout takes as its `patient_key`; no patient is in two folds. Of the two files input.yaml
    comes last: where it is, everything is. It names `directory` by its absolute path.

    Args:
        manifest: which dataset.
        directory: new or empty folder to write.
        folds: for cross-validation; at least 2, and no more than patients.
        seed: of the draw of the folds.
        label: what the foreground shows.
        bundle: a bundle of `medsegdist transfer --bundle`, which is copied to `directory`/pretrained.
        overwrite: replace the hand-over that is in `directory`.
        pseudonyms: number cases instead of calling them by their ids.
        progress: called after each case with (cases done, cases there are).

    Raises:
        ManifestError: the dataset holds pictures or has classes, or `folds` or `label` cannot be used.
        DataError: cases are bad, there are fewer patients than folds, or `bundle` is none.
        FileExistsError: `directory` holds something already.
        OSError: the disk is full or not writable.
    """
    manifest.check_one_foreground()
    directory = Path(directory).resolve()
    task = directory / f"Task01_{re.sub(r'[^A-Za-z0-9]+', '-', manifest.name).strip('-') or 'Dataset'}"
    _check_place(directory, task.name, overwrite=overwrite)
    described = None if bundle is None else _description(Path(bundle))
    cases = manifest.cases()
    if any(is_picture(case.image) for case in cases):
        raise ManifestError(
            f"dataset '{manifest.name}' holds pictures, and Auto3DSeg trains on volumes; hand over a dataset of "
            "volumes, or write this one for other tools by `medsegdist prepare`."
        )
    fold_of = folds_by_patient(manifest.name, [case.patient_id for case in cases], folds, seed)
    export_task(manifest, task, label=label, overwrite=overwrite, pseudonyms=pseudonyms, progress=progress)
    # From here on an older input.yaml would name files of two hand-overs.
    (directory / INPUT).unlink(missing_ok=True)
    copied = _copied(bundle, directory / PRETRAINED)
    texts = {
        README: readme_text(manifest, directory, described),
        DATALIST: json.dumps(_datalist(manifest, cases, task.name, fold_of, label, pseudonyms), indent=2) + "\n",
        INPUT: _input_text(manifest, directory, label),
    }
    for name, text in texts.items():
        with atomic_write(directory / name) as file:
            file.write(text)
    return HandOver(directory, len(cases), tuple(fold_of.count(fold) for fold in range(folds)), copied)


def folds_by_patient(name: str, patient_ids: Sequence[str], folds: int, seed: int) -> list[int]:
    """The fold of each case, with all cases of a patient in one, and about as many cases in each as in any other.

    Args:
        name: the dataset's name, for messages.
        patient_ids: (n,) whom each case shows.
        folds: how many.
        seed: of the draw.

    Raises:
        ManifestError: fewer than two folds.
        DataError: there are fewer patients than folds.
    """
    if folds < 2:
        raise ManifestError(f"expected at least 2 folds, to train on one and validate on another, found {folds}.")
    patients = len(set(patient_ids))
    if patients < folds:
        raise DataError(
            f"dataset '{name}': expected at least {folds} patients for {folds} folds, found {patients}; ask for fewer "
            "folds, add patients, or check that the layout tells patients apart."
        )
    # One stratum: what is left of stratified folds is that they are as large as one another.
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    one_stratum = np.zeros(len(patient_ids), dtype=int)
    fold_of = [0] * len(patient_ids)
    for fold, (_, validation) in enumerate(splitter.split(one_stratum, one_stratum, np.asarray(patient_ids))):
        for case in validation:
            fold_of[case] = fold
    return fold_of


def _datalist(
    manifest: DatasetManifest, cases: Sequence[Case], task: str, fold_of: Sequence[int], label: str, pseudonyms: bool
) -> dict[str, Any]:
    number = {patient: k for k, patient in enumerate(dict.fromkeys(case.patient_id for case in cases))}
    names = names_of(cases, pseudonyms=pseudonyms, dataset=manifest.name)
    training = [
        {
            "image": f"{task}/{IMAGES}/{name.case}.nii.gz",
            "label": f"{task}/{LABELS}/{name.case}.nii.gz",
            "fold": fold,
            # A number, because MONAI takes every text of an entry for a path.
            "patient": number[case.patient_id],
        }
        for case, name, fold in zip(cases, names, fold_of, strict=True)
    ]
    return {
        "name": manifest.name,
        "description": manifest.description,
        "reference": f"made by medsegdist {version('medsegdist')}",
        "licence": manifest.license,
        "labels": {"0": "background", "1": label},
        "training": training,
        "testing": [],
    }


def _input_text(manifest: DatasetManifest, directory: Path, label: str) -> str:
    content = {
        "name": manifest.name,
        "task": "segmentation",
        "modality": _MODALITIES[manifest.modality],
        "datalist": str(directory / DATALIST),
        "dataroot": str(directory),
        "class_names": [label],
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _check_place(directory: Path, task: str, *, overwrite: bool) -> None:
    # Hidden is what an interrupted export has finished, from where it goes on.
    found = {path.name for path in directory.iterdir() if path.name[0] != "."} if directory.exists() else set()
    if found and not overwrite:
        raise FileExistsError(
            errno.EEXIST,
            "expected a new or empty folder; choose another, or allow what is there to be overwritten (--force)",
            directory,
        )
    foreign = sorted(found - {task, DATALIST, INPUT, README, PRETRAINED})
    if foreign:
        raise FileExistsError(
            errno.EEXIST,
            f"expected a hand-over of the same dataset to overwrite, but found {', '.join(foreign)[:200]} in it; "
            "choose another folder",
            directory,
        )


def _description(bundle: Path) -> str:
    """What a bundle says of itself."""
    lacking = [name for name in _IN_A_BUNDLE if not (bundle / name).is_file()]
    if lacking:
        raise DataError(
            f"{bundle}: expected a bundle as `medsegdist transfer --bundle` writes it, in OUT/bundles, found no "
            f"{' and no '.join(lacking)}; name the folder of one target."
        )
    try:
        return str(json.loads((bundle / _IN_A_BUNDLE[0]).read_text(encoding="utf-8"))["description"])
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"{bundle / _IN_A_BUNDLE[0]}: expected the description of a bundle, found none.") from error


def _copied(bundle: str | Path | None, place: Path) -> Path | None:
    partial = place.with_name(f".{place.name}.{secrets.token_hex(4)}.partial")
    try:
        if bundle is not None:
            shutil.copytree(bundle, partial)
        if place.exists():
            shutil.rmtree(place)
        if bundle is not None:
            partial.rename(place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return None if bundle is None else place
