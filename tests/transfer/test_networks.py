"""The networks: shapes, published sizes, what a point of the result depends on, export."""

import pytest
import torch
from torch import nn

from medsegdist.data.options import DeepLabOptions
from medsegdist.transfer.networks import DeepLabV3Plus, build_network
from tests.transfer.making import SMALL_DEEPLAB, TINY

# As torchvision publishes them: https://docs.pytorch.org/vision/stable/models.html.
RESNET50, RESNET50_CLASSIFIER = 25_557_032, 2048 * 1000 + 1000
RESNET34, RESNET34_CLASSIFIER = 21_797_672, 512 * 1000 + 1000
DEEPLABV3_RESNET50 = 42_004_074
# What of it is not its pyramid: the encoder, the head's 3x3 layer and its 21 classes, and the auxiliary head.
DEEPLABV3_REST = (
    (RESNET50 - RESNET50_CLASSIFIER)
    + (256 * 256 * 9 + 2 * 256)
    + (256 * 21 + 21)
    + (1024 * 256 * 9 + 2 * 256 + 256 * 21 + 21)
)
# The stem of a published encoder takes three colors.
TWO_COLORS = 2 * 7 * 7 * 64


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("grid", [(32, 32), (33, 47), (16, 70), (1, 1), (16, 32, 32), (9, 17, 21)])
@pytest.mark.parametrize("options", [SMALL_DEEPLAB, SMALL_DEEPLAB.model_copy(update={"stem_stride": 4}), TINY])
def test_logits_have_the_grid_of_the_image(options, grid):
    network = build_network(options, len(grid)).eval()
    assert network(torch.randn(2, 1, *grid)).shape == (2, 1, *grid)


@pytest.mark.parametrize("norm", ["batch", "group", "instance"])
@pytest.mark.parametrize("kind", ["deeplabv3plus", "unet"])
def test_one_sample_can_be_trained_on(kind, norm):
    options = (TINY if kind == "unet" else SMALL_DEEPLAB).model_copy(update={"norm": norm})
    network = build_network(options, 2).train()
    network(torch.randn(1, 1, 33, 40)).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())


def test_group_norm_trains_on_one_sample_whose_last_features_are_one_point():
    network = build_network(SMALL_DEEPLAB.model_copy(update={"norm": "group"}), 2).train()
    network(torch.randn(1, 1, 16, 16)).square().mean().backward()
    # Nothing is normalized away: what the pyramid sees still reaches the loss.
    assert network.pyramid.branches[0].conv.weight.grad.abs().max() > 0


def test_the_defaults_have_the_parameters_of_the_published_network():
    network = build_network(DeepLabOptions(), 2)
    assert parameters(network.encoder) == RESNET50 - RESNET50_CLASSIFIER - TWO_COLORS
    assert parameters(network.pyramid) == DEEPLABV3_RESNET50 - DEEPLABV3_REST
    # Chen et al. 2018: 48 channels of the first stage, two 3x3 layers of 256, and here one class.
    assert parameters(network.low_level) == 256 * 48 + 2 * 48
    assert parameters(network.decoder) == (256 + 48) * 256 * 9 + 256 * 256 * 9 + 4 * 256
    assert parameters(network.classifier) == 257


def test_basic_blocks_give_resnet34():
    encoder = DeepLabV3Plus(DeepLabOptions(block="basic"), 2).encoder
    assert parameters(encoder) == RESNET34 - RESNET34_CLASSIFIER - TWO_COLORS


@pytest.mark.parametrize(("stem", "output", "low"), [(4, 16, 4), (4, 8, 4), (2, 16, 2), (2, 8, 2)])
def test_features_are_as_coarse_as_the_strides_say(stem, output, low):
    options = SMALL_DEEPLAB.model_copy(update={"stem_stride": stem, "output_stride": output})
    first, last = DeepLabV3Plus(options, 2).encoder.eval()(torch.randn(1, 1, 64, 96))
    assert first.shape[2:] == (64 // low, 96 // low)
    assert last.shape[2:] == (64 // output, 96 // output)


def test_where_a_stage_would_be_too_coarse_it_is_dilated():
    options = DeepLabOptions(depths=(1, 1, 2, 2), width=4, aspp_channels=8, output_stride=8)
    fine, coarse = (build_network(options.model_copy(update={"output_stride": stride}), 2) for stride in (8, 16))
    found = [
        [m.dilation[0] for m in s.modules() if isinstance(m, nn.Conv2d) and m.kernel_size[0] == 3]
        for s in fine.encoder.stages
    ]
    assert found == [[1], [1], [1, 2], [2, 4]]
    assert [branch.conv.dilation[0] for branch in fine.pyramid.branches] == [1, 12, 24, 36]
    # That changes no weight.
    one, other = ({name: value.shape for name, value in n.state_dict().items()} for n in (fine, coarse))
    assert one == other


def reach(network, size, dimensions=2):
    """How far from the center, along the last axis, the input still changes the center of the result."""
    image = torch.randn(1, 1, *[size] * dimensions, requires_grad=True, dtype=torch.float64)
    center = (0, 0, *[size // 2] * dimensions)
    network(image)[center].backward()
    touched = image.grad[0, 0].nonzero()[:, -1]
    return int((touched - size // 2).abs().max())


@pytest.mark.parametrize("dimensions", [2, 3])
def test_each_atrous_branch_sees_as_far_as_its_rate(dimensions):
    options = SMALL_DEEPLAB.model_copy(update={"atrous_rates": (1, 3, 5)})
    pyramid = DeepLabV3Plus(options, dimensions).double().eval().pyramid
    found = [
        reach(lambda x, b=branch: b(x.expand(-1, 64, *x.shape[2:])).sum(1, keepdim=True), 15, dimensions)
        for branch in pyramid.branches
    ]
    assert found == [0, 1, 3, 5]


def test_the_pooled_branch_lets_every_point_see_the_whole_image():
    network = build_network(SMALL_DEEPLAB, 2).double().eval()
    assert reach(network, 121) == 60


@pytest.mark.parametrize(("options", "dimensions"), [(SMALL_DEEPLAB, 2), (SMALL_DEEPLAB, 3), (TINY, 2), (TINY, 3)])
def test_exported_programs_compute_the_same(options, dimensions):
    network = build_network(options, dimensions).eval()
    image = torch.randn(1, 1, *(24, 20, 33)[:dimensions])
    exported = torch.export.export(network, (image,)).module()
    torch.testing.assert_close(exported(image), network(image))


def test_other_dimensions_are_refused():
    with pytest.raises(ValueError, match="expected 2 or 3 dimensions, found 4"):
        build_network(TINY, 4)
