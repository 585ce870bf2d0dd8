"""Reading the folder of a run: what is optional may be missing, and what is broken is named."""

import pytest

from medsegdist.errors import DataError
from medsegdist.report.results import Results
from medsegdist.transfer.gains import DistanceRecord, Gain
from tests.report.making_run import write_transfer


def test_everything_that_a_folder_holds(run_folder, compared_datasets):
    (run_folder / "agreement.csv").write_text("method,statistic\ngmm2d,NA\n")
    run = Results.load(run_folder)
    assert (run.table.rows, run.record) == (compared_datasets[0].rows, compared_datasets[1])
    assert len(run.table.comparisons) == len(compared_datasets[0].comparisons)
    assert (run.name, run.targets) == ("tiny study", ("target", "near", "far"))
    assert run.gains[0] == Gain("target", "near", 0, dice=0.55, dice_baseline=0.5, gain_percent=10.0)
    assert len(run.gains) == 12
    assert run.agreement.to_dict("records") == [{"method": "gmm2d", "statistic": "NA"}]


def test_targets_that_the_record_alone_knows_are_left_out(run_folder):
    path = run_folder / "study.json"
    path.write_text(path.read_text().replace('"targets":["target"]', '"targets":["gone","near"]'))
    assert Results.load(run_folder).targets == ("near", "target", "far")


@pytest.mark.parametrize(("name", "found"), [("nowhere", "nothing"), ("out/distances.csv", "a file")])
def test_what_is_no_folder(run_folder, name, found):
    with pytest.raises(DataError, match=f"expected a folder with distances.csv, found {found}; `medsegdist rank"):
        Results.load(run_folder.parent / name)


def test_plain_distances_and_gains_are_enough(tmp_path):
    (tmp_path / "distances.csv").write_text("source,target,distance,note\na,t,2,x\n")
    (tmp_path / "gains.csv").write_text("source,target,gain_percent\na,t,5\n")
    run = Results.load(tmp_path)
    assert run.distances == (DistanceRecord("a", "t", 2.0, "distance"),)
    assert (run.table.rows, run.gains) == ((), (Gain("a", "t", gain_percent=5.0),))


def test_a_damaged_table_of_ours_is_not_taken_for_plain_distances(run_folder):
    path = run_folder / "distances.csv"
    path.write_text(path.read_text().replace("rank", "ranc", 1))
    with pytest.raises(DataError, match=r"expected the columns rank; found 'source', 'target'"):
        Results.load(run_folder)


def test_gains_alone_are_enough_and_may_be_a_header(tmp_path):
    write_transfer(tmp_path)
    run = Results.load(tmp_path)
    assert (run.distances, run.record, run.name) == ((), None, "trained study")
    assert (len(run.gains), len(run.controls)) == (10, 4)
    (tmp_path / "gains.csv").write_text("source,target,seed,dice,dice_baseline,gain_percent,status\n")
    assert Results.load(tmp_path).gains == ()


def test_a_folder_without_distances(tmp_path):
    with pytest.raises(DataError, match=r"distances\.csv: expected a table, found no such file"):
        Results.load(tmp_path)


def test_a_broken_agreement(run_folder):
    (run_folder / "agreement.csv").write_text("")
    with pytest.raises(
        DataError, match=r"agreement.csv: expected a CSV file, found an empty file.*remove the file to report"
    ):
        Results.load(run_folder)
