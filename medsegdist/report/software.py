"""Versions of what computed a run."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("medsegdist", "torch", "monai", "numpy", "scipy", "scikit-learn", "scikit-image", "POT")
"""Whose versions may change a number."""


def versions() -> dict[str, str]:
    """Python's version and those of the packages that are installed, by name."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
