"""The examples in docstrings give what they show."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [*ROOT.glob("medsegdist/**/*.py"), *ROOT.glob("transforms/*.py")]
SHOWN = sorted(path.relative_to(ROOT) for path in FILES if ">>> " in path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", SHOWN, ids=str)
def test_examples(path: Path) -> None:
    parts = path.with_suffix("").parts
    name = ".".join(part for part in parts if part != "__init__")
    module = import_module(name if parts[0] == "medsegdist" else f"medsegdist.{name}")
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed
