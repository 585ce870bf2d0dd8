"""What every test may ask for, and when a test is skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says something of the machine only.
# In continuous integration the examples are the same every time; elsewhere new ones are tried.
settings.register_profile("medsegdist", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("medsegdist")

DATA_VARIABLE = "MEDSEGDIST_DATA"


def pytest_configure(config: pytest.Config) -> None:
    named = os.environ.get(DATA_VARIABLE)
    if named and not Path(named).is_dir():
        # A typing error must not look like a run whose real-data tests were merely skipped.
        raise pytest.UsageError(f"{DATA_VARIABLE} names '{named}', which is no folder; mend it or unset it.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not os.environ.get(DATA_VARIABLE):
        for item in items:
            if item.get_closest_marker("realdata"):
                item.add_marker(pytest.mark.skip(reason=f"{DATA_VARIABLE} names no folder of real data"))
    gpu_tests = [item for item in items if item.get_closest_marker("gpu")]
    if gpu_tests:
        import torch

        if not torch.cuda.is_available():
            for item in gpu_tests:
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data; only tests marked `realdata` may ask for it."""
    return Path(os.environ[DATA_VARIABLE]).resolve()


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The checkout."""
    return Path(__file__).resolve().parents[1]
