"""Local patches against patches cut by NumPy, closed forms, and what they are said not to see."""

from dataclasses import replace

import numpy as np
import ot
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import minimum_filter
from scipy.spatial.distance import cdist

from medsegdist.data.collect import load_samples
from medsegdist.data.samples import SegmentationSamples
from medsegdist.data.study import load_study
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.metrics import PatchesMetric
from medsegdist.distance.metrics.patches import draw_patches
from medsegdist.distance.table import compare_all
from tests.laws import mask_distance
from tests.synthetic import blobs, dots, resample_patients

NOTHING = torch.zeros(1, 1, dtype=torch.float64)
MIX = (0.5, 0.25, 0.25)
ALL = 10**6


def every_patch(samples, width, label_weight, mix):
    """All patches of all samples, cut by NumPy, with their masses."""
    patches, masses = [], []
    half, dimensions = width // 2, len(samples.grid)
    for image, mask, mass in zip(samples.images.numpy(), samples.masks.numpy(), samples.mass.tolist(), strict=True):
        image, label = (np.pad(one.astype(float), half, mode="reflect") for one in (image, mask))
        image, label = (sliding_window_view(o, (width,) * dimensions).reshape(mask.size, -1) for o in (image, label))
        flat = image.std(1) < 1e-3
        image = np.where(flat[:, None], 0, (image - image.mean(1)[:, None]) / np.where(flat, 1, image.std(1))[:, None])
        cross = np.zeros((3,) * dimensions, dtype=bool)
        for axis in range(dimensions):
            cross[tuple(slice(None) if other == axis else 1 for other in range(dimensions))] = True
        inner = minimum_filter(mask, footprint=cross, mode="nearest")
        share = np.zeros(mask.shape)
        for kind, part in zip((mask & ~inner, inner, ~mask), mix, strict=True):
            share[kind] = part / max(kind.sum(), 1)
        patches.append(np.concatenate([image, label_weight * label], 1) / width ** (dimensions / 2))
        masses.append(mass * share.ravel() / share.sum())
    return np.concatenate(patches), np.concatenate(masses)


@pytest.mark.parametrize(("grid", "width"), [((11, 9), 3), ((11, 9), 7), ((4, 6, 5), 3), ((2, 6, 5), 5)])
def test_with_every_pixel_a_center_it_is_transport_between_all_patches(grid, width):
    a = blobs("a", grid=grid, n=2, radius=9, center=[0.4] * len(grid), seed=1)
    b = blobs("b", grid=grid, n=2, radius=12, center=[0.6] * len(grid), brightness=180, seed=2)
    b = replace(b, images=torch.where(b.masks, b.images, 30.0))  # patches without contrast
    (x, u), (y, v) = (every_patch(samples, width, 1.5, MIX) for samples in (a, b))
    expected = ot.emd2(u[u > 0], v[v > 0], cdist(x[u > 0], y[v > 0], "sqeuclidean")) ** 0.5
    metric = PatchesMetric(width=width, count=ALL, label_weight=1.5, mix=MIX)
    assert mask_distance(metric, a, b) == pytest.approx(expected, rel=1e-6)
    assert DatasetDistance(metric, image_weight=0)(a, b).value == pytest.approx(expected, rel=1e-6)


def test_of_labels_alone_it_is_a_closed_form():
    # All of one mask is segment, a quarter of the mass of the other is background: that quarter changes its label.
    flat = np.full((1, 8, 8), 7.0)
    full, half = np.ones((1, 8, 8), dtype=bool), np.zeros((1, 8, 8), dtype=bool)
    half[:, 2:7, 2:7] = True
    a, b = (SegmentationSamples.from_arrays(n, flat, m) for n, m in (("full", full), ("half", half)))
    for label_weight in (0.0, 1.0, 3.0):
        metric = PatchesMetric(width=1, count=ALL, label_weight=label_weight)
        assert mask_distance(metric, a, b) == pytest.approx(label_weight * 0.25**0.5, rel=1e-12)


