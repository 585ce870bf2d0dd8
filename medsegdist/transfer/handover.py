"""From a ranking to training: a source and a target as Decathlon tasks, and what to type in nnU-Net and MONAI."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any

import jinja2
import nibabel as nib
import numpy as np
import yaml
from sklearn.model_selection import GroupKFold

from medsegdist.data.export import IMAGES, LISTING, MANIFEST, export_task
from medsegdist.data.manifest import DatasetManifest
from medsegdist.data.study import Study
from medsegdist.distance.order import Recommendation
from medsegdist.errors import ManifestError
from medsegdist.files import new_folder
from medsegdist.transfer.bundle import bundle_names
from medsegdist.words import counted, did_you_mean, listed

_SPLITS = "splits_final.json"


@dataclass(frozen=True, slots=True)
class Handover:
    """What was written for one target."""

    directory: Path
    source: str  # name of the dataset to pre-train on
    target: str  # name of the dataset to fine-tune on
    tasks: tuple[str, str]  # folders of both in `directory`, in this order
    configuration: str  # of nnU-Net, "2d" or "3d_fullres"
    cautions: tuple[str, ...]  # what speaks against it, in sentences


@dataclass(frozen=True, slots=True)
class _Task:
    """A task that is written: its dataset, its folder's name, its dataset.json and what is known of its images."""

    manifest: DatasetManifest
    folder: str
    listing: dict[str, Any]
    slices: float
    sheared: int

    @property
    def nnunet(self) -> str:
        """What nnU-Net calls it."""
        return f"Dataset{self.folder.removeprefix('Task')}"

    @property
    def cases(self) -> str:
        """How many it has."""
        return counted(len(self.listing["training"]), "case")


def write_handover(
    study: Study,
    order: Sequence[Recommendation],
    directory: str | Path,
    *,
    source: str | None = None,
    pseudonyms: bool = False,
    workers: int | None = 1,
) -> Handover:
    """Write source and target as tasks, with a study of both, patient-wise folds, and a README.md of commands.

    The first source of the order is taken unless one is named. The folder appears when it is complete, and may be
    moved: no path of this machine is in it.
    """
    target = order[0].target
    manifests = {dataset.name: dataset for dataset in study.datasets}
    ranked = {one.source: one for one in order}
    missing = [name for name in (target, *ranked) if name not in manifests]
    if missing:
        found = listed(missing, quoted=True)
        raise ManifestError(
            f"study '{study.name}': expected every dataset of the ranking, found none called {found}",
            "rank the study again",
        )
    chosen = ranked.get(source or order[0].source)
    if chosen is None:
        hint = did_you_mean(source, ranked) or "; choose one of them, or rank the study again."
        raise ManifestError(
            f"expected a source of '{target}' in the ranking, {listed([*ranked])}, found '{source}'{hint}"
        )
    with new_folder(directory) as work:
        # nnU-Net has folders of its own there, in which no number is taken.
        pair = [
            _write_task(manifests[name], work, number, pseudonyms=pseudonyms, workers=workers)
            for name, number in ((chosen.source, 501), (target, 502))
        ]
        # What nnU-Net does by itself: it plans 3D networks for volumes of more than one slice.
        configuration = "3d_fullres" if min(task.slices for task in pair) > 1 else "2d"
        cautions = tuple(_cautions(order, chosen, pair))
        folds = _splits(pair[1].listing["training"])
        texts = {
            "README.md": _readme(
                source=pair[0],
                target=pair[1],
                configuration=configuration,
                cautions=cautions,
                folds=counted(len(folds), "fold") if folds else "",
                bundle=bundle_names([chosen.source, target])[target],
            ),
            "study.yaml": _study(study, pair),
            **({_SPLITS: json.dumps(folds, indent=2) + "\n"} if folds else {}),
        }
        for name, text in texts.items():
            (work / name).write_text(text, encoding="utf-8", newline="")
    tasks = (pair[0].folder, pair[1].folder)
    return Handover(Path(directory), chosen.source, target, tasks, configuration, cautions)


