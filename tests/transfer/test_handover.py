"""`medsegdist handover`: its tasks are the datasets, and its README runs as written."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml

from medsegdist.data.collect import load_samples
from medsegdist.data.export import export_task
from medsegdist.data.layouts.decathlon import DecathlonLayout
from medsegdist.data.study import load_study
from medsegdist.distance.order import Recommendation
from medsegdist.transfer import handover
from medsegdist.transfer.handover import write_handover
from tests import readme
from tests.data.making import pictures_manifest, task_manifest, write_pictures, write_task, write_volume
from tests.data.test_export import contents
from tests.synthetic import TRAINING, phantom_study
from tests.test_cli import change, run

TARGET, SOURCE, OTHER = "Печень + (2)", "Spleen_a b. c", "Lung"


def order_of(*sources: str, target: str = TARGET, tied: int = 1, chance: float | None = None) -> list[Recommendation]:
    """Sources in their order, of which the first `tied` share rank 1."""
    ranks = [1 if k < tied else k + 1 for k in range(len(sources))]
    return [
        Recommendation(target, name, rank, tied > 1 and rank == 1, k, chance, "consensus")
        for k, (name, rank) in enumerate(zip(sources, ranks, strict=True))
    ]


def write_study(folder: Path, **parts) -> Path:
    """Three phantoms of volumes, and a name that shells, YAML and Markdown read something into."""
    organs = {TARGET: "liver", SOURCE: "spleen", OTHER: "lung_tumor"}
    content = phantom_study(organs, patients=5, slices=3, transfer=TRAINING, methods=["euclidean"])
    for dataset in content["datasets"]:
        dataset["layout"]["size"] = [40, 36]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({**content, "name": "a \"b\" 'c' $(d) `e`\n# f: - g", **parts}))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder of a name that a shell reads something into, with a study, its ranking and what was handed over."""
    folder = tmp_path_factory.mktemp('it\'s "a" $HOME `b` (c); d')
    study = write_study(folder)
    run("rank", study, "--out", folder / "out", "--no-report")
    run("handover", study, folder / "out", "--out", folder / "hand over")
    return folder


def blocks_of(folder: Path, kind: str) -> list[str]:
    text = (folder / "README.md").read_text(encoding="utf-8")
    return [block.content for block in readme.blocks(text) if block.kind == kind]


def commands_of(folder: Path) -> list[list[str]]:
    """nnU-Net's commands, without the variables before them."""
    lines = [line for block in blocks_of(folder, "sh") for line in block.splitlines()]
    return [shlex.split(line[line.index("nnUNetv2") :]) for line in lines if "nnUNetv2" in line]


def test_tasks_and_study_are_the_datasets_that_were_ranked(place):
    written, before = load_study(place / "hand over" / "study.yaml"), load_study(place / "study.yaml")
    assert [one.name for one in written.datasets] == [SOURCE, TARGET]
    assert all(isinstance(one.layout, DecathlonLayout) for one in written.datasets)
    assert written.targets == (TARGET,)
    for part in ("name", "preprocessing", "distance", "methods", "transfer"):
        assert getattr(written, part) == getattr(before, part)
    for name in (SOURCE, TARGET):
        found, expected = (load_samples(one, names=[name])[0] for one in (written, before))
        assert torch.equal(found.images, expected.images)
        assert torch.equal(found.masks, expected.masks)
        assert found.case_ids == expected.case_ids
        assert found.patient_ids == expected.patient_ids


def test_all_that_is_written_may_be_moved(place):
    folder = place / "hand over"
    for path in folder.rglob("*.*"):
        if path.suffix in (".md", ".yaml", ".json"):
            assert str(place) not in path.read_text(encoding="utf-8")
    expected = {"README.md", "study.yaml", "splits_final.json", "Task501_Spleen-a-b-c", "Task502_2"}
    assert {path.name for path in folder.iterdir()} == expected
    assert not [path for path in place.iterdir() if path.name.startswith(".")]


