"""Items that are already loaded: which case and patient each of them is, and where it lies."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from monai.data import CacheDataset, Dataset, MetaTensor, SmartCacheDataset
from monai.transforms import (
    Compose,
    CropForegroundd,
    EnsureChannelFirstd,
    EnsureTyped,
    LoadImaged,
    Orientationd,
    Resized,
    Spacingd,
)
from torch.utils.data import ConcatDataset, Subset

from medsegdist.data.collect import collect
from medsegdist.data.problems import DoubtfulCasesWarning
from medsegdist.data.samples import SegmentationSamples
from medsegdist.errors import DataError
from tests.data.making import labels, voxels, write_volume
from tests.public_reports import Report

KEYS = ("image", "label")
LOAD = Compose([LoadImaged(KEYS), EnsureChannelFirstd(KEYS)])
WITHOUT_METADATA = Compose([LOAD, EnsureTyped(KEYS, track_meta=False)])


def item(k: int, **more: Any) -> dict[str, Any]:
    """A picture of its own with a mask."""
    return {"image": np.random.default_rng(k).random((1, 8, 8)) + k, "label": np.eye(8)[None], **more}


def from_file(k: int, file: str) -> dict[str, Any]:
    """The same, as loaded from a file."""
    return item(k, image=MetaTensor(torch.from_numpy(item(k)["image"]), meta={"filename_or_obj": file}))


def volumes(folder: Path, count: int = 4) -> list[dict[str, str]]:
    """A datalist of s0/ct.nii.gz, s1/ct.nii.gz, ..., the intensities of which are their number."""
    entries = [{"image": f"{folder}/s{k}/ct.nii.gz", "label": f"{folder}/s{k}/mask.nii.gz"} for k in range(count)]
    for k, entry in enumerate(entries):
        write_volume(Path(entry["image"]), voxels(0) % 2 + 2 * k)
        write_volume(Path(entry["label"]), labels())
    return entries


def patients(items: Any) -> tuple[str, ...]:
    """The patients of the samples, who are the cases, too."""
    samples: SegmentationSamples = collect(items, name="it")
    assert samples.case_ids == samples.patient_ids
    return samples.patient_ids


def splits_of_torch(folder: Path) -> None:
    entries = volumes(folder)
    whole = Dataset(entries, LOAD)
    names = ("s0/ct", "s1/ct", "s2/ct", "s3/ct")
    assert patients(whole) == patients([whole[k] for k in range(4)]) == names
    assert patients(Subset(whole, [3, 1])) == ("s3/ct", "s1/ct")
    assert patients(ConcatDataset([Dataset(entries[:2], LOAD), Dataset(entries[2:], LOAD)])) == names
    # No name is certain.
    bare = Dataset(entries, WITHOUT_METADATA)
    assert patients(bare) == names
    assert patients(Subset(bare, [3, 1])) == ("0", "1")


class Fold:
    """Some items of a dataset, with the entries of all of it."""

    def __init__(self, whole: Dataset, indices: Sequence[int]) -> None:
        self.whole, self.indices, self.data = whole, indices, whole.data

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, k: int) -> Any:
        return self.whole[self.indices[k]]


class Backwards(Dataset):
    """The items of MONAI's dataset from the last to the first."""

    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(len(self) - 1 - index)


def entries_in_another_order(folder: Path) -> None:
    entries = volumes(folder)
    for order in ([3, 1], [3, 1, 0, 2]):
        assert patients(Fold(Dataset(entries, LOAD), order)) == tuple(f"s{k}/ct" for k in order)
        assert patients(Fold(Dataset(entries, WITHOUT_METADATA), order)) == tuple(map(str, range(len(order))))
    assert patients(Backwards(entries, LOAD)) == ("s3/ct", "s2/ct", "s1/ct", "s0/ct")
    assert patients(Backwards(entries, WITHOUT_METADATA)) == ("0", "1", "2", "3")
    options = {"num_init_workers": 1, "num_replace_workers": 1, "progress": False, "shuffle": False}
    for transform, names in ((LOAD, ("s1/ct", "s2/ct")), (WITHOUT_METADATA, ("0", "1"))):
        moving = SmartCacheDataset(entries, transform, replace_rate=0.5, cache_num=2, **options)
        moving.start()
        moving.update_cache()
        assert patients(moving) == names
        moving.shutdown()
    assert patients(CacheDataset(entries, WITHOUT_METADATA, progress=False)) == tuple(f"s{k}/ct" for k in range(4))


def names_from_several_sources(folder: Path) -> None:
    del folder
    forms = ["/x/\u00e9/ct.nii.gz", "/x/e\u0301/ct.nii.gz"]
    assert len(set(patients([from_file(k, file) for k, file in enumerate(forms)]))) == 2
    # Ids, files and indices that look alike.
    mixed = [item(0), from_file(1, "/x/0.nii.gz"), item(2, case_id="3"), item(3), from_file(4, "x/4.nii.gz")]
    assert len(set(patients(mixed))) == 5
    assert patients([item(0), from_file(1, "/x/p1.nii.gz"), item(2, case_id=7)]) == ("0", "p1", "7")
    old = [item(k, image_meta_dict={"filename_or_obj": f"/x/s{k}/ct.nii"}) for k in range(2)]
    assert patients(old) == ("s0/ct", "s1/ct")


