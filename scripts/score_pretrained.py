#!/usr/bin/env python
"""Scores of pre-trained networks and of datasets, to be compared with distances in `medsegdist agreement`.

    medsegdist transfer STUDY.yaml --out DIR
    python scripts/score_pretrained.py STUDY.yaml DIR

LogME, GBC, CC-FV and NCE look at the networks that the study pre-trained, on the patients that a target trains on;
Task2Vec at what each dataset asks of one of these networks; DeepSets at the features of segments. Each is the mean over
the study's seeds, as the gain of a pair is.
They go into DIR/scores.csv, with the columns of distances.csv that `medsegdist agreement` reads. LogME, GBC, CC-FV and
NCE are scores of which more is better: they stand in the column `score`, and their negatives in `distance`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d, binary_cross_entropy_with_logits

from medsegdist.data.dataset import load_dataset_samples
from medsegdist.data.samples import SegmentationSamples
from medsegdist.data.study import Study, load_study
from medsegdist.distance.segment_features import segment_features
from medsegdist.files import atomic_write
from medsegdist.transfer.batches import NetworkInputs
from medsegdist.transfer.checkpoint import load_network
from medsegdist.transfer.plan import IntensityScale
from medsegdist.transfer.scores.embeddings import embed_datasets, task_distance, task_embedding
from medsegdist.transfer.scores.transferability import (
    LayerFeatures,
    cc_fv,
    gaussian_bhattacharyya,
    log_maximum_evidence,
    negative_conditional_entropy,
)
from medsegdist.transfer.splits import split_target

PIXELS = 2000
"""Pixels that a score is computed from, drawn evenly from foreground and background."""

SCORES = ("logme", "gbc", "cc_fv", "nce")
"""Of these, more is better."""

PROBED, DRAWS = 48, 8
"""Samples of a dataset that Task2Vec looks at, and how often it draws labels of each."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="STUDY.yaml, of slices")
    parser.add_argument("folder", type=Path, help="what `medsegdist transfer` wrote")
    parser.add_argument("--cache", type=Path, help="folder of prepared samples; DIR/samples by default")
    options = parser.parse_args(arguments)
    study = load_study(options.study)
    networks = {seed: _networks(options.folder, seed) for seed in study.transfer.seeds}
    datasets = {
        manifest.name: load_dataset_samples(
            manifest, study.preprocessing, cache=options.cache or options.folder / "samples"
        )
        for manifest in study.datasets
    }
    rows = [
        *(row for seed, found in networks.items() for row in _network_scores(study, found, datasets, seed)),
        *(row for found in networks.values() for row in _task2vec(study, found, datasets)),
        *_deep_sets(study, datasets),
    ]
    keys = ["source", "target", "method"]
    table = pd.DataFrame(rows, columns=[*keys, "distance"]).groupby(keys, sort=False, as_index=False).mean()
    with atomic_write(options.folder / "scores.csv") as file:
        table["score"] = -table["distance"].where(table["method"].isin(SCORES))
        table.to_csv(file, index=False, float_format="%.10g")
    print(f"{len(table)} scores of {sum(map(len, networks.values()))} networks: {options.folder / 'scores.csv'}")


def _networks(folder: Path, seed: int) -> dict[str, nn.Module]:
    """The pre-trained networks that converged, by source."""
    found = {}
    for line in (folder / "runs.jsonl").read_text(encoding="utf-8").splitlines():
        run = json.loads(line)
        if run["kind"] == "pretraining" and run["seed"] == seed and run["status"] == "done":
            found[run["source"]] = load_network(folder / "runs" / f"{run['run']}.weights.pt").eval()
    if not found:
        raise SystemExit(f"expected pre-trainings of seed {seed} in {folder / 'runs.jsonl'}, found none that is done.")
    return found


