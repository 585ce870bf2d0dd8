"""The command line, run in process on a tiny study of NIfTI volumes."""

import json
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from medsegdist.cli import app
from medsegdist.distance.metrics import PAPER_METHODS
from medsegdist.distance.order import CONSENSUS
from medsegdist.distance.table import COLUMNS
from medsegdist.recommend.learned import LearnedRanking


def write_dataset(root, center, *, cases=3, seed=0):
    rng = np.random.default_rng(seed)
    axes = np.mgrid[:24, :20, :6]
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for k in range(cases):
        middle = np.array([*center, 3]) + rng.uniform(-1, 1, 3)
        mask = (((axes - middle[:, None, None, None]) / [[[[5]]], [[[4]]], [[[3]]]]) ** 2).sum(0) <= 1
        image = rng.normal(-600, 30, mask.shape) + 650 * mask
        for folder, array in (("images", image.astype(np.float32)), ("masks", mask.astype(np.uint8))):
            nib.save(nib.Nifti1Image(array, np.diag([-1.0, -1, 2, 1])), root / folder / f"case{k}.nii.gz")


def write_study(root, centers, **more):
    """A study file of datasets by their names and places, the first of which is its target."""
    for seed, (name, center) in enumerate(centers.items()):
        write_dataset(root / name, center, seed=seed)
    layout = {"kind": "folder", "images": "images/*.nii.gz", "masks": "masks/*.nii.gz"}
    content = {
        "name": "tiny",
        "preprocessing": {"grid": [24, 20], "min_pixels": 8},
        "datasets": [{"name": name, "modality": "CT", "layout": {**layout, "root": name}} for name in centers],
        "targets": [next(iter(centers))],
        **more,
    }
    path = root / "study.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def study(tmp_path):
    """A study file whose 'near' source lies where its 'target' does, and 'far' elsewhere."""
    # Mixtures of more take longer, and are tested where they are fitted.
    centers = {"target": (8, 8), "near": (9, 8), "far": (16, 13)}
    return write_study(tmp_path, centers, distance={"components": 1})


def change(study, **parts):
    """Writes other parts into a study file."""
    study.write_text(yaml.safe_dump(yaml.safe_load(study.read_text()) | parts))


def run(*arguments, status=0):
    if arguments[0] in ("rank", "distances", "demo") and "--bootstrap" not in arguments:
        arguments = (*arguments, "--bootstrap", "4")  # numbers of replicates are tested where they are drawn
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    assert result.exit_code == status, (result.exit_code, result.output, result.exception)
    return result


def test_rank_puts_the_near_source_first_and_writes_every_distance(study, tmp_path):
    out = tmp_path / "out"
    shown = run("rank", study, "--paper", "--out", out).stdout
    assert "Sources for target" in shown
    assert "Recommended: near" in shown
    frame = pd.read_csv(out / "distances.csv")
    assert tuple(frame.columns) == COLUMNS
    assert len(frame) == 2 * 5
    assert pd.read_csv(out / "recommendation.csv")["source"].tolist() == ["near", "far"]
    assert set(frame.loc[frame["rank"] == 1, "source"]) == {"near"}
    assert (frame["optimality_gap"] < 1e-9).all()


def test_rank_json_is_all_of_standard_output(study, tmp_path):
    result = run("rank", study, "--method", "gmm2d", "--json", "--out", tmp_path / "out")
    content = json.loads(result.stdout)
    assert content["study"] == "tiny"
    answer = content["targets"]["target"]
    assert answer["recommended"] == "near"
    assert [one["source"] for one in answer["order"]] == ["near", "far"]
    assert answer["against"][0].startswith("Few patients: target (3) and near (3).")
    assert {row["method"] for row in content["distances"]} == {"gmm2d"}


def test_by_default_terms_have_one_scale_and_three_methods_recommend(study, tmp_path):
    def found(out, *arguments):
        run("rank", study, "--bootstrap", 0, "--out", tmp_path / out, *arguments)
        return pd.read_csv(tmp_path / out / "distances.csv").set_index(["method", "source"])

    table = found("default")
    assert set(table.index.unique("method")) == set(CONSENSUS)
    # Of two pairs the scale of a term is the mean of the two.
    assert table["image_term"].groupby("method").mean().tolist() == pytest.approx([1, 1, 1], abs=0.2)
    one = ("--method", "gmm2d")
    published = found("paper", "--paper", *one)
    raw = found("raw", *one)
    assert published["image_term"].min() > 100 * raw["image_term"].max()
    change(study, distance={"normalize": False, "components": 1})
    pd.testing.assert_frame_equal(found("stated", *one), published)


