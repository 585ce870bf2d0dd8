"""Telling the YAML of a study from that of a dataset, and both from a card: they are easily taken for each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medsegdist.data.card_content import FAMILY
from medsegdist.errors import ManifestError


def refuse_dataset(content: Mapping[str, Any], file: Path) -> None:
    """Refuse the description of a dataset where a study is expected.

    Args:
        content: what the file holds.
        file: the file.

    Raises:
        ManifestError: it describes a dataset, or is a card.
    """
    _refuse_card(content, file, "a study")
    if "layout" in content and not _is_study(content):
        raise ManifestError(
            f"{file}: expected a study, found the description of a dataset; list this file under `datasets` of a "
            "study, beside a `preprocessing` and `targets`, or let `medsegdist init` write a study of your folders."
        )


def refuse_study(content: Mapping[str, Any], file: Path) -> None:
    """Refuse a study where the description of one dataset is expected.

    Args:
        content: what the file holds.
        file: the file.

    Raises:
        ManifestError: it is a study, or a card.
    """
    _refuse_card(content, file, "the description of one dataset")
    if _is_study(content):
        entries = content.get("datasets")
        named = [entry for entry in entries if isinstance(entry, str)] if isinstance(entries, list) else []
        remedy = "write one of its `datasets` to a file of its own, and name that"
        if named:
            remedy = f"name one of its datasets: {', '.join(named)[:500]}"
        raise ManifestError(f"{file}: expected the description of one dataset, found a study; {remedy}.")


def _refuse_card(content: Mapping[str, Any], file: Path, expected: str) -> None:
    # A card is JSON, which YAML reads.
    if str(content.get("format")).startswith(FAMILY):
        raise ManifestError(f"{file}: expected {expected}, found a card; list it under `datasets` of a study.")


def _is_study(content: Mapping[str, Any]) -> bool:
    return "layout" not in content and any(key in content for key in ("datasets", "preprocessing", "targets"))