def test_it_does_not_see_where_things_lie_nor_how_bright_they_are():
    a = blobs("a", n=2, grid=(24, 24), center=(0.4, 0.4), radius=3, seed=1)
    a = replace(a, images=torch.where(a.masks, a.images, 0.0))
    metric = PatchesMetric(width=5, count=ALL)
    elsewhere = replace(a, images=a.images.roll((5, 4), (1, 2)), masks=a.masks.roll((5, 4), (1, 2)))
    brighter = replace(a, images=3 * a.images + 50)
    other = blobs("b", n=2, grid=(24, 24), radius=3, seed=2)
    assert mask_distance(metric, a, elsewhere) < 1e-6
    assert mask_distance(metric, a, brighter) < 1e-5
    assert mask_distance(metric, a, other) > 0.1


def test_what_is_to_be_learned_at_an_edge_counts():
    a = blobs("a", n=2, grid=(24, 24), radius=4, seed=1)
    inverted = replace(a, images=255 - a.images)
    grown = [replace(a, masks=a.masks | a.masks.roll(k, 1) | a.masks.roll(-k, 1)) for k in (0, 2, 4)]
    metric = PatchesMetric(width=5, count=ALL)
    assert mask_distance(metric, a, inverted) > 0.5
    found = [mask_distance(metric, a, one) for one in grown]
    assert found[0] == 0
    assert found == sorted(found)


def test_each_sample_gives_as_many_patches_of_each_kind_and_they_carry_its_mass():
    samples = blobs(n=5, radius=8, seed=3)
    drawn = draw_patches(samples, width=3, count=100, mix=MIX, label_weight=1.0, seed=0)
    assert len(drawn.patches) == 100
    assert sorted(drawn.distinct.tolist()) == list(range(5))
    masses = drawn.masses
    for k, number in enumerate(drawn.distinct.tolist()):
        own = drawn.owner == number
        label = (drawn.patches[own][:, 9 + 4] > 0).double()  # of the center
        assert int(own.sum()) == 20
        assert float(masses[own].sum()) == pytest.approx(float(samples.mass[k]), rel=1e-12)
        assert float((masses[own] * label).sum()) == pytest.approx(0.75 * float(samples.mass[k]), rel=1e-12)
        assert int(label.sum()) == 15


def test_more_samples_than_patches_are_chosen_in_turn_over_patients():
    samples = blobs(n=40, patients=5, seed=3)
    drawn = draw_patches(samples, width=3, count=30, mix=MIX, label_weight=1.0, seed=0)
    chosen = [patient for patient, number in zip(samples.patient_ids, drawn.distinct, strict=True) if number >= 0]
    assert len(drawn.patches) == 30
    assert sorted(chosen) == sorted(2 * list(samples.patients))


def test_kinds_that_a_sample_has_not_are_taken_over_by_the_others():
    dot = dots("dot", [[(4, 4)]], grid=(9, 9))  # no pixel of the segment but its boundary
    drawn = draw_patches(dot, width=3, count=12, mix=MIX, label_weight=1.0, seed=0)
    center = drawn.patches[:, 9 + 4] > 0
    assert float(drawn.masses[center].sum()) == pytest.approx(0.5 / 0.75, rel=1e-12)
    drawn = draw_patches(dot, width=3, count=12, mix=(0, 1, 0), label_weight=1.0, seed=0)
    assert bool((drawn.patches[:, 9 + 4] > 0).all()), "any pixel of the segment"
    everything = dots("all", [np.argwhere(np.ones((9, 9)))], grid=(9, 9))
    drawn = draw_patches(everything, width=3, count=12, mix=(0.5, 0, 0.5), label_weight=1.0, seed=0)
    assert len(drawn.patches) == 12, "neither boundary nor background"


def test_a_samples_centers_do_not_hang_on_its_company():
    a, b = blobs("a", n=4, seed=1), blobs("b", n=4, radius=8, seed=2)
    together = SegmentationSamples.from_arrays(
        "together", torch.cat([a.images, b.images]), torch.cat([a.masks, b.masks]), case_ids=[str(k) for k in range(8)]
    )
    options = {"width": 3, "mix": MIX, "label_weight": 1.0, "seed": 0}
    alone, among = draw_patches(a, count=40, **options), draw_patches(together, count=80, **options)
    for k in range(4):
        one = alone.patches[alone.owner == alone.distinct[k]]
        torch.testing.assert_close(among.patches[among.owner == among.distinct[k]], one, rtol=0, atol=0)