def _network_scores(
    study: Study, networks: dict[str, nn.Module], datasets: dict[str, SegmentationSamples], seed: int
) -> list[tuple[str, str, str, float]]:
    rows = []
    for target in study.targets:
        samples = datasets[target]
        chosen = split_target(target, samples.patient_ids, study.transfer, seed).train
        images, masks = _inputs(study, samples, chosen)
        for source in study.sources_of(target):
            if source not in networks:
                continue
            features, logits = _penultimate(networks[source], images)
            labels = adaptive_max_pool2d(masks, features.shape[2:])[:, 0] > 0
            picked = _evenly(labels.flatten())
            flat = features.movedim(1, -1).flatten(0, -2)[picked]
            cases = [one.movedim(0, -1)[label] for one, label in zip(features, labels, strict=True) if label.sum() > 1]
            scores = (
                log_maximum_evidence(flat, labels.flatten()[picked]),
                gaussian_bhattacharyya(flat, labels.flatten()[picked]),
                cc_fv([LayerFeatures(cases, flat)]),
                negative_conditional_entropy((logits > 0).flatten(), (masks > 0).flatten()),
            )
            rows += [(source, target, method, -score) for method, score in zip(SCORES, scores, strict=True)]
    return rows


def _inputs(study: Study, samples: SegmentationSamples, chosen: Sequence[int]) -> tuple[Tensor, Tensor]:
    scale = IntensityScale.of(study.preprocessing)
    inputs = NetworkInputs(samples, chosen, scale, torch.device("cpu"))
    return inputs.batch(torch.arange(len(inputs)))


def _penultimate(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """(n, channels, *coarser grid) features that go into the last upsampling, and (n, 1, *grid) logits."""
    upsampling = any(isinstance(module, nn.ConvTranspose2d) for module in network.modules())
    layer = _last(network, nn.ConvTranspose2d if upsampling else nn.Conv2d)
    seen: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    try:
        with torch.inference_mode():
            logits = network(images)
    finally:
        handle.remove()
    return seen[-1].clone(), logits.clone()


def _last(network: nn.Module, *kinds: type[nn.Module]) -> nn.Module:
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


def _task2vec(
    study: Study, networks: dict[str, nn.Module], datasets: dict[str, SegmentationSamples]
) -> list[tuple[str, str, str, float]]:
    """How differently datasets ask of the first network; its last layer is trained on each of them."""
    first = next(iter(networks.values()))
    vectors = {}
    for name, samples in datasets.items():
        probe = deepcopy(first)
        step = max(1, len(samples) // PROBED)
        images, masks = _inputs(study, samples, range(0, len(samples), step)[:PROBED])
        head = _last(probe, nn.Conv2d, nn.ConvTranspose2d)
        optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
        for _ in range(50):
            optimizer.zero_grad()
            binary_cross_entropy_with_logits(probe(images), masks).backward()
            optimizer.step()
        own = {id(parameter) for parameter in head.parameters()}
        others = [key for key, parameter in probe.named_parameters() if id(parameter) not in own]
        vectors[name] = task_embedding(
            probe,
            [(images, masks)] * DRAWS,
            partial(binary_cross_entropy_with_logits, reduction="sum"),
            draw=partial(_drawn, torch.Generator().manual_seed(0)),
            parameters=others,
        )
    return [
        (source, target, "task2vec", task_distance(vectors[source], vectors[target]))
        for target in study.targets
        for source in study.sources_of(target)
    ]


def _drawn(generator: torch.Generator, logits: Tensor) -> Tensor:
    return torch.bernoulli(logits.sigmoid(), generator=generator)


def _deep_sets(study: Study, datasets: dict[str, SegmentationSamples]) -> list[tuple[str, str, str, float]]:
    features = {
        name: segment_features(one.masks, one.images, ["shape", "location", "texture"])
        for name, one in datasets.items()
    }
    embedding = embed_datasets(features)
    at = {name: k for k, name in enumerate(embedding.names)}
    return [
        (source, target, "deep_sets", float(embedding.distances[at[source], at[target]]))
        for target in study.targets
        for source in study.sources_of(target)
    ]


if __name__ == "__main__":
    main()
