"""What every test may ask for, and when a test is skipped."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import pytest
from hypothesis import settings

# How long an example takes says something of the machine only.
# In continuous integration the examples are the same every time; elsewhere new ones are tried.
settings.register_profile("medsegdist", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("medsegdist")

# Side by side, tests have a core each; threads of several would wait for one another. Before torch is imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

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
    browser_tests = [item for item in items if item.get_closest_marker("browser")]
    lacking = missing_for_browser() if browser_tests else ""
    for item in browser_tests if lacking else ():
        item.add_marker(pytest.mark.skip(reason=f"no {lacking}"))
    gpu_tests = [item for item in items if item.get_closest_marker("gpu")]
    if gpu_tests:
        import torch

        if not torch.cuda.is_available():
            for item in gpu_tests:
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def browser_programs() -> tuple[str | None, str | None]:
    """Paths of a Chromium and of its driver, each None if there is none."""
    browsers = (which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return next((path for path in browsers if path), None), which("chromedriver")


def missing_for_browser() -> str:
    """What tests in a browser lack here; empty if they can run."""
    browser, driver = browser_programs()
    needed = {"chromium": browser, "chromedriver": driver, "selenium": find_spec("selenium")}
    return " and no ".join(name for name, found in needed.items() if not found)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Processes that the test starts heed SIGINT, which is ignored where a script runs the tests in the background.

    What is ignored stays so in a child; a handler of ours becomes the default one there.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data; only tests marked `realdata` may ask for it."""
    return Path(os.environ[DATA_VARIABLE]).resolve()


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The checkout."""
    return Path(__file__).resolve().parents[1]