def test_the_sliced_solver_finds_the_same_order():
    a, near, far = blobs("a", seed=1), blobs("near", seed=2), blobs("far", radius=9, brightness=10, seed=3)
    exact, other = (PatchesMetric(width=5, count=120, solver=name) for name in ("exact", "sliced"))
    assert mask_distance(exact, a, near) < mask_distance(exact, a, far)
    assert mask_distance(other, a, near) < mask_distance(other, a, far)
    assert mask_distance(other, a, far) <= mask_distance(exact, a, far)


def test_reweighted_samples_keep_their_patches():
    samples, other = blobs(n=6, seed=4), blobs("b", radius=8, seed=5)
    metric, half = PatchesMetric(width=5, count=120), PatchesMetric(width=5, count=60)
    summary, theirs = half.summarize(samples), half.summarize(other)
    weights = torch.tensor([[1.0, 5, 3, 2, 1, 2], [1.0, 0, 3, 0, 0, 2]], dtype=torch.float64)
    whole, part = metric.resample(samples, metric.summarize(samples), weights)
    expected = mask_distance(half, replace(samples, weights=weights[0]), other)
    assert float(metric.compare(whole, theirs, NOTHING)) == pytest.approx(expected, rel=1e-9)
    there = torch.isin(summary.owner, summary.distinct[[0, 2, 5]])
    torch.testing.assert_close(part.nonzero()[0], summary.patches[there], rtol=0, atol=0)
    assert float(part.masses.sum()) == pytest.approx(1, rel=1e-12)


def test_half_as_many_patches_spread_as_all_do():
    a, b = blobs("a", n=24, patients=12, seed=1), blobs("b", n=24, patients=12, radius=8, brightness=150, seed=2)
    drawn = [resample_patients(one, 60, 0) for one in (a, b)]
    metric = PatchesMetric(width=5, count=240)
    whole = [[metric.summarize(one).reweighted(row) for row in rows] for one, rows in zip((a, b), drawn, strict=True)]
    halved = [metric.resample(one, metric.summarize(one), rows) for one, rows in zip((a, b), drawn, strict=True)]
    found = []
    for one, other in (whole, halved):
        values = [float(metric.compare(x, y, NOTHING)) for x, y in zip(one, other, strict=True)]
        found.append((np.std(values[1:]), np.mean(values[1:]) - values[0]))
    (spread, excess), (coarse_spread, coarse_excess) = found
    assert 0.7 * spread < coarse_spread < 2 * spread
    assert 0.5 * excess < coarse_excess < 2 * excess


def test_a_replicate_of_samples_that_gave_no_patch_is_drawn_from_again():
    samples = blobs(n=12, seed=4)
    metric = PatchesMetric(width=3, count=3)
    summary = metric.summarize(samples)
    weights = (summary.distinct < 0).double()[None]
    (found,) = metric.resample(samples, summary, weights)
    assert float(found.masses.sum()) == pytest.approx(1, rel=1e-12)
    assert float(metric.compare(found, summary, NOTHING)) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 4}, "expected an odd width of patches, found 4"),
        ({"width": -1}, "expected an odd width of patches, found -1"),
        ({"count": 2}, "expected a count of at least 3 patches, found 2"),
        ({"mix": (0.5, 0.5)}, r"expected a mix of three shares >= 0 .*, found \(0.5, 0.5\)"),
        ({"mix": (0, 0, 0)}, "expected a mix of three shares"),
        ({"mix": (1, -1, 1)}, "expected a mix of three shares"),
        ({"mix": (float("nan"), 1, 1)}, "expected a mix of three shares"),
        ({"label_weight": -1.0}, "expected a finite label_weight >= 0, found -1.0"),
        ({"label_weight": float("nan")}, "expected a finite label_weight >= 0, found nan"),
        ({"solver": "lp"}, "expected the solver 'exact' or 'sliced', found 'lp'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PatchesMetric(**options)


@pytest.mark.realdata
@pytest.mark.slow
def test_the_other_hippocampus_sets_are_nearest_to_the_anterior_one(project_root, data_root):
    study = load_study(project_root / "data_manifests" / "real_volumes.yaml")
    target, *sources = (load_samples(manifest, study.preprocessing) for manifest in study.datasets)
    for image_weight in (0.0, 1.0):
        distances = {"patches": DatasetDistance(PatchesMetric(), image_weight=image_weight)}
        ranking = compare_all([target, *sources], distances, targets=[target.name]).ranking(
            "hippocampus anterior", "patches"
        )
        assert {row.source for row in ranking[:2]} == {"hippocampus posterior", "hippocampus whole"}
