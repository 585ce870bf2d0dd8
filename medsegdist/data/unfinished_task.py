"""A task folder in the making: it appears when it is complete, and an interrupted one can be gone on with."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from medsegdist.data.packed_case import PackedCase
from medsegdist.files import atomic_write

IMAGES, LABELS, UNLABELED = "imagesTr", "labelsTr", "imagesTs"
LISTING = "dataset.json"
# Folders of the hidden workplace: the task as it will be published, a record for each finished case, and a task that
# is about to be replaced.
_TASK, _RECORDS, _REPLACED = "task", "finished", "replaced"


class CaseRecord(BaseModel):
    """What is remembered of a case whose files are written.

    Args:
        key: changes with whatever the files are made from.
        found: the label values that its mask held, as LabelTally takes them.
        voxels: how many of the foreground.
        channels: of the image.
        picture: whether it was a 2D picture.
        sheared: whether its axes are not at right angles.
        sizes: bytes of the image's and of the mask's file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    found: list[float]
    voxels: int
    channels: int
    picture: bool
    sheared: bool
    sizes: tuple[int, int]


class UnfinishedTask:
    """A task folder in the making; see :func:`unfinished_task`.

    Args:
        workplace: hidden folder beside the task's place.
        directory: the task's place.
    """

    def __init__(self, workplace: Path, directory: Path) -> None:
        self._workplace = workplace
        self._directory = directory
        self._task = workplace / _TASK
        self._records = workplace / _RECORDS

    def open(self) -> None:
        """Put right what a killed process may have left, and make the folders."""
        replaced = self._workplace / _REPLACED
        if replaced.exists():
            if (self._directory / LISTING).exists():
                shutil.rmtree(replaced)
            else:
                replaced.rename(self._directory)
        if not self._task.exists():
            shutil.rmtree(self._records, ignore_errors=True)
        for folder in (self._records, *(self._task / name for name in (IMAGES, LABELS, UNLABELED))):
            folder.mkdir(parents=True, exist_ok=True)

    def close(self) -> None:
        """Keep the finished cases, if there are any; otherwise leave nothing."""
        if not self.finished_cases():
            shutil.rmtree(self._workplace, ignore_errors=True)

    def finished_cases(self) -> int:
        """How many cases need not be read again."""
        return len(list(self._records.glob("*.json"))) if self._task.exists() else 0

    def keep_only(self, names: Collection[str]) -> None:
        """Remove the files of all other cases, and those that were being written when a process was killed.

        Args:
            names: of the cases that the task will have.
        """
        endings = {self._task / IMAGES: ".nii.gz", self._task / LABELS: ".nii.gz", self._records: ".json"}
        for folder, ending in endings.items():
            for path in folder.iterdir():
                if not path.name.endswith(ending) or path.name.removesuffix(ending) not in names:
                    path.unlink()
        for path in self._task.iterdir():
            if path.is_file():
                path.unlink()

    def record(self, name: str, key: str) -> CaseRecord | None:
        """The record of a case that is finished; None if it must be written.

        Args:
            name: of the case.
            key: what it must have been made from.
        """
        try:
            record = CaseRecord.model_validate_json((self._records / f"{name}.json").read_bytes())
            sizes = tuple(path.stat().st_size for path in self._files(name))
        except (OSError, ValidationError):
            return None
        return record if record.key == key and record.sizes == sizes else None

    def add(self, name: str, packed: PackedCase, *, key: str) -> CaseRecord:
        """Write the files of a case; it is finished when its record stands.

        Args:
            name: of the case.
            packed: what its files hold.
            key: what they were made from.
        """
        file_of_record = self._records / f"{name}.json"
        file_of_record.unlink(missing_ok=True)
        for path, content in zip(self._files(name), (packed.image, packed.label), strict=True):
            with atomic_write(path, binary=True) as file:
                file.write(content)
        record = CaseRecord(
            key=key,
            found=packed.found,
            voxels=packed.voxels,
            channels=packed.channels,
            picture=packed.picture,
            sheared=packed.sheared,
            sizes=(len(packed.image), len(packed.label)),
        )
        with atomic_write(file_of_record) as text:
            text.write(record.model_dump_json())
        return record

    def publish(self, texts: Mapping[str, str]) -> None:
        """Add the last files, and put the folder in its place.

        Args:
            texts: content of each text file by its name, dataset.json among them.
        """
        # dataset.json comes last: a task that has it has everything.
        for name in sorted(texts, key=lambda name: (name == LISTING, name)):
            with atomic_write(self._task / name) as file:
                file.write(texts[name])
        for folder in (self._task / IMAGES, self._task / LABELS, self._task):
            _sync_folder(folder)
        replaced = self._workplace / _REPLACED
        if (self._directory / LISTING).exists():
            self._directory.rename(replaced)
        try:
            self._task.rename(self._directory)
        except OSError:
            if replaced.exists():
                replaced.rename(self._directory)
            raise
        _sync_folder(self._directory.parent)

    def _files(self, name: str) -> tuple[Path, Path]:
        return self._task / IMAGES / f"{name}.nii.gz", self._task / LABELS / f"{name}.nii.gz"


@contextmanager
def unfinished_task(directory: Path, *, overwrite: bool) -> Iterator[UnfinishedTask]:
    """A task folder to fill, on which no other process works.

    Until it is published, everything lies in a hidden folder beside it. What is finished there stays, however the
    process ends, and is found again by the next one.

    Args:
        directory: the task's place; new, or empty, or a task that may be overwritten.
        overwrite: whether a task may be replaced. It stays as it is until the new one is complete.

    Raises:
        FileExistsError: there is something in the place that may not be replaced.
        BlockingIOError: another process is making the same task.
    """
    workplace = workplace_of(directory)
    if not workplace.exists():
        _check_place(directory, overwrite=overwrite)
        directory.parent.mkdir(parents=True, exist_ok=True)
    lock = _locked_folder(workplace)
    task = UnfinishedTask(workplace, directory)
    try:
        task.open()
        _check_place(directory, overwrite=overwrite)
        yield task
    finally:
        task.close()
        os.close(lock)


def workplace_of(directory: Path) -> Path:
    """The hidden folder in which a task is made.

    Args:
        directory: the task's place.
    """
    return directory.with_name(f".{directory.name}.unfinished")


def _check_place(directory: Path, *, overwrite: bool) -> None:
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return
    if not overwrite:
        raise FileExistsError(
            errno.EEXIST,
            "expected a new or empty folder; choose another, or allow this task to be overwritten (--force)",
            directory,
        )
    if not (directory / LISTING).is_file():
        raise FileExistsError(
            errno.EEXIST,
            f"expected a task to overwrite, but found no {LISTING} in it; choose another folder",
            directory,
        )


def _locked_folder(folder: Path) -> int:
    """A lock on a folder, made if need be; the system lets go of it when this process ends, however it ends."""
    while True:
        folder.mkdir(exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise BlockingIOError(
                errno.EWOULDBLOCK, "another process is making this task; wait until it has ended", folder
            ) from None
        except OSError:
            # Some network disks have no locks.
            return lock
        if folder.exists() and os.path.samestat(os.fstat(lock), folder.stat()):
            return lock
        # The process that had the lock has removed the folder meanwhile.
        os.close(lock)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
