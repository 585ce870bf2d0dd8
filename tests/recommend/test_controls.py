"""Controls on real data: the other half of a dataset is its best source, and twins that were spoiled are not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from medsegdist import compare_all, load_samples, load_study
from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.dataset_distance import choose_distances
from medsegdist.distance.order import CONSENSUS

FOLDERS = {
    "skin": "ph2_skin2d",
    "polyps": "kvasir_polyp2d_train256",
    "heads": "hc18_fetalhead_us2d",
    "cells": "wbc1_leukocyte2d",
}


@pytest.fixture(scope="module")
def datasets(data_root, tmp_path_factory) -> dict[str, SegmentationSamples]:
    layout = {"kind": "folder", "images": "images/*.png", "masks": "masks/*.png"}
    described = [
        {"name": name, "modality": "other", "layout": {**layout, "root": str(data_root / folder)}, "foreground": [255]}
        for name, folder in FOLDERS.items()
    ]
    preprocessing = {"dimensions": 2, "grid": [64, 64], "intensity": "zscore", "min_pixels": 8, "max_samples": 80}
    study = {"name": "controls", "preprocessing": preprocessing, "datasets": described, "targets": ["skin"]}
    file = tmp_path_factory.mktemp("controls") / "study.yaml"
    file.write_text(yaml.safe_dump(study))
    return {one.name: one for one in load_samples(load_study(file))}


def halves(samples: SegmentationSamples) -> tuple[SegmentationSamples, SegmentationSamples]:
    one, other = (samples.take(range(start, len(samples), 2)) for start in (0, 1))
    return replace(one, name="target"), replace(other, name="other half")


def spoiled(samples: SegmentationSamples) -> list[SegmentationSamples]:
    """The same images with the rings around their segments as labels, and with the masks of other images."""
    grown = torch.nn.functional.max_pool2d(samples.masks[:, None].float(), 13, stride=1, padding=6)[:, 0] > 0
    ring = grown & ~samples.masks
    kept = ring.flatten(1).any(1).nonzero()[:, 0].tolist()
    rings = replace(samples.take(kept), name="rings", masks=ring[kept])
    order = np.roll(np.arange(len(samples)), len(samples) // 2)
    exchanged = replace(samples, name="exchanged", masks=samples.masks[order].flip(-1).flip(-2).roll(17, -1))
    return [rings, exchanged]


def scores(found: list[SegmentationSamples]) -> dict[str, float]:
    """The consensus of each source, less is nearer."""
    table = compare_all(found, choose_distances(CONSENSUS), targets=["target"])
    of_method = [{row.source: row.mask_term for row in table.rows if row.method == method} for method in CONSENSUS]
    totals = dict.fromkeys(of_method[0], 0.0)
    for one in of_method:
        values = np.array(list(one.values()))
        for name, value in one.items():
            totals[name] += (value - values.mean()) / values.std()
    return totals


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.parametrize("name", FOLDERS)
def test_the_other_half_is_nearer_than_other_datasets_and_spoiled_twins(name, datasets):
    target, other = halves(datasets[name])
    rest = [one for key, one in datasets.items() if key != name]
    found = scores([target, other, *spoiled(other), *rest])
    order = sorted(found, key=lambda source: found[source])
    assert order[0] == "other half", found
