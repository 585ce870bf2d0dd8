"""From any dataset to a task folder of the Medical Segmentation Decathlon."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from medsegdist.data.cache_names import source_stamp
from medsegdist.data.case import Case
from medsegdist.data.dataset import native_dataset
from medsegdist.data.grouping import as_error
from medsegdist.data.label_tally import LabelTally, all_empty
from medsegdist.data.manifest import DatasetManifest
from medsegdist.data.packed_case import PackCase
from medsegdist.data.parallel import WorkerLostError, ordered_results
from medsegdist.data.problems import Problem
from medsegdist.data.reading import Progress
from medsegdist.data.task_listing import task_texts
from medsegdist.data.task_names import CaseName, check_task_name, names_of
from medsegdist.data.unfinished_task import CaseRecord, UnfinishedTask, unfinished_task, workplace_of
from medsegdist.errors import ManifestError, MedSegDistError
from medsegdist.words import counted


@dataclass(frozen=True, slots=True)
class ExportedTask:
    """A task folder that is complete.

    Args:
        directory: the folder.
        cases: how many it has.
        resumed: how many of them an interrupted run had finished before.
        sheared: names of cases in it whose axes are not at right angles, as of a tilted gantry. MONAI and nibabel read
            them; ITK does not, and so neither does nnU-Net by its default reader.
    """

    directory: Path
    cases: int
    resumed: int
    sheared: tuple[str, ...] = ()


def export_task(
    manifest: DatasetManifest,
    directory: str | Path,
    *,
    label: str = "foreground",
    overwrite: bool = False,
    pseudonyms: bool = False,
    progress: Progress | None = None,
    workers: int | None = 1,
) -> ExportedTask:
    """Write a dataset as a task folder of the Decathlon, which MONAI, nnU-Net and medsegdist read.

    Images keep their grid, orientation and intensities; the channel or color that the manifest names is written.
    Masks become 0 and 1. A 2D picture becomes a volume of one slice. dataset.json says what the task was made from;
    patients are in it wherever a patient is not a case. dataset.yaml beside it is the manifest of the task.

    The same dataset gives the same bytes. The folder appears when it is complete. Cases that are finished when the
    run is interrupted stay in a hidden folder beside it, from where the next run goes on.

    Args:
        manifest: which dataset.
        directory: new or empty folder to write, named like Task11_LungNodules.
        label: what the foreground shows, for dataset.json.
        overwrite: replace the task that is in `directory`, once the new one is complete.
        pseudonyms: call cases and patients case_0001 and patient_0001 on, in their order, instead of by their ids.
        progress: called after each case with (cases done, cases there are).
        workers: processes that read and compress cases, to the same bytes for any number, as for
            :func:`~medsegdist.data.collect.collect`. This process alone writes.

    Raises:
        ManifestError: the folder's name or `label` cannot be used, the folder holds the dataset itself, or the dataset
            has classes.
        DataError: cases are bad (every one is listed), a wanted label is in no case, or all masks are empty.
        FileExistsError: `directory` holds something already.
        BlockingIOError: another process is writing the same task.
        MedSegDistError: a worker was killed.
        OSError: the disk is full or not writable.
        ValueError: `workers` is less than 1.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"expected workers >= 1, or None to choose, found {workers}.")
    # Through a symbolic link to the true place: renaming would replace the link.
    directory = Path(directory).resolve()
    check_task_name(directory.name)
    if not label.strip() or label == "background":
        raise ManifestError(f"expected a name for the foreground, found '{label}'; name what the masks show.")
    _check_apart(manifest, directory)
    manifest.check_one_foreground()
    cases = manifest.cases()
    names = names_of(cases, pseudonyms=pseudonyms, dataset=manifest.name)
    with unfinished_task(directory, overwrite=overwrite) as task:
        try:
            task.keep_only({name.case for name in names})
            writer = _CaseWriter(manifest, cases, task, workers)
            records = writer.write_all(names, progress)
            sheared = tuple(name.case for name, record in zip(names, records, strict=True) if record.sheared)
            texts = task_texts(
                manifest,
                names,
                label=label,
                channels=records[0].channels,
                pictures=any(record.picture for record in records),
                sheared=sheared,
                pseudonyms=pseudonyms,
            )
            task.publish(texts)
        except BaseException as error:
            if count := task.finished_cases():
                error.add_note(
                    f"{count} of {counted(len(cases), 'case')} are finished and wait in {workplace_of(directory)}; "
                    "run the same again to go on, or delete that folder."
                )
            raise
    return ExportedTask(directory, len(cases), writer.resumed, sheared)


