"""The learned embedding of datasets: what it cannot see, and what it learns to."""

import numpy as np
import pytest
import torch

from medsegdist.transfer.comparators.deep_sets import DeepSetsEncoder, DeepSetsOptions, embed_datasets

QUICK = DeepSetsOptions(steps=60)


def clouds(shifts, n=80, d=3, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(n, d)) + shift for name, shift in shifts.items()}


def encoder(seed=0):
    torch.manual_seed(seed)
    return DeepSetsEncoder(torch.zeros(3), torch.ones(3), DeepSetsOptions())


def test_the_order_of_the_samples_and_their_repetition_change_nothing():
    samples = torch.randn(20, 3)
    found = encoder()(samples)
    assert found.shape == (8,)
    assert float(found.detach().norm()) == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(encoder()(samples[torch.randperm(20)]), found)
    torch.testing.assert_close(encoder()(torch.cat([samples, samples])), found)
    assert not torch.allclose(encoder()(samples + 1), found)


def test_sets_can_be_stacked():
    stacked = torch.randn(4, 10, 3)
    network = encoder()
    torch.testing.assert_close(network(stacked), torch.stack([network(one) for one in stacked]))


def test_datasets_that_differ_are_told_apart_by_samples_not_seen():
    found = embed_datasets(clouds({"a": 0, "b": 3, "c": -3}), QUICK)
    assert found.names == ("a", "b", "c")
    assert found.accuracy == 1
    assert torch.equal(found.distances, found.distances.T)
    assert torch.equal(found.distances.diagonal(), torch.zeros(3, dtype=torch.float64))
    assert (found.distances + torch.eye(3) > 0.2).all()


def test_datasets_that_do_not_differ_are_not():
    found = embed_datasets(clouds(dict.fromkeys("abcd", 0), n=200), QUICK)
    assert found.accuracy < 0.6


def test_twins_are_nearer_than_strangers():
    found = embed_datasets(clouds({"a": 0, "twin": 0.0, "stranger": 4}), QUICK)
    assert found.distances[0, 1] < 0.5 * found.distances[0, 2]


def test_it_sees_spread_and_not_means_alone():
    rng = np.random.default_rng(0)
    narrow, wide = rng.normal(size=(100, 2)), 4 * rng.normal(size=(100, 2))
    assert embed_datasets({"narrow": narrow, "wide": wide}, DeepSetsOptions(steps=150)).accuracy > 0.9


def test_the_seed_tells_all_and_the_state_of_torch_is_left_alone():
    sets = clouds({"a": 0, "b": 1})
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one = embed_datasets(sets, DeepSetsOptions(steps=5))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(embed_datasets(sets, DeepSetsOptions(steps=5)).distances, one.distances)
    assert not torch.equal(embed_datasets(sets, DeepSetsOptions(steps=5, seed=1)).distances, one.distances)


def test_units_of_the_features_do_not_matter():
    sets = clouds({"a": 0, "b": 1})
    moved = {name: 1e4 * one + 7 for name, one in sets.items()}
    one, other = (embed_datasets(given, DeepSetsOptions(steps=3)) for given in (sets, moved))
    torch.testing.assert_close(one.distances, other.distances, rtol=1e-2, atol=1e-3)


def test_a_constant_feature_breaks_nothing():
    sets = {name: np.column_stack([one, np.ones(len(one))]) for name, one in clouds({"a": 0, "b": 3}).items()}
    assert embed_datasets(sets, QUICK).accuracy == 1


def test_what_is_refused():
    sets = clouds({"a": 0, "b": 1})
    with pytest.raises(ValueError, match="expected at least 2 datasets, found 1"):
        embed_datasets({"a": sets["a"]})
    with pytest.raises(ValueError, match=r"expected at least 4 samples with 3 features of 'b', found .* \(3, 3\)"):
        embed_datasets({"a": sets["a"], "b": sets["b"][:3]})
    with pytest.raises(ValueError, match=r"with 3 features of 'b', found features of shape \(80, 2\)"):
        embed_datasets({"a": sets["a"], "b": sets["b"][:, :2]})
    with pytest.raises(ValueError, match="expected finite features of 'b'"):
        embed_datasets({"a": sets["a"], "b": sets["b"] * np.nan})
