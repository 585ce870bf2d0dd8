"""The `transfer` of a study: what may stand there."""

import re

import pytest
import yaml
from pydantic import ValidationError

from medsegdist.data.options import DeepLabOptions, TransferOptions, UNetOptions
from medsegdist.data.study import load_study
from medsegdist.errors import ManifestError


def study(tmp_path, options, **preprocessing):
    datasets = [
        {"name": name, "modality": "CT", "layout": {"kind": "phantom", "organ": name, "patients": 2, "slices": 1}}
        for name in ("liver", "spleen")
    ]
    content = {
        "name": "s",
        "preprocessing": {"grid": [16, 16], **preprocessing},
        "datasets": datasets,
        "targets": ["liver"],
        "transfer": options,
    }
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_defaults_are_the_papers(tmp_path):
    options = load_study(study(tmp_path, {})).transfer
    assert options == TransferOptions()
    assert isinstance(options.network, DeepLabOptions)
    assert (options.learning_rate, options.fine_tuning_learning_rate, options.loss) == (1e-3, 1e-4, "dice")
    assert options.effective_fine_tuning_steps == options.steps


def test_what_is_given_is_read(tmp_path):
    given = {
        "network": {"kind": "unet", "channels": [8, 16]},
        "steps": 50,
        "validate_every": 10,
        "augmentation": None,
        "patch_size": [8, 8],
        "seeds": [4],
    }
    options = load_study(study(tmp_path, given)).transfer
    assert options.network == UNetOptions(channels=(8, 16))
    assert (options.steps, options.augmentation, options.patch_size, options.seeds) == (50, None, (8, 8), (4,))


def test_options_do_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        TransferOptions().steps = 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": 5}, "transfer.step: unknown key; did you mean 'steps'?"),
        ({"steps": 250}, "steps: expected a multiple of validate_every (100), found 250"),
        ({"fine_tuning_steps": 130}, "fine_tuning_steps: expected a multiple of validate_every (100), found 130"),
        ({"seeds": [1, 1]}, "seeds: expected each seed once, found [1, 1]"),
        ({"seeds": []}, "transfer.seeds:"),
        ({"network": {"kind": "unets"}}, "expected 'kind' to be one of 'deeplabv3plus', 'unet', found 'unets'"),
        ({"network": {"width": 8}}, "transfer.network: the key 'kind' is missing"),
        ({"network": {"kind": "unet", "width": 8}}, "transfer.network.width: unknown key"),
        ({"network": {"kind": "deeplabv3plus", "output_stride": 4}}, "transfer.network.output_stride:"),
        ({"learning_rate": 0}, "transfer.learning_rate:"),
        ({"test_fraction": 1}, "transfer.test_fraction:"),
        ({"dice_floor": -0.1}, "transfer.dice_floor:"),
        ({"target_cases": 0}, "transfer.target_cases:"),
        ({"augmentation": {"rotate": 3}}, "transfer.augmentation.rotate: unknown key"),
        ({"patch_size": [8, 8, 8]}, "transfer: patch_size: expected a patch within the grid [16, 16], found [8, 8, 8]"),
        ({"patch_size": [8, 32]}, "transfer: patch_size: expected a patch within the grid [16, 16], found [8, 32]"),
    ],
)
def test_what_means_nothing_is_refused_with_its_place(options, message, tmp_path):
    with pytest.raises(ManifestError, match=re.escape(message)):
        load_study(study(tmp_path, options))
