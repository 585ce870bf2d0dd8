"""What `medsegdist handover` writes, by nnU-Net itself: converted, planned, and preprocessed by plans that moved."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from medsegdist.data.study import load_study
from medsegdist.transfer.handover import write_handover
from tests.test_cli import change
from tests.transfer.test_handover import OTHER, SOURCE, blocks_of, order_of, write_study


@pytest.mark.slow
@pytest.mark.skipif(find_spec("nnunetv2") is None, reason="nnunetv2 is not installed: pip install nnunetv2")
@pytest.mark.parametrize("slices", [6, 1])
def test_nnunet_converts_plans_moves_the_plans_and_preprocesses(tmp_path, slices):
    """The commands as written, in processes of their own; training takes a GPU, and is left out."""
    folder = tmp_path / "it's here"
    study = write_study(folder)
    content = yaml.safe_load(study.read_text())
    for dataset in content["datasets"]:
        dataset["layout"]["slices"] = slices
    change(study, datasets=content["datasets"])
    written = write_handover(load_study(study), order_of(SOURCE, OTHER), folder / "hand")
    script = blocks_of(written.directory, "sh")[0].partition("nnUNetv2_train")[0]
    # As many processes as are needed; the commands are those of this environment.
    script = script.replace("nnUNetv2_preprocess", "nnUNetv2_preprocess -np 1")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-e", "-c", script],
        cwd=written.directory,
        env=os.environ | {"PATH": path, "nnUNet_def_n_proc": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    plans = written.directory / "nnUNet_preprocessed"
    own = json.loads((plans / "Dataset502_2" / "nnUNetPlans.json").read_text())
    moved = json.loads((plans / "Dataset501_Spleen-a-b-c" / "nnUNetPlansOf502.json").read_text())
    assert written.configuration == ("2d" if slices == 1 else "3d_fullres")
    assert written.configuration in own["configurations"]
    # nnU-Net's name of the folder of the weights is made of these.
    assert (moved["dataset_name"], moved["plans_name"]) == ("Dataset501_Spleen-a-b-c", "nnUNetPlansOf502")
    for one in (own["configurations"], moved["configurations"]):
        one[written.configuration].pop("data_identifier")
    assert moved["configurations"][written.configuration] == own["configurations"][written.configuration]
    for dataset, identifier in (("Dataset502_2", "nnUNetPlans"), ("Dataset501_Spleen-a-b-c", "nnUNetPlansOf502")):
        prepared = plans / dataset / f"{identifier}_{written.configuration}"
        assert len({path.name.split(".")[0].removesuffix("_seg") for path in prepared.iterdir()}) == 5
    # The cases of the folds are what nnU-Net calls them.
    folds = json.loads((plans / "Dataset502_2" / "splits_final.json").read_text())
    assert {name for fold in folds for name in fold["val"]} == {f"liver_{k:04d}" for k in range(1, 6)}
