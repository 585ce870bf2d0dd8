"""Texts of strangers: studies, listings, tables, cards, logs and patterns that hang, fill memory or are believed."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from pydantic import TypeAdapter

from medsegdist.cards.card import read_card
from medsegdist.data.layouts import listing
from medsegdist.data.layouts.datalist import DatalistLayout
from medsegdist.data.layouts.decathlon import DecathlonLayout
from medsegdist.data.layouts.listing import find_patients
from medsegdist.data.layouts.nnunet import NnunetLayout
from medsegdist.data.manifest import load_dataset
from medsegdist.data.samples import SegmentationSamples
from medsegdist.data.study import load_preparation, load_study
from medsegdist.distance.table import DistanceTable
from medsegdist.errors import ManifestError, MedSegDistError
from medsegdist.report.record import read_json
from medsegdist.transfer.gains import read_distances, read_gains
from medsegdist.transfer.outcomes import RunLog
from tests.public_reports import Report

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
    "a list of 60,000 values": (f"a: [{'1,' * 60_000}]", "expected at most 50000 values, found more"),
    "3,000 lists in lists": ("a: " + "[" * 3_000, "not valid YAML"),
    "3,000 mappings in mappings": ("a: " + "{a: " * 3_000, "not valid YAML"),
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


# Keys


def few_lines(folder: Path, load: Callable[[Path], Any], content: dict[str, Any]) -> None:
    path = folder / "a.yaml"
    path.write_text(yaml.safe_dump(content | {f"unknown{k}": k for k in range(4_000)}))
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
        Report(
            "",
            f"{what} with 4,000 unknown keys",
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
