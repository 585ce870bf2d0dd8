"""Whatever stands in somebody's file, readers of texts and images raise a MedSegDistError or nothing."""

from __future__ import annotations

import copy
import gzip
import itertools
import json
import multiprocessing
import random
import re
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from medsegdist.data.layouts.datalist import DatalistLayout
from medsegdist.data.layouts.decathlon import DecathlonLayout
from medsegdist.data.layouts.nnunet import NnunetLayout
from medsegdist.data.manifest import load_dataset
from medsegdist.data.readers import read_pair
from medsegdist.data.study import load_study
from medsegdist.errors import MedSegDistError
from tests.data.test_fuzz_dicom import peak_memory

DATASET = {
    "name": "lung",
    "modality": "CT",
    "layout": {"kind": "decathlon", "root": "Task06_Lung", "channel": 0, "patient_pattern": "^(p\\d+)_"},
    "foreground": [1, 2],
    "window": [-1000, 400.5],
}
FOLDER = {"kind": "folder", "root": "${HOME}/x", "images": "images/*.png", "masks": "masks/*.png", "color": "red"}
STUDY = {
    "name": "two organs",
    "preprocessing": {"grid": [64, 64], "percentiles": [0, 99.5], "seed": 3, "max_samples": 9},
    "datasets": [
        DATASET,
        {"name": "polyps", "modality": "other", "layout": FOLDER},
        {"name": "nn", "modality": "MR", "layout": {"kind": "nnunet", "root": "~/x"}},
        {"name": "list", "modality": "MR", "layout": {"kind": "datalist", "root": "y", "folds": [0, 1]}},
        "lung.yaml",
    ],
    "targets": ["lung"],
    "sources": ["nn", "list"],
    "methods": ["gmm2d"],
}
TASK = {
    "name": "tiny",
    "training": [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in ("a", "b")],
    "test": ["./imagesTs/c.nii.gz"],
}
RAW = {
    "channel_names": {"0": "T2", "1": "ADC"},
    "labels": {"background": 0, "PZ": 1, "all": [1, 2]},
    "numTraining": 1,
    "file_ending": ".nii.gz",
    "dataset": {"a": {"images": ["imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz"], "label": "labelsTr/a.nii.gz"}},
}
DATALIST = {
    "training": [
        {"image": ["a_t1.nii.gz", "a_t2.nii.gz"], "label": "a_seg.nii.gz", "fold": 0, "subject": "p1"},
        {"image": ["b_t1.nii.gz", "b_t2.nii.gz"], "label": "b_seg.nii.gz", "fold": 1, "subject": 2},
    ],
    "testing": [{"image": "c.nii.gz"}],
}

ENDLESS = "\n".join(
    [
        "a: &a [x]",
        *(f"{b}: &{b} [{', '.join(9 * [f'*{a}'])}]" for a, b in pairwise("abcdefghijk")),
        *(f"{key}: *k" for key in ("name", "modality", "foreground", "window", "datasets", "targets")),
        "layout: {kind: *k}",
    ]
)
"""YAML that stands for ten thousand million lists."""

# What JSON and YAML can write and a disk, an integer or a pattern cannot take.
ODD_TEXTS = ["", ".", "..", "/", "~", "~nobody/x", "a\0b", "\ud800", "${", "${}", "${A\0}", "a" * 5000, "*", "("]
ODD_TEXTS += ["a{9999999999}"]
texts = st.text(max_size=8) | st.sampled_from(ODD_TEXTS)
scalars = st.none() | st.booleans() | st.integers() | st.integers(10**18, 10**25) | st.floats() | texts
values = st.recursive(
    scalars, lambda parts: st.lists(parts, max_size=3) | st.dictionaries(texts, parts, max_size=3), max_leaves=8
)


def places(value, above=()):
    """Every place in a structure, as the keys that lead to it."""
    yield above
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from places(part, (*above, key))


@st.composite
def corrupted(draw, original):
    """The structure with one to three of its parts replaced, taken away, or put under another key."""
    result = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, 3))):
        where = draw(st.sampled_from(list(places(result))))
        if not where:
            return draw(values)
        holder = result
        for key in where[:-1]:
            holder = holder[key]
        action = draw(st.sampled_from(["replace", "remove", "rename"]))
        if action == "replace":
            holder[where[-1]] = draw(values)
        elif action == "remove" or isinstance(holder, list):
            holder.pop(where[-1])
        else:
            holder[draw(texts)] = holder.pop(where[-1])
    return result


