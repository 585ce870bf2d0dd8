"""The public names: pinned, lazy, and the same for the interpreter as for a type checker."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import medsegdist
from tests.laws import check_mask_metric
from tests.synthetic import blobs

STUB = ast.parse(Path(medsegdist.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
PUBLIC_NAMES = {
    name.name: f"medsegdist.{node.module}"
    for node in STUB.body
    if isinstance(node, ast.ImportFrom)
    for name in node.names
}
"""The public names and the modules that define them, as a type checker sees them."""


@pytest.mark.parametrize(("name", "home"), PUBLIC_NAMES.items())
def test_a_public_name_is_the_thing_its_module_defines(name: str, home: str) -> None:
    found = getattr(medsegdist, name)
    assert found is getattr(import_module(home), name)
    assert found.__module__.startswith(home)
    assert inspect.getdoc(found)


def test_a_type_checker_sees_the_names_the_interpreter_sees() -> None:
    (listed,) = (ast.literal_eval(node.value) for node in STUB.body if isinstance(node, ast.Assign))
    assert medsegdist.__all__ == listed == sorted(PUBLIC_NAMES)
    assert set(listed) <= set(dir(medsegdist))


def test_the_version_is_that_of_pyproject(project_root: Path) -> None:
    project = tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert medsegdist.__version__ == project["version"]


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="No medsegdist attribute rank_source"):
        _ = medsegdist.rank_source


def test_the_metric_that_contributing_shows_obeys_the_laws(project_root: Path) -> None:
    text = (project_root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    scope: dict[str, Any] = {}
    exec(compile(shown, "CONTRIBUTING.md", "exec"), scope)
    check_mask_metric(scope["AreaMetric"](), blobs(seed=1), blobs(seed=2, radius=7.0))
