from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

KINDS = ("numpy", "torch", "meta")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of array that MONAI passes around."""
    return request.param


@pytest.fixture
def make() -> Callable[..., Any]:
    """Make an array of a kind from anything array-like; a MetaTensor gets an affine and an entry of metadata."""

    def _make(values: Any, kind: str = "meta", affine: Any = None) -> Any:
        array = np.array(values)
        if kind == "numpy":
            return array
        if kind == "torch":
            return torch.from_numpy(array)
        affine = np.diag([2.0, 3.0, 4.0, 1.0]) if affine is None else affine
        return MetaTensor(
            torch.from_numpy(array), affine=torch.as_tensor(affine, dtype=torch.float64), meta={"note": 7}
        )

    return _make


@pytest.fixture
def same_kind() -> Callable[[Any, Any], None]:
    """Assert that a result is the kind of array that went in, with its metadata."""

    def _same_kind(result: Any, given: Any) -> None:
        assert type(result) is type(given)
        if isinstance(given, MetaTensor):
            assert result.meta["note"] == 7
            assert not result.has_pending_operations

    return _same_kind


# The canonical volume of the orientation tests: an L in every slice, and no two voxels alike.
SHAPE = (5, 7, 9)
SPACING = (5.0, 0.8, 0.7)


@pytest.fixture
def axial_volume() -> tuple[np.ndarray, np.ndarray]:
    """(slices, rows, columns) intensities and an L-shaped mask in slices 1 to 3."""
    image = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    mask = np.zeros(SHAPE, dtype=np.float32)
    mask[1:4, 1:6, 2] = 1
    mask[1:4, 5, 2:5] = 1
    return image, mask


@pytest.fixture
def axial_affine() -> np.ndarray:
    """RAS+ affine of an array whose axes run to Superior, Posterior, Left."""
    affine = np.zeros((4, 4))
    affine[2, 0] = SPACING[0]
    affine[1, 1] = -SPACING[1]
    affine[0, 2] = -SPACING[2]
    affine[:, 3] = (11.0, 22.0, -33.0, 1.0)
    return affine
