"""Texts of strangers: studies, listings, tables, cards, logs and patterns that hang, fill memory or are believed."""

from __future__ import annotations

import csv
import errno
import json
import os
import pickle
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import torch
import typer
import yaml
from filelock import FileLock
from pydantic import TypeAdapter
from typer.testing import CliRunner

from medsegdist import compare_all
from medsegdist.cards.card import read_card
from medsegdist.cli import app
from medsegdist.cli.console import reported_errors
from medsegdist.data.layouts import listing
from medsegdist.data.layouts.datalist import DatalistLayout
from medsegdist.data.layouts.decathlon import DecathlonLayout
from medsegdist.data.layouts.listing import find_patients
from medsegdist.data.layouts.nnunet import NnunetLayout
from medsegdist.data.manifest import load_dataset
from medsegdist.data.samples import SegmentationSamples
from medsegdist.data.study import load_preparation, load_study
from medsegdist.distance.table import DistanceTable
from medsegdist.errors import DataError, ManifestError, MedSegDistError
from medsegdist.files import atomic_path, atomic_write, write_csv
from medsegdist.report.record import read_json
from medsegdist.transfer.gains import OK, Gain, read_distances, read_gains, write_gains
from medsegdist.transfer.run_files import RunLog, load_network, load_weights
from medsegdist.transfer.runs import _locked
from tests.public_reports import Report
from tests.transfer.test_run_log import DAMAGES, written

SECONDS = 20


@contextmanager
def quickly() -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < SECONDS


# YAML

TEN = ", ".join(10 * ["x"])
MERGES = ["a0: &a0 {k: 1}", *(f"a{k}: &a{k} {{<<: [{', '.join(9 * [f'*a{k - 1}'])}]}}" for k in range(1, 30))]
NESTED = [f"a0: &a0 [{TEN}]", *(f"a{k}: &a{k} [{', '.join(10 * [f'*a{k - 1}'])}]" for k in range(1, 30))]
FLAT = [f"a: &a [{', '.join(10_000 * ['x'])}]", f"datasets: [{', '.join(10_000 * ['*a'])}]"]
YAML = {
    "merge keys in merge keys": (
        "\n".join(MERGES),
        r"merge keys \(<<\) are not read|is part of what another alias stands for",
    ),
    "one merge key": ("a: &a {k: 1}\nb: {<<: *a}\n", r"merge keys \(<<\) are not read"),
    "a merge key with a tag": ("a: &a {k: 1}\nb: {!!merge '<<': *a}\n", r"merge keys \(<<\) are not read"),
    "a merge key in a list": ("a: &a {k: 1}\nb: [{<<: [*a, *a]}]\n", r"merge keys \(<<\) are not read"),
    "aliases in aliases": ("\n".join(NESTED), r"is part of what another alias stands for"),
    "mappings of aliases in aliases": (
        "a: &a {x: 1}\nb: &b {x: *a, y: *a}\nc: &c {x: *b, y: *b}\n",
        r"is part of what another alias stands for",
    ),
    "an alias of itself": ("a: &a [*a]\n", r"is part of what another alias stands for"),
    "an alias of itself as a key": ("&a {*a : 1}\n", r"is part of what another alias stands for"),
    "10,000 aliases of 10,000 values": ("\n".join(FLAT), "expected at most 50000 values, found more"),
    "a list of 300,000 values": (f"a: [{'1,' * 300_000}]", "expected at most 50000 values, found more"),
    "20,000 lists in lists": ("a: " + "[" * 20_000, "not valid YAML"),
    "20,000 mappings in mappings": ("a: " + "{a: " * 20_000, "not valid YAML"),
    "a tag of Python": ("a: !!python/object/apply:os.mkdir [made]", "could not determine a constructor"),
    "a number of a million digits": ("a: " + "9" * 1_000_000, "not valid YAML"),
}


def yaml_refused(folder: Path, text: str, message: str) -> None:
    (folder / "a.yaml").write_text(text)
    for load in (load_dataset, load_study, load_preparation):
        with quickly(), pytest.raises(ManifestError, match=message):
            load(folder / "a.yaml")


def yaml_read(folder: Path) -> None:
    """Aliases that save writing are no bomb."""
    layouts = [{"kind": "phantom", "organ": "liver", "patients": 2}]
    text = f"a: &a {json.dumps(layouts[0])}\n"
    text = text.replace("a: &a", "layout: &a") + "name: x\nmodality: CT\n"
    (folder / "a.yaml").write_text(text)
    assert load_dataset(folder / "a.yaml").name == "x"


# What is no regular file, or a huge one


