"""The preprocessing that all datasets of a study share, as one MONAI Compose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from monai.transforms import Compose, EnsureTyped, Transform

from .geometry import CheckSameSpaced, OrientAxiald
from .grid import ResampleToGridd
from .intensity import CheckFinited, PercentileWindowIntensityd, StandardizeIntensityd, WindowIntensityd
from .labels import BinarizeLabeld, ClassMasksd
from .slices import ForegroundSlicesd, SplitSlicesd

IntensityRule = Literal["window", "hounsfield", "zscore"]


def preprocessing_pipeline(
    *,
    dimensions: int = 2,
    grid: Sequence[int],
    spacing: Sequence[float] | None = None,
    foreground: Sequence[int] | None = None,
    classes: Sequence[Sequence[int]] | None = None,
    intensity: IntensityRule = "window",
    window: tuple[float, float] | None = None,
    percentiles: tuple[float, float] = (0.5, 99.5),
    max_slices: int | None = None,
    seed: int = 0,
    split: bool = True,
) -> Compose:
    """The transforms from a loaded image and label map to samples on a common grid.

    An item is {image, label, ...} of channel-first MetaTensors. A volume becomes one item (3D), or a list of items,
    one for each slice with foreground (2D), possibly none; a 2D image becomes one item. The image is then
    (1, *grid) float32 and the label (1, *grid), or (classes, *grid), uint8 of 0 and 1. Other entries are kept.

    The order: orient to (slices, rows, columns); check that image and label lie on the same pixels and the image is
    finite; binarize; percentile window, as it needs the whole image; take the slices with foreground; fixed window;
    resample; standardize, as it looks at the final grid; cut the slices apart.

    Args:
        dimensions: 2 for slices, 3 for volumes.
        grid: (rows, columns) or (slices, rows, columns).
        spacing: mm from one grid point to the next along each axis; None resizes to the grid.
        foreground: label values that are foreground; None takes the only value other than 0.
        classes: label values of each class, which gets a channel of the label of its own; a slice is kept if any class
            is on it. In place of `foreground`.
        intensity: "window" gives [0, 255]; "hounsfield" keeps the values; "zscore" gives each sample mean 0 and
            standard deviation 1, clipped to [-5, 5].
        window: (low, high) of a fixed window, for "window", or before "zscore". None: "window" takes the image's own
            percentiles, "zscore" no window. Not used by "hounsfield".
        percentiles: lower and upper percentile, where the window is the image's own.
        max_slices: the most slices of one volume, chosen by `seed` and the item's "case_id"; None takes all.
        seed: seed of that choice.
        split: whether slices are cut apart; else they stay in one item, (1, slices, *grid) plain tensors, with
            "slice_index".

    Raises:
        ValueError: an option is unknown or does not fit another.
    """
    if dimensions not in (2, 3):
        raise ValueError(f"expected dimensions 2 or 3, found {dimensions}.")
    if len(grid) != dimensions:
        raise ValueError(f"expected a grid of {dimensions} numbers, as dimensions = {dimensions}, found {tuple(grid)}.")
    if intensity not in get_args(IntensityRule):
        raise ValueError(f"expected intensity to be one of {get_args(IntensityRule)}, found {intensity!r}.")
    if classes is not None and foreground is not None:
        raise ValueError(f"expected foreground or classes, found both, {foreground} and {classes}.")
    both = ("image", "label")
    fixed_window = None if intensity == "hounsfield" else window
    own_window = window is None and intensity == "window"
    steps: list[Transform] = [OrientAxiald(both), CheckSameSpaced("image")]
    # Slices that stay together need no metadata but for a spacing; copying it takes longer than small volumes do.
    forget = [] if split else [EnsureTyped(both, track_meta=False)]
    steps += forget if spacing is None else []
    steps.append(CheckFinited("image"))
    steps.append(BinarizeLabeld("label", foreground) if classes is None else ClassMasksd("label", classes))
    if own_window:
        steps.append(PercentileWindowIntensityd("image", *percentiles))
    if dimensions == 2:
        steps.append(ForegroundSlicesd(both, "label", max_slices, seed))
    if fixed_window is not None:
        steps.append(WindowIntensityd("image", *fixed_window))
    # Where an image is padded: black after a window, otherwise its own darkest value, which is air in a CT.
    pad_value = 0.0 if own_window or fixed_window is not None else None
    steps.append(ResampleToGridd(both, grid, spacing, is_mask=(False, True), pad_value=pad_value))
    steps += [] if spacing is None else forget
    if intensity == "zscore":
        steps.append(StandardizeIntensityd("image", per_slice=dimensions == 2))
    if dimensions == 2 and split:
        steps.append(SplitSlicesd(both))
    return Compose(steps)