@pytest.mark.skipif(shutil.which("sh") is None, reason="no sh")
def test_a_shell_reads_the_commands_as_they_are_meant(place, tmp_path):
    """Programs in the place of nnU-Net's note what reaches them, in a folder that a shell might misread."""
    folder, log = place / "hand over", tmp_path / "log"
    program = f"""#!{sys.executable}
import json, os, sys
folders = [value for name, value in sorted(os.environ.items()) if name.startswith("nnUNet_")]
with open({str(log)!r}, "a") as file:
    file.write(json.dumps([os.path.basename(sys.argv[0]), sys.argv[1:], folders]) + "\\n")
"""
    commands = commands_of(folder)
    for name in {one[0] for one in commands}:
        (tmp_path / name).write_text(program)
        (tmp_path / name).chmod(0o755)
    copied = folder / "nnUNet_preprocessed" / "Dataset502_2"
    copied.mkdir(parents=True)
    script = "\n".join(block for block in blocks_of(folder, "sh") if "nnUNet" in block)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["sh", "-e", "-c", script], cwd=folder, env=os.environ | {"PATH": path}, check=True)
    heard = [json.loads(line) for line in log.read_text().splitlines()]
    assert [[name, *words] for name, words, _ in heard] == commands
    own = [str(folder / name) for name in ("nnUNet_preprocessed", "nnUNet_raw", "nnUNet_results")]
    assert all(sorted(folders) == own for _, _, folders in heard[:-1])
    # From scratch, elsewhere: nnU-Net gives both trainings of the target the same folder.
    assert heard[-1][2] == [*own[:2], str(folder / "nnUNet_scratch")]
    assert heard[-1][1] == heard[-2][1][:3]
    assert (copied / "splits_final.json").read_bytes() == (folder / "splits_final.json").read_bytes()
    shutil.rmtree(folder / "nnUNet_preprocessed")


def test_the_plans_of_the_target_go_to_the_source(place):
    commands = {one[0]: one[1:] for one in commands_of(place / "hand over")[:-3]}
    moved = dict(zip(*[iter(commands["nnUNetv2_move_plans_between_datasets"])] * 2, strict=True))
    assert (moved["-s"], moved["-t"], moved["-sp"]) == ("502", "501", "nnUNetPlans")
    assert moved["-tp"] != moved["-sp"], "the source keeps its own plans"
    pre_training, fine_tuning, _ = commands_of(place / "hand over")[-3:]
    assert pre_training[1:] == ["501", "3d_fullres", "all", "-p", moved["-tp"]]
    trained = f"nnUNet_results/Dataset501_Spleen-a-b-c/nnUNetTrainer__{moved['-tp']}__3d_fullres"
    weights = f"{trained}/fold_all/checkpoint_final.pth"
    assert fine_tuning[1:] == ["502", "3d_fullres", "0", "-pretrained_weights", weights]


def test_the_way_of_monai_runs_as_written(place, monkeypatch):
    monkeypatch.chdir(place / "hand over")
    scope: dict = {}
    (block,) = blocks_of(Path(), "python")
    exec(block, scope)
    assert [len(scope[name]) for name in ("source", "target", "source_files", "target_files")] == [5, 5, 5, 5]
    assert scope["target"][0][0]["image"].shape == (1, 32, 32)
    assert Path(scope["source_files"][0]["label"]).is_file()
    (command,) = (words for block in blocks_of(Path(), "sh") if (words := shlex.split(block))[0] == "medsegdist")
    run(*command[1:], "--workers", 1)
    gains = (Path("transfer") / "gains.csv").read_text().splitlines()
    assert gains[1].startswith(f"{SOURCE},{TARGET}")
    bundles = [path.as_posix() for path in Path("transfer/bundles").glob("*")]
    assert [one for one in bundles if f"`{one}`" not in Path("README.md").read_text()] == []


def two(tmp_path, source, target, **of_order):
    """Hands a source over to a target, of one study."""
    study = load_study(write_study(tmp_path)).model_copy(update={"datasets": (source, target)})
    return write_handover(study, order_of(source.name, target=target.name, **of_order), tmp_path / "hand")


def test_folds_cut_no_patient(tmp_path):
    root = write_task(tmp_path / "task", tuple(f"p{patient}_{k}" for patient in range(7) for k in range(2)))
    written = two(tmp_path, pictures_manifest(write_pictures(tmp_path / "pictures")), task_manifest(root))
    folds = json.loads((written.directory / "splits_final.json").read_text())
    assert len(folds) == 5
    everybody = {path.name.removesuffix(".nii.gz") for path in (root / "imagesTr").iterdir()}
    assert sorted(name for fold in folds for name in fold["val"]) == sorted(everybody)
    for fold in folds:
        assert {*fold["train"]} == everybody - {*fold["val"]}
        assert not {name[:2] for name in fold["train"]} & {name[:2] for name in fold["val"]}


