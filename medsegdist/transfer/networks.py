"""Networks, all of one kind: (b, 1, *grid) intensities to (b, 1, *grid) logits; their weights and states as files."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from math import gcd
from pathlib import Path
from typing import Any

import torch
from monai.networks.blocks import Convolution
from monai.networks.layers import Pool
from monai.networks.nets import UNet
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.nn import functional

from medsegdist.data.options import DeepLabOptions, NetworkOptions, UNetOptions
from medsegdist.errors import DataError
from medsegdist.files import atomic_write


def _normalization(kind: str, channels: int) -> tuple[str, dict[str, Any]]:
    """What MONAI's blocks take as `norm`; `channels` divides those of all its layers."""
    if kind == "group":
        # At least two channels a group: at a single grid point, one channel alone would be normalized to zero.
        return "group", {"num_groups": gcd(max(1, channels // 2), 32)}
    return kind, ({"affine": True} if kind == "instance" else {})


_LOW_LEVEL_CHANNELS = 48
_MODES = {2: "bilinear", 3: "trilinear"}


class DeepLabV3Plus(nn.Module):
    """DeepLabV3+ (Chen et al. 2018) with a dilated ResNet as its encoder.

    The encoder's last features are `output_stride` times coarser than the image: where a stage would go further, its
    convolutions are dilated instead. A pyramid of one 1x1 branch, three atrous ones and the image's mean follows; its
    features are resized to those of the first stage, of which 48 channels are added, and to the image's grid at last.
    In volumes, of 3 `dimensions`, every kernel has one axis more. The default `options` are the published network with
    a ResNet-50.
    """

    def __init__(self, options: DeepLabOptions, dimensions: int) -> None:
        super().__init__()
        self.mode = _MODES[dimensions]
        self.encoder = _ResNetEncoder(options, dimensions)
        low, high = self.encoder.channels
        width, layer = options.aspp_channels, partial(_layer, dimensions, options.norm)
        rates = options.atrous_rates or tuple(rate * 16 // options.output_stride for rate in (6, 12, 18))
        self.pyramid = _AtrousPyramid(high, width, rates, dimensions, options.norm, options.dropout)
        self.low_level = layer(low, _LOW_LEVEL_CHANNELS, 1)
        self.decoder = nn.Sequential(layer(width + _LOW_LEVEL_CHANNELS, width, 3), layer(width, width, 3))
        self.classifier = Convolution(dimensions, width, 1, kernel_size=1, conv_only=True)
        self.apply(_initialize)

    def forward(self, images: Tensor) -> Tensor:
        """(b, 1, *grid) logits of (b, 1, *grid) intensities, `images`."""
        low, high = self.encoder(images)
        coarse = self._resized(self.pyramid(high), low)
        logits = self.classifier(self.decoder(torch.cat([coarse, self.low_level(low)], 1)))
        return self._resized(logits, images)

    def _resized(self, features: Tensor, like: Tensor) -> Tensor:
        return functional.interpolate(features, size=like.shape[2:], mode=self.mode, align_corners=False)


class _ResNetEncoder(nn.Module):
    """A ResNet of four stages that never gets coarser than its output stride."""

    def __init__(self, options: DeepLabOptions, dimensions: int) -> None:
        super().__init__()
        width, layer = options.width, partial(_layer, dimensions, options.norm)
        expansion = 4 if options.block == "bottleneck" else 1
        stem = [layer(1, width, 7, strides=2)]
        if options.stem_stride == 4:
            stem.append(Pool[Pool.MAX, dimensions](kernel_size=3, stride=2, padding=1))
        self.stem = nn.Sequential(*stem)
        self.stages = nn.ModuleList()
        channels, stride, dilation = width, int(options.stem_stride), 1
        for level, depth in enumerate(options.depths):
            blocks = []
            for index in range(depth):
                # The block that would have halved the grid keeps the dilation before it, as published.
                step, dilation_here = 1, dilation
                if level and not index:
                    if stride < options.output_stride:
                        step, stride = 2, stride * 2
                    else:
                        dilation *= 2
                blocks.append(_Block(layer, options.block, channels, width * 2**level, step, dilation_here))
                channels = width * 2**level * expansion
            self.stages.append(nn.Sequential(*blocks))
        self.channels = (width * expansion, channels)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features of the first stage, and of the last one."""
        low = high = self.stages[0](self.stem(images))
        for stage in self.stages[1:]:
            high = stage(high)
        return low, high


class _AtrousPyramid(nn.Module):
    """Atrous spatial pyramid pooling with the image's mean as its fifth branch (Chen et al. 2017)."""

    def __init__(
        self, channels: int, out: int, rates: tuple[int, ...], dimensions: int, norm: str, dropout: float
    ) -> None:
        super().__init__()
        layer = partial(_layer, dimensions, norm)
        self.branches = nn.ModuleList([layer(channels, out, 1)])
        self.branches.extend(layer(channels, out, 3, dilation=rate) for rate in rates)
        # One grid point is left of the image: a batch of one would have no spread for batch or instance norm.
        self.pooled = nn.Sequential(
            Pool[Pool.ADAPTIVEAVG, dimensions](1), _layer(dimensions, "group", channels, out, 1)
        )
        self.project = layer(out * (len(rates) + 2), out, 1, dropout=dropout or None)

    def forward(self, features: Tensor) -> Tensor:
        """(b, out, *grid) of (b, channels, *grid)."""
        mean = self.pooled(features).expand(-1, -1, *features.shape[2:])
        result: Tensor = self.project(torch.cat([*(branch(features) for branch in self.branches), mean], 1))
        return result


class _Block(nn.Module):
    """A residual block of a ResNet, whose 3x3 convolutions may be dilated."""

    def __init__(
        self, layer: Callable[..., nn.Module], kind: str, channels: int, width: int, strides: int, dilation: int
    ) -> None:
        super().__init__()
        if kind == "bottleneck":
            out = 4 * width
            self.body = nn.Sequential(
                layer(channels, width, 1),
                layer(width, width, 3, strides=strides, dilation=dilation),
                layer(width, out, 1, act=None),
            )
        else:
            out = width
            self.body = nn.Sequential(
                layer(channels, out, 3, strides=strides, dilation=dilation),
                layer(out, out, 3, dilation=dilation, act=None),
            )
        same = channels == out and strides == 1
        self.shortcut = nn.Identity() if same else layer(channels, out, 1, strides=strides, act=None)

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(self.body(features) + self.shortcut(features))


def _layer(dimensions: int, norm: str, channels: int, out: int, kernel: int, **options: Any) -> nn.Module:
    """Convolution without bias, normalization, activation."""
    options = {"act": "relu", "adn_ordering": "NAD", "norm": _normalization(norm, out), "bias": False, **options}
    layer: nn.Module = Convolution(dimensions, channels, out, kernel_size=kernel, **options)
    return layer


def _initialize(module: nn.Module) -> None:
    # As ResNets are: keeps the spread of activations through many ReLUs.
    if isinstance(module, (nn.Conv2d, nn.Conv3d)):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class PaddedUNet(nn.Module):
    """MONAI's U-Net of some `options` in 2 or 3 `dimensions`, of grids of any size.

    MONAI's own takes only multiples of 2 ** (levels - 1): grids are padded to such, and the result is cropped again.
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
            norm=_normalization(options.norm, 1),
            dropout=options.dropout,
        )

    def forward(self, images: Tensor) -> Tensor:
        """(b, 1, *grid) logits of (b, 1, *grid) intensities, `images`."""
        grid = images.shape[2:]
        # The last axis first, as torch pads; "replicate" adds no edge that the network could see.
        padding = [part for size in reversed(grid) for part in (0, -size % self.factor)]
        padded = functional.pad(images, padding, mode="replicate") if any(padding) else images
        logits: Tensor = self.unet(padded)
        for axis, size in enumerate(grid, start=2):
            logits = logits.narrow(axis, 0, size)
        return logits


def build_network(options: DeepLabOptions | UNetOptions, dimensions: int) -> nn.Module:
    """The network of `options` for 2 or 3 `dimensions`, its weights drawn from torch's global generator.

    Raises:
        ValueError: another number of dimensions.
    """
    if dimensions not in (2, 3):
        raise ValueError(f"expected 2 or 3 dimensions, found {dimensions}.")
    if isinstance(options, UNetOptions):
        return PaddedUNet(options, dimensions)
    return DeepLabV3Plus(options, dimensions)


_STATE, _WEIGHTS = "medsegdist training state 1", "medsegdist weights 1"


def save_state(path: Path, config: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write to `path` the `state` of a run, and its `config`: all that it is made from."""
    _write(path, format=_STATE, config=json.dumps(config, sort_keys=True), state=dict(state))


def load_state(path: Path, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The state of a run that was cut short, at `path`; None if there is none.

    Raises:
        DataError: it is damaged, or of another `config`.
    """
    if not path.exists():
        return None
    content = _read(path, _STATE, "training state")
    found, wanted = json.loads(content["config"]), json.loads(json.dumps(config))
    differing = sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key))
    if differing:
        raise DataError(
            f"{path}: this checkpoint is of a run with another configuration ({', '.join(differing)} differ)",
            "delete it to train again, or restore the configuration to resume",
        )
    state: dict[str, Any] = content["state"]
    return state


def save_weights(path: Path, network: nn.Module, options: NetworkOptions, dimensions: int) -> None:
    """Write to `path` the weights of a `network` of these `options` and `dimensions`, and both."""
    weights = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    _write(path, format=_WEIGHTS, network=options.model_dump_json(), dimensions=dimensions, weights=weights)


def load_network(path: Path) -> nn.Module:
    """The network of the weights at `path`, on the CPU."""
    content = _read(path, _WEIGHTS, "weights")
    try:
        options: Any = TypeAdapter(NetworkOptions).validate_json(content["network"])
        network = build_network(options, content["dimensions"])
        network.load_state_dict(content["weights"])
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise _damaged(path, "weights", error) from error
    return network


def _write(path: Path, **content: Any) -> None:
    with atomic_write(path, binary=True) as file:
        torch.save(content, file)


def _read(path: Path, expected: str, what: str) -> dict[str, Any]:
    if not path.exists():
        raise DataError(f"{path}: there are no {what} here; run the pre-training first.")
    try:
        with warnings.catch_warnings():
            # torch warns of what it does not expect before it fails; the error says it all.
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, LookupError, EOFError, pickle.UnpicklingError) as error:
        raise _damaged(path, what, error) from error
    if not isinstance(content, dict) or content.get("format") != expected:
        raise _damaged(path, what, f"expected the format '{expected}'")
    return content


def _damaged(path: Path, what: str, why: object) -> DataError:
    said = str(why).splitlines()[0][:200] if str(why) else type(why).__name__
    if isinstance(why, pickle.UnpicklingError):
        # torch advises to run what the file holds.
        said = "it holds other objects than tensors and plain values, which are not loaded"
    return DataError(f"{path}: this file of {what} is damaged ({said}); delete it to train again.")