def missing_ids(folder: Path) -> None:
    del folder
    for nothing in (None, float("nan"), np.nan, "", "  ", pd.NA, pd.NaT, torch.tensor(torch.nan)):
        assert patients([item(k, patient_id=nothing) for k in range(3)]) == ("0", "1", "2")
        assert patients([item(k, case_id=nothing) for k in range(3)]) == ("0", "1", "2")
        some = collect([item(0, patient_id="1"), item(1, patient_id=nothing)], name="it")
        assert some.patient_ids[0] != some.patient_ids[1]


def one_number(folder: Path) -> None:
    del folder
    sevens = (7, torch.tensor(7), torch.tensor([7]), np.int64(7), np.array(7), "7", 7.0, np.float64(7), " 7 ")
    samples = collect([item(k, patient_id=seven) for k, seven in enumerate(sevens)], name="it")
    assert set(samples.patient_ids) == {"7"}
    others = ("p1", "P1", "01", 1, 1.5)
    assert len(set(collect([item(k, patient_id=one) for k, one in enumerate(others)], name="it").patient_ids)) == 5


def volume(affine: Any, **meta: Any) -> MetaTensor:
    """A mask, which is also an image."""
    values = torch.zeros(1, 6, 7, 8)
    values[:, 1:3, 2:4, 1:5] = 1
    return MetaTensor(values, affine=torch.as_tensor(np.asarray(affine)), meta=meta)


def warned(items: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        collect(items, name="it")
    assert all(one.category is DoubtfulCasesWarning for one in caught)
    return [str(one.message) for one in caught]


RAS, LPS, MOVED = np.eye(4), np.diag([-1.0, -1.0, 1.0, 1.0]), np.eye(4)
MOVED[0, 3] = 5


def two_orientations(folder: Path) -> None:
    del folder
    (text,) = warned([{"image": volume(one), "label": volume(one)} for one in (RAS, RAS, LPS, LPS)])
    assert "2 of 4 cases, '2', '3': expected the axes RAS, as in case '0', found LPS; bring all to one" in text
    # Two ways to say the same.
    same = [volume(RAS, space="RAS"), volume(LPS, space="LPS")]
    assert warned([{"image": one, "label": one} for one in same]) == []
    (text,) = warned(
        [{"image": volume(RAS, space=space), "label": volume(RAS, space=space)} for space in ["RAS", "LPS"]]
    )
    assert "case '1': expected the axes RAS, as in case '0', found LPS" in text


def mask_beside_its_image(folder: Path) -> None:
    (text,) = warned([{"image": volume(RAS), "label": volume(MOVED)}] * 2)
    assert "2 of 2 cases, '0', '1': expected image and mask at one place, found them 5 mm apart" in text
    nearly = RAS + np.random.default_rng(0).normal(size=(4, 4)) * 1e-4
    for image, label in (
        (volume(RAS), volume(nearly)),
        (volume(RAS), volume(MOVED).numpy()),
        (volume(RAS).numpy(), volume(MOVED)),
    ):
        assert warned([{"image": image, "label": label}]) == []
    # Pipelines that resample the mask by itself, or cut and turn both.
    kept = {"image": "bilinear", "label": "nearest"}
    steps = [
        *(Spacingd(key, (1.3, 1.7, 2.2), mode=mode) for key, mode in kept.items()),
        Orientationd(KEYS, "RAS", labels=None),
        CropForegroundd(KEYS, source_key="label", margin=1),
        *(Resized(key, (12, 14, 8), mode="area" if key == "image" else mode) for key, mode in kept.items()),
    ]
    for end in (0, 2, 3, 4, 6):
        assert warned(Dataset(volumes(folder / str(end)), Compose([LOAD, *steps[:end]]))) == []


def not_a_pair(folder: Path) -> None:
    del folder
    good = item(0)
    pixels, mask = good["image"], good["label"]
    for bad, found in (
        ({"image": mask, "label": pixels}, "expected a mask of 0 and 1"),
        ({"image": pixels, "label": mask * 254.9999}, "found 254.9999"),
        ({"image": pixels[0, ..., None], "label": mask[0, ..., None]}, r"found \(8, 8, 1\); put the channel first"),
        ({"image": pixels[..., None], "label": mask[..., None]}, "found one column"),
        ({"image": np.concatenate([pixels] * 3), "label": mask}, r"found \(3, 8, 8\)"),
        ((pixels, mask), "found ndarray"),
        ({"image": pixels, "label": mask, "patient_id": torch.tensor([1, 2])}, "size 1"),
    ):
        with pytest.raises(DataError, match=f"1 of 2 cases cannot be used:\n  case '1': .*{found}"):
            collect([good, bad], name="it")


REPORTS = [
    Report("", "one body in RAS and in LPS", "warned of", two_orientations),
    Report(
        "",
        "MetaTensors of a mask that lies elsewhere than its image",
        "warned of, no pipeline of MONAI",
        mask_beside_its_image,
    ),
    Report("", "items that are no image with its mask", "refused", not_a_pair),
    Report("", "Subset, ConcatDataset and lists of s0/ct.nii.gz, s1/ct.nii.gz", "cases by path", splits_of_torch),
    Report("", "a dataset whose entries are not in the order of its items", "own names", entries_in_another_order),
    Report("", "ids, files and indices that look alike", "different cases", names_from_several_sources),
    Report("", "patient or case of None, NaN or nothing", "each case a patient", missing_ids),
    Report("", "patient 7 as a number, a tensor, a text", "one patient", one_number),
]
