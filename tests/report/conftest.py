"""One small run for all tests of reports."""

from __future__ import annotations

import pytest

from tests.report.making_run import compared, write_gains_of_all, write_run


@pytest.fixture(scope="session")
def compared_datasets():
    return compared()


@pytest.fixture
def run_folder(tmp_path, compared_datasets):
    """A folder with distances.csv, comparisons.csv, study.json and gains.csv."""
    folder = write_run(tmp_path / "out", *compared_datasets)
    write_gains_of_all(folder)
    return folder