def test_a_target_of_one_patient_has_no_folds(tmp_path):
    target = task_manifest(write_task(tmp_path / "task", ("p1_a", "p1_b")))
    written = two(tmp_path, task_manifest(write_task(tmp_path / "other"), name="other"), target)
    assert not (written.directory / "splits_final.json").exists()
    text = (written.directory / "README.md").read_text()
    assert "Nothing can be held out of the one patient of tiny: Dice will mean nothing." in text
    assert "splits_final" not in text
    assert commands_of(written.directory)[-1] == ["nnUNetv2_train", "502", "3d_fullres", "all"]


def test_networks_are_2d_where_one_of_both_has_single_slices(tmp_path):
    flat = pictures_manifest(write_pictures(tmp_path / "pictures"))
    deep = task_manifest(write_task(tmp_path / "task"))
    for k, (source, target) in enumerate([(flat, deep), (deep, flat)]):
        written = two(tmp_path / str(k), source, target)
        assert written.configuration == "2d"
        assert "3d" not in (written.directory / "README.md").read_text()


# --- What speaks against it ------------------------------------------------------------------------------------------

PROOF = "A distance is no proof that pre-training helps: train from scratch, too, and compare."


def cautions(tmp_path, order, **more):
    return write_handover(load_study(write_study(tmp_path)), order, tmp_path / "hand", **more).cautions


def test_a_clear_ranking_is_still_no_proof(tmp_path):
    found = cautions(tmp_path, order_of(SOURCE, OTHER, chance=0.874))
    simulated = [f"Simulated in {name}: everything." for name in (SOURCE, TARGET)]
    chance = f"By the ranking, the chance that {SOURCE} is the nearest of 2 is 87 %."
    assert list(found) == [chance, PROOF, *simulated]
    text = (tmp_path / "hand" / "README.md").read_text()
    assert [line.removeprefix("- ") for line in text.splitlines() if line.startswith("- ")][2:] == list(found)


@pytest.mark.parametrize(
    ("order", "source", "said"),
    [
        (
            order_of(SOURCE, OTHER, tied=2, chance=0.5),
            None,
            f"The ranking cannot distinguish {SOURCE} from {OTHER}: they share rank 1.",
        ),
        (order_of(SOURCE, OTHER), OTHER, f"The ranking recommends {SOURCE}; {OTHER} has rank 2 of 2."),
        (order_of(SOURCE, OTHER), None, "How sure the ranking is remains open, as it has no chances."),
        (order_of(SOURCE), None, f"{SOURCE} is the only source: nothing was ranked."),
    ],
)
def test_what_the_ranking_leaves_open_is_said_first(tmp_path, order, source, said):
    assert cautions(tmp_path, order, source=source)[0] == said


def test_ranges_that_the_plans_would_mix_up_and_unknown_pixels_are_named(tmp_path):
    pictures = pictures_manifest(write_pictures(tmp_path / "pictures"))
    in_hu = task_manifest(write_task(tmp_path / "task"), modality="CT")
    found = two(tmp_path / "a", pictures, in_hu).cautions
    assert any(one.startswith("pictures is other in a range of its own and tiny is CT in HU, but the") for one in found)
    assert any(one.startswith("The pixel size of pictures is unknown, and 1 mm stands for it") for one in found)
    eight_bits = in_hu.model_copy(update={"name": "eight", "window": (0.0, 255.0)})
    found = two(tmp_path / "b", eight_bits, in_hu).cautions
    assert any(one.startswith("eight is CT in a range of its own and tiny is CT in HU, but the plans") for one in found)
    same = [
        two(tmp_path / name, one.model_copy(update={"name": "like"}), one).cautions
        for name, one in (("c", in_hu), ("d", pictures))
    ]
    assert not [one for found in same for one in found if "plans" in one]


def test_axes_that_itk_refuses_are_named(tmp_path):
    tilted = np.diag([-1.0, -1.0, 2.0, 1.0])
    tilted[1, 2] = 0.7
    root = write_task(tmp_path / "task")
    for path in (root / "imagesTr" / "p1_b.nii.gz", root / "labelsTr" / "p1_b.nii.gz"):
        write_volume(path, np.asanyarray(nib.load(path).dataobj), tilted)
    found = two(tmp_path, task_manifest(root), task_manifest(write_task(tmp_path / "good"), name="good")).cautions
    assert any("not at right angles in 1 of 3 cases of tiny" in one for one in found)


