"""The library that ships: its README says what its tables give, and what it learned is what they teach."""

import importlib.util
from types import ModuleType

import pytest

from medsegdist.recommend.learned import LearnedRanking
from medsegdist.recommend.library import read_library
from medsegdist.recommend.predictors import judge_predictors

PLACE = "scripts/results/transfer_library"


@pytest.fixture(scope="module")
def tables(project_root) -> ModuleType:
    spec = importlib.util.spec_from_file_location("library_tables", project_root / "scripts" / "library_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_has_the_overview_of_the_tables(project_root, tables):
    libraries = {step: read_library(project_root / PLACE, step=step) for step in tables.STEPS}
    readme = (project_root / PLACE / "README.md").read_text()
    assert tables.overview(libraries) in readme
    assert tables.regime_table(project_root / PLACE) in readme


@pytest.mark.slow
@pytest.mark.ci
def test_the_readme_has_every_table_of_the_script(project_root, tables, capsys):
    readme = (project_root / PLACE / "README.md").read_text()
    tables.main([str(project_root / PLACE)])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    printed = "\n".join(lines).strip().split("\n\n")
    # An overview, the regimes, and two tables for each number of steps at two learning rates.
    assert len(printed) == 2 + 2 * 2 * len(tables.STEPS)
    for table in printed:
        assert table in readme


@pytest.mark.slow
@pytest.mark.ci
def test_what_ships_is_what_the_library_teaches(project_root):
    library = read_library(project_root / PLACE)
    judged, choices, errors = judge_predictors(library)
    learned, shipped = LearnedRanking.learn(library, judged | choices, errors), LearnedRanking.load()
    assert shipped.steps == learned.steps
    for one, other in ((shipped.known, learned.known), (shipped.new, learned.new)):
        assert one.coefficients == pytest.approx(other.coefficients, abs=1e-6)
        assert one.effects == pytest.approx(other.effects, abs=1e-6)
        assert one.error == pytest.approx(other.error, abs=1e-6)
    assert shipped.evidence.keys() == learned.evidence.keys()
    for name, evidence in shipped.evidence.items():
        assert evidence.model_dump() == pytest.approx(learned.evidence[name].model_dump(), abs=1e-6)
    assert shipped.entries.keys() == learned.entries.keys()
