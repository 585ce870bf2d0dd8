"""Logs, locks and weights of strangers, and disks that are full, broken or cannot sync."""

from __future__ import annotations

import errno
import os
import pickle
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
import typer
from filelock import FileLock

from medsegdist.cli.console import reported_errors
from medsegdist.errors import DataError
from medsegdist.files import atomic_path, atomic_write
from medsegdist.transfer.networks import load_network
from medsegdist.transfer.outcomes import RunLog
from medsegdist.transfer.runs import _locked
from tests.public_reports import Report
from tests.transfer.test_run_log import DAMAGES, written


def log_refused(folder: Path, line: bytes) -> None:
    path = written(folder / "runs.jsonl")
    path.write_bytes(path.read_bytes() + line + b"\n" + path.read_bytes())
    with pytest.raises(
        DataError, match=r"runs\.jsonl: line 4 is damaged; expected how a run ended, .*; delete the line"
    ):
        RunLog(path)


def without_locks(folder: Path, error: BaseException) -> None:
    with patch.object(FileLock, "_acquire", side_effect=error), _locked(folder):
        (folder / "works").touch()
    assert (folder / "works").exists()


class _Harm:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("harm",)


def weights_refused(folder: Path, write: Callable[[Path], None]) -> None:
    write(folder / "a.pt")
    with pytest.raises(DataError, match="this file of weights is damaged") as caught:
        load_network(folder / "a.pt")
    text = str(caught.value).lower()
    assert not any(word in text for word in ("weights_only", "trust", "safe_globals", "two options", "pytorch"))
    assert not Path("harm").exists()


def plain_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(_Harm()))


# Disks


def without_sync(folder: Path, number: int) -> None:
    with patch.object(os, "fsync", side_effect=OSError(number, os.strerror(number))):
        with atomic_write(folder / "a.txt") as file:
            file.write("whole")
        log = written(folder / "runs.jsonl")
    assert (folder / "a.txt").read_text() == "whole"
    assert RunLog(log).outcome("a") is not None


def with_a_broken_disk(folder: Path) -> None:
    error = OSError(errno.EIO, os.strerror(errno.EIO))
    broken = patch.object(os, "fsync", side_effect=error)
    with broken, pytest.raises(OSError, match="Input/output"), atomic_write(folder / "a.txt") as file:
        file.write("whole")
    assert not list(folder.iterdir())


def full(folder: Path, error: OSError) -> None:
    shown = StringIO()

    def write() -> None:
        with reported_errors(), atomic_path(folder / "out.csv") as partial:
            partial.touch()
            raise error

    with redirect_stderr(shown), pytest.raises(typer.Exit):
        write()
    said = shown.getvalue()
    assert f"{folder / 'out.csv'}: No space left on device; make room there, or choose another folder." in said
    assert not list(folder.iterdir())


def full_log(folder: Path) -> None:
    log = RunLog(written(folder / "runs.jsonl"))
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with patch.object(os, "fsync", side_effect=error), pytest.raises(OSError, match="No space left") as caught:
        log.append({"run": "b", "kind": "baseline", "status": "failed"})
    assert caught.value.filename == str(folder / "runs.jsonl")


REPORTS = [
    *(
        Report(
            "",
            f"line {k} of a log that is damaged",
            "the line is named",
            lambda folder, d=damage: log_refused(folder, d),
        )
        for k, damage in enumerate(DAMAGES)
    ),
    *(
        Report("", f"disk without locks: {error!r}", "the study runs", lambda folder, e=error: without_locks(folder, e))
        for error in (
            *(OSError(number, os.strerror(number)) for number in (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP)),
            NotImplementedError("no flock"),
        )
    ),
    *(
        Report("", f"weights that are {what}", "refused, not run", lambda folder, w=write: weights_refused(folder, w))
        for what, write in {
            "a pickle that makes a folder": plain_pickle,
            "an archive with such a pickle": lambda path: torch.save(_Harm(), path),
            "a dictionary with such an object": lambda path: torch.save(
                {"format": "medsegdist weights 1", "weights": _Harm()}, path
            ),
            "of the old format": lambda path: torch.save(_Harm(), path, _use_new_zipfile_serialization=False),
            "a network": lambda path: torch.save(torch.nn.Linear(2, 2), path),
            "empty": lambda path: path.write_bytes(b""),
            "text": lambda path: path.write_text("weights"),
            "tensors alone": lambda path: torch.save({"a": torch.ones(2)}, path),
        }.items()
    ),
    *(
        Report(
            "",
            f"disk that cannot {errno.errorcode[number]}",
            "written",
            lambda folder, n=number: without_sync(folder, n),
        )
        for number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
    ),
    Report("", "disk that is broken", "an error", with_a_broken_disk),
    Report(
        "",
        "full disk",
        "file and remedy",
        lambda folder: full(folder, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))),
    ),
    Report(
        "",
        "full disk of numpy",
        "file and remedy",
        lambda folder: full(folder, OSError("480 requested and 12 written")),
    ),
    Report(
        "",
        "full disk at the name of a part",
        "file and remedy",
        lambda folder: full(
            folder, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / ".out.csv.1.partial"))
        ),
    ),
    Report("", "full disk below runs.jsonl", "file and remedy", full_log),
]