# --- Bad input and failures ------------------------------------------------------------------------------------------


@pytest.fixture
def ranked(place, tmp_path) -> tuple[Path, Path]:
    """A study and its ranking, to be spoiled."""
    shutil.copytree(place / "out", tmp_path / "out", ignore=shutil.ignore_patterns("samples"))
    return write_study(tmp_path), tmp_path / "out"


def refused(study, ranking, *options) -> str:
    """The message, after a look that nothing was written."""
    before = contents(study.parent)
    shown = " ".join(run("handover", study, ranking, "--out", study.parent / "hand", *options, status=2).stderr.split())
    assert contents(study.parent) == before
    assert not (study.parent / "hand").exists() or (study.parent / "hand" / "mine").exists()
    assert not list(study.parent.glob(".*"))
    return shown


def test_a_folder_without_a_ranking(ranked):
    study, out = ranked
    assert "expected a folder with distances.csv, found nothing; `medsegdist rank" in refused(study, out / "nowhere")
    (out / "distances.csv").write_text(f"source,target,distance\n{SOURCE},{TARGET},1\n")
    assert f"{out}: expected a ranking, found none; `medsegdist rank STUDY.yaml --out DIR`" in refused(*ranked)


def test_a_target_or_source_that_was_not_ranked(ranked):
    assert f"expected --target to be one of {TARGET}, found '{OTHER}'." in refused(*ranked, "--target", OTHER)
    message = f"expected a source of '{TARGET}' in the ranking, {SOURCE}, {OTHER}, found 'Lun'; did you mean '{OTHER}'?"
    assert message in refused(*ranked, "--source", "Lun")
    assert f"found '{TARGET}'; choose one of them, or rank" in refused(*ranked, "--source", TARGET)


def test_one_of_several_targets_has_to_be_named(ranked, tmp_path):
    study, out = ranked
    text = (out / "distances.csv").read_text()
    rows = [line.replace(TARGET, "x").replace(OTHER, TARGET).replace("x", OTHER) for line in text.splitlines()[1:]]
    (out / "distances.csv").write_text("\n".join([text.strip(), *rows]))
    for name in ("study.json", "recommendation.csv", "comparisons.csv"):
        (out / name).unlink(missing_ok=True)
    assert f"expected --target to be one of {TARGET}, {OTHER}, found no --target." in refused(study, out)
    run("handover", study, out, "--out", tmp_path / "hand", "--target", OTHER)
    assert sorted(path.name for path in (tmp_path / "hand").glob("Task502*")) == ["Task502_Lung"]


def test_a_study_that_lacks_a_dataset_of_the_ranking(ranked):
    study, _ = ranked
    change(study, datasets=[one for one in yaml.safe_load(study.read_text())["datasets"] if one["name"] != OTHER])
    assert f"expected every dataset of the ranking, found none called '{OTHER}'; rank" in refused(*ranked)


def test_only_an_empty_folder_is_filled_and_a_full_disk_leaves_nothing(ranked, monkeypatch):
    study, out = ranked
    hand = study.parent / "hand"

    def fail(**_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(handover, "_readme", fail)
        assert "make room there, or choose another folder" in refused(*ranked)
    hand.mkdir()
    said = json.loads(run("handover", study, out, "--out", hand, "--json").stdout)
    assert said["tasks"] == ["Task501_Spleen-a-b-c", "Task502_2"]
    assert (said["source"], said["target"], said["configuration"]) == (SOURCE, TARGET, "3d_fullres")
    assert PROOF in said["cautions"]
    (Path(said["directory"]) / "mine").write_text("mine")
    assert "expected a new or empty folder; choose another, or remove it" in refused(*ranked)


def test_a_bad_case_of_the_target_leaves_nothing_of_the_source(ranked, tmp_path):
    study, out = ranked
    task = tmp_path / "Task01_Liver"
    export_task(load_study(study).dataset(TARGET), task)
    layout = {"layout": {"kind": "decathlon", "root": str(task)}}
    datasets = yaml.safe_load(study.read_text())["datasets"]
    change(study, datasets=[one | (layout if one["name"] == TARGET else {}) for one in datasets])
    (task / "imagesTr" / "liver_0002.nii.gz").write_bytes(b"")
    assert "case 'liver_0002'" in refused(study, out)
