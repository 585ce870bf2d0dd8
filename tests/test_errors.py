"""The exception tree is the one drawn in the docstring of medsegdist.errors."""

from __future__ import annotations

import builtins
import inspect
import re

import pytest

from medsegdist import errors

DRAWN = re.findall(r"^\s+[├└]── (\w+)\s+\((\w+)\)", errors.__doc__ or "", flags=re.MULTILINE)
DEFINED = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind)}


def test_every_class_is_drawn_and_every_drawn_class_exists() -> None:
    assert len(DRAWN) == 5
    assert set(DEFINED) == {"MedSegDistError", *(name for name, _ in DRAWN)}


@pytest.mark.parametrize(("name", "builtin"), DRAWN)
def test_is_caught_as_ours_and_as_the_builtin_with_its_message(name: str, builtin: str) -> None:
    for caught in (errors.MedSegDistError, getattr(builtins, builtin)):
        with pytest.raises(caught, match=r"^dataset 'liver': what to do$"):
            raise DEFINED[name]("dataset 'liver': what to do")
