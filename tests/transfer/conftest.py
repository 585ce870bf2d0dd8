"""Every test of this folder computes with one thread; those of the grid share a study that is done."""

import pytest

from medsegdist.transfer.runs import run_study
from tests.transfer.making import one_thread_each
from tests.transfer.studies import study

__all__ = ["one_thread_each"]


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A folder in which the study has been run, and its result; only to be read."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, run_study(study(folder))
