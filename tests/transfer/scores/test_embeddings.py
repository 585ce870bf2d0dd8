"""Task2Vec and deep sets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from medsegdist.transfer.scores.compute import DeepSetsEncoder, embed_datasets
from medsegdist.transfer.scores.transferability import task_distance, task_embedding

LOSS = binary_cross_entropy_with_logits


def data(n=200, d=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator) * torch.tensor([1.0, 2.0, 0.5])
    return x, (torch.rand(n, 1, generator=generator) < 0.3).float()


@pytest.fixture
def logistic():
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def by_hand(logistic, x, weights):
    """Mean over examples of the squared derivatives of weight (then over the filter) and bias."""
    of_weight = (weights * x.double() ** 2).mean(0)
    return torch.stack([of_weight.mean(), weights.mean()])


def noted(labels):
    """Labels that were known before, one at a time."""
    left = iter(labels.split(1))
    return lambda _: next(left)


def test_of_a_logistic_regression_with_labels_that_are_known_and_with_drawn_ones(logistic):
    """The Fisher information proper has the closed form p (1 - p) x^2."""
    x, y = data(400)
    p = torch.sigmoid(logistic(x)).double().detach()
    found = task_embedding(logistic, x, noted(y), LOSS)
    torch.testing.assert_close(found, by_hand(logistic, x, (p - y) ** 2), rtol=1e-5, atol=1e-9)
    generator = torch.Generator().manual_seed(0)

    def draw(output):
        return torch.bernoulli(torch.sigmoid(output), generator=generator)

    found = task_embedding(logistic, x, draw, LOSS, draws=10)
    torch.testing.assert_close(found, by_hand(logistic, x, p * (1 - p)), rtol=0.03, atol=0)


def test_an_entry_for_each_filter_of_each_parameter_that_requires_a_gradient():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 1))
    x = torch.randn(5, 1, 3, 3)
    assert task_embedding(network, x, torch.ones_like, LOSS).shape == (4 + 4 + 4 + 4 + 1 + 1,)
    network[1:].requires_grad_(False)
    some = task_embedding(network, x, torch.ones_like, LOSS)
    assert some.shape == (8,)
    assert (some > 0).all()


def test_the_network_stays_as_it_was():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
    network[0].bias.requires_grad_(False)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    x, y = data(12)
    torch.testing.assert_close(*(task_embedding(network, x, noted(y), LOSS) for _ in range(2)))
    assert all(module.training for module in network.modules())
    assert not network[0].bias.requires_grad
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_distances_of_embeddings_that_are_known():
    a, b = torch.tensor([1.0, 3.0]), torch.tensor([3.0, 1.0])
    assert task_distance(a, a) == pytest.approx(0, abs=1e-12)
    # Shares (1/4, 3/4) and (3/4, 1/4): cosine 6/10.
    assert task_distance(a, b) == pytest.approx(0.4)
    assert task_distance(b, a) == pytest.approx(0.4)
    assert task_distance(torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 2.0, 0.0])) == pytest.approx(1)


QUICK = 60


def clouds(shifts, n=80, d=3, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(n, d)) + shift for name, shift in shifts.items()}


def encoder(seed=0):
    torch.manual_seed(seed)
    return DeepSetsEncoder(torch.zeros(3), torch.ones(3))


def test_the_order_of_the_samples_and_their_repetition_change_nothing():
    samples = torch.randn(20, 3)
    found = encoder()(samples)
    assert found.shape == (8,)
    assert float(found.detach().norm()) == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(encoder()(samples[torch.randperm(20)]), found)
    torch.testing.assert_close(encoder()(torch.cat([samples, samples])), found)
    assert not torch.allclose(encoder()(samples + 1), found)


def test_datasets_that_differ_are_distinguished_by_samples_not_seen():
    sets = clouds({"a": 0, "b": 3, "c": -3})
    distances, accuracy = embed_datasets(sets, steps=QUICK)
    assert accuracy == 1
    assert torch.equal(distances, distances.T)
    assert torch.equal(distances.diagonal(), torch.zeros(3, dtype=torch.float64))
    assert (distances + torch.eye(3) > 0.2).all()
    # A constant feature breaks nothing, a spread is seen as means are, and what does not differ is not distinguished.
    constant = {name: np.column_stack([one, np.ones(len(one))]) for name, one in sets.items()}
    assert embed_datasets(constant, steps=QUICK)[1] == 1
    assert embed_datasets({"narrow": sets["a"], "wide": 4 * clouds({"w": 0}, seed=1)["w"]}, steps=150)[1] > 0.9
    assert embed_datasets(clouds(dict.fromkeys("abcd", 0), n=200), steps=QUICK)[1] < 0.6


def test_the_seed_says_all_and_the_state_of_torch_is_left_alone():
    sets = clouds({"a": 0, "b": 1})
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, _ = embed_datasets(sets, steps=5)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(embed_datasets(sets, steps=5)[0], one)
    assert not torch.equal(embed_datasets(sets, steps=5, seed=1)[0], one)


def test_units_of_the_features_do_not_matter():
    sets = clouds({"a": 0, "b": 1})
    moved = {name: 1e4 * one + 7 for name, one in sets.items()}
    one, other = (embed_datasets(given, steps=3)[0] for given in (sets, moved))
    torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-3)


SETS = clouds({"a": 0, "b": 1})


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (
            lambda: task_embedding(nn.ReLU(), data(4)[0], noted(data(4)[1]), LOSS),
            "a gradient and examples, found 0 and",
        ),
        (lambda: task_embedding(nn.Linear(3, 1), data(0)[0], torch.ones_like, LOSS), "and examples, found 2 and 0"),
        (lambda: task_distance(torch.ones(2), torch.ones(3)), r"one probe, found \(2,\) and \(3,\) entries"),
        (lambda: task_distance(torch.ones(2), torch.zeros(2)), "expected embeddings with entries above 0"),
        (lambda: embed_datasets({"a": SETS["a"]}), r"features in at least 2 datasets, found \[3\]"),
        (lambda: embed_datasets(SETS | {"b": SETS["b"][:3]}), "3 sample.* minimum of 4 is required"),
        (lambda: embed_datasets(SETS | {"b": SETS["b"][:, :2]}), r"at least 2 datasets, found \[3, 2\]"),
        (lambda: embed_datasets(SETS | {"b": SETS["b"] * np.nan}), "features of 'b' contains NaN"),
    ],
)
def test_what_is_refused(work, message):
    with pytest.raises(ValueError, match=message):
        work()
