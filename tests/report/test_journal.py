"""Figures and tables for a journal: one file each, of the right size and with the right numbers."""

import re
import sys
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from medsegdist.distance.distance_table import DistanceRow, DistanceTable
from medsegdist.errors import MissingDependencyError
from medsegdist.report.file_names import file_name, file_names
from medsegdist.report.journal import WIDTH, write_figures
from medsegdist.report.journal_tables import latex, latex_table, write_tables
from medsegdist.report.run import Run, read_run

FIGURES = {
    *(f"segments_{name}" for name in ("target", "near", "far")),
    "mixtures_near_to_target",
    *(f"ranking_{method}_{name}" for method in ("euclidean", "gmm2d") for name in ("target", "near", "far")),
    *(f"{what}_{method}" for what in ("distances", "gain_against") for method in ("euclidean", "gmm2d")),
}


def test_svg_figures_are_named_by_what_they_show_and_hold_text(run_folder, tmp_path):
    paths = write_figures(read_run(run_folder), tmp_path / "figures", "svg")
    assert {path.name for path in paths} == {f"{name}.svg" for name in FIGURES}
    for path in paths:
        root = ElementTree.fromstring(path.read_bytes())
        assert float(root.get("width").removesuffix("pt")) == pytest.approx(72 * WIDTH)
        assert "".join(root.itertext()).strip()
    ranking = (tmp_path / "figures" / "ranking_gmm2d_target.svg").read_text()
    assert re.search(r">1=?  near<", ranking)


@pytest.mark.parametrize("file_format", ["pdf", "png", "svg"])
def test_the_same_run_gives_the_same_files(run_folder, tmp_path, file_format):
    run = read_run(run_folder)
    run = type(run)(run.directory, run.table)  # without a record there are fewer
    first, second = ({p.name: p.read_bytes() for p in write_figures(run, tmp_path / d, file_format)} for d in "ab")
    assert first == second
    assert len(first) == 6 + 2
    if file_format == "png":
        with Image.open(tmp_path / "a" / "distances_gmm2d.png") as image:
            assert image.width == 300 * WIDTH


@pytest.mark.parametrize("most", [1.0, 20.0, 1000.0, 14_900.0, 20_000.0, 1e6])
def test_no_label_is_cut_off_at_the_edge(tmp_path, monkeypatch, most):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    rows = [
        DistanceRow(name, "target", "gmm2d", distance, distance, 0.0, None, None, None, rank, False, 3, 3, 0.0)
        for rank, (name, distance) in enumerate((("near", most / 2), ("far", most)), start=1)
    ]
    write_figures(Run(tmp_path, DistanceTable(tuple(rows))), tmp_path / "figures", "png")
    ranking = next(figure for figure in drawn if figure.axes[0].get_xlabel() == "distance to target")
    ranking.draw_without_rendering()
    axes = ranking.axes[0]
    low, high = axes.get_xlim()
    shown = [one for one in axes.get_xticklabels() if low <= one.get_position()[0] <= high]
    assert len(shown) >= 2
    left, right = 0.09 * ranking.dpi, (WIDTH - 0.09) * ranking.dpi
    for one in (*shown, *axes.get_yticklabels()):
        extent = one.get_window_extent()
        assert left <= extent.x0 < extent.x1 <= right, one.get_text()


