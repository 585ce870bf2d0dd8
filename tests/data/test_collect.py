from __future__ import annotations

import weakref
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import Dataset, MetaTensor
from monai.transforms import Compose, Lambda

from medsegdist.data.collect import collect
from medsegdist.data.problems import DoubtfulCasesWarning, SkippedCasesWarning
from medsegdist.data.samples import CaseSummary, spread_over_patients
from medsegdist.errors import DataError

GRID = (4, 5)


def item(k: int = 0, *, pixels: int = 6, grid=GRID, **more) -> dict:
    image = torch.from_numpy(np.random.default_rng(k).normal(size=(1, *grid)).astype(np.float32))
    label = torch.zeros((1, *grid), dtype=torch.uint8)
    label.view(-1)[:pixels] = 1
    return {"image": image, "label": label, "case_id": f"c{k}", "patient_id": f"p{k // 2}"} | more


def collected(dataset, **options):
    return collect(dataset, **{"name": "tiny"} | options)


def assert_equal(a, b):
    assert (a.name, a.case_ids, a.patient_ids, a.preprocessing) == (b.name, b.case_ids, b.patient_ids, b.preprocessing)
    for field in ("images", "masks", "weights"):
        assert torch.equal(getattr(a, field), getattr(b, field))


def same(data):
    return data


@pytest.mark.parametrize("grid", [(4, 5), (3, 4, 5)])
def test_samples_are_the_items(grid):
    items = [item(k, grid=grid) for k in range(5)]
    samples = collected(items, preprocessing="abc")
    assert samples.images.shape == (5, *grid)
    assert torch.equal(samples.images, torch.cat([part["image"] for part in items]))
    assert torch.equal(samples.masks, torch.cat([part["label"] for part in items]).bool())
    assert samples.case_ids == ("c0", "c1", "c2", "c3", "c4")
    assert samples.patient_ids == ("p0", "p0", "p1", "p1", "p2")
    assert samples.weights.tolist() == [1.0] * 5
    assert (samples.name, samples.preprocessing) == ("tiny", "abc")


@pytest.mark.parametrize(
    "convert",
    [
        lambda t: t.numpy(),
        lambda t: t.numpy()[..., ::-1].copy()[..., ::-1],
        lambda t: t.numpy().astype(t.numpy().dtype.newbyteorder(">")),
        lambda t: np.broadcast_to(t.numpy(), t.shape),
        lambda t: MetaTensor(t),
        lambda t: t.double(),
        lambda t: t.to(torch.float16).float().double().numpy(),
    ],
)
def test_any_kind_of_array(convert):
    items = [item(k) for k in range(2)]
    turned = [part | {"image": convert(part["image"]), "label": convert(part["label"])} for part in items]
    samples = collected(turned)
    assert type(samples.images) is torch.Tensor
    torch.testing.assert_close(samples.images, torch.cat([part["image"] for part in items]), rtol=1e-3, atol=1e-3)
    assert torch.equal(samples.masks, torch.cat([part["label"] for part in items]).bool())


@pytest.mark.parametrize("key", ["image", "label"])
@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda t: t + 1j * t, "expected real numbers, found complex ones; take the magnitude"),
        (lambda t: t.numpy() + 1j, "expected real numbers, found complex ones; take the magnitude"),
        (lambda t: np.ma.masked_array(t.numpy(), t.numpy() > 0), "expected a plain array, found one with masked elem"),
    ],
)
def test_numbers_that_would_lose_a_part_are_refused(key, spoil, problem):
    with pytest.raises(DataError, match=problem):
        collected([item() | {key: spoil(item()[key])}])


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ({"image": "/somewhere/liver_1.nii.gz"}, "liver_1"),
        ({"image": Path("/somewhere/liver_1.png"), "case_id": "mine"}, "mine"),
        ({"image": 3}, "0"),
        ("liver_1", "0"),
    ],
)
def test_a_case_is_called_by_what_it_was_read_from(source, name):
    anonymous = {key: value for key, value in item().items() if key in ("image", "label")}
    samples = collected(Dataset([source], Lambda(lambda _: anonymous)))
    assert (samples.case_ids, samples.patient_ids) == ((name,), (name,))
    with pytest.raises(DataError, match=f"case '{name}': "):
        collected(Dataset([source], Lambda(lambda _: {"image": 1})))


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/d/s1/ct.nii.gz", "/d/s2/ct.nii.gz", "/d/other/mr.nii.gz"], ("s1/ct", "s2/ct", "other/mr")),
        (["/d/a.1.nii.gz", "/d/a.2.nii.gz"], ("a.1", "a.2")),
        (["/d/a.nii.gz", "/d/b.nii.gz", "/d/a.nii.gz"], ("a", "b", "a")),
        (["/d/s1/ct.npy", "/d/s2/ct.npy"], ("s1/ct", "s2/ct")),
        (["/d/a.nii", "/d/a.nii.gz"], ("a.nii", "a.nii.gz")),
        (["/d/1.2.3", "/d/1.2.4"], ("1.2.3", "1.2.4")),
    ],
)
def test_two_files_are_never_one_patient(paths, names):
    nameless = {key: value for key, value in item().items() if key in ("image", "label")}
    samples = collected(Dataset([{"image": path} for path in paths], Lambda(lambda _: nameless)))
    assert samples.case_ids == samples.patient_ids == names


