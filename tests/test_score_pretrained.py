"""scripts/score_pretrained.py, on what `medsegdist transfer` left."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from medsegdist.transfer.gains import read_distances
from tests.test_cli_transfer import run as transfer
from tests.test_cli_transfer import study as study
from tests.test_examples import run

SCORES = ("logme", "gbc", "cc_fv", "nce")


@pytest.mark.slow
def test_every_pair_gets_its_scores_and_those_of_which_more_is_better_are_negated(study, tmp_path, project_root):
    out = tmp_path / "out"
    transfer(study, "--out", out, "--workers", 1)
    shown = run(project_root, "score_pretrained.py", study, out)
    assert shown.startswith("12 scores of 4 networks")
    table = pd.read_csv(out / "scores.csv")
    assert set(zip(table["source"], table["target"], strict=True)) == {("spleen", "liver"), ("lung_tumor", "liver")}
    assert set(table["method"]) == {*SCORES, "task2vec", "deep_sets"}
    more_is_better = table["method"].isin(SCORES)
    assert (table["score"] == -table["distance"])[more_is_better].all()
    assert table["score"][~more_is_better].isna().all()
    # What they are known to lie between: minus the entropy of two classes, and two classes that are alike.
    by_method = table.set_index("method")["score"]
    assert by_method["nce"].between(-math.log(2), 0).all()
    assert by_method["gbc"].between(-2, 0).all()
    assert table["distance"][~more_is_better].between(0, 2).all()
    assert len(read_distances(out / "scores.csv")) == 12
    (out / "first.csv").write_bytes((out / "scores.csv").read_bytes())
    run(project_root, "score_pretrained.py", study, out)
    assert (out / "first.csv").read_bytes() == (out / "scores.csv").read_bytes()
