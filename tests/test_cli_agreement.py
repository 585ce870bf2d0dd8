"""`medsegdist agreement` and `medsegdist paper`."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest

from medsegdist.distance.characteristics import CHARACTERISTICS
from tests.test_cli import run
from tests.transfer.making_pairs import write_csv


@pytest.fixture(scope="module")
def paper_files(tmp_path_factory):
    """The paper's own numbers, as `medsegdist paper` writes them."""
    folder = tmp_path_factory.mktemp("paper")
    run("paper", "--out", folder)
    return folder / "distances.csv", folder / "gains.csv"


def test_paper_shows_both_tables_and_writes_what_does_not_follow(tmp_path):
    shown = run("paper", "--out", tmp_path / "out").stdout
    for said in (
        "Table 12: p-values",
        "4.43e-07    4.43e-07",
        "10 of 10 p-values follow",
        "instead of 0.57, 0.83, 0.87, 0.71, 0.65",
        "Without Decathlon Prostate p of the slope is 0.14",
    ):
        assert said in shown
    assert (tmp_path / "out" / "paper.json").read_text() == run("paper", "--json").stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["distances.csv", "gains.csv", "paper.json"]


def test_agreement_reads_the_papers_numbers_and_finds_table_12(paper_files, tmp_path):
    shown = run("agreement", *paper_files, "--out", tmp_path / "out").stdout
    assert "0.000354" in shown
    assert "Nearest source for Decathlon Lung" in shown
    assert "Best: LIDC 5, 25.4 %" in shown
    assert "Warning: All methods: The line leans on Decathlon Prostate" in shown
    page = (tmp_path / "out" / "report.html").read_text()
    for said in ("Distance and gain", "4.43e-07", "7.08e-08", "The line leans on Decathlon Prostate", "-0.99"):
        assert said in page
    frame = pd.read_csv(tmp_path / "out" / "agreement.csv")
    assert frame["spearman"].round(2).tolist() == [-0.63, -0.87, -0.99, -0.76, -0.66]
    (content,) = json.loads(run("agreement", *paper_files, "--json", "--method", "gmm3d", "--out", tmp_path).stdout)
    assert (content["method"], content["line"]["n"]) == ("gmm3d", 17)


def test_predictions_and_results_without_a_source(paper_files, tmp_path):
    common = ("agreement", *paper_files, "--no-report", "--out", tmp_path / "out")
    shown = run(*common, "--predict", "gmm3d=12000", "--predict", "euclidean=1e5", "--leave-out").stdout
    assert "Expected gain" in shown
    assert "17.7 [3.3, 32.0]" in shown
    assert "beyond 8,313.04 to 25,347.8" in shown
    assert "Without one source" in shown
    assert "17.7 [3.3, 32.0]" in run(*common, "--method", "gmm3d", "--predict", "12000").stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--predict", "12000"), "expected --predict METHOD=DISTANCE, as there are the methods euclidean, gmm2d"),
        (("--predict", "gmm3d=near"), "expected a number as the distance of --predict, found 'gmm3d=near'"),
        (("--predict", "gmm3d=inf"), "expected a finite distance of --predict, found 'gmm3d=inf'"),
        (("--predict", "other=1"), "expected a prediction by one of the methods euclidean"),
        (("--method", "other"), "expected a method among those of the distances, euclidean"),
    ],
)
def test_wrong_options_say_so_and_write_nothing(paper_files, tmp_path, options, message):
    result = run("agreement", *paper_files, *options, "--out", tmp_path / "out", status=2)
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_names_are_no_markup(tmp_path):
    rows = [f"[red]s{k},[bold]t,{k},{10 - k + k % 2}" for k in range(4)]
    distances = write_csv(tmp_path / "d.csv", "\n".join(["source,target,distance,gain_percent", *rows]))
    shown = run("agreement", distances, distances, "--leave-out", "--out", tmp_path / "out").stdout
    assert "Nearest source for [bold]t" in shown
    assert "[red]s0" in shown


def test_scores_and_characteristics_that_are_there_are_compared_too(paper_files, tmp_path, caplog):
    distances, gains = (shutil.copy(path, tmp_path) for path in paper_files)
    table = pd.read_csv(distances)
    scores = table[table["method"] == "gmm3d"].assign(method="nce", score=-table["distance"])
    scores.to_csv(tmp_path / "scores.csv", index=False)
    datasets = sorted({*table["source"], *table["target"]})
    rows = [
        f"{name},3,3,{one},,{k if one == 'segment_size' else 1},0"
        for k, name in enumerate(datasets)
        for one in CHARACTERISTICS
    ]
    head = "dataset,samples,patients,characteristic,unit,mean,deviation"
    looks = write_csv(tmp_path / "characteristics.csv", "\n".join([head, *rows]))
    methods = ("--method", "gmm3d", "--method", "nce")
    arguments = ("agreement", distances, gains, *methods, "--no-report", "--out", tmp_path / "out")
    shown = run(*arguments).stdout
    assert "Differences and gain" in shown
    assert "segment_size" in shown
    frame = pd.read_csv(tmp_path / "out" / "agreement.csv").set_index("method")
    assert frame.loc["nce", "p_slope"] == frame.loc["gmm3d", "p_slope"]
    assert pd.read_csv(tmp_path / "out" / "characteristic_agreement.csv")["pairs"].tolist() == [17]
    write_csv(looks, "\n".join([head, *(row for row in rows if "texture" not in row)]))
    said = run(*arguments, status=2).stderr
    assert "characteristics.csv: expected the characteristics" in said
    write_csv(looks, "\n".join([head, *(f"x{row}" for row in rows)]))
    result = run(*arguments)
    assert "says nothing of gains" in caplog.text
    assert "Differences and gain" not in result.stdout