def pipe(path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("there are no pipes here")
    os.mkfifo(path)


def endless(path: Path) -> None:
    if not Path("/dev/zero").exists():
        pytest.skip("there are no devices here")
    path.symlink_to("/dev/zero")


def listening(path: Path) -> None:
    if not hasattr(socket, "AF_UNIX"):
        pytest.skip("there are no sockets of files here")
    place = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(place)


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(6 << 30)


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "study": ("a.yaml", load_study),
    "dataset": ("a.yaml", load_dataset),
    "preparation": ("a.yaml", load_preparation),
    "card": ("a.card.json", read_card),
    "datalist": ("datalist.json", lambda path: DatalistLayout(root=path.parent).cases()),
    "Decathlon listing": ("dataset.json", lambda path: DecathlonLayout(root=path.parent).cases()),
    "nnU-Net listing": ("dataset.json", lambda path: NnunetLayout(root=path.parent).cases()),
    "table of distances": ("a.csv", read_distances),
    "table of gains": ("a.csv", read_gains),
    "distances of rank": ("distances.csv", DistanceTable.load),
    "log of runs": ("runs.jsonl", RunLog),
    "JSON of a report": ("a.json", lambda path: read_json(path, TypeAdapter(dict[str, int]), "rank")),
    "stored samples": ("samples.json", lambda path: SegmentationSamples.load(path.parent)),
}
KINDS = {
    "pipe": pipe,
    "device without end": endless,
    "socket": listening,
    "sparse file of 6 GiB": huge,
    "folder": Path.mkdir,
}


def not_read(folder: Path, name: str, read: Callable[[Path], Any], make: Callable[[Path], None]) -> None:
    make(folder / name)
    with quickly(), pytest.raises(MedSegDistError, match=r"expected a file, found|expected at most \d+ bytes"):
        read(folder / name)


# runs.jsonl, locks, weights


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
    for load in (load_weights, load_network):
        with pytest.raises(DataError, match="this file of weights is damaged") as caught:
            load(folder / "a.pt")
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


# Patterns


def pattern_ends(folder: Path, pattern: str, name: str) -> None:
    """It is refused, or ends, in either case soon."""
    with quickly(), patch.object(listing, "_MOST_SECONDS", 2):
        try:
            assert find_patients(pattern, [name]) == {name: None}
        except ManifestError as error:
            assert "expected a patient_pattern that is found within 2 seconds in 1 name" in str(error)  # noqa: PT017


def pattern_works(folder: Path, pattern: str, name: str, patient: str | None) -> None:
    assert find_patients(pattern, [name, name + "é\ud800"])[name] == patient


# Cells

FORMULAS = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")']


