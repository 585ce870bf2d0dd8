"""One dataset through each of MONAI's own: whichever holds it, collect() makes the same samples of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from medsegdist.transforms import preprocessing_pipeline
from monai.apps.datasets import DecathlonDataset
from monai.data import (
    CacheDataset,
    DataLoader,
    Dataset,
    MetaTensor,
    PersistentDataset,
    SmartCacheDataset,
    load_decathlon_datalist,
)
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged

from medsegdist.data.collect import collect
from medsegdist.data.layouts.decathlon import DecathlonLayout
from medsegdist.data.manifest import DatasetManifest, make_dataset
from tests.data.making import AFFINE, PREPROCESSING, write_listing, write_task
from tests.data.test_collect import assert_equal

TASK = "Task09_Spleen"
FOLDERS = {"image": "imagesTr", "label": "labelsTr"}
KEYS = tuple(FOLDERS)
NAMES = ("p1_a", "p1_b", "p2_a", "p3_a")
LOAD = Compose([LoadImaged(KEYS), EnsureChannelFirstd(KEYS)])
WHOLE = Compose([*LOAD.transforms, *preprocessing_pipeline(grid=(10, 12)).transforms])


@pytest.fixture
def task(tmp_path):
    """A task of four cases under a name that MONAI knows, with all that MONAI wants to be said of it."""
    root = write_task(tmp_path / "tasks" / TASK, NAMES)
    said = ("description", "reference", "licence", "tensorImageSize", "modality", "labels", "numTraining", "numTest")
    listing = json.loads((root / "dataset.json").read_text())
    return write_listing(root, listing["training"], **dict.fromkeys(said, ""))


@pytest.fixture
def datalist(task):
    return load_decathlon_datalist(task / "dataset.json", is_segmentation=True)


def collected(dataset):
    return collect(dataset, name="tiny")


@pytest.fixture
def expected(task):
    """What medsegdist's own layout makes of the files, its fingerprint put aside."""
    manifest = DatasetManifest(name="tiny", modality="MR", layout=DecathlonLayout(root=task))
    samples = collected(make_dataset(manifest, PREPROCESSING))
    assert samples.case_ids == tuple(name for name in NAMES for _ in range(2))
    return samples


def dataset_of(datalist, tmp_path):
    return Dataset(datalist, WHOLE)


def cached(datalist, tmp_path):
    return CacheDataset(datalist, WHOLE, num_workers=2, progress=False)


def persistent(datalist, tmp_path):
    dataset = PersistentDataset(datalist, WHOLE, cache_dir=tmp_path / "persistent")
    # The second time it comes from the disk.
    collected(dataset)
    return dataset


def list_of_dicts(datalist, tmp_path):
    return [WHOLE(entry) for entry in datalist]


def decathlon(datalist, tmp_path):
    # It shuffles with a seed of its own unless the split is everything.
    options = {"download": False, "val_frac": 0.0, "num_workers": 1, "progress": False}
    return DecathlonDataset(tmp_path / "tasks", TASK, "training", transform=WHOLE, **options)


def batched_in_worker_processes(datalist, tmp_path):
    loader = DataLoader(Dataset(datalist, WHOLE), batch_size=2, num_workers=2)
    batches = list(loader)
    assert [tuple(batch["image"].shape) for batch in batches] == [(4, 1, 10, 12)] * 2
    return [
        {
            **{key: batch[key][k] for key in KEYS},
            "case_id": NAMES[2 * n + k // 2],
        }
        for n, batch in enumerate(batches)
        for k in range(4)
    ]


@pytest.mark.parametrize(
    "make",
    [dataset_of, cached, persistent, list_of_dicts, decathlon, batched_in_worker_processes],
)
def test_every_dataset_of_monai_gives_the_samples_of_the_layout(datalist, tmp_path, expected, make):
    samples = collected(make(datalist, tmp_path))
    order = sorted(range(len(samples)), key=samples.case_ids.__getitem__)
    assert_equal(samples.take(order), expected)


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_smart_cache_is_what_it_holds_now_under_the_right_names(datalist, expected, shuffle):
    dataset = SmartCacheDataset(
        datalist, WHOLE, replace_rate=0.5, cache_num=2, progress=False, shuffle=shuffle, num_init_workers=1
    )
    first = collected(dataset)
    dataset.start()
    dataset.update_cache()
    second = collected(dataset)
    dataset.shutdown()
    for samples in (first, second):
        assert len(set(samples.case_ids)) == 2
        rows = [k for name in dict.fromkeys(samples.case_ids) for k, own in enumerate(expected.case_ids) if own == name]
        assert_equal(samples, expected.take(rows))
    assert set(first.case_ids) != set(second.case_ids)


def test_items_keep_what_monai_knows_of_their_files(task):
    """A volume keeps its affine and its file, so that MONAI's SaveImage and its inverses find what they need."""
    manifest = DatasetManifest(name="tiny", modality="MR", layout=DecathlonLayout(root=task))
    item = manifest.layout.load(manifest.layout.cases()[0].as_item())
    loaded = LOAD({key: str(task / folder / "p1_a.nii.gz") for key, folder in FOLDERS.items()})
    for key in KEYS:
        assert isinstance(item[key], MetaTensor)
        np.testing.assert_array_equal(item[key], loaded[key])
        np.testing.assert_array_equal(item[key].affine, AFFINE)
        assert item[key].meta["filename_or_obj"] == loaded[key].meta["filename_or_obj"]
        assert item[key].meta["space"] == loaded[key].meta["space"]
    for part in make_dataset(manifest, PREPROCESSING)[0]:
        assert part["image"].meta["filename_or_obj"] == str(task / "imagesTr" / "p1_a.nii.gz")
        assert torch.isfinite(part["image"].affine).all()
