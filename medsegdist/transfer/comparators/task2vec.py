"""Task2Vec: what a task asks of a probe network's weights, as a vector (Achille et al. 2019, the paper's [24])."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

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
        parameters: names of those to look at, as in `named_parameters`; by default all that require a gradient.

    Returns:
        (k,) float64 on the CPU, one entry for each output channel of each parameter, in the order of the parameters.

    Raises:
        ValueError: there is no example or parameter, or a name is unknown.
    """
    named = dict(probe.named_parameters())
    names = [name for name, one in named.items() if one.requires_grad] if parameters is None else list(parameters)
    unknown = [name for name in names if name not in named]
    if unknown or not names:
        raise ValueError(
            f"expected parameters among {', '.join(named) or 'none'}, found {', '.join(unknown) or 'none'}."
        )
    chosen = [named[name] for name in names]
    sums = [torch.zeros(one.shape, dtype=torch.float64, device=one.device) for one in chosen]
    modes = {module: module.training for module in probe.modules()}
    wanted = [one.requires_grad for one in chosen]
    count = 0
    try:
        probe.eval()
        for one in chosen:
            one.requires_grad_(True)
        for images, labels in batches:
            for k in range(len(images)):
                _add_squared_gradient(sums, probe, chosen, images[k : k + 1], labels[k : k + 1], loss, draw)
                count += 1
    finally:
        for module, training in modes.items():
            module.training = training
        for one, before in zip(chosen, wanted, strict=True):
            one.requires_grad_(before)
    if not count:
        raise ValueError("expected at least 1 example, found none.")
    return torch.cat([_by_filter(total / count).cpu() for total in sums])


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


def _add_squared_gradient(
    sums: list[Tensor],
    probe: nn.Module,
    chosen: list[nn.Parameter],
    image: Tensor,
    label: Tensor,
    loss: Loss,
    draw: Draw | None,
) -> None:
    with torch.enable_grad():
        output = probe(image)
        value = loss(output, label if draw is None else draw(output.detach()))
        gradients = torch.autograd.grad(value, chosen, allow_unused=True)
    for total, gradient in zip(sums, gradients, strict=True):
        if gradient is not None:
            total += gradient.double().square()


def _by_filter(information: Tensor) -> Tensor:
    """Mean over all axes but the first one, which counts output channels."""
    return information.reshape(len(information), -1).mean(dim=1) if information.ndim else information.reshape(1)
