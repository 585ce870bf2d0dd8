"""The networks that are trained, all of one kind: (b, 1, *grid) intensities to (b, 1, *grid) logits."""

from __future__ import annotations

from torch import nn

from medsegdist.data.transfer_options import DeepLabOptions, UNetOptions
from medsegdist.transfer.networks.deeplabv3plus import DeepLabV3Plus
from medsegdist.transfer.networks.unet import PaddedUNet

__all__ = ["DeepLabV3Plus", "PaddedUNet", "build_network"]


def build_network(options: DeepLabOptions | UNetOptions, dimensions: int) -> nn.Module:
    """A network with new weights, drawn from torch's global generator.

    Args:
        options: which one.
        dimensions: 2 for slices, 3 for volumes.

    Raises:
        ValueError: another number of dimensions.
    """
    if dimensions not in (2, 3):
        raise ValueError(f"expected 2 or 3 dimensions, found {dimensions}.")
    if isinstance(options, UNetOptions):
        return PaddedUNet(options, dimensions)
    return DeepLabV3Plus(options, dimensions)
