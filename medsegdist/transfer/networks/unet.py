"""MONAI's U-Net on grids of any size."""

from __future__ import annotations

from monai.networks.nets import UNet
from torch import Tensor, nn
from torch.nn import functional

from medsegdist.data.transfer_options import UNetOptions
from medsegdist.transfer.networks.normalization import normalization


class PaddedUNet(nn.Module):
    """MONAI's U-Net, with grids padded to what it can halve and the result cropped again.

    MONAI's own takes only grids that are a multiple of 2 ** (levels - 1).

    Args:
        options: levels and channels.
        dimensions: 2 or 3.
    """

    def __init__(self, options: UNetOptions, dimensions: int) -> None:
        super().__init__()
        levels = len(options.channels)
        self.factor = 2 ** (levels - 1)
        self.unet = UNet(
            spatial_dims=dimensions,
            in_channels=1,
            out_channels=1,
            channels=options.channels,
            strides=(2,) * (levels - 1),
            num_res_units=options.residual_units,
            # The uppermost layer has one channel.
            norm=normalization(options.norm, 1),
            dropout=options.dropout,
        )

    def forward(self, images: Tensor) -> Tensor:
        """(b, 1, *grid) logits of (b, 1, *grid) images.

        Args:
            images: (b, 1, *grid) float intensities.
        """
        grid = images.shape[2:]
        # The last axis first, as torch pads; "replicate" adds no edge that the network could see.
        padding = [part for size in reversed(grid) for part in (0, -size % self.factor)]
        padded = functional.pad(images, padding, mode="replicate") if any(padding) else images
        logits: Tensor = self.unet(padded)
        for axis, size in enumerate(grid, start=2):
            logits = logits.narrow(axis, 0, size)
        return logits
