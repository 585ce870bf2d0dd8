"""A bundle runs in MONAI, and its masks are those of the network."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.bundle import run as run_bundle

from medsegdist.data.manifest import DatasetManifest
from medsegdist.data.options import Preprocessing
from medsegdist.errors import DataError
from medsegdist.transfer.bundle import export_bundle
from medsegdist.transfer.networks import save_weights
from medsegdist.transfer.train import train
from tests.transfer.making import SMALL_DEEPLAB, TINY, disks, halves, quick

# The keys that MONAI's specification of bundles asks for: https://docs.monai.io/en/stable/mb_specification.html.
SPECIFIED = {
    "version",
    "monai_version",
    "pytorch_version",
    "numpy_version",
    "required_packages_version",
    "task",
    "description",
    "authors",
    "copyright",
    "network_data_format",
}
OF_TENSORS = {"type", "format", "num_channels", "spatial_shape", "dtype", "value_range", "is_patch_data", "channel_def"}
SOURCE = DatasetManifest.model_validate(
    {"name": "disks", "modality": "CT", "layout": {"kind": "phantom", "organ": "liver"}}
)
# MONAI says so whenever it reads a configuration, and of its own defaults.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")


def exported(tmp_path, network_options=TINY, grid=(32, 32), **recipe):
    samples = disks(grid=grid, slices=1)
    made = quick(network=network_options, steps=30, validate_every=10, learning_rate=1e-2, **recipe)
    network = train(samples, halves(samples), made, seed=0).network
    save_weights(tmp_path / "weights.pt", network, network_options, len(grid))
    prepared = Preprocessing(grid=grid, dimensions=len(grid))
    export_bundle(tmp_path / "weights.pt", made, SOURCE, prepared, 0.9, "target", tmp_path / "bundle")
    return samples, network, made


@pytest.mark.parametrize(
    ("options", "grid", "recipe"),
    [(TINY, (32, 32), {}), (SMALL_DEEPLAB, (30, 33), {}), (TINY, (8, 16, 16), {"patch_size": (8, 8, 8)})],
)
def test_a_bundle_segments_as_the_network_does(options, grid, recipe, tmp_path):
    samples, network, made = exported(tmp_path, options, grid, **recipe)
    bundle = tmp_path / "bundle"
    (bundle / "images").mkdir()
    for k in range(3):
        np.save(bundle / "images" / f"{k}.npy", samples.images[k].numpy())
    run_bundle(
        config_file=str(bundle / "configs" / "inference.json"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        bundle_root=str(bundle),
    )
    for k in range(3):
        found = np.asarray(nib.load(bundle / "eval" / f"{k}_pred.nii.gz").dataobj).reshape(grid)
        image = (samples.images[k] - made.scale.center)[None, None] / made.scale.half_range
        if not recipe:
            with torch.no_grad():
                expected = (network(image) > 0)[0, 0].numpy()
            assert (found.astype(bool) == expected).mean() > 0.999
        both = (found.astype(bool) & samples.masks[k].numpy()).sum()
        assert 2 * both / (found.sum() + samples.masks[k].sum()) > 0.5


def test_it_has_what_an_inference_bundle_and_the_specification_need(tmp_path):
    exported(tmp_path)
    configs = tmp_path / "bundle" / "configs"
    workflow = ConfigWorkflow(
        config_file=str(configs / "inference.json"),
        meta_file=str(configs / "metadata.json"),
        workflow_type="inference",
        bundle_root=str(tmp_path / "bundle"),
    )
    workflow.initialize()
    assert not workflow.check_properties()
    metadata = json.loads((configs / "metadata.json").read_text())
    assert set(metadata) >= SPECIFIED | {"schema", "changelog"}
    assert metadata["version"] in metadata["changelog"]
    tensors = metadata["network_data_format"]
    assert set(tensors["inputs"]["image"]) >= OF_TENSORS
    assert set(tensors["outputs"]["pred"]) >= OF_TENSORS
    assert tensors["inputs"]["image"]["value_range"] == [0, 255]


def test_a_bundle_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    _, _, recipe = exported(tmp_path)
    bundle = tmp_path / "bundle"
    (bundle / "old").touch()
    content = SOURCE, Preprocessing(grid=(32, 32)), 0.9, "target"
    with pytest.raises(DataError, match="there are no weights here"):
        export_bundle(tmp_path / "lost.pt", recipe, *content, bundle)
    assert (bundle / "old").exists()
    export_bundle(tmp_path / "weights.pt", recipe, *content, bundle)
    assert not (bundle / "old").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "weights.pt"]