def test_a_learned_ranking_orders_the_sources(study, tmp_path):
    learned = LearnedRanking.load()
    learned.save(tmp_path / "mine.json")
    common = ("rank", study, "--bootstrap", 0, "--out", tmp_path / "out")
    shown = run(*common, "--ranking", tmp_path / "mine.json").stdout
    assert "are ordered by what was learned from transfers between datasets." in " ".join(shown.split())
    table = pd.read_csv(tmp_path / "out" / "recommendation.csv")
    assert set(table["rule"]) == {"learned, new families"}
    assert table["chance"].sum() == pytest.approx(1, abs=1e-4)
    content = yaml.safe_load(study.read_text())
    for one in content["datasets"]:
        one["library"] = next(iter(learned.entries))
    study.write_text(yaml.safe_dump(content))
    run(*common, "--ranking", tmp_path / "mine.json")
    assert set(pd.read_csv(tmp_path / "out" / "recommendation.csv")["rule"]) == {"learned, known sources"}
    change(study, datasets=[{**one, "library": "nowhere"} for one in content["datasets"]])
    said = " ".join(run(*common, "--ranking", tmp_path / "mine.json", status=2).stderr.split())
    assert "dataset 'target': library: expected an entry of the ranking, left atrium" in said
    assert "found 'nowhere'" in said
    assert "expected what `medsegdist learn` writes there" in run(*common, "--ranking", study, status=2).stderr


def test_distances_are_all_pairs(study, tmp_path):
    shown = run("distances", study, "--paper", "--out", tmp_path / "out").stdout
    for title in ("Table 5", "Table 6", "Table 7", "Table 8", "Table 9"):
        assert title in shown
    assert len(pd.read_csv(tmp_path / "out" / "distances.csv")) == 6 * len(PAPER_METHODS)


def test_check_finds_nothing_wrong(study):
    assert "No problem found in headers and first masks of 3 datasets." in run("check", study).stdout
    assert "No problem found in every voxel of 3 datasets." in run("check", study, "--full").stdout
    assert json.loads(run("check", study, "--full", "--json").stdout) == []


@pytest.mark.parametrize("command", ["rank", "distances"])
def test_a_source_with_the_targets_own_images_is_refused_before_anything_is_read(study, tmp_path, command):
    for folder in ("images", "masks"):
        shutil.copy(tmp_path / "target" / folder / "case1.nii.gz", tmp_path / "near" / folder / "case2.nii.gz")
    options = ("--method", "gmm2d", "--out", tmp_path / "out")
    shown = run(command, study, *options, status=2).stderr
    assert "study 'tiny': a source holds what its target holds:" in shown
    assert (
        "dataset 'target', case 'case1': 1 of 3 cases has the same image in the source 'near': 'case1' (there "
        "'case2'); take them out of one of the two, group both under `same_images`, or say `shared_images: "
        "allow` in the study."
    ) in shown
    assert not (tmp_path / "out").exists()
    change(study, shared_images="allow")
    run(command, study, *options)
    assert (tmp_path / "out" / "distances.csv").exists()


def test_only_the_targets_that_are_ranked_count(study, tmp_path):
    """'far' shares an image with 'near', which is no target of the study, but may be asked for."""
    for folder in ("images", "masks"):
        shutil.copy(tmp_path / "far" / folder / "case1.nii.gz", tmp_path / "near" / folder / "case1.nii.gz")
    options = ("--method", "gmm2d", "--out", tmp_path / "out")
    run("rank", study, *options)
    assert "in the source 'far'" in run("rank", study, "--target", "near", *options, status=2).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "tarjet"], "study 'tiny': no dataset 'tarjet' among target, near, far; did you mean 'target'?"),
        (["--method", "gmm4d"], "expected a method among euclidean, gmm2d, gmm3d, fake_classes, fake_class_gmm"),
        (["--method", "GMM-3d"], "found 'GMM-3d'; did you mean 'gmm3d'?"),
        (["--device", "cuda:9"], "expected the CUDA device 'cuda:9'"),
        (["--device", "gpu"], "expected a device such as cpu or cuda:0, found 'gpu'"),
        (["--bootstrap", 1], "--bootstrap: expected 0, for no intervals, or at least 2 replicates, found 1."),
    ],
)
def test_bad_choices_are_one_clear_error(study, tmp_path, arguments, message):
    result = run("rank", study, "--out", tmp_path / "out", *arguments, status=2)
    assert result.stdout == ""
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "out").exists()


def test_a_dataset_with_one_class_is_ranked_like_its_foreground(study, tmp_path):
    methods = [word for method in ("euclidean", "gmm2d", "fake_classes") for word in ("--method", method)]
    run("rank", study, "--out", tmp_path / "binary", "--bootstrap", 3, *methods)
    content = yaml.safe_load(study.read_text())
    content["datasets"][2]["classes"] = {"nodule": 1}
    study.write_text(yaml.safe_dump(content))
    assert "No problem found in every voxel" in run("check", study, "--full").stdout
    run("rank", study, "--out", tmp_path / "classes", "--bootstrap", 3, "--thumbnails", *methods)
    binary, classes = (pd.read_csv(tmp_path / folder / "distances.csv") for folder in ("binary", "classes"))
    pd.testing.assert_frame_equal(classes, binary, rtol=1e-9)