def test_nearer_is_darker_in_a_matrix_and_each_number_reads_on_its_cell(run_folder, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    write_figures(read_run(run_folder), tmp_path / "figures", "png")
    matrices = [figure.axes[0] for figure in drawn if figure.axes[0].get_title().endswith("(darker: nearer)")]
    assert len(matrices) == 2
    for axes in matrices:
        (image,) = axes.images
        values = image.get_array().compressed()
        light = [sum(image.to_rgba(value)[:3]) for value in sorted(values)]
        assert light == sorted(light)
        assert light[0] < light[-1]
        assert len(axes.texts) == len(values)
        for text in axes.texts:
            j, i = text.get_position()
            assert contrast(image.to_rgba(image.get_array()[i, j]), to_rgb(text.get_color())) >= 4.5


def contrast(one, other):
    """Of two colors, as the WCAG define it; text needs 4.5."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    linear = [np.array(c[:3]) for c in (one, other)]
    light = [float(weights @ np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)) for c in linear]
    return (max(light) + 0.05) / (min(light) + 0.05)


def test_without_matplotlib_it_says_what_to_install(run_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'medsegdist\[figures\]'"):
        write_figures(read_run(run_folder), tmp_path / "figures", "pdf")
    assert not (tmp_path / "figures").exists()


def test_tables_hold_the_distances_in_the_papers_layout(run_folder, tmp_path):
    run = read_run(run_folder)
    names = {path.name for path in write_tables(run, tmp_path)}
    stems = ("distances_euclidean", "distances_gmm2d", "transfer_results", "p_values", "statistics")
    assert names == {f"table_{stem}{suffix}" for stem in stems for suffix in (".csv", ".tex")}
    frame = pd.read_csv(tmp_path / "table_distances_gmm2d.csv", index_col=0, na_values="-")
    pd.testing.assert_frame_equal(frame, run.table.matrix("gmm2d").round(2), check_names=False)
    lines = (tmp_path / "table_distances_gmm2d.tex").read_text().splitlines()
    assert r"Source & target & near & far \\" in lines
    target = run.table.matrix("gmm2d").loc["near", "target"]
    assert any(line.startswith(f"near & {target:.2f} & - & ") for line in lines)
    results = pd.read_csv(tmp_path / "table_transfer_results.csv")
    assert results.iloc[0].tolist() == ["target", "near", 0.5503, 10.1]  # the mean over two seeds
    assert len(results) == 6
    assert len(pd.read_csv(tmp_path / "table_p_values.csv")) == 2


def test_latex_shows_every_character_as_it_is():
    assert latex("50%_a & {b} \\ $x^2$ #1 ~") == (
        r"50\%\_a \& \{b\} \textbackslash{} \$x\textasciicircum{}2\$ \#1 \textasciitilde{}"
    )
    table = latex_table(pd.DataFrame({"a": ["\\input{/etc/passwd}"]}), "50%", "label")
    assert r"\input" not in table
    assert r"\caption{50\%}" in table


@pytest.mark.parametrize(
    ("name", "expected"),
    [("LIDC 1", "LIDC_1"), ("gmm2d", "gmm2d"), ("a/b", "a_b_"), ("../x", "x_"), ("<script>", "script_"), ("", "")],
)
def test_names_of_files_are_plain(name, expected):
    found = file_name(name)
    assert found.startswith(expected)
    assert re.fullmatch(r"[A-Za-z0-9_-]*", found)


def test_two_names_are_never_one_file():
    names = ["a b", "a/b", "a:b", "x" * 70, "x" * 71, "\u00e9", "\u00e8", "..", "."]
    assert len({file_name(name) for name in names}) == len(names)


CLASHING = [("A b", "A_b"), ("a", "A"), ("A-b", "a-B"), (" x", "x"), ("LIDC 1", "lidc 1")]


@pytest.mark.parametrize("pair", CLASHING)
def test_names_that_one_file_would_hold_get_files_of_their_own(pair):
    labels = [("ranking", "gmm2d", name) for name in (*pair, "Liver")]
    names = file_names(labels)
    assert names[labels[2]] == "ranking_gmm2d_Liver"
    assert len({name.casefold() for name in names.values()}) == 3
    assert file_names(reversed(labels)) == names  # of the names alone, not of their order


def test_parts_that_join_to_one_name_get_files_of_their_own():
    labels = [("mixtures", "a to b", "to", "c"), ("mixtures", "a", "to", "b to c")]
    assert len(set(file_names(labels).values())) == 2


@given(st.lists(st.text("aAbB _-é.", min_size=1, max_size=3), unique=True, max_size=40))
def test_file_names_are_one_to_one_on_any_disk(names):
    found = file_names(("segments", name) for name in names)
    assert len({name.casefold() for name in found.values()}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", name) for name in found.values())


def test_a_name_that_looks_like_a_hashed_one_is_told_from_it():
    hashed = file_names([("A b",), ("A_b",)])[("A b",)]
    assert len(set(file_names([("A b",), ("A_b",), (hashed,)]).values())) == 3


def test_no_dataset_overwrites_the_figures_of_another(compared_datasets, tmp_path):
    table, record = compared_datasets
    called = {"near": "A b", "far": "A_b", "target": "a b"}
    renamed = DistanceTable(
        tuple(replace(row, source=called[row.source], target=called[row.target]) for row in table.rows)
    )
    datasets = tuple(one.model_copy(update={"name": called[one.name]}) for one in record.datasets)
    run = Run(tmp_path, renamed, record=record.model_copy(update={"datasets": datasets, "targets": ("a b",)}))
    paths = write_figures(run, tmp_path / "figures", "svg")
    assert len(paths) == len({path.name.casefold() for path in paths}) == len(FIGURES) - 2
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {path.name for path in paths}
