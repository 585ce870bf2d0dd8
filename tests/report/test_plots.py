"""Figures: valid for Plotly, true to the numbers, and with names that are text and nothing else."""

import json
import re

import numpy as np
import plotly.graph_objects as go
import pytest
import torch

from medsegdist.distance.mixture.gaussian import mixture_wasserstein
from medsegdist.distance.order import DistanceRow, RankedCase, Recommendation
from medsegdist.distance.table import DistanceTable
from medsegdist.report.figures import (
    FAINTEST,
    ellipse,
    label,
    match,
    match_plot,
    match_plots,
    matrix_plot,
    ranking_plot,
    segment_plot,
    terms_plot,
)
from medsegdist.report.record import MixtureNumbers
from medsegdist.report.results import Results
from medsegdist.report.sections import case_plot, gain_plot, gain_points, regress, transfer_plot
from medsegdist.report.verdict import amount
from medsegdist.transfer.gains import SourceGain, TransferPair, summarize_gains


def all_plots(folder):
    run = Results.load(folder)
    table, record = run.table, run.record
    points = gain_points(run)["gmm2d"]
    yield from (ranking_plot(table, target, "gmm2d") for target in table.targets)
    yield from (terms_plot(table, target, "gmm2d") for target in table.targets)
    yield from (matrix_plot(table, method) for method in table.methods)
    yield from map(segment_plot, record.datasets)
    yield from match_plots(run)
    yield from (gain_plot("gmm2d", points, fit) for fit in (regress(points), None))
    yield case_plot([RankedCase("t", "s", f"case{k}", k + 1, k - 1.0, 0.5 * k, 2) for k in range(3)], 1)
    sources = summarize_gains(run.gains, "target")
    yield from (transfer_plot("target", sources, control) for control in (sources[0], None))


def test_plotly_knows_every_property(run_folder):
    plots = list(all_plots(run_folder))
    assert len(plots) == 3 + 3 + 2 + 3 + 1 + 2 + 1 + 2
    for plot in plots:
        text = re.sub(r"var\(--[\w-]+\)", "#123456", json.dumps([plot.data, plot.layout], allow_nan=False))
        data, layout = json.loads(text)
        go.Figure(data, layout)  # refuses an unknown property, or a value that is none
        assert plot.alt.endswith(".")


def test_every_color_is_one_of_the_page(run_folder, project_root):
    css = (project_root / "medsegdist" / "report" / "assets" / "report.css").read_text()
    defined = set(re.findall(r"^\s*(--[\w-]+):", css, flags=re.MULTILINE))
    for plot in all_plots(run_folder):
        assert set(re.findall(r"var\((--[\w-]+)\)", json.dumps([plot.data, plot.layout]))) <= defined


def test_the_ranking_shows_distances_intervals_floor_and_shared_ranks():
    values = {"a": (1.0, 1, True), "b": (2.0, 1, True), "c": (5.0, 3, False)}
    rows = [
        DistanceRow(name, "t", "m", d, d, 0.0, d - 0.5, d + 0.5, 0.25, rank, tied, 3, 3, 0.0)
        for name, (d, rank, tied) in values.items()
    ]
    advice = [Recommendation("t", name, rank, tied, d, None, "m") for name, (d, rank, tied) in values.items()]
    plot = ranking_plot(DistanceTable(tuple(reversed(rows)), recommendations=tuple(advice)), "t", "m")
    *lines, dots = plot.data
    assert dots["x"] == [1.0, 2.0, 5.0]
    assert [line["x"] for line in lines] == [[0.5, 1.5], [1.5, 2.5], [4.5, 5.5]]
    band, floor = plot.layout["shapes"]
    assert (-0.5 <= band["y0"] < 0, 1 < band["y1"] <= 1.5) == (True, True)
    assert floor["x0"] == floor["x1"] == 0.25
    assert plot.layout["yaxis"]["ticktext"] == ["1=  a", "1=  b", "3  c"]
    assert "1= a at 1 (0.5 to 1.5); 1= b at 2 (1.5 to 2.5); 3 c at 5 (4.5 to 5.5)." in plot.alt


def test_all_figures_have_the_recommended_order_whatever_a_method_says():
    values = {
        "m": {"a": 1.0, "b": 2.0, "c": 9.0},
        "n": {"a": 2.0, "b": 1.0, "c": 9.0},
        "o": {"a": 1.0, "b": 2.0, "c": 3.0},
    }
    rest = (0.0, None, None, None, 1, False, 3, 3, 0.0)
    table = DistanceTable(tuple(DistanceRow(s, "t", m, d, d, *rest) for m, of in values.items() for s, d in of.items()))
    for method in values:
        assert [one.split()[-1] for one in ranking_plot(table, "t", method).layout["yaxis"]["ticktext"]] == [
            "a",
            "b",
            "c",
        ]
        assert terms_plot(table, "t", method).layout["yaxis"]["ticktext"] == ["a", "b", "c"]