def _write_task(manifest: DatasetManifest, directory: Path, number: int, **options: Any) -> _Task:
    # nnU-Net, and every shell, takes letters, digits and hyphens as they are.
    name = re.sub(r"[^A-Za-z0-9]+", "-", manifest.name).strip("-") or "Dataset"
    written = export_task(manifest, directory / f"Task{number}_{name}", **options)
    listing = json.loads((written.directory / LISTING).read_text(encoding="utf-8"))
    images: list[Any] = [nib.loadsave.load(path) for path in (written.directory / IMAGES).iterdir()]
    slices = median(min(one.shape[:3]) for one in images)
    return _Task(manifest, written.directory.name, listing, slices, len(written.sheared))


def _study(study: Study, pair: Sequence[_Task]) -> str:
    """A study of the two tasks, prepared and trained on as in the one that ranked them."""
    kept = {"name", "preprocessing", "distance", "methods", "transfer", "shared_images"}
    content = study.model_dump(mode="json", include=kept, exclude_unset=True)
    content |= {"datasets": [f"{task.folder}/{MANIFEST}" for task in pair], "targets": [pair[1].manifest.name]}
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _splits(entries: Sequence[dict[str, str]]) -> list[dict[str, list[str]]]:
    """Five folds as nnU-Net reads them, which by itself would cut patients; fewer of few patients, none of one."""
    names = np.array([Path(one["image"]).name.removesuffix(".nii.gz") for one in entries])
    patients = [one.get("patient_id", name) for one, name in zip(entries, names, strict=True)]
    folds = min(5, len({*patients}))
    parts = GroupKFold(folds).split(names, groups=patients) if folds > 1 else ()
    return [{"train": names[train].tolist(), "val": names[held_out].tolist()} for train, held_out in parts]


def _cautions(order: Sequence[Recommendation], chosen: Recommendation, pair: Sequence[_Task]) -> Iterator[str]:
    """What speaks against pre-training on this source, in sentences."""
    name, tied = chosen.source, [one.source for one in order if one.rank == chosen.rank and one is not chosen]
    if chosen is not order[0]:
        yield f"The ranking recommends {order[0].source}; {name} has rank {chosen.rank} of {len(order)}."
    if tied:
        yield f"The ranking cannot distinguish {name} from {listed(tied)}: they share rank {chosen.rank}."
    if len(order) == 1:
        yield f"{name} is the only source: nothing was ranked."
    elif chosen.chance is None:
        yield "How sure the ranking is remains open, as it has no chances."
    else:
        best = "best" if chosen.learned else "nearest"
        yield f"By the ranking, the chance that {name} is the {best} of {len(order)} is {100 * chosen.chance:.0f} %."
    yield "A distance is no proof that pre-training helps: train from scratch, too, and compare."
    ranges = [
        "CT in HU" if one.modality == "CT" and one.window is None else f"{one.modality} in a range of its own"
        for one in (task.manifest for task in pair)
    ]
    if len({*ranges}) > 1 and "CT" in {task.manifest.modality for task in pair}:
        yield (
            f"{name} is {ranges[0]} and {chosen.target} is {ranges[1]}, but the plans bring the target's normalization "
            "to the source, of CT also its clip values, mean and deviation. nnU-Net says that this may not work well."
        )
    for task in pair:
        called = task.manifest.name
        if "spacing" in task.listing["provenance"]:
            yield (
                f"The pixel size of {called} is unknown, and 1 mm stands for it; nnU-Net resamples both to the "
                "spacing of the target."
            )
        if task.sheared:
            yield (
                f"Axes are not at right angles in {task.sheared} of {task.cases} of {called}, as of a "
                "tilted gantry: ITK, by which nnU-Net converts, does not read them."
            )
        if task.manifest.simulated:
            yield f"Simulated in {called}: {task.manifest.simulated}."


def _readme(**known: Any) -> str:
    text = (files("medsegdist.transfer") / "handover.md.jinja").read_text(encoding="utf-8")
    template = jinja2.Template(text, undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    rendered: str = template.render(splits=_SPLITS, listing=LISTING, version=version("medsegdist"), **known)
    return rendered
