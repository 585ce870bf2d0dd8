"""Datasets as vectors: Task2Vec and deep sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from medsegdist.transfer.scores.transferability import Array, as_features

Loss = Callable[[Tensor, Tensor], Tensor]
"""From outputs and labels of one example to its negative log-likelihood, one number."""

Draw = Callable[[Tensor], Tensor]
"""From outputs to labels drawn as the network believes them to be."""


def task_embedding(
    probe: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Loss,
    *,
    draw: Draw | None = None,
    parameters: Iterable[str] | None = None,
) -> Tensor:
    """Diagonal of the Fisher information of a probe network's weights on a dataset, averaged over each filter.

    The Fisher information of a weight is the mean over examples of the squared derivative of the log-likelihood:
    weights that matter to the task have much of it. Achille et al., "Task2Vec: Task Embedding for Meta-Learning", ICCV
    2019. As there, one network with the same weights serves all datasets, and only its last layer is trained on each
    of them beforehand; name the others in `parameters`. The network runs in evaluation mode and is left as it was.

    Args:
        probe: any module; small, for each example is differentiated on its own.
        batches: (images, labels), the first axis of both counts examples.
        loss: of one example, given with its first axis of length 1.
        draw: labels by the network's own belief, the Fisher information proper; with None the labels of the dataset
            are used, the "empirical" one, which vanishes where the network is always right.
        parameters: names of those to look at, as in `named_parameters`; by default all.

    Returns:
        (k,) float64 on the CPU, one entry for each output channel of each parameter, in the order of the parameters.

    Raises:
        ValueError: there is no example or parameter, or a name is unknown.
    """
    probe = deepcopy(probe).eval().requires_grad_(True)
    named = dict(probe.named_parameters())
    names = list(named if parameters is None else parameters)
    unknown = [name for name in names if name not in named]
    if unknown or not names:
        raise ValueError(
            f"expected parameters among {', '.join(named) or 'none'}, found {', '.join(unknown) or 'none'}."
        )
    chosen = [named[name] for name in names]
    sums = [torch.zeros(one.shape, dtype=torch.float64, device=one.device) for one in chosen]
    count = 0
    for images, labels in batches:
        for image, known in zip(images.split(1), labels.split(1), strict=True):
            with torch.enable_grad():
                output = probe(image)
                label = known if draw is None else draw(output.detach())
                gradients = torch.autograd.grad(loss(output, label), chosen, allow_unused=True)
            for total, gradient in zip(sums, gradients, strict=True):
                if gradient is not None:
                    total += gradient.double().square()
            count += 1
    if not count:
        raise ValueError("expected at least 1 example, found none.")
    # Mean over all axes but the first one, which counts output channels.
    return torch.cat([total.reshape(*total.shape[:1] or (1,), -1).mean(dim=1).cpu() / count for total in sums])


def task_distance(one: Tensor, other: Tensor) -> float:
    """Task2Vec's symmetric distance: the cosine distance of both embeddings over their sum, 0 to 1.

    The sum takes away how sensitive a weight is for any task. Entries that are 0 in both count for nothing.

    Args:
        one: (k,) >= 0, of :func:`task_embedding`.
        other: (k,) of the same probe.

    Raises:
        ValueError: they are of two probes, or one has no entry above 0.
    """
    if one.shape != other.shape:
        raise ValueError(
            f"expected embeddings of one probe, found {tuple(one.shape)} and {tuple(other.shape)} entries."
        )
    if not (bool((one > 0).any()) and bool((other > 0).any())):
        raise ValueError("expected embeddings with entries above 0, found one without; is the loss constant?")
    total = one.double() + other.double()
    shares = [torch.where(total > 0, each.double() / total.clamp_min(1e-300), 0.0) for each in (one, other)]
    cosine = shares[0] @ shares[1] / (shares[0].norm() * shares[1].norm())
    return max(0.0, 1 - float(cosine))


FEWEST_SAMPLES = 4
"""Of a dataset: two halves, each of which is cut in two."""


WIDTH, DIMENSIONS = 32, 8
"""Hidden units of the embedding, and its dimensions."""

SUBSET = 16
"""Samples of a subset; fewer where half a dataset has fewer."""

LEARNING_RATE, TEMPERATURE = 1e-2, 0.1
"""Of Adam, and what cosines are divided by."""


class DeepSetsEncoder(nn.Module):
    """rho(mean of phi(sample)): a set of samples in, one vector of length 1 out.

    Args:
        center: (d,) what is subtracted from the features.
        scale: (d,) what they are divided by.
    """

    def __init__(self, center: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.center, self.scale = nn.Buffer(center), nn.Buffer(scale)
        self.phi = nn.Sequential(nn.Linear(len(center), WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU())
        self.rho = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, DIMENSIONS))

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
    """How far apart a trained encoder finds datasets, and what it is worth.

    Args:
        accuracy: how often a subset of samples that it was not trained on is nearest to another such subset of its own
            dataset, 0 to 1; chance is one over the number of datasets.
        names: of the datasets.
        distances: (k, k) float64, 1 - cosine between the embeddings of whole datasets, 0 to 2.
    """

    accuracy: float
    names: tuple[str, ...]
    distances: Tensor


def embed_datasets(datasets: Mapping[str, Array], *, steps: int = 300, seed: int = 0) -> DatasetEmbedding:
    """Trains an embedding to distinguish datasets by a subset of their samples, and measures how far apart they are.

    The objective is contrastive: of two disjoint subsets of every dataset, each has to be nearer to its counterpart
    than to the subsets of all other datasets (cross entropy of cosines). That is a choice, for the paper states none;
    it knows nothing of transfer. Half of each dataset trains, the other half measures the accuracy. Datasets that
    differ at all are distinguished easily, however small the difference: distances saturate, and
    say most where the accuracy is below 1.

    Args:
        datasets: at least two, each (n, d) features of its samples, n >= 4, such as segment features or what a
            network makes of images. Samples of one patient should be adjacent, so that few are in both halves.
        steps: of Adam, each with two subsets of every dataset.
        seed: of weights and subsets.

    Raises:
        ValueError: there are fewer datasets or samples, or d differs.
    """
    sets = {name: torch.from_numpy(as_features(one, f"features of '{name}'")).float() for name, one in datasets.items()}
    if len(sets) < 2:
        raise ValueError(f"expected at least 2 datasets, found {len(sets)}.")
    width = next(iter(sets.values())).shape[1]
    for name, one in sets.items():
        if len(one) < FEWEST_SAMPLES or one.shape[1] != width:
            raise ValueError(
                f"expected at least {FEWEST_SAMPLES} samples with {width} features of '{name}', found features of "
                f"shape {tuple(one.shape)}."
            )
    halves = [(one[: len(one) // 2], one[len(one) // 2 :]) for one in sets.values()]
    training, held_out = [first for first, _ in halves], [second for _, second in halves]
    everything = torch.cat(training)
    deviation = everything.std(dim=0)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = DeepSetsEncoder(everything.mean(dim=0), torch.where(deviation > 0, deviation, 1.0))
    optimizer = torch.optim.Adam(encoder.parameters(), lr=LEARNING_RATE)
    identity = torch.arange(len(sets))
    for _ in range(steps):
        similarity = _similarity(encoder, training, generator) / TEMPERATURE
        loss = cross_entropy(similarity, identity) + cross_entropy(similarity.T, identity)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    encoder.eval()
    with torch.no_grad():
        rounds = [_similarity(encoder, held_out, generator).argmax(dim=1) == identity for _ in range(20)]
        embedded = torch.stack([encoder(one) for one in sets.values()]).double()
    distances = (1 - embedded @ embedded.T).clamp_min(0).fill_diagonal_(0)
    return DatasetEmbedding(float(torch.stack(rounds).double().mean()), tuple(sets), distances)


def _similarity(encoder: DeepSetsEncoder, sets: Sequence[Tensor], generator: torch.Generator) -> Tensor:
    """(k, k) cosines between one subset of each dataset and another, disjoint from it."""
    firsts, seconds = [], []
    for one in sets:
        order = torch.randperm(len(one), generator=generator)
        count = min(SUBSET, len(one) // 2)
        firsts.append(encoder(one[order[:count]]))
        seconds.append(encoder(one[order[count : 2 * count]]))
    return torch.stack(firsts) @ torch.stack(seconds).T
