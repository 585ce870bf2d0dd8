"""Task2Vec, on networks whose Fisher information is known."""

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from medsegdist.transfer.comparators.task2vec import task_distance, task_embedding


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


def test_of_a_logistic_regression_with_the_labels_of_the_data(logistic):
    x, y = data()
    p = torch.sigmoid(logistic(x)).double().detach()
    found = task_embedding(logistic, [(x[:150], y[:150]), (x[150:], y[150:])], binary_cross_entropy_with_logits)
    torch.testing.assert_close(found, by_hand(logistic, x, (p - y) ** 2), rtol=1e-5, atol=1e-9)


def test_of_a_logistic_regression_with_drawn_labels(logistic):
    """The Fisher information proper has the closed form p (1 - p) x^2."""
    x, y = data(400)
    p = torch.sigmoid(logistic(x)).double().detach()
    generator = torch.Generator().manual_seed(0)

    def draw(output):
        return torch.bernoulli(torch.sigmoid(output), generator=generator)

    found = task_embedding(logistic, [(x, y)] * 10, binary_cross_entropy_with_logits, draw=draw)
    torch.testing.assert_close(found, by_hand(logistic, x, p * (1 - p)), rtol=0.03, atol=0)


def test_an_entry_for_each_filter_of_each_parameter():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 1))
    x, y = torch.randn(5, 1, 3, 3), torch.ones(5, 1)
    assert task_embedding(network, [(x, y)], binary_cross_entropy_with_logits).shape == (4 + 4 + 4 + 4 + 1 + 1,)
    some = task_embedding(network, [(x, y)], binary_cross_entropy_with_logits, parameters=["0.weight", "0.bias"])
    assert some.shape == (8,)
    assert (some > 0).all()


def test_batches_do_not_matter_and_the_network_stays_as_it_was():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
    network[0].bias.requires_grad_(False)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    x, y = data(12)
    one = task_embedding(network, [(x, y)], binary_cross_entropy_with_logits)
    other = task_embedding(network, zip(x.split(5), y.split(5), strict=True), binary_cross_entropy_with_logits)
    torch.testing.assert_close(one, other)
    assert all(module.training for module in network.modules())
    assert not network[0].bias.requires_grad
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_frozen_probe_can_be_looked_at_within_no_grad(logistic):
    x, y = data(6)
    expected = task_embedding(logistic, [(x, y)], binary_cross_entropy_with_logits)
    logistic.requires_grad_(False)
    with torch.no_grad():
        found = task_embedding(logistic, [(x, y)], binary_cross_entropy_with_logits, parameters=["weight", "bias"])
    torch.testing.assert_close(found, expected)
    assert not logistic.weight.requires_grad


def test_distances_of_embeddings_that_are_known():
    a, b = torch.tensor([1.0, 3.0]), torch.tensor([3.0, 1.0])
    assert task_distance(a, a) == pytest.approx(0, abs=1e-12)
    # Shares (1/4, 3/4) and (3/4, 1/4): cosine 6/10.
    assert task_distance(a, b) == pytest.approx(0.4)
    assert task_distance(b, a) == pytest.approx(0.4)
    assert task_distance(torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 2.0, 0.0])) == pytest.approx(1)


def test_tasks_on_other_inputs_are_farther_than_other_samples_of_the_same():
    torch.manual_seed(0)
    probe = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 1))
    embeddings = []
    for seed, factor in ((0, [1.0, 1, 1]), (1, [1.0, 1, 1]), (2, [0.0, 0, 9])):
        x, y = data(seed=seed)
        embeddings.append(task_embedding(probe, [(x * torch.tensor(factor), y)], binary_cross_entropy_with_logits))
    assert 5 * task_distance(embeddings[0], embeddings[1]) < task_distance(embeddings[0], embeddings[2])


def test_what_is_refused(logistic):
    x, y = data(4)
    with pytest.raises(ValueError, match="expected parameters among weight, bias, found head"):
        task_embedding(logistic, [(x, y)], binary_cross_entropy_with_logits, parameters=["head"])
    with pytest.raises(ValueError, match="expected parameters among none, found none"):
        task_embedding(nn.ReLU(), [(x, y)], binary_cross_entropy_with_logits)
    with pytest.raises(ValueError, match="expected at least 1 example, found none"):
        task_embedding(logistic, [], binary_cross_entropy_with_logits)
    with pytest.raises(ValueError, match=r"expected embeddings of one probe, found \(2,\) and \(3,\) entries"):
        task_distance(torch.ones(2), torch.ones(3))
    with pytest.raises(ValueError, match="expected embeddings with entries above 0"):
        task_distance(torch.ones(2), torch.zeros(2))
