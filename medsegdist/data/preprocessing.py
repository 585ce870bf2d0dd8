"""How every dataset of a study is brought to one form."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    FiniteFloat,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

PIPELINE_VERSION = 2
"""Raised whenever the same preprocessing begins to give other samples, so that old caches are not used."""

LARGEST_GRID = 2**28  # points of a sample at most

Intensity = Literal["window", "hounsfield", "zscore"]


def _check_upright(window: tuple[float, float]) -> tuple[float, float]:
    if not window[0] < window[1]:
        raise ValueError(f"the window is upside down; expected low < high, found {list(window)}")
    return window


Window = Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_check_upright)]
"""(low, high) intensities with low < high."""

_DELTAS: dict[Intensity, float] = {"window": -1.0, "hounsfield": -2048.0, "zscore": -6.0}
# The least intensity each rule can give; raw HU have none, so collect() looks at the data.
_LEAST: dict[Intensity, float] = {"window": 0.0, "zscore": -5.0}


class Preprocessing(BaseModel, frozen=True, extra="forbid"):
    """How every dataset of a study is brought to one form, for distances and training alike.

    Args:
        dimensions: 2 compares axial slices (the paper's protocol), 3 whole volumes.
        grid: size of every sample in grid steps: (rows, columns), or (slices, rows, columns) in 3D.
        spacing: mm per grid step, in the order of `grid`, after which samples are padded or cropped about their
            center; None stretches each sample to the grid.
        intensity: "window" clips to a window and rescales it to [0, 255]; "hounsfield" keeps CT as it is; "zscore"
            brings each sample to mean 0 and standard deviation 1, clipped to [-5, 5].
        ct_window: (low, high) in HU, for CT.
        percentiles: (low, high) percentiles of the volume's own intensities that stand in for the window elsewhere.
        delta: the number that a segment is shifted by to neutralize it (paper Eq. 7), below every intensity; None
            is -1 for "window", -2048 for "hounsfield", -6 for "zscore".
        min_pixels: foreground pixels that a sample needs on the grid; smaller ones are left out.
        max_samples: the most samples of one dataset, spread evenly over its patients.
        max_per_case: the most slices of one case; None takes all.
        seed: seed of every random choice.
    """

    dimensions: Literal[2, 3] = 2
    grid: tuple[PositiveInt, ...]
    spacing: tuple[Annotated[FiniteFloat, Field(gt=0)], ...] | None = None
    intensity: Intensity = "window"
    ct_window: Window = (-1000.0, 400.0)
    percentiles: tuple[FiniteFloat, FiniteFloat] = (0.5, 99.5)
    delta: FiniteFloat | None = None
    min_pixels: PositiveInt = 10
    max_samples: PositiveInt = 500
    max_per_case: PositiveInt | None = None
    seed: NonNegativeInt = 0

    @model_validator(mode="after")
    def _check(self) -> Preprocessing:
        axes = "(rows, columns)" if self.dimensions == 2 else "(slices, rows, columns)"
        if len(self.grid) != self.dimensions:
            raise ValueError(f"grid: expected {axes} for {self.dimensions} dimensions, found {list(self.grid)}")
        if math.prod(self.grid) > LARGEST_GRID:
            raise ValueError(
                f"grid: expected at most {LARGEST_GRID:,} points in a sample, which take 1 GiB, found {list(self.grid)}"
            )
        if self.spacing is not None and len(self.spacing) != self.dimensions:
            raise ValueError(f"spacing: expected mm for each of {axes}, found {list(self.spacing)}")
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            raise ValueError(f"percentiles: expected 0 <= low < high <= 100, found {list(self.percentiles)}")
        least = _LEAST.get(self.intensity)
        if least is not None and self.effective_delta >= least:
            raise ValueError(
                f"delta: expected a number below {least:g}, the least intensity that '{self.intensity}' gives, "
                f"found {self.effective_delta:g}; leave it out for {_DELTAS[self.intensity]:g}"
            )
        return self

    @property
    def effective_delta(self) -> float:
        """`delta`, or the intensity rule's own where none was given."""
        return _DELTAS[self.intensity] if self.delta is None else self.delta

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that are the same for equal preprocessing, and for no other."""
        content = {**self.model_dump(mode="json"), "delta": self.effective_delta, "version": PIPELINE_VERSION}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
