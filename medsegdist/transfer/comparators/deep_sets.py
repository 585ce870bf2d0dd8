"""A learned embedding of datasets that does not depend on the order of their samples (Zaheer et al. 2017, [41])."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from medsegdist.transfer.comparators.features import Array, as_features

FEWEST_SAMPLES = 4
"""Of a dataset: two halves, each of which is cut in two."""


@dataclass(frozen=True, slots=True)
class DeepSetsOptions:
    """How the embedding is made and trained.

    Args:
        width: hidden units.
        dimensions: of the embedding.
        subset: samples of a subset; fewer where half a dataset has fewer.
        steps: of Adam, each with two subsets of every dataset.
        learning_rate: of Adam.
        temperature: that cosines are divided by.
        seed: of weights and subsets.
    """

    width: int = 32
    dimensions: int = 8
    subset: int = 16
    steps: int = 300
    learning_rate: float = 1e-2
    temperature: float = 0.1
    seed: int = 0


class DeepSetsEncoder(nn.Module):
    """rho(mean of phi(sample)): a set of samples in, one vector of length 1 out.

    Args:
        center: (d,) what is subtracted from the features.
        scale: (d,) what they are divided by.
        options: width and dimensions.
    """

    def __init__(self, center: Tensor, scale: Tensor, options: DeepSetsOptions) -> None:
        super().__init__()
        self.center, self.scale = nn.Buffer(center), nn.Buffer(scale)
        width = options.width
        self.phi = nn.Sequential(nn.Linear(len(center), width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.rho = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, options.dimensions))

    def forward(self, samples: Tensor) -> Tensor:
        """Embeds sets.

        Args:
            samples: (..., n, d) sets of n samples.

        Returns:
            (..., dimensions) of length 1.
        """
        pooled = self.phi((samples - self.center) / self.scale).mean(dim=-2)
        return normalize(self.rho(pooled), dim=-1)


@dataclass(frozen=True, slots=True, eq=False)
class DatasetEmbedding:
    """A trained encoder, and what it is worth.

    Args:
        encoder: in evaluation mode.
        accuracy: how often a subset of samples that it was not trained on is nearest to another such subset of its own
            dataset, 0 to 1; chance is one over the number of datasets.
        names: of the datasets.
        distances: (k, k) float64, 1 - cosine between the embeddings of whole datasets, 0 to 2.
    """

    encoder: DeepSetsEncoder
    accuracy: float
    names: tuple[str, ...]
    distances: Tensor


def embed_datasets(datasets: Mapping[str, Array], options: DeepSetsOptions | None = None) -> DatasetEmbedding:
    """Trains an embedding to tell datasets apart by a subset of their samples, and measures how far apart they are.

    The objective is contrastive: of two disjoint subsets of every dataset, each has to be nearer to its counterpart
    than to the subsets of all other datasets (cross entropy of cosines). That is a choice, for the paper states none;
    nothing in it knows of transfer. Half of each dataset trains, the other half tells the accuracy. Datasets that
    differ at all are told apart if they are easily told apart, whatever the difference: distances saturate, and
    say most where the accuracy is below 1.

    Args:
        datasets: at least two, each (n, d) features of its samples, n >= 4, such as segment features or what a
            network makes of images. Samples of one patient should be adjacent, so that few are in both halves.
        options: by default a small network and 300 steps.

    Raises:
        ValueError: there are fewer datasets or samples, or d differs.
    """
    options = options or DeepSetsOptions()
    sets = {name: torch.from_numpy(as_features(one, f"features of '{name}'")).float() for name, one in datasets.items()}
    _check(sets)
    halves = [(one[: len(one) // 2], one[len(one) // 2 :]) for one in sets.values()]
    training, held_out = [first for first, _ in halves], [second for _, second in halves]
    everything = torch.cat(training)
    deviation = everything.std(dim=0)
    generator = torch.Generator().manual_seed(options.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        encoder = DeepSetsEncoder(everything.mean(dim=0), torch.where(deviation > 0, deviation, 1.0), options)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=options.learning_rate)
    identity = torch.arange(len(sets))
    for _ in range(options.steps):
        similarity = _similarity(encoder, training, options.subset, generator) / options.temperature
        loss = cross_entropy(similarity, identity) + cross_entropy(similarity.T, identity)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    encoder.eval()
    with torch.no_grad():
        rounds = [
            _similarity(encoder, held_out, options.subset, generator).argmax(dim=1) == identity for _ in range(20)
        ]
        embedded = torch.stack([encoder(one) for one in sets.values()]).double()
    distances = (1 - embedded @ embedded.T).clamp_min(0).fill_diagonal_(0)
    return DatasetEmbedding(encoder, float(torch.stack(rounds).double().mean()), tuple(sets), distances)


def _similarity(encoder: DeepSetsEncoder, sets: Sequence[Tensor], size: int, generator: torch.Generator) -> Tensor:
    """(k, k) cosines between one subset of each dataset and another, disjoint from it."""
    firsts, seconds = [], []
    for one in sets:
        order = torch.randperm(len(one), generator=generator)
        count = min(size, len(one) // 2)
        firsts.append(encoder(one[order[:count]]))
        seconds.append(encoder(one[order[count : 2 * count]]))
    return torch.stack(firsts) @ torch.stack(seconds).T


def _check(sets: Mapping[str, Tensor]) -> None:
    if len(sets) < 2:
        raise ValueError(f"expected at least 2 datasets, found {len(sets)}.")
    width = next(iter(sets.values())).shape[1]
    for name, one in sets.items():
        if len(one) < FEWEST_SAMPLES or one.shape[1] != width:
            raise ValueError(
                f"expected at least {FEWEST_SAMPLES} samples with {width} features of '{name}', found features of "
                f"shape {tuple(one.shape)}."
            )