def test_the_bars_of_the_terms_add_up_to_the_distances(run_folder):
    table = Results.load(run_folder).table
    images, masks = terms_plot(table, "target", "gmm2d").data
    totals = [image + mask for image, mask in zip(images["x"], masks["x"], strict=True)]
    assert totals == pytest.approx(sorted(row.distance for row in table.ranking("target", "gmm2d")))


def test_nine_targets_look_different():
    points = [TransferPair("s", f"t{k}", float(k), float(-k)) for k in range(9)]
    markers = [trace["marker"] for trace in gain_plot("m", points, None).data]
    assert len({(marker["symbol"], marker["color"]) for marker in markers}) == 9


def test_gains_are_drawn_greatest_first_with_every_seed_and_the_control():
    sources = [SourceGain("b", (12.0, 8.0), 0.55, 0.5), SourceGain("a", (-4.0, -6.0), 0.47, 0.5)]
    plot = transfer_plot("t", sources, SourceGain("", (3.0,), 0.51, 0.5))
    seeds, means = plot.data
    assert sorted(zip(seeds["x"], seeds["y"], strict=True)) == [(-6.0, 1), (-4.0, 1), (8.0, 0), (12.0, 0)]
    assert (means["x"], means["y"]) == ([10.0, -5.0], [0, 1])
    assert plot.layout["yaxis"]["ticktext"] == ["b", "a"]
    assert [shape["x0"] for shape in plot.layout["shapes"]] == [0.0, 3.0]
    low, high = plot.layout["xaxis"]["range"]
    assert low < -6
    assert high > 12
    assert plot.alt.endswith("b +10.0% ± 2.8; a -5.0% ± 1.4. From scratch with as many steps +3.0%.")


def test_cells_hold_every_number_once(run_folder):
    table = Results.load(run_folder).table
    (heat,) = matrix_plot(table, "gmm2d").data
    written = [
        (text, value) for row in zip(heat["text"], heat["z"], strict=True) for text, value in zip(*row, strict=True)
    ]
    assert heat["texttemplate"] == "%{text}"
    assert len([text for text, _ in written if text]) == 6
    assert all(text == ("" if value is None else amount(value)) for text, value in written)


MIXTURE = MixtureNumbers(weights=[1.0], means=[[10, 20]], covariances=[[[4, 1], [1, 2]]])


def test_an_ellipse_lies_at_two_standard_deviations():
    offsets = ellipse(MIXTURE, 0) - np.array([10, 20])
    squared = np.einsum("ni,ij,nj->n", offsets, np.linalg.inv(MIXTURE.covariances[0]), offsets)
    np.testing.assert_allclose(squared, 4)
    np.testing.assert_allclose(offsets[0], offsets[-1])


def test_a_component_on_a_line_has_a_flat_ellipse():
    flat = MixtureNumbers(weights=[1.0], means=[[0, 0]], covariances=[[[0, 0], [0, 9]]])
    line = ellipse(flat, 0)
    assert np.abs(line[:, 0]).max() == 0
    assert np.abs(line[:, 1]).max() == pytest.approx(6)


def test_matched_mixtures_move_all_mass_at_the_cost_of_mw2(run_folder):
    run = Results.load(run_folder)
    nearest = min(run.table.ranking("target", "gmm2d"), key=lambda row: (row.rank, row.distance)).source
    source, target = (run.record.dataset(name) for name in (nearest, "target"))
    lines, distance = match(source.mixture, target.mixture)
    one, other = source.mixture.mixture, target.mixture.mixture
    assert distance == pytest.approx(mixture_wasserstein(one, other))
    for side, weights in ((0, one.weights), (1, other.weights)):
        sums = torch.zeros(len(weights), dtype=torch.float64)
        for line in lines:
            sums[line[side]] += line[2]
        assert torch.allclose(sums, weights, atol=len(weights) * FAINTEST)
    (plot,) = match_plots(run)
    assert plot.note == f"{nearest} to target: MW2 = {distance:.1f} pixels."
    assert match_plot(source.model_copy(update={"mixture": None}), target) is None


def test_a_label_is_text_and_nothing_else():
    assert label("<b>a</b> & b") == "&lt;b&gt;a&lt;/b&gt; &amp; b"
    assert label("a\nb\x1b[2J") == "a b\\x1b[2J"
    assert label("x" * 80) == "x" * 21 + "\N{HORIZONTAL ELLIPSIS}"
    assert label("x" * 80, None) == "x" * 80