@st.composite
def damaged_text(draw, text):
    """The text cut off, or with a few of its characters replaced by others."""
    parts = list(text[: draw(st.integers(0, len(text)))] if draw(st.booleans()) else text)
    for _ in range(draw(st.integers(0, 4))):
        if parts:
            parts[draw(st.integers(0, len(parts) - 1))] = draw(
                st.sampled_from(list("[]{}:,&*!|>'\"%@`#-?~<=. \n\t\\01x"))
            )
    return "".join(parts)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with the files that the uncorrupted listings name, empty ones."""
    root = tmp_path_factory.mktemp("fuzz")
    for name in ("imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "labelsTr/a.nii.gz"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    (root / "lung.yaml").write_text(yaml.safe_dump(DATASET))
    return root


def write_json(path, content):
    # As json.dumps writes them: also NaN, and half of a character.
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8", "surrogatepass")


def list_cases(*layouts):
    for layout in layouts:
        with suppress(MedSegDistError):
            for case in layout.cases():
                assert Path(case.image).is_relative_to(layout.root)
                assert Path(case.label).is_relative_to(layout.root)
                assert ".." not in Path(case.image).parts + Path(case.label).parts


bounded = settings(max_examples=100)


def test_the_uncorrupted_ones_are_read(folder, monkeypatch):
    monkeypatch.setenv("HOME", "/home/reader")
    (folder / "study.yaml").write_text(yaml.safe_dump({**STUDY, "datasets": STUDY["datasets"][:-1]}))
    assert len(load_study(folder / "study.yaml").datasets) == 4
    for layout, content, number in (
        (DecathlonLayout(root=folder), TASK, 2),
        (NnunetLayout(root=folder), RAW, 1),
        (DatalistLayout(root=folder, file="dataset.json", channel=1, folds=(0,), patient_key="subject"), DATALIST, 1),
    ):
        write_json(folder / "dataset.json", content)
        assert len(layout.cases()) == number


@bounded
@given(values | corrupted(TASK) | damaged_text(json.dumps(TASK)))
@example("[" * 100_000)
@example('{"training": ' + "[" * 990 + "]" * 990 + "}")
@example('{"training": [' + "[" * 980 + "]" * 980 + "]}")
@example("1" * 5000)
@example({"training": [{"image": "", "label": "."}]})
@example({"training": [{"image": "a\0.nii.gz", "label": "\ud800.nii.gz"}]})
def test_decathlon(folder, content):
    write_json(folder / "dataset.json", content)
    list_cases(DecathlonLayout(root=folder), DecathlonLayout(root=folder, patient_pattern="(.)"))


@bounded
@given(values | corrupted(RAW) | corrupted({**RAW, "dataset": None}) | damaged_text(json.dumps(RAW)))
@example("[" * 100_000)
@example('{"labels": ' + "[" * 950 + "]" * 950 + "}")
@example(RAW | {"dataset": {"\ud800": RAW["dataset"]["a"]}})
@example(RAW | {"file_ending": "\ud800"})
def test_nnunet(folder, content):
    write_json(folder / "dataset.json", content)
    list_cases(NnunetLayout(root=folder), NnunetLayout(root=folder, channel=1, patient_pattern="(.)"))


@bounded
@given(values | corrupted(DATALIST) | damaged_text(json.dumps(DATALIST)))
@example("[" * 100_000)
@example('{"training": [' + "[" * 980 + "]" * 980 + "]}")
def test_datalist(folder, content):
    write_json(folder / "dataset.json", content)
    list_cases(
        *(
            DatalistLayout(root=folder, file="dataset.json", **options)
            for options in ({}, {"channel": 1}, {"folds": (0,), "channel": 0}, {"patient_key": "subject", "channel": 1})
        )
    )


def read_yaml_files(folder, text):
    (folder / "fuzzed.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    for load in (load_dataset, load_study):
        with suppress(MedSegDistError):
            load(folder / "fuzzed.yaml")


@bounded
@given((values | corrupted(DATASET) | corrupted(STUDY)).map(lambda value: yaml.safe_dump(value, allow_unicode=False)))
def test_manifests_of_another_structure(folder, text):
    read_yaml_files(folder, text)


@bounded
@given(
    damaged_text(yaml.safe_dump(DATASET))
    | damaged_text(yaml.safe_dump(STUDY))
    | damaged_text(yaml.safe_dump(DATASET, default_flow_style=True))
    | st.text(max_size=40)
)
@example("name: 2001-99-99")
@example("name: !!int ''")
@example("name: !!bool maybe")
@example("name: !!timestamp now")
@example("name: !!float .")
@example("name: !!binary \u00e9")
@example(f"name: {'9' * 5000}")
@example("[" * 20_000)
@example("a: " * 3)
@example("? [a, b]\n: c")
@example("{[a]: 1}")
@example("<<: 3")
@example("&a {name: *a}")
@example("&a [*a]")
@example('name: "\\ud800"')
@example("layout: {kind: decathlon, root: ~nobody/x}")
@example("layout: {kind: decathlon, root: x, patient_pattern: 'a{99999999999999999999}'}")
@example("layout: {kind: folder, root: x, patient_pattern: '" + "(" * 3000 + "'}")
@example("datasets: ['~nobody/x', \"a\\0b\", '${', '', .]")
@example(ENDLESS)
def test_damaged_manifests(folder, text):
    read_yaml_files(folder, text)


# Files of voxels and pixels: byte flips, truncations and changed headers, each batch in a process of its own, which a
# native crash would end.

_SEED, _EACH, _SECONDS = 0, 150, 9
_NUMBERS = (b"0", b"-1", b"1e400", b"nan", b"65536", b"4294967295", b"999999999", b"9" * 400, b"")


def _valid_files(folder: Path) -> dict[str, bytes]:
    """One good file for each kind and way of storing."""
    voxels = np.arange(12 * 10 * 4, dtype=np.int16).reshape(4, 10, 12)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((0.5, 1.25, 2.5))
    for ending, compressed in itertools.product(("nrrd", "mha", "nii", "nii.gz"), (False, True)):
        sitk.WriteImage(image, str(folder / f"{ending.replace('.', '')}{compressed:d}.{ending}"), compressed)
    pixels = (voxels[0] % 256).astype(np.uint8)
    for name, array, options in (
        ("gray.png", pixels, {}),
        ("color.png", np.stack([pixels] * 3, -1), {}),
        ("deep.png", voxels[0].astype(np.uint16), {}),
        ("gray.tif", pixels, {}),
        *((f"{way}.tif", pixels, {"compression": way}) for way in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg")),
        ("deep.tif", voxels[0].astype(np.uint16), {}),
    ):
        Image.fromarray(array).save(folder / name, **options)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _damaged(content: bytes, rng: random.Random) -> bytes:
    """The file with bytes flipped, cut off, or a number or a line of its header changed."""
    changed, kind = bytearray(content), rng.randrange(5)
    head = min(len(content), 600)
    if kind == 0:
        for _ in range(rng.randint(1, 8)):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del changed[rng.randrange(len(changed)) :]
    elif kind == 2:
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(head)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    elif kind == 3:
        numbers = list(re.finditer(rb"-?[0-9.]+", content[:head]))
        one = rng.choice(numbers) if numbers else None
        if one is not None:
            changed[one.start() : one.end()] = rng.choice(_NUMBERS)
    else:
        lines = content[:head].split(b"\n")
        rng.shuffle(lines) if rng.random() < 0.5 else lines.insert(rng.randrange(len(lines)), rng.choice(lines))
        changed[:head] = b"\n".join(lines)
    return bytes(changed)


def _gzip_damaged(content: bytes, rng: random.Random) -> bytes:
    """A compressed file whose content is damaged, and its checksum right."""
    return gzip.compress(_damaged(gzip.decompress(content), rng), mtime=0)


def _fuzz_readers(folder: Path, name: str, content: bytes) -> list[str]:
    """What went wrong when damaged versions of one file were read; runs in a child process."""
    rng, wrong, path = random.Random(f"{_SEED} {name}"), [], folder / name
    before, begun = peak_memory(), time.monotonic()
    for number in range(_EACH):
        # A slow machine reads fewer of them.
        if time.monotonic() - begun > _SECONDS:
            break
        inside = content.startswith(b"\x1f\x8b") and rng.random() < 0.7
        path.write_bytes((_gzip_damaged if inside else _damaged)(content, rng))
        for read in (
            lambda: read_pair({"image": path}, keys=("image",)),
            lambda: read_pair({"image": path, "label": path}, keys=("label",), header_only=True),
        ):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    read()
            except MedSegDistError:
                pass
            except BaseException as error:  # noqa: BLE001
                wrong.append(f"{name}, version {number}: {type(error).__name__}: {error}")
    if peak_memory() - before > 10 * len(content) + 200 * 2**20:
        wrong.append(f"{name}: {(peak_memory() - before) >> 20} MiB")
    return wrong


@pytest.mark.slow
@pytest.mark.ci
def test_damaged_volumes_and_pictures(tmp_path):
    """Only errors in words, no crash of native code (which would break the pool), and bounded memory."""
    files = _valid_files(tmp_path)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        for name, content in files.items():
            assert pool.submit(_fuzz_readers, tmp_path, name, content).result(timeout=60) == []
