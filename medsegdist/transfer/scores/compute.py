"""`scores.csv`: what others would choose a pre-training by, measured on a transfer study."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.features import segment_features
from medsegdist.progress import track
from medsegdist.transfer.batches import NetworkInputs
from medsegdist.transfer.evaluate import mean_dice, overlap_counts
from medsegdist.transfer.networks import load_network
from medsegdist.transfer.plan import IntensityScale, split_target
from medsegdist.transfer.runs import TransferStudy
from medsegdist.transfer.scores.transferability import (
    Array,
    as_features,
    cc_fv,
    data_shapley,
    gaussian_bhattacharyya,
    log_maximum_evidence,
    negative_conditional_entropy,
    task_distance,
    task_embedding,
)

LOGGER = logging.getLogger("medsegdist")

OF_NETWORKS: tuple[str, ...] = ("logme", "gbc", "cc_fv", "nce", "data_shapley")
"""Scores of which more is better; the others are distances."""

PIXELS = 2000  # pixels that a score is computed from, drawn evenly from foreground and background

PROBED, DRAWS = 48, 8
"""Samples of a dataset that Task2Vec and Data Shapley look at, and how often Task2Vec draws labels of each."""

_Row = tuple[str, str, str, float]  # source, target, method, distance


def score_sources(study: TransferStudy, names: Sequence[str]) -> pd.DataFrame:
    """Scores of every source for every target, each the mean over the study's seeds, as the gain of a pair is.

    LogME, GBC, CC-FV, NCE and Data Shapley look at the networks that were pre-trained, on the patients that a target
    trains on; Task2Vec at what each dataset asks of one of these networks; deep sets at features of segments. What
    cannot be computed is left out with a warning.

    Data Shapley asks what a set of sources is worth together. Training on every set is out of reach, so a set is worth
    the Dice score of the mean of its networks' probabilities.

    Args:
        study: whose pre-trainings are done; those that did not converge have no score.
        names: which scores.

    Returns:
        Columns source, target, method, distance and, where more is better, score, which is minus the distance: what
        `scores.csv` holds, and :func:`~medsegdist.transfer.gains.read_distances` reads.
    """
    samples = {name: SegmentationSamples.load(directory) for name, directory in study.data.items()}
    tuned = [run for run in study.runs if run.kind == "fine_tuning"]
    pairs = list(dict.fromkeys((run.source or "", run.target or "") for run in tuned))
    # Scores of datasets: all sources together are none.
    of_datasets = [(source, target) for source, target in pairs if source in samples]
    scale = study.runs[0].recipe.scale
    rows: list[_Row] = []
    for seed in track(study.options.seeds, "Scoring sources"):
        networks: dict[str, nn.Module] = {}
        for run in study.runs:
            done = (study.log.outcome(run.key) or {}).get("status") == "done"
            if run.kind == "pretraining" and run.seed == seed and done:
                networks[run.source or ""] = load_network(study.assignment(run).weights(run.key)).eval()
        for target in dict.fromkeys(target for _, target in pairs):
            of_target = {source: networks[source] for source, one in pairs if one == target and source in networks}
            chosen = split_target(target, samples[target].patient_ids, study.options, seed).train
            rows += _scores_of_networks(target, of_target, samples[target], chosen, scale, names)
        if "task2vec" in names and networks:
            probe = next(iter(networks.values()))
            vectors = {name: _task_vector(probe, one, scale) for name, one in samples.items()}
            for source, target in of_datasets:
                distance = partial(task_distance, vectors[source], vectors[target])
                rows += _guarded(source, target, "task2vec", distance)
    if "deep_sets" in names:
        rows += _deep_sets(of_datasets, samples)
    keys = ["source", "target", "method"]
    table = pd.DataFrame(rows, columns=[*keys, "distance"]).groupby(keys, sort=False, as_index=False).mean()
    table["score"] = -table["distance"].where(table["method"].isin(OF_NETWORKS))
    return table


def _scores_of_networks(
    target: str,
    networks: Mapping[str, nn.Module],
    samples: SegmentationSamples,
    chosen: Sequence[int],
    scale: IntensityScale,
    names: Sequence[str],
) -> list[_Row]:
    if not (networks and set(OF_NETWORKS) & set(names)):
        return []
    images, masks = _inputs(samples, chosen, scale)
    probed = _spread(len(chosen))
    probabilities: dict[str, Tensor] = {}
    rows: list[_Row] = []
    for source, network in networks.items():
        features, logits = _penultimate(network, images)
        probabilities[source] = logits[probed].sigmoid()
        pooled: Tensor = getattr(functional, f"adaptive_max_pool{masks.ndim - 2}d")(masks, features.shape[2:])
        labels = pooled[:, 0] > 0
        picked = _evenly(labels.flatten())
        rows_of_pixels, classes = features.movedim(1, -1).flatten(0, -2)[picked], labels.flatten()[picked]
        cases = [one.movedim(0, -1)[label] for one, label in zip(features, labels, strict=True) if label.sum() > 1]
        scores: dict[str, Callable[[], float]] = {
            "logme": partial(log_maximum_evidence, rows_of_pixels, classes),
            "gbc": partial(gaussian_bhattacharyya, rows_of_pixels, classes),
            "cc_fv": partial(cc_fv, cases, rows_of_pixels),
            "nce": partial(negative_conditional_entropy, (logits > 0).flatten(), (masks > 0).flatten()),
        }
        for name, score in scores.items():
            if name in names:
                rows += _guarded(source, target, name, score)
    if "data_shapley" in names:
        cases_of_probed = [samples.case_ids[chosen[k]] for k in probed]

        def worth(sources: frozenset[str]) -> float:
            if not sources:
                return 0.0
            mean = torch.stack([probabilities[source] for source in sorted(sources)]).mean(0)
            return mean_dice(overlap_counts(mean - 0.5, masks[probed]), cases_of_probed)

        rows += [(source, target, "data_shapley", -value) for source, value in data_shapley(networks, worth).items()]
    return rows


def _guarded(source: str, target: str, method: str, score: Callable[[], float]) -> list[_Row]:
    """The row of a pair whose score can be computed and is finite; of another one it warns."""
    try:
        found = score()
        if math.isfinite(found):
            return [(source, target, method, -found if method in OF_NETWORKS else found)]
        why = f"it is {found}"
    except ValueError as error:
        why = str(error).rstrip(".")
    LOGGER.warning("No score %s of %s for %s: %s", method, source, target, why)
    return []


def _inputs(samples: SegmentationSamples, chosen: Sequence[int], scale: IntensityScale) -> tuple[Tensor, Tensor]:
    inputs = NetworkInputs(samples, chosen, scale, torch.device("cpu"))
    return inputs.batch(torch.arange(len(inputs)))


def _spread(count: int) -> list[int]:
    """At most PROBED of so many indices, at equal steps."""
    return list(range(0, count, max(1, count // PROBED)))[:PROBED]


def _penultimate(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """(n, channels, *coarser grid) features that go into the last upsampling, and (n, 1, *grid) logits."""
    upsampling = [one for one in network.modules() if isinstance(one, (nn.ConvTranspose2d, nn.ConvTranspose3d))]
    layer = upsampling[-1] if upsampling else _head(network)
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    with hook, torch.inference_mode():
        logits = torch.cat([network(some) for some in images.split(64)])
    return torch.cat(seen).clone(), logits.clone()


def _head(network: nn.Module) -> nn.Module:
    """The last convolution, of either direction."""
    kinds = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    return [module for module in network.modules() if isinstance(module, kinds)][-1]


def _evenly(labels: Tensor) -> Tensor:
    """Indices of as many pixels of the foreground as of the background."""
    generator = torch.Generator().manual_seed(0)
    picked = []
    for value in (True, False):
        of_class = torch.nonzero(labels == value)[:, 0]
        picked.append(of_class[torch.randperm(len(of_class), generator=generator)[: PIXELS // 2]])
    least = min(map(len, picked))
    return torch.cat([one[:least] for one in picked])


def _task_vector(network: nn.Module, samples: SegmentationSamples, scale: IntensityScale) -> Tensor:
    """What a dataset asks of a network, whose last layer is trained on it first."""
    probe = deepcopy(network)
    images, masks = _inputs(samples, _spread(len(samples)), scale)
    head = _head(probe)
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(50):
        optimizer.zero_grad()
        functional.binary_cross_entropy_with_logits(probe(images), masks).backward()
        optimizer.step()
    head.requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    return task_embedding(
        probe,
        images,
        draw=lambda logits: torch.bernoulli(logits.sigmoid(), generator=generator),
        loss=partial(functional.binary_cross_entropy_with_logits, reduction="sum"),
        draws=DRAWS,
    )


def _deep_sets(pairs: Sequence[tuple[str, str]], samples: Mapping[str, SegmentationSamples]) -> list[_Row]:
    features = {
        name: segment_features(one.masks, one.images, ["shape", "location", "texture"]) for name, one in samples.items()
    }
    try:
        distances, _ = embed_datasets(features)
    except ValueError as error:
        LOGGER.warning("No score deep_sets: %s", error)
        return []
    at = {name: k for k, name in enumerate(samples)}
    return [(one, other, "deep_sets", float(distances[at[one], at[other]])) for one, other in pairs]


FEWEST_SAMPLES = 4  # of a dataset: two halves, each of which is cut in two
WIDTH, DIMENSIONS = 32, 8  # hidden units of the embedding, and its dimensions
SUBSET = 16  # samples of a subset; fewer where half a dataset has fewer
LEARNING_RATE, TEMPERATURE = 1e-2, 0.1  # of Adam, and what cosines are divided by


class DeepSetsEncoder(nn.Module):
    """rho(mean of phi(sample)): a set of samples in, one vector of length 1 out.

    The (d,) `center` is subtracted from the features, which are divided by the (d,) `scale`.
    """

    def __init__(self, center: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.center, self.scale = nn.Buffer(center), nn.Buffer(scale)
        self.phi = nn.Sequential(nn.Linear(len(center), WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU())
        self.rho = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, DIMENSIONS))

    def forward(self, samples: Tensor) -> Tensor:
        """(..., dimensions) embeddings of length 1 of (..., n, d) `samples`, sets of n."""
        pooled = self.phi((samples - self.center) / self.scale).mean(dim=-2)
        return functional.normalize(self.rho(pooled), dim=-1)


def embed_datasets(datasets: Mapping[str, Array], *, steps: int = 300, seed: int = 0) -> tuple[Tensor, float]:
    """Trains an embedding to distinguish datasets by a subset of their samples, and measures how far apart they are.

    The objective is contrastive: of two disjoint subsets of every dataset, each has to be nearer to its counterpart
    than to the subsets of all other datasets (cross entropy of cosines). That is a choice, for the paper states none;
    it knows nothing of transfer. Half of each dataset trains, the other half measures the accuracy. Datasets that
    differ at all are distinguished easily, however small the difference: distances saturate, and say most where the
    accuracy is below 1.

    Args:
        datasets: at least two, each (n, d) features of its samples, n >= 4, such as segment features or what a
            network makes of images. Samples of one patient should be adjacent, so that few are in both halves.
        steps: of Adam, each with two subsets of every dataset.
        seed: of weights and subsets.

    Returns:
        (k, k) float64, 1 - cosine between the embeddings of whole datasets, 0 to 2; and how often a subset of samples
        that the encoder was not trained on is nearest to another such subset of its own dataset, 0 to 1 (chance is
        1 / k).

    Raises:
        ValueError: there are fewer datasets or samples, or d differs.
    """
    sets = [
        torch.from_numpy(as_features(one, f"features of '{name}'", at_least=FEWEST_SAMPLES)).float()
        for name, one in datasets.items()
    ]
    widths = [one.shape[1] for one in sets]
    if len(sets) < 2 or len(set(widths)) > 1:
        raise ValueError(f"expected the same number of features in at least 2 datasets, found {widths}.")
    training, held_out = [one[: len(one) // 2] for one in sets], [one[len(one) // 2 :] for one in sets]
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
        loss = functional.cross_entropy(similarity, identity) + functional.cross_entropy(similarity.T, identity)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    encoder.eval()
    with torch.no_grad():
        rounds = [_similarity(encoder, held_out, generator).argmax(dim=1) == identity for _ in range(20)]
        embedded = torch.stack([encoder(one) for one in sets]).double()
    distances = (1 - embedded @ embedded.T).clamp_min(0).fill_diagonal_(0)
    return distances, float(torch.stack(rounds).double().mean())


def _similarity(encoder: DeepSetsEncoder, sets: Sequence[Tensor], generator: torch.Generator) -> Tensor:
    """(k, k) cosines between one subset of each dataset and another, disjoint from it."""
    firsts, seconds = [], []
    for one in sets:
        order = torch.randperm(len(one), generator=generator)
        count = min(SUBSET, len(one) // 2)
        firsts.append(encoder(one[order[:count]]))
        seconds.append(encoder(one[order[count : 2 * count]]))
    return torch.stack(firsts) @ torch.stack(seconds).T
