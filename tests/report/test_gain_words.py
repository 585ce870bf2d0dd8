"""What gains say in words, the same for terminal and page, and the learning curves behind them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from medsegdist.distance.order import DistanceRow, Recommendation
from medsegdist.distance.table import DistanceTable
from medsegdist.errors import DataError
from medsegdist.report.gain_words import agreement_verdict, measured, transfer_verdict
from medsegdist.report.page import render
from medsegdist.report.results import Results
from medsegdist.report.sections import curve_plot, gain_plot, regress
from medsegdist.report.tables import choice_tables, regression_table
from medsegdist.transfer.agreement import measure_agreement, save_agreement
from medsegdist.transfer.gains import DistanceRecord, Gain
from medsegdist.transfer.outcomes import mean_curve, read_curves
from tests.report.making_run import write_transfer
from tests.report.test_page import Page
from tests.report.test_tables import shown


def ranked(*sources, target="t"):
    """A table that recommends the sources in this order."""
    rows = [
        DistanceRow(one, target, "m", k + 1.0, k + 1.0, 0.0, None, None, None, k + 1, False, 9, 9, 0.0)
        for k, one in enumerate(sources)
    ]
    return DistanceTable(
        tuple(rows),
        recommendations=tuple(
            Recommendation(target, one, k + 1, False, float(k), None, "consensus") for k, one in enumerate(sources)
        ),
    )


def gains_of(values, seeds=(0, 1), target="t"):
    return tuple(Gain(name, target, seed, gain_percent=value) for name, value in values.items() for seed in seeds)


def joined(order, values, **more):
    return measured(Results("s", ranked(*order), gains=gains_of(values, **more)), "t")


def test_the_recommended_source_is_placed_among_those_that_were_measured():
    values = {"a": 3.1, "b": 4.0, "c": -2.0, "pooled": 9.0}
    assert joined("abc", values).startswith(
        "The recommended source, a, gained +3.1%, place 2 of 3 by measured gain; the best, b, gained +4.0%."
    )
    assert joined("bac", values).startswith("The recommended source, b, gained +4.0%, place 1 of 3 by measured gain.")
    assert joined("cab", values).startswith("The recommended source, c, lost 2.0%, place 3 of 3")
    assert "has no measured gain; the best of 1 other, b, gained +1.0%." in joined("ab", {"b": 1.0})
    assert "a, gained nothing; no other source was measured." in joined("a", {"a": 0.0})


def test_equal_gains_share_a_place():
    values = dict.fromkeys("abc", 1.0)
    assert all("place 1 of 3" in joined(order, values) for order in ("abc", "bca", "cab"))


def test_nothing_is_said_where_nothing_was_measured():
    assert joined("ab", {}) == joined("ab", {"other": 3.0}) == ""
    assert measured(Results("s", ranked("a"), gains=gains_of({"a": 1.0}, target="u")), "u") == ""


def test_gains_of_an_agreement_place_the_recommended_source_too():
    distances = [DistanceRecord(name, "t", float(k), "m") for k, name in enumerate("abcd")]
    gains = gains_of({"a": 3.1, "b": 4.0, "c": 1.0, "d": 0.5})
    alone = Results("s", ranked(*"abcd"), agreements=measure_agreement(distances, gains))
    assert measured(alone, "t") == measured(Results("s", ranked(*"abcd"), gains=gains), "t")
    assert "place 2 of 4" in measured(alone, "t")


@pytest.mark.parametrize(
    ("seeds", "steps", "said", "caveats"),
    [
        ((0, 1), 150, "Measured with 2 repetitions, 150 steps of fine-tuning.", ()),
        ((0,), 150, "Measured with 1 repetition, 150 steps", ("One repetition does not separate gain from chance.",)),
        ((0, 1), 20, "2 repetitions, 20 steps", ("20 steps are few: after more, the order may be another.",)),
        ((0,), 1, "1 repetition, 1 step of", ("One repetition does not", "1 step is few")),
        ((None,), 150, "Measured with 150 steps", ("How many repetitions that rests on is not known.",)),
    ],
)
@pytest.mark.parametrize("gain", [5.0, -3.0])
def test_few_seeds_and_steps_are_named_wherever_a_gain_or_a_loss_is(tmp_path, seeds, steps, said, caveats, gain):
    record = Results.load(write_transfer(tmp_path)).transfer
    record = record.model_copy(update={"options": record.options | {"fine_tuning_steps": steps}})
    run = Results("s", ranked("a"), gains=gains_of({"a": gain}, seeds), transfer=record)
    for text in (transfer_verdict(run, "t"), measured(run, "t")):
        assert said in text
        assert all(caveat in text for caveat in caveats)
        assert text.count("One repetition") + text.count(" few: ") + text.count("not known") == len(caveats)
        if not caveats:
            assert text.endswith("fine-tuning.")
    assert ("no pre-training gained anything" in transfer_verdict(run, "t")) is (gain < 0)


def agreements_of(n, targets="tuv", *, sign=1.0, noise=0.0, seeds=(0,), study=""):
    rng = np.random.default_rng(0)
    pairs = [(f"s{k}", target, float(k)) for target in targets for k in range(n)]
    distances = [DistanceRecord(*one, method) for one in pairs for method in ("one", "two")]
    gains = [
        Gain(source, target, seed, gain_percent=50 - sign * k + noise * rng.normal())
        for source, target, k in pairs
        for seed in seeds
    ]
    return measure_agreement(distances, gains, study=study)


def test_the_answer_of_an_agreement_is_what_was_planted():
    near, far = (" ".join(agreement_verdict(agreements_of(5, sign=sign))) for sign in (1.0, -1.0))
    assert "Nearer sources gained more by 2 of 2 methods, beyond chance: one (Spearman -1.00)" in near
    assert "Farther sources gained more by 2 of 2 methods" in far
    assert "The nearest source is 0.0 points of gain behind the best one on average" in near
    assert "is 4.0 points of gain behind the best one on average, and a source drawn at random 2.0." in far
    chance = " ".join(agreement_verdict(agreements_of(5, sign=0.0, noise=1.0)))
    assert "By none of 2 methods do gains go with distance beyond chance; the least p is" in chance
    few = " ".join(agreement_verdict(agreements_of(3, targets="t")))
    assert "Whether distance predicts gain cannot be said from 3 pairs." in few
    repeated = agreement_verdict(agreements_of(5, noise=1.0, seeds=(0, 1)))
    assert repeated[0].startswith("Reliability of the gains over 2 seeds: ")


def test_page_and_terminal_have_one_rule_for_too_few_pairs(tmp_path):
    for n, lined in ((3, False), (4, True)):
        agreements = agreements_of(n, targets="t")
        folder = tmp_path / f"{n} pairs"
        save_agreement(agreements, folder)
        page = Page(render(Results.load(folder))).text
        terminal = shown(regression_table(agreements))
        assert ("too few pairs for a line" in page) is ("too few pairs for a line" in terminal) is not lined
        assert ("1.00" in terminal) is lined
        assert all(sentence in page for sentence in agreement_verdict(agreements))


def test_a_loss_is_no_best_gain():
    captions = [shown(table) for table in choice_tables(agreements_of(5))]
    assert "Best: s0, 50.0 %." in captions[0]
    lost = [Gain(f"s{k}", "t", gain_percent=-3.2 - k) for k in range(4)]
    distances = [DistanceRecord(f"s{k}", "t", float(k), "m") for k in range(4)]
    (table,) = choice_tables(measure_agreement(distances, lost))
    assert "No source gained; s0 lost least, -3.2 %." in " ".join(shown(table).split())


def test_points_are_named_by_their_sources_where_there_is_room():
    points = agreements_of(5, targets="tu")[0].pairs
    plot = gain_plot("m", points, regress(points))
    assert [trace["text"] for trace in plot.data if "markers" in trace["mode"]] == [[f"s{k}" for k in range(5)]] * 2
    many = agreements_of(9, targets="tu")[0].pairs
    assert not any("text" in trace for trace in gain_plot("m", many, None).data)


def test_an_agreement_has_the_name_of_its_study(tmp_path):
    save_agreement(agreements_of(4, study="our study"), tmp_path / "some folder")
    assert Results.load(tmp_path / "some folder").name == "our study"
    save_agreement(agreements_of(4), tmp_path / "some folder")
    assert Results.load(tmp_path / "some folder").name == "some folder"


def line(kind, source, seed, dice, history, target="t"):
    content = {"run": f"{kind}{source}{seed}{dice}", "kind": kind, "source": source, "target": target, "seed": seed}
    return json.dumps({**content, "status": "done", "dice": dice, "history": history}) + "\n"


@pytest.fixture
def logged(tmp_path):
    """Two seeds of one source, one of which an earlier start had run with other options, and a line being written."""
    text = line("baseline", None, 0, 0.5, [[10, 0.2, 1.0], [20, 0.4, 1.0], [30, 0.5, 1.0]])
    text += line("fine_tuning", "a", 0, 0.1, [[10, 0.9, 1.0], [20, 0.9, 1.0]])
    text += line("fine_tuning", "a", 0, 0.6, [[10, 0.5, 1.0], [20, 0.7, 1.0]])
    text += line("fine_tuning", "a", 1, 0.7, [[10, 0.7, 1.0], [20, 0.8, 1.0]])
    (tmp_path / "runs.jsonl").write_text(text + '{"run": "half')
    gains = "a,t,0,0.6,0.5,20.0,ok\na,t,1,0.7,0.5,40.0,ok\n"
    (tmp_path / "gains.csv").write_text(f"source,target,seed,dice,dice_baseline,gain_percent,status\n{gains}")
    return tmp_path


def test_curves_are_those_of_the_runs_that_gains_rest_on(logged):
    before = (logged / "runs.jsonl").read_bytes()
    run = Results.load(logged)
    assert (logged / "runs.jsonl").read_bytes() == before
    assert [(one.source, one.seed, one.points) for one in run.curves] == [
        ("", 0, ((10, 0.2), (20, 0.4), (30, 0.5))),
        ("a", 0, ((10, 0.5), (20, 0.7))),
        ("a", 1, ((10, 0.7), (20, 0.8))),
    ]
    plot = curve_plot(replace(run, table=ranked("a")), "t")
    drawn = {trace["name"]: (trace["x"], trace["y"]) for trace in plot.data}
    assert drawn["gained most, as recommended: a"] == ([10, 20], pytest.approx([0.6, 0.75]))
    assert drawn["from scratch"] == ([10, 20], [0.2, 0.4])  # as many steps as a fine-tuning
    assert "on the patients for validation, which are not those of the gains" in Page(render(run)).text


def test_tested_curves_come_first_and_are_the_table(logged):
    rows = "a,t,0,0,0.1,0.05\na,t,0,25,0.6,0.5\na,t,1,0,0.3,0.05\n"
    (logged / "learning_curves.csv").write_text(f"source,target,seed,step,dice,dice_baseline\n{rows}")
    run = Results.load(logged)
    assert all(one.tested for one in run.curves)
    assert mean_curve([one for one in run.curves if one.source == "a"]) == [(0, pytest.approx(0.2))]
    # One step that all seeds have is no curve.
    assert curve_plot(run, "t") is None
    (logged / "learning_curves.csv").write_text(f"source,target,seed,step,dice,dice_baseline\n{rows}a,t,1,25,0.8,0.5\n")
    assert "on the test patients, by steps" in Page(render(Results.load(logged))).text


def test_curves_need_gains_and_a_log_that_is_whole(logged):
    assert read_curves(logged, ()) == ()
    (logged / "runs.jsonl").write_text('{"kind": "baseline"}\n')
    with pytest.raises(DataError, match=r"runs.jsonl: line 1 is damaged; expected how a run ended, as `transfer`"):
        Results.load(logged)
    (logged / "gains.csv").unlink()
    (logged / "distances.csv").write_text("source,target,distance\na,t,1\n")
    assert Results.load(logged).curves == ()
