"""Names of files and folders, listings of other systems, and scales of intensities that nobody names."""

from __future__ import annotations

import json
import unicodedata
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from medsegdist.cli import app
from medsegdist.data.collect import collect
from medsegdist.data.inspect import inspect
from medsegdist.data.layouts.decathlon import DecathlonLayout
from medsegdist.data.layouts.folder import FolderLayout
from medsegdist.data.study import load_study
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import make_metric
from medsegdist.errors import DataError, PreprocessingMismatchError
from medsegdist.files import read_csv
from tests.data.making import labels, voxels, write_picture, write_volume
from tests.public_reports import Report

PIXELS = (np.indices((20, 24)).sum(0) * 5).astype(np.uint8)
MASK = np.zeros((20, 24), dtype=np.uint8)
MASK[5:12, 6:15] = 255


def _plant(root: Path, *pairs: tuple[str, str]) -> Path:
    for image, mask in pairs:
        write_picture(root / image, PIXELS)
        write_picture(root / mask, MASK)
    return root


def _ids(root: Path, images: str, masks: str) -> list[str]:
    return [case.id for case in FolderLayout(root=root, images=images, masks=masks).cases()]


def _recognized(root: Path) -> tuple[str, str, int]:
    found = inspect(str(root))
    return found.layout["images"], found.layout["masks"], found.statistics.cases


def _endings_in_capitals(tmp_path: Path) -> None:
    for suffix, other in ((".png", ".PNG"), (".jpg", ".JPG"), (".tif", ".Tif"), (".bmp", ".BMP")):
        root = tmp_path / suffix[1:]
        _plant(
            root,
            *((f"images/{k}{end}", f"masks/{k}{suffix}") for k, end in (("a", suffix), ("b", suffix), ("c", other))),
        )
        assert _ids(root, f"images/*{suffix}", f"masks/*{suffix}") == ["a", "b", "c"]
        assert _ids(root, f"images/*{other}", f"masks/*{other}") == ["a", "b", "c"]
        assert _recognized(root) == (f"images/*{suffix}", f"masks/*{suffix}", 3)
    write_volume(tmp_path / "volumes" / "images" / "a.NII.GZ", voxels(0))
    write_volume(tmp_path / "volumes" / "masks" / "a.nii.gz", labels())
    assert _ids(tmp_path / "volumes", "images/*.nii.gz", "masks/*.nii.gz") == ["a"]
    twins = _plant(tmp_path / "twins", ("images/a.png", "masks/a.png"), ("images/a.PNG", "masks/b.png"))
    if len(list((twins / "images").iterdir())) == 2:
        with pytest.raises(
            DataError, match=r"found two that are called alike: images/a\.PNG and images/a\.png; rename"
        ):
            _ids(twins, "images/*.png", "masks/*.png")


def _odd_names(tmp_path: Path) -> None:
    for word in ("Maske", "maske", "mask", "Segmentierung", "masque", "MASK", "GT", "label"):
        for between in ("_", "-", " "):
            root = tmp_path / f"{word}{between}"
            names = [f"Pat 00{k} - Schnitt 9{k}" for k in range(3)]
            _plant(root, *((f"{name}.PNG", f"{name}{between}{word}.png") for name in names))
            assert _recognized(root) == ("*.png", f"*{between}{word}.png", 3)
    with pytest.raises(DataError, match=r"words that mean a mask: mask, .*maske"):
        inspect(str(_plant(tmp_path / "unknown", ("a.png", "a_xyz.png"))))


def _several_stars(tmp_path: Path) -> None:
    cases = {
        "frames": ("P00{}/frame_{}/img.png", "P00{}/frame_{}/mask.png", "*/*/img.png", "*/*/mask.png"),
        "patients": ("P00{}/images/{}.png", "P00{}/masks/{}.png", "*/images/*.png", "*/masks/*.png"),
        "below": ("images/P00{}/{}.png", "masks/P00{}/{}.png", "images/*/*.png", "masks/*/*.png"),
        "suffix": ("Pat {}/Schnitt {}.png", "Pat {}/Schnitt {}_Maske.png", "*/*.png", "*/*_Maske.png"),
    }
    for name, (image, mask, images, masks) in cases.items():
        keys = [(patient, frame) for patient in range(3) for frame in range(2)]
        root = _plant(tmp_path / name, *((image.format(*key), mask.format(*key)) for key in keys))
        ids = _ids(root, images, masks)
        assert len(ids) == 6
        assert all("/" in one for one in ids)
        found = _recognized(root)
        assert found[2] == 6, (name, found)
        assert found[:2] in (
            (images, masks),
            (images.replace("/*", "/Schnitt *"), masks.replace("/*", "/Schnitt *")),
        ), name
    for images, masks, message in (
        ("*/*.png", "masks/*.png", r"as many \* in both patterns"),
        ("**/a.png", "**/b.png", r"one \* or several"),
        ("a.png", "b.png", r"one \* or several"),
    ):
        with pytest.raises(ValueError, match=message):
            FolderLayout(root=tmp_path, images=images, masks=masks)