def boom(*_):
    raise KeyError("not what you think")


BAD = {
    "no dict": (lambda: "text", r'expected a dict with "image" and "label", found str; rename or add'),
    "other keys": (lambda: {"img": 1, "seg": 2}, r"found the keys \['img', 'seg'\]; rename or add the keys"),
    "two channels": (
        lambda: {"image": torch.rand(2, 4, 5), "label": torch.ones(2, 4, 5)},
        r"expected an image of shape \(1, rows, columns\) or .*, found \(2, 4, 5\); put the channel first",
    ),
    "other shape": (
        lambda: item() | {"label": torch.ones(1, 5, 4)},
        r"the image has shape \(1, 4, 5\) but its mask \(1, 5, 4\); pair each",
    ),
    "slice last": (
        lambda: {"image": torch.rand(1, 4, 5, 1), "label": torch.ones(1, 4, 5, 1)},
        r"expected a volume of .*, found one column, \(1, 4, 5, 1\); put the slices first",
    ),
    "nan": (lambda: item() | {"image": torch.full((1, 4, 5), torch.nan)}, "the image holds NaN or infinite values;"),
    "too large": (lambda: item() | {"image": item()["image"].double() * 1e300}, "the image holds NaN or infinite"),
    "constant": (lambda: item() | {"image": torch.full((1, 4, 5), 7.0)}, "the image is constant, 7 everywhere; check"),
    "fractions": (
        lambda: item() | {"label": torch.linspace(0, 1, 20).reshape(1, 4, 5)},
        r"expected a mask of 0 and 1, found 0\.05263158, .*; binarize the labels first",
    ),
    "nearly 1": (lambda: item() | {"label": torch.full((1, 4, 5), 1 - 2**-23)}, r"0 and 1, found 0\.9999999; binarize"),
    "labels": (lambda: item() | {"label": item()["label"] * 2}, "expected a mask of 0 and 1, found 2; binarize"),
    "other grid": (lambda: item(grid=(5, 5)), r"expected the grid \(4, 5\), as in case 'c1', found \(5, 5\); resample"),
    "another error": (boom, r"KeyError: 'not what you think'; repair the case, or take it out"),
    "in a list": (lambda: [item(), {"image": 1}], r"found the keys \['image'\]"),
}


def with_bad_case(make) -> Dataset:
    """Good cases c1, c2, c3 and a bad one named 'bad', in MONAI's own wrapping."""
    makers = {"c1": lambda: item(1), "bad": make, "c2": lambda: item(2), "c3": lambda: item(3)}
    return Dataset(
        [{"case_id": name} for name in makers], Compose([Lambda(same), Lambda(lambda d: makers[d["case_id"]]())])
    )


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_case_is_named_and_can_be_skipped(kind):
    make, message = BAD[kind]
    with pytest.raises(DataError, match=rf"dataset 'tiny': 1 of 4 cases cannot be used:\n  case 'bad': .*{message}"):
        collected(with_bad_case(make))
    with pytest.warns(SkippedCasesWarning, match=rf"'tiny': left out 1 bad case:\n  case 'bad': .*{message}"):
        samples = collected(with_bad_case(make), on_bad_case="skip")
    assert_equal(samples, collected([item(1), item(2), item(3)]))


@pytest.mark.parametrize(
    ("delta", "least", "good"),
    [(-1.0, -1.0, False), (-1.0, -0.99, True), (-2048.0, -3000.0, False), (None, -1e9, True)],
)
def test_delta_must_lie_below_the_segment(delta, least, good):
    image = torch.rand(1, *GRID)
    image[0, 0, 0] = least
    # Outside the segment nothing is neutralized: padding in a CT may be darker than delta.
    image[0, -1, -1] = -1e10
    dataset = [item() | {"image": image}]
    if good:
        assert collected(dataset, delta=delta).images.min() == -1e10
    else:
        message = rf"expected intensities above delta = {delta:g} in the segment, found {least:g}; lower delta"
        with pytest.raises(DataError, match=message):
            collected(dataset, delta=delta)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ([item(pixels=0)] * 3, "'tiny':\n  all cases: all masks are empty, 3 cases read; check the masks, and which"),
        ([[], []], "all cases: all masks are empty, 2 cases read"),
        ([item(pixels=4), item(pixels=2)], "no sample has min_pixels = 5 .* of 2 cases has 4; lower min_pixels"),
        ([], "dataset 'tiny': the dataset is empty; expected at least one item"),
    ],
)
def test_nothing_left_says_why(dataset, message):
    with pytest.raises(DataError, match=message):
        collected(dataset, min_pixels=5)


