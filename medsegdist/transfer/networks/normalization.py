"""Normalization layers in MONAI's words."""

from __future__ import annotations

from math import gcd
from typing import Any


def normalization(kind: str, channels: int) -> tuple[str, dict[str, Any]]:
    """What MONAI's blocks take as `norm`.

    Args:
        kind: "batch", "group" or "instance".
        channels: that the layers have, or a number that divides all of theirs.
    """
    if kind == "group":
        # At least two channels a group: at a single grid point, one channel alone would be normalized to zero.
        return "group", {"num_groups": gcd(max(1, channels // 2), 32)}
    return kind, ({"affine": True} if kind == "instance" else {})
