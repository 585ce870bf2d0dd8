"""Features in the place of pixels: the same numbers for the identity, once per dataset, and what is refused."""

from collections import Counter

import pytest
import torch
from scipy.spatial.distance import cdist

from medsegdist.distance import image_cost
from medsegdist.distance.dataset_distance import DatasetDistance
from medsegdist.distance.image_cost import embed_images, pair_images
from medsegdist.distance.metrics import DiceMetric, EuclideanMetric, FakeClassMetric, GmmMetric
from medsegdist.distance.resampling import Bootstrap
from medsegdist.distance.table import compare_all
from medsegdist.errors import DataError
from tests.laws import LAWS
from tests.synthetic import blobs

A, B, C = (blobs(name, radius=4 + seed, seed=seed) for seed, name in enumerate("abc"))


def pixels(images):
    return images.flatten(1)


class TinyNet(torch.nn.Module):
    """A random network, the same every time."""

    def __init__(self, dimensions=2, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        conv = {2: torch.nn.Conv2d, 3: torch.nn.Conv3d}[dimensions]
        self.layers = torch.nn.Sequential(conv(1, 4, 3), torch.nn.ReLU(), conv(4, 8, 3, stride=2), torch.nn.ReLU())
        self.double().eval()

    def forward(self, images):
        return self.layers(images.double().unsqueeze(1) / 255).flatten(2).mean(dim=2)


@pytest.mark.parametrize(
    "metric", [EuclideanMetric(), FakeClassMetric(), GmmMetric(components=2)], ids=lambda m: m.name
)
def test_the_identity_is_raw_pixels(metric):
    plain, embedded = DatasetDistance(metric)(A, B), DatasetDistance(metric, embedding=pixels)(A, B)
    assert embedded.value == pytest.approx(plain.value, rel=1e-12)
    assert embedded.image_term == pytest.approx(plain.image_term, rel=1e-12)


def test_d_x_is_the_distance_of_the_features():
    net = TinyNet()
    with torch.no_grad():
        features = [net(one.images).numpy() for one in (A, B)]
    distance = DatasetDistance(EuclideanMetric(), embedding=net)
    images = pair_images(A, B, distance.embed(A), distance.embed(B))
    assert images.image_cost.numpy() == pytest.approx(cdist(*features), rel=1e-9)


@pytest.mark.parametrize("grid", [(32, 40), (10, 20, 24)], ids=["slices", "volumes"])
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_laws_hold_for_a_random_network(law, grid):
    if torch.cuda.is_available() and law.__name__ == "is_the_same_on_cuda":
        pytest.skip("the network stays on the CPU")
    a, b = (
        blobs(name, grid=grid, center=[part] * len(grid), seed=n)
        for n, (name, part) in enumerate({"a": 0.4, "b": 0.6}.items())
    )
    distance = DatasetDistance(DiceMetric(), mask_weight=0.1, embedding=TinyNet(len(grid)))
    law(distance, a, b, distance(a, b).value)


@pytest.mark.parametrize("batch_size", [1, 5, 12, 100])
def test_batches_cover_every_image_once_and_in_order(batch_size, monkeypatch):
    monkeypatch.setattr(image_cost, "BATCH", batch_size)
    sizes = []

    def counted(images):
        sizes.append(len(images))
        return images.flatten(1)

    assert torch.equal(embed_images(A, counted), A.images.flatten(1))
    assert sum(sizes) == 12
    assert max(sizes) <= batch_size


@pytest.mark.parametrize("bootstrap", [None, Bootstrap(replicates=4)], ids=["plain", "bootstrap"])
def test_a_dataset_is_embedded_once_per_embedding_and_costs_are_shared_within_one(monkeypatch, bootstrap):
    calls, costs = Counter(), []
    measure = image_cost.image_cost
    monkeypatch.setattr(image_cost, "image_cost", lambda *args, **options: costs.append(1) or measure(*args, **options))

    def first(images):
        calls["first"] += 1
        return images.flatten(1)[:, ::2]

    def second(images):
        calls["second"] += 1
        return images.flatten(1)[:, ::3]

    distances = {
        "dice": DatasetDistance(DiceMetric()),
        "euclidean": DatasetDistance(EuclideanMetric()),
        "dice by first": DatasetDistance(DiceMetric(), embedding=first),
        "euclidean by first": DatasetDistance(EuclideanMetric(), embedding=first),
        "euclidean by second": DatasetDistance(EuclideanMetric(), embedding=second),
    }
    table = compare_all([A, B, C], distances, bootstrap=bootstrap)
    assert calls == {"first": 3, "second": 3}
    assert len(costs) == 3 * 3 + (0 if bootstrap is None else 3 * 3)  # pairs, and each dataset with itself
    for row in table.rows:
        one, other = ({"a": A, "b": B, "c": C}[name] for name in (row.source, row.target))
        alone = distances[row.method](one, other)
        assert row.image_term == pytest.approx(alone.image_term, rel=1e-9)


def spoiled(images):
    features = images.flatten(1).clone()
    features[2, 7] = torch.nan
    return features


@pytest.mark.parametrize(
    ("embedding", "message"),
    [
        (spoiled, r"dataset 'a', case 'case2': expected finite features, found NaN or infinite ones \(1 of 12"),
        (lambda images: images.flatten(1) / 0, r"case 'case0': expected finite features"),
        (lambda images: images.flatten(1)[1:], r"from case 'case0' on: .* shape \(12, features\).*found \(11, 1280\)"),
        (lambda images: images, r"shape \(12, features\) for 12 images, found \(12, 32, 40\)"),
        (lambda images: images.flatten(1).half(), r"float32 or float64 tensor, found torch.float16"),
        (lambda images: images.flatten(1).numpy(), r"float32 or float64 tensor, found ndarray"),
    ],
)
def test_bad_features_are_refused(embedding, message):
    with pytest.raises(DataError, match=message):
        DatasetDistance(DiceMetric(), embedding=embedding)(A, B)


def test_a_number_of_features_that_changes_is_refused(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(image_cost, "BATCH", 8)
        with pytest.raises(DataError, match=r"from case 'case8' on: .*shape \(4, 8\) for 4 images, found \(4, 4\)"):
            embed_images(A, lambda images: images.flatten(1)[:, : len(images)])
    fewer = blobs("fewer", n=5)
    with pytest.raises(DataError, match=r"equally many features, found 12 for dataset 'a' and 5 for 'fewer'"):
        DatasetDistance(DiceMetric(), embedding=lambda images: images.flatten(1)[:, : len(images)])(A, fewer)


def test_a_network_in_training_mode_is_refused():
    with pytest.raises(ValueError, match=r"found one in training mode; call its .eval\(\)"):
        DatasetDistance(DiceMetric(), embedding=TinyNet().train())(A, B)