def cells(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        return [cell for row in csv.reader(file) for cell in row]


def no_formula(path: Path) -> None:
    assert not [
        cell for cell in cells(path) if cell[:1] in tuple("=+@\t\r") or (cell[:1] == "-" and not _is_number(cell))
    ]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def frame_is_plain(folder: Path, formula: str) -> None:
    write_csv(folder / "a.csv", pd.DataFrame({"name": [formula, "a"], "value": [-1.5, 2.0]}), float_format="%.3g")
    no_formula(folder / "a.csv")
    assert cells(folder / "a.csv")[2:] == ["'" + formula.replace("\r", " "), "-1.5", "a", "2"]


def gains_are_plain(folder: Path, formula: str) -> None:
    write_gains(folder / "gains.csv", [Gain(formula, formula, 0, 0.8, 0.9, status=OK)])
    no_formula(folder / "gains.csv")


def agreement_is_plain(folder: Path, formula: str) -> None:
    """From somebody's tables to ours, by the command."""
    names = ["a", "b", "c", formula]
    with (folder / "distances.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["source", "target", "method", "distance"], *([name, "t", formula, k] for k, name in enumerate(names))]
        )
    with (folder / "gains.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["source", "target", "gain_percent"], *([name, "t", -k] for k, name in enumerate(names))]
        )
    paths = [str(folder / name) for name in ("distances.csv", "gains.csv")]
    result = CliRunner().invoke(app, ["agreement", *paths, "--out", str(folder / "out"), "--no-report"])
    assert result.exit_code == 0, result.output
    for path in (folder / "out").glob("*.csv"):
        no_formula(path)


# Numbers


def samples(scale: float, seed: int, weights: list[float] | None = None) -> SegmentationSamples:
    rng = np.random.default_rng(seed)
    images = rng.random((4, 8, 8)).astype(np.float32) * np.float32(scale)
    return SegmentationSamples.from_arrays(f"d{seed}", images, rng.random((4, 8, 8)) > 0.6, weights=weights)


def weights_refused_in_words(folder: Path, weights: list[float]) -> None:
    with pytest.raises(DataError, match=r"expected weights between 1e-100 and 1e\+100|positive and finite"):
        samples(1, 0, weights)


def large_weights(folder: Path, scale: float) -> None:
    plain = compare_all([samples(1, 0), samples(1, 1)], ["euclidean", "gmm2d"], targets=["d0"])
    scaled = [samples(1, k, [scale] * 4) for k in range(2)]
    found = compare_all(scaled, ["euclidean", "gmm2d"], targets=["d0"])
    for one, other in zip(found.rows, plain.rows, strict=True):
        assert one.distance == pytest.approx(other.distance, rel=1e-9)


@pytest.mark.filterwarnings("ignore")
def large_images(folder: Path, scale: float) -> None:
    """A finite distance, of the images' own scale, or a word."""
    for method in ("euclidean", "gmm2d", "gmm3d", "fake_classes", "fake_class_gmm"):
        table = compare_all([samples(scale, 0), samples(scale, 1)], [method], targets=["d0"])
        assert all(np.isfinite(row.distance) and row.distance > scale / 10 for row in table.rows)


# Keys


def few_lines(folder: Path, load: Callable[[Path], Any], content: dict[str, Any]) -> None:
    path = folder / "a.yaml"
    path.write_text(yaml.safe_dump(content | {f"unknown{k}": k for k in range(20_000)}))
    with quickly(), pytest.raises(MedSegDistError) as caught:
        load(path)
    assert len(str(caught.value).splitlines()) <= 30
    assert "unknown key" in str(caught.value)
    assert "more" in str(caught.value)


def long_key(folder: Path) -> None:
    (folder / "a.yaml").write_text(f"? {'k' * 100_000}\n: 1\nname: x\n")
    for load in (load_study, load_dataset, load_preparation):
        with pytest.raises(ManifestError) as caught:
            load(folder / "a.yaml")
        assert len(str(caught.value)) < 5000


REPORTS = [
    *(
        Report("", f"YAML with {what}", "refused", lambda folder, it=it: yaml_refused(folder, *it))
        for what, it in YAML.items()
    ),
    Report("", "YAML with one anchor", "read", yaml_read),
    *(
        Report(
            "", f"{what} that is a {kind}", "refused", lambda folder, n=name, r=read, m=make: not_read(folder, n, r, m)
        )
        for what, (name, read) in READERS.items()
        for kind, make in KINDS.items()
        # A folder in place of a listing is another layout.
        if not (kind == "folder" and "isting" in what)
    ),
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
    *(
        Report("", f"pattern {pattern}", "ends", lambda folder, p=pattern, n=name: pattern_ends(folder, p, n))
        for pattern, name in {
            r"^((a+)+)$": "a" * 60 + "!",
            r"^((a|a)*)$": "a" * 60 + "!",
            r"^((?:a|aa)+)$": "a" * 100 + "!",
            r"^([a-z]+)*$": "a" * 60 + "!",
            r"(.*.*.*.*.*.*.*.*.*)=": "a" * 250,
            r"(x+x+)+y": "x" * 60,
            r"((?:.*,){25}P)": "1," * 100,
        }.items()
    ),
    *(
        Report(
            "",
            f"pattern {pattern}",
            "the patient",
            lambda folder, p=pattern, n=name, s=said: pattern_works(folder, p, n, s),
        )
        for pattern, (name, said) in {
            r"^(p\d+)_": ("p12_a", "p12"),
            r"^((?:[a-z]+-)+\d+)_": ("lung-ct-7_b", "lung-ct-7"),
            r"^(case|pat)_": ("pat_3", "pat"),
            r"(x)?_": ("a_b", None),
            r"^nothing(.)": ("a_b", None),
        }.items()
    ),
    *(
        Report("", f"cell {formula!r} of a table", "no formula", lambda folder, f=formula: frame_is_plain(folder, f))
        for formula in FORMULAS
    ),
    *(
        Report("", f"cell {formula!r} of gains", "no formula", lambda folder, f=formula: gains_are_plain(folder, f))
        for formula in FORMULAS[:3]
    ),
    *(
        Report(
            "",
            f"cell {formula!r} through agreement",
            "no formula",
            lambda folder, f=formula: agreement_is_plain(folder, f),
        )
        for formula in FORMULAS[:4]
    ),
    *(
        Report("", f"weights {weights}", "refused", lambda folder, w=weights: weights_refused_in_words(folder, w))
        for weights in (
            [1e308] * 4,
            [1e308, 1, 1, 1],
            [1e-308] * 4,
            [5e-324, 1, 1, 1],
            [np.inf, 1, 1, 1],
            [np.nan, 1, 1, 1],
            [-1, 1, 1, 1],
        )
    ),
    *(
        Report("", f"weights of {scale:g}", "as of 1", lambda folder, s=scale: large_weights(folder, s))
        for scale in (1e-99, 1e99)
    ),
    *(
        Report("", f"intensities of {scale:g}", "finite", lambda folder, s=scale: large_images(folder, s))
        for scale in (1e18, 3e38)
    ),
    *(
        Report(
            "",
            f"{what} with 20,000 unknown keys",
            "few lines",
            lambda folder, r=read, c=content: few_lines(folder, r, c),
        )
        for what, read, content in (
            ("study", load_study, {"name": "x"}),
            ("dataset", load_dataset, {"name": "x", "modality": "CT"}),
            ("preparation", load_preparation, {"name": "x"}),
        )
    ),
    Report("", "key of 100,000 letters", "few letters", long_key),
]