def test_names_of_files_can_steer_no_terminal(study, tmp_path):
    name = "[red]:bug:\n\x1b[2Jcase\x1b]0;owned\x07"
    for folder, content in (("images", b""), ("masks", b"")):
        (tmp_path / "near" / folder / f"{name}.nii.gz").write_bytes(content)
    shown = r"[red]:bug:\n\x1b[2Jcase\x1b]0;owned\x07"
    said = run("rank", study, "--out", tmp_path / "out", status=2).stderr
    assert f"case '{shown}': image" in said
    table = run("check", study, status=1).stdout
    for text in (said, table):
        assert not [one for one in text if not one.isprintable() and one != "\n"]
        assert ":bug:" in text
        assert "[red]" in text
    (problem,) = json.loads(run("check", study, "--json", status=1).stdout)
    assert problem["case"] == name


def test_lidc_subsets():
    content = json.loads(run("lidc", "subsets", "--json", "--min-readers", 1).stdout)
    assert list(content["nodules"].values()) == [324, 493, 1253, 359, 222]
    assert "LIDC-IDRI nodules" in run("lidc", "subsets").stdout


def test_the_options_of_a_study_reach_its_distances(study, tmp_path):
    options = {"components": 1, "features": ["texture"], "mask_weight": 0.5, "normalize": True}
    change(study, distance=options)
    shown = run("rank", study, "--method", "gmm2d", "--bootstrap", 0, "--out", tmp_path / "out").stdout
    frame = pd.read_csv(tmp_path / "out" / "distances.csv").set_index("source")
    # Two pairs have one scale, the mean of the two: half the sum of both terms is their weight.
    assert frame["mask_term"].mean() == pytest.approx(0.5, rel=1e-9)
    assert f"{frame.loc['near', 'distance']:.3g}" in shown
    assert frame.loc["near", "distance"] < frame.loc["far", "distance"] < 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_weight": 0, "mask_weight": 0}, "study.yaml: distance: expected finite weights >= 0 that are not"),
        ({"features": ["shape"], "feature_weights": {"centroid": 2}}, "distance: expected weights of the features"),
    ],
)
def test_options_that_cannot_be_are_one_clear_error(study, tmp_path, options, message):
    change(study, distance=options)
    result = run("rank", study, "--paper", "--out", tmp_path / "out", status=2)
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "out").exists()


def test_a_dataset_of_one_patient_is_named(study, tmp_path):
    for folder in ("images", "masks"):
        for k in (1, 2):
            (tmp_path / "near" / folder / f"case{k}.nii.gz").unlink()
    result = run("rank", study, "--method", "gmm2d", "--out", tmp_path / "out")
    assert "No interval for distances of near: one patient does not show how patients differ." in result.stderr
    frame = pd.read_csv(tmp_path / "out" / "distances.csv").set_index("source")
    assert frame["low"].isna().to_dict() == {"near": True, "far": False}


def test_a_grid_that_no_memory_holds_is_refused(study):
    study.write_text(study.read_text().replace("- 24\n  - 20", "- 100000\n  - 100000"))
    assert "at most 268,435,456 points in a sample" in " ".join(run("check", study, status=2).stderr.split())


def test_cases_without_a_sample_are_told_on_the_terminal_and_counted_in_the_report(study, tmp_path):
    content = yaml.safe_load(study.read_text())
    mask = tmp_path / "near" / "masks" / "case1.nii.gz"
    small = np.zeros((24, 20, 6), np.uint8)
    small[3:5, 3:5, 3] = 1
    nib.save(nib.Nifti1Image(small, np.diag([-1.0, -1, 2, 1])), mask)
    content["preprocessing"]["max_samples"] = 2
    study.write_text(yaml.safe_dump(content))
    for _ in range(2):  # from the files, and from the cache
        result = run("rank", study, "--method", "euclidean", "--out", tmp_path / "out", "--workers", 1)
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("near: ")]
        assert line == "near: 1 of 3 cases has no sample: case1 (segment below min_pixels = 8)."
        assert "not drawn" not in result.stderr  # which is no fault of a case
        assert "no sample" not in result.stdout
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<h3>Cases without a sample</h3>" in page
    assert "<dt>near, 1 of 3</dt><dd>segment below min_pixels = 8 (1)</dd>" in page
    assert "case1" not in page
    assert "case1" not in (tmp_path / "out" / "study.json").read_text()
