"""Every hostile or broken file ends as it should: one row of the tables in `tests/hostile_files/` at a time."""

from __future__ import annotations

from pathlib import Path

from tests import hostile_files
from tests.public_reports import Report, each_report


@each_report(hostile_files)
def test_it_ends_as_it_should(report: Report, tmp_path: Path) -> None:
    report.check(tmp_path)
