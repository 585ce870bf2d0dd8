"""What a notebook shows, in a real Jupyter kernel."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

CELLS = {
    "samples": "from tests.synthetic import blobs\na, b = blobs('a <b>', n=4), blobs('b', n=4, center=(0.3, 0.3))\na",
    "distance": "from medsegdist import DatasetDistance, DiceMetric, compare_all\nDatasetDistance(DiceMetric())(a, b)",
    "table": "table = compare_all([a, b], ['euclidean', 'dice'])\ntable",
    "results": "from medsegdist.report.results import Results\nResults('run', table)",
}


@pytest.mark.slow
@pytest.mark.skipif(
    not all(find_spec(name) for name in ("nbclient", "ipykernel")),
    reason="no nbclient and ipykernel, of which the test extra stays free: they bring some 25 packages",
)
def test_a_kernel_shows_tables_and_short_lines(project_root, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(project_root), prepend=":")
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS.values()]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute(cwd=str(project_root))
    for name, cell in zip(CELLS, notebook.cells, strict=True):
        (shown,) = [one["data"] for one in cell.outputs if one["output_type"] == "execute_result"]
        assert len(shown["text/plain"]) < 200, name
        assert "tensor" not in shown["text/plain"], name
        assert "<table" in shown["text/html"], name
        assert "a &lt;b&gt;" in shown["text/html"], name
        assert "a <b>" not in shown["text/html"], name
