"""What a shell completes where the Tab key asks for the value of an option: names that are cheap to know."""

from __future__ import annotations

from pathlib import Path

import typer

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


def dataset_names(context: typer.Context, incomplete: str) -> list[str]:
    """The datasets of the study on the command line that begin like this; none while there is no study to read.

    Args:
        context: holds the study's file once it has been typed.
        incomplete: what has been typed.
    """
    from medsegdist.data.manifest import load_study
    from medsegdist.errors import MedSegDistError

    file = context.params.get("study_file")
    if not isinstance(file, (str, Path)):
        return []
    try:
        study = load_study(file)
    except MedSegDistError:
        return []
    return [dataset.name for dataset in study.datasets if dataset.name.startswith(incomplete)]
