"""Reading the folder of a run: what is optional may be missing, and what is broken is named."""

import pytest

from medsegdist.errors import DataError
from medsegdist.report.run import Gain, read_run

HEADINGS = "source,target,seed,dice,dice_baseline,gain_percent\n"


def test_everything_that_a_folder_holds(run_folder, compared_datasets):
    (run_folder / "agreement.csv").write_text("method,statistic\ngmm2d,NA\n")
    run = read_run(run_folder)
    assert (run.table.rows, run.record) == (compared_datasets[0].rows, compared_datasets[1])
    assert len(run.table.comparisons) == len(compared_datasets[0].comparisons)
    assert (run.name, run.targets) == ("tiny study", ("target", "near", "far"))
    assert run.gains[0] == Gain("target", "near", 0, 0.55, 0.5, 10.0)
    assert len(run.gains) == 12
    assert run.agreement.to_dict("records") == [{"method": "gmm2d", "statistic": "NA"}]


def test_distances_alone_are_enough(run_folder):
    for name in ("comparisons.csv", "study.json", "gains.csv"):
        (run_folder / name).unlink()
    run = read_run(run_folder)
    assert (run.record, run.gains, run.agreement, run.table.comparisons) == (None, (), None, ())
    assert run.name == "out"


def test_targets_that_the_record_alone_knows_are_left_out(run_folder):
    path = run_folder / "study.json"
    path.write_text(path.read_text().replace('"targets":["target"]', '"targets":["gone","near"]'))
    assert read_run(run_folder).targets == ("near", "target", "far")


@pytest.mark.parametrize(("name", "found"), [("nowhere", "nothing"), ("out/distances.csv", "a file")])
def test_what_is_no_folder(run_folder, name, found):
    with pytest.raises(DataError, match=f"expected a folder with distances.csv, found {found}; `medsegdist rank"):
        read_run(run_folder.parent / name)


def test_a_folder_without_distances(tmp_path):
    with pytest.raises(DataError, match=r"distances\.csv: expected a table, found no such file"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("source,target\na,b\n", "missing are seed, dice, dice_baseline, gain_percent"),
        (
            "source,target,seed,dice,dice_baseline,gain_percent\na,b,0,x,0.5,1\n",
            "line 2, dice: expected a finite number",
        ),
        ("source,target,seed,dice,dice_baseline,gain_percent\n" + "a,b,0,0.5,0.5,0\n" * 2, "found two for 'a', 'b', 0"),
    ],
)
def test_broken_gains(run_folder, content, message):
    (run_folder / "gains.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        read_run(run_folder)


def test_a_broken_agreement(run_folder):
    (run_folder / "agreement.csv").write_text("")
    with pytest.raises(DataError, match=r"agreement.csv: expected a table as CSV.*remove the file to report"):
        read_run(run_folder)