def _forms_of_unicode(tmp_path: Path) -> None:
    for name in ("Léa", "Müller_1", "Ångström"):
        composed, apart = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
        for k, (image, mask) in enumerate(((composed, apart), (apart, composed), (apart, apart))):
            root = _plant(tmp_path / f"{name}{k}", (f"images/{image}.png", f"masks/{mask}.png"))
            assert _ids(root, "images/*.png", "masks/*.png") == [composed]
            assert _recognized(root)[2] == 1
    task = tmp_path / "task"
    for folder, volume in (("imagesTr", voxels(0)), ("labelsTr", labels())):
        write_volume(task / folder / (unicodedata.normalize("NFD", "Léa") + ".nii.gz"), volume)
    _refused_listing(task, "imagesTr/{}.nii.gz", unicodedata.normalize("NFC", "Léa"), "has its accents in another form")


def _refused_listing(task: Path, image: str, name: str, message: str) -> None:
    entry = {"image": image.format(name), "label": image.format(name).replace("imagesTr", "labelsTr")}
    (task / "dataset.json").write_text(json.dumps({"training": [entry]}), encoding="utf-8")
    layout = DecathlonLayout(root=task)
    with pytest.raises(DataError, match=message):
        layout.load(layout.cases()[0].as_item(), header_only=True)


def _backslashes(tmp_path: Path) -> None:
    write_volume(tmp_path / "imagesTr" / "a.nii.gz", voxels(0))
    write_volume(tmp_path / "labelsTr" / "a.nii.gz", labels())
    for image in ("imagesTr\\{}.nii.gz", ".\\imagesTr\\{}.nii.gz"):
        _refused_listing(tmp_path, image, "a", r"is no separator here; write / in the listing")


@dataclass(frozen=True)
class Row:
    """A row with two columns."""

    source: str
    distance: float


def _separators(tmp_path: Path) -> None:
    for separator, called in ((";", "';'"), ("\t", "tabs"), ("|", r"'\|'")):
        file = tmp_path / "table.csv"
        file.write_text(f"source{separator}distance\na{separator}1\n")
        with pytest.raises(DataError, match=f"cells are separated by {called} in place of commas; save it again"):
            read_csv(file, Row)


def _one_folder_that_cannot_be_read(tmp_path: Path) -> None:
    good = [_plant(tmp_path / f"good{k}", *((f"images/{j}.png", f"masks/{j}.png") for j in range(2))) for k in range(2)]
    (tmp_path / "bad: #1").mkdir()
    study = tmp_path / "study.yaml"
    sources = ["--source", str(tmp_path / "bad: #1"), "--source", str(good[1])]
    done = CliRunner().invoke(app, ["init", "--target", str(good[0]), *sources, "--out", str(study)])
    assert done.exit_code == 0, done.output
    assert "no layout was recognized" in done.stderr
    assert [one.name for one in load_study(study).datasets] == ["good0", "good1"] or len(
        load_study(study).datasets
    ) == 2
    text = study.read_text()
    assert "# left out: " in text
    # What stands in the comment is an entry once the # are gone.
    entry = "\n".join(line.replace("# ", "", 1) for line in text.split("# left out: ")[1].splitlines()[1:4])
    assert yaml.safe_load(entry)[0]["layout"]["root"] == str(tmp_path / "bad: #1")


def _scales_that_nobody_names(tmp_path: Path) -> None:
    del tmp_path
    rng = np.random.default_rng(0)
    mask = np.zeros((1, 12, 12))
    mask[0, 3:8, 4:9] = 1
    distance = DatasetDistance(make_metric("gmm2d"))

    def samples(low: float, high: float, preprocessing: str = "unspecified"):  # type: ignore[no-untyped-def]
        items = [{"image": low + (high - low) * rng.random((1, 12, 12)), "label": mask} for _ in range(4)]
        return collect(items, name=f"{low:g} to {high:g}", preprocessing=preprocessing)

    for low, high in ((0, 255), (-1000, 400), (0, 4095), (0, 65535)):
        with pytest.raises(
            PreprocessingMismatchError, match="neither says how it was prepared; bring both to one range"
        ):
            distance(samples(0, 1), samples(low, high))
        assert distance(samples(0, 1, "mine"), samples(low, high, "mine")).value > 0
    for one, other in (((0, 1), (-5, 5)), ((-1000, 400), (0, 255))):
        with pytest.warns(UserWarning, match="neither says how it was prepared"):
            distance(samples(*one), samples(*other))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for one, other in (((0, 255), (0, 120)), ((0, 1), (-1, 1)), ((0, 255), (0, 255))):
            distance(samples(*one), samples(*other))


REPORTS = [
    Report("", "endings in capitals among others", "all are paired", _endings_in_capitals),
    Report("", "Pat 001 - Schnitt 95.PNG with ..._Maske.png", "paired, else the known words are named", _odd_names),
    Report("", "a folder for each patient and frame", "paired by several *", _several_stars),
    Report("", "names in NFC and NFD", "paired; of a listing the cause is said", _forms_of_unicode),
    Report("", "backslashes in dataset.json", "the cause is said", _backslashes),
    Report("", "CSV with other separators", "the cause is said", _separators),
    Report("", "init with a folder that cannot be read", "the others are written", _one_folder_that_cannot_be_read),
    Report("", "collected intensities of other scales", "refused or warned of", _scales_that_nobody_names),
]