class _CaseWriter:
    """Writes the cases that are not finished, and judges all of them together."""

    def __init__(
        self, manifest: DatasetManifest, cases: Sequence[Case], task: UnfinishedTask, workers: int | None
    ) -> None:
        self._manifest = manifest
        self._cases = cases
        self._task = task
        self._workers = workers
        self._problems: list[Problem] = []
        self.resumed = 0

    def write_all(self, names: Sequence[CaseName], progress: Progress | None) -> list[CaseRecord]:
        """The records of all cases.

        Raises:
            DataError: cases are bad, or the dataset as a whole is.
            MedSegDistError: a worker was killed.
        """
        advance = progress or (lambda done, total: None)
        total = len(self._cases)
        keys = [_key(self._manifest, case) for case in self._cases]
        records: dict[int, CaseRecord] = {}
        for k, name in enumerate(names):
            record = self._task.record(name.case, keys[k])
            if record is not None:
                records[k] = record
                advance(len(records), total)
        self.resumed = len(records)
        waiting = [k for k in range(total) if k not in records]
        cases = tuple(self._cases[k] for k in waiting)
        pack = PackCase(native_dataset(self._manifest, list(cases)), cases, self._manifest.name)
        try:
            for done, packed in enumerate(ordered_results(pack, len(waiting), self._workers)):
                if isinstance(packed, Exception):
                    raise packed
                if isinstance(packed, Problem):
                    self._problems.append(packed)
                else:
                    k = waiting[done]
                    records[k] = self._task.add(names[k].case, packed, key=keys[k])
                advance(self.resumed + done + 1, total)
        except WorkerLostError as error:
            raise MedSegDistError(error.told(self._manifest.name, [case.id for case in cases])) from None
        in_order = {self._cases[k].id: records[k] for k in sorted(records)}
        problems = [*self._problems, *self._whole_dataset_problems(in_order)]
        if problems:
            raise as_error(problems, self._manifest.name, total)
        return list(in_order.values())

    def _whole_dataset_problems(self, records: dict[str, CaseRecord]) -> list[Problem]:
        tally = LabelTally(self._manifest.foreground)
        for case_id, record in records.items():
            tally.note(record.found, case_id)
        found = tally.problems(len(self._cases), complete=not self._problems)
        if not found and not self._problems and not any(record.voxels for record in records.values()):
            found = [all_empty(len(self._cases))]
        channels = {record.channels: case_id for case_id, record in records.items()}
        if len(channels) > 1:
            named = ", ".join(f"{count} (case '{case}')" for count, case in sorted(channels.items()))
            found.append((f"expected as many channels in every image, found {named}", "choose one channel"))
        return [Problem(self._manifest.name, "", problem, remedy) for problem, remedy in found]


def _check_apart(manifest: DatasetManifest, directory: Path) -> None:
    """Refuse to replace the dataset that is being read."""
    for _, value in manifest.layout:
        if isinstance(value, Path) and (value.resolve() == directory or directory in value.resolve().parents):
            raise ManifestError(
                f"dataset '{manifest.name}' lies in {directory} itself, where the task is to be written; "
                "choose another folder."
            )


def _key(manifest: DatasetManifest, case: Case) -> str:
    """Changes with whatever the files of a case are made from."""
    content: dict[str, Any] = {
        "version": version("medsegdist"),
        "layout": manifest.layout.model_dump(mode="json"),
        "foreground": manifest.foreground,
        "case": [case.id, source_stamp(case.image), source_stamp(case.label)],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=repr).encode()).hexdigest()[:32]
