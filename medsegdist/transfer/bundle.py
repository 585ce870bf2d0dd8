"""A pre-trained network as a MONAI Bundle, for `python -m monai.bundle` and everything that reads bundles."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from medsegdist.data.manifest import DatasetManifest
from medsegdist.data.options import Preprocessing
from medsegdist.data.study import Study
from medsegdist.files import atomic_path
from medsegdist.transfer.gains import Gain, summarize_gains
from medsegdist.transfer.networks import load_network
from medsegdist.transfer.outcomes import TransferResult
from medsegdist.transfer.plan import POOLED, Recipe, Run
from medsegdist.transfer.runs import TransferStudy

_SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"


def export_bundle(
    weights: Path,
    recipe: Recipe,
    source: DatasetManifest,
    preprocessing: Preprocessing,
    dice: float,
    target: str,
    directory: Path,
) -> None:
    """Write a bundle: configs/metadata.json, configs/inference.json, models/model.pt and docs/README.md.

    Its network was pre-trained on the source, whose samples had this preprocessing, and had this Dice on its own
    validation patients. A bundle that is there already is replaced once the new one is complete. The weights are a
    plain state dict; no TorchScript.
    """
    network = load_network(weights)
    said = f"Pre-trained on {source.name} by medsegdist, to be fine-tuned on {target}."
    if source.license:
        said += f" License of the training data, as its origin states it: {source.license}."
    metadata = _metadata(recipe, source, preprocessing) | {"description": said}
    configs = {
        "metadata": metadata | {"eval_metrics": {"validation_dice": dice}},
        "inference": _inference(recipe, len(preprocessing.grid)),
    }
    with atomic_path(directory) as partial:
        for folder in ("configs", "models", "docs"):
            (partial / folder).mkdir(parents=True)
        torch.save(network.state_dict(), partial / "models" / "model.pt")
        for name, config in configs.items():
            (partial / "configs" / f"{name}.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (partial / "docs" / "README.md").write_text(_readme(source.name, said, preprocessing.grid), encoding="utf-8")
        # A folder takes no name that another one has.
        if directory.exists():
            shutil.rmtree(directory)


def write_bundles(
    study: TransferStudy, result: TransferResult, described: Study, targets: Sequence[str], directory: Path
) -> dict[str, Path]:
    """Writes the pre-training of each target's best source, and returns the bundle of each target that has one."""
    written: dict[str, Path] = {}
    # Of all datasets, so that a name does not depend on which targets are asked for.
    names = bundle_names(dataset.name for dataset in described.datasets)
    for target in targets:
        run = best_pretraining(study, result.gains, target)
        if run is None:
            continue
        source, dice = described.dataset(run.source or ""), float((study.log.outcome(run.key) or {})["validation_dice"])
        written[target], weights = directory / names[target], study.assignment(run).weights(run.key)
        export_bundle(weights, run.recipe, source, described.preprocessing, dice, target, written[target])
    return written


def bundle_names(datasets: Iterable[str]) -> dict[str, str]:
    """The name of each dataset's folder in OUT/bundles, by the dataset's name."""
    names = {name: re.sub(r"[^A-Za-z0-9._-]+", "_", name) for name in datasets}
    taken = Counter(folder.casefold() for folder in names.values())
    # A hash of the name itself, so that a folder does not depend on an order: a and A are one on many disks.
    return {
        name: folder if taken[folder.casefold()] == 1 else f"{folder}_{hashlib.sha256(name.encode()).hexdigest()[:12]}"
        for name, folder in names.items()
    }


def best_pretraining(study: TransferStudy, gains: Iterable[Gain], target: str) -> Run | None:
    """The single source with the greatest mean gain for a target, and of its seeds the one best validated.

    The seed is not chosen by gain: among few seeds, the greatest gain is mostly luck. None if no gain is "ok".
    """
    # All sources together have no description in common.
    sources = [one for one in summarize_gains(gains, target) if one.source != POOLED]
    if not sources:
        return None
    ended = {
        run: outcome["validation_dice"]
        for run in study.runs
        if (run.kind, run.source) == ("pretraining", sources[0].source)
        and (outcome := study.log.outcome(run.key) or {}).get("status") == "done"
    }
    return max(ended, key=lambda run: ended[run])


def _metadata(recipe: Recipe, source: DatasetManifest, preprocessing: Preprocessing) -> dict[str, Any]:
    low = recipe.scale.center - recipe.scale.half_range
    image = {
        "type": "image",
        "format": "hounsfield" if preprocessing.intensity == "hounsfield" else "magnitude",
        "modality": source.modality,
        "num_channels": 1,
        "spatial_shape": list(recipe.patch_size or preprocessing.grid),
        "dtype": "float32",
        "value_range": [low, low + 2 * recipe.scale.half_range],
        "is_patch_data": recipe.patch_size is not None,
        "channel_def": {"0": "image"},
    }
    prediction = {
        **image,
        "format": "segmentation",
        "value_range": [0, 1],
        "channel_def": {"0": "foreground"},
    }
    return {
        "schema": _SCHEMA,
        "version": "0.1.0",
        "changelog": {"0.1.0": "exported by medsegdist"},
        "monai_version": version("monai"),
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {
            "medsegdist": version("medsegdist"),
            "pytorch-ignite": version("pytorch-ignite"),
            "nibabel": version("nibabel"),
        },
        "name": f"Pre-trained on {source.name}",
        "task": "Binary segmentation, to be fine-tuned on another dataset",
        "authors": "medsegdist",
        "copyright": "that of the training data",
        "intended_use": "Research only: to start fine-tuning from.",
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": prediction}},
        "medsegdist_preprocessing": preprocessing.model_dump(mode="json"),
    }


def _inference(recipe: Recipe, dimensions: int) -> dict[str, Any]:
    """The configuration of every bundle, with what this network takes in place of null."""
    text = (files("medsegdist.transfer") / "bundle_inference.json").read_text(encoding="utf-8")
    config: dict[str, Any] = json.loads(text)
    # A bundle's expressions are evaluated: nothing of a study's free text is among these numbers and choices.
    network = recipe.network
    options = {
        "_target_": f"{type(network).__module__}.{type(network).__qualname__}",
        **network.model_dump(mode="json"),
    }
    config["network_def"] |= {"options": options, "dimensions": dimensions}
    center, half_range = recipe.scale.center, recipe.scale.half_range
    config["preprocessing"]["transforms"][2] |= {"a_min": center - half_range, "a_max": center + half_range}
    config["dataloader"]["batch_size"] = recipe.batch_size
    if recipe.patch_size is not None:
        config["inferer"] = {
            "_target_": "SlidingWindowInferer",
            "roi_size": list(recipe.patch_size),
            "sw_batch_size": recipe.batch_size,
            "overlap": recipe.overlap,
            "mode": "gaussian",
        }
    return config


def _readme(name: str, description: str, grid: tuple[int, ...]) -> str:
    return (
        f"# Pre-trained on {name}\n\n{description}\n\n"
        "`configs/inference.json` segments every array `images/*.npy` of the grid "
        f"{list(grid)}, prepared as `medsegdist_preprocessing` in `configs/metadata.json` says:\n\n"
        "    python -m monai.bundle run --bundle_root . --config_file configs/inference.json "
        "--meta_file configs/metadata.json\n\n"
        "To fine-tune it, load `models/model.pt`, a plain state dict, into the network that `network_def` describes.\n"
    )
