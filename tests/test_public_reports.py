"""Every reported case gives the right value: one row of the tables in `tests/public_reports/` at a time."""

from __future__ import annotations

from pathlib import Path

from tests import public_reports
from tests.public_reports import Report, each_report


@each_report(public_reports)
def test_the_right_value(report: Report, tmp_path: Path) -> None:
    report.check(tmp_path)