@pytest.mark.parametrize("k", [1, 3, 4, 7, 100])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_most_samples_are_spread_over_patients(k, seed):
    items = [item(n, patient_id=f"p{min(n, 3)}", pixels=1 + n % 3) for n in range(12)]
    usable = [part for part in items if part["label"].sum() >= 2]
    chosen = spread_over_patients([part["patient_id"] for part in usable], k, seed)
    samples = collected(items, max_samples=k, seed=seed, min_pixels=2)
    assert_equal(samples, collected([usable[index] for index in chosen]))
    assert max(Counter(samples.patient_ids).values()) <= max(1, k - len(set(samples.patient_ids)) + 1)


class Streaming:
    """A dataset that knows how many of its items are still held by somebody."""

    def __init__(self, n: int) -> None:
        self.n, self.alive, self.most = n, weakref.WeakSet(), 0

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, k: int) -> dict:
        made = item(k, patient_id=f"p{k}")
        self.alive.add(made["image"])
        self.most = max(self.most, len(self.alive))
        return made


def test_at_most_two_items_are_in_memory():
    dataset = Streaming(50)
    collected(dataset, max_samples=3)
    assert dataset.most <= 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_pixels": 0}, "expected min_pixels >= 1"),
        ({"max_samples": 0}, "max_samples >= 1, found 1 and 0"),
        ({"workers": 0}, "expected workers >= 1, or None to choose, found 0"),
        ({"on_bad_case": "ignore"}, "expected on_bad_case to be one of raise, skip, found 'ignore'"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        collected([item()], **options)


def test_cases_without_a_sample_are_known_with_the_reason():
    items = [item(0), item(1, pixels=2), item(2, pixels=0), [item(3, pixels=1), item(3, pixels=6)], []]
    found = collected(Dataset([*items]), min_pixels=3).case_summary
    assert found.cases == 5
    assert found.without_sample == {
        "c1": "segment below min_pixels = 3",
        "c2": "mask without foreground",
        "4": "mask without foreground",
    }
    assert collected([item(0), item(1)]).case_summary == CaseSummary(2)
    found = collected([item(0, pixels=1), item(0), item(1, pixels=1), item(1, pixels=1), item(2)], min_pixels=3)
    assert (found.case_summary.cases, set(found.case_summary.without_sample)) == (3, {"c1"})


@pytest.mark.parametrize("most", [1, 2, 3, 5, 6])
def test_cases_that_max_samples_leaves_out_are_known_for_themselves(most):
    samples = collected([[item(k), item(k)] for k in range(3)], max_samples=most)
    assert set(samples.case_summary.not_drawn) == {"c0", "c1", "c2"} - set(samples.case_ids)
    assert samples.case_summary.without_sample == {}


def test_skipped_cases_are_known():
    with pytest.warns(SkippedCasesWarning):
        samples = collected([item(0), {"image": 1}], on_bad_case="skip")
    (skipped,) = samples.case_summary.skipped
    assert skipped.startswith("case '1': expected a dict")


def from_a_folder(patient, grid, direction=1.0):
    """An item that says which file it is from, whose volume runs along or against the first axis."""
    label = torch.zeros((1, *grid))
    label[(0, *[1] * len(grid))] = 1
    image, affine = (
        torch.arange(label.numel()).reshape(label.shape).float(),
        torch.diag(torch.tensor([direction, 1, 1, 1])),
    )
    file = f"/records/{patient}/ct.nii.gz"
    return {"image": MetaTensor(image, affine=affine, meta={"filename_or_obj": file}), "label": label}


def test_a_case_that_another_is_compared_with_is_called_as_everywhere_and_not_by_its_file():
    other_grid = [from_a_folder("a", (4, 4)), from_a_folder("b", (5, 4)), from_a_folder("c", (4, 4))]
    with pytest.raises(DataError, match=r"expected the grid \(4, 4\), as in case 'a/ct', found") as error:
        collect(other_grid, name="d")
    assert "/records" not in str(error.value)
    with pytest.raises(DataError, match=r"expected the grid \(4, 4\), as in case 'ct', found") as error:
        collect([other_grid[:2]], name="d")
    assert "/records" not in str(error.value)
    with pytest.warns(DoubtfulCasesWarning, match="expected the axes RAS, as in case 'a/ct', found LAS"):
        collect([from_a_folder("a", (4, 4, 4)), from_a_folder("b", (4, 4, 4), -1.0)], name="d")
