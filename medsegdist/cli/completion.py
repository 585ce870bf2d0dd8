"""What a shell completes where the Tab key asks for the value of an option: names that are cheap to know."""

from __future__ import annotations

METHODS = (
    "euclidean",
    "gmm2d",
    "gmm3d",
    "fake_classes",
    "fake_class_gmm",
    "dice",
    "jaccard",
    "hausdorff",
    "hausdorff95",
    "cosine",
    "angular",
    "fingerprint",
    "pixels",
    "mmd",
    "sliced",
    "patches",
)
"""The names of `all_metrics`, which loads torch: too slow for a key press. A test compares."""


def method_names(incomplete: str) -> list[str]:
    """The methods that begin like this.

    Args:
        incomplete: what has been typed.
    """
    return [name for name in METHODS if name.startswith(incomplete)]
