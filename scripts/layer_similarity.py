"""How much alike two networks see the same images, layer by layer: linear CKA (the paper's Sec. 6.4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

FEWEST_FOR_UNBIASED = 4
"""Examples that the unbiased estimate needs in a batch."""


@dataclass(frozen=True, slots=True)
class LayerSimilarity:
    """Similarity of one layer of two networks.

    Args:
        layer: its name, as in `named_modules`.
        cka: 0 (nothing in common) to 1 (the same up to rotation and scale); NaN where a network gives every example the
            same activations. The unbiased estimate may lie a little below 0.
        part: the part of the network that the layer is of; "" where none was named.
    """

    layer: str
    cka: float
    part: str = ""


def linear_cka(x: Tensor, y: Tensor, *, unbiased: bool = False) -> float:
    """Centered kernel alignment with a linear kernel (Kornblith et al. 2019).

    It does not change when either side is rotated, reflected, scaled or shifted.

    Args:
        x: (n, p) activations of n examples; more axes are flattened.
        y: (n, q) those of the other network, of the same examples in the same order.
        unbiased: use the unbiased estimate of HSIC (Song et al. 2012). The plain one is near 1 for any two networks
            with many more activations than examples.

    Returns:
        CKA; NaN where one side is constant.

    Raises:
        ValueError: the numbers of examples differ, or are fewer than 2 (4 for the unbiased estimate).
    """
    return _from_sums(_hsic_sums(x, y, unbiased))


def layer_similarity(
    first: nn.Module,
    second: nn.Module,
    batches: Iterable[Tensor],
    *,
    layers: Sequence[str] | None = None,
    parts: Mapping[str, str] | None = None,
    unbiased: bool = True,
) -> tuple[LayerSimilarity, ...]:
    """CKA of each layer that two networks have in common, such as one network before and after fine-tuning.

    HSIC is summed over batches, and CKA taken of the sums (Nguyen, Raghu and Kornblith 2021): with the unbiased
    estimate batches of any size estimate the same quantity, while the plain one grows as batches shrink. The networks
    run in evaluation mode and without gradients, and are left in the mode that they were in.

    Args:
        first: any module.
        second: any module; of the same structure, if no `layers` are named.
        batches: (n, ...) inputs, each given to both networks as they are; the first axis counts examples.
        layers: names of modules in both networks, as `named_modules` has them; by default all that have no children and
            return a tensor.
        parts: parts of the network by a pattern of names, such as `{"encoder": "encoder.*", "decoder": "decoder.*"}`;
            the first that fits counts.
        unbiased: as in :func:`linear_cka`.

    Returns:
        One similarity for each layer, in the order in which the first network runs them.

    Raises:
        ValueError: a layer is not there, returns no tensor or is not run; there is no batch; the layers of the two
            networks have nothing in common.
    """
    names = _common_leaves(first, second) if layers is None else list(layers)
    for network, which in ((first, "first"), (second, "second")):
        known = dict(network.named_modules())
        for name in names:
            if name not in known:
                raise ValueError(f"expected the layer '{name}' in both networks, found none in the {which} one.")
    if not names:
        raise ValueError("expected layers that both networks have, found no name in common; name them with `layers`.")
    sums: dict[str, Tensor] = {}
    order: dict[str, None] = {}
    empty = True
    with _evaluating(first), _evaluating(second), torch.no_grad():
        for batch in batches:
            empty = False
            one, other = _activations(first, names, batch), _activations(second, names, batch)
            order.update(dict.fromkeys(name for name in one if name in other))
            for name in names:
                if layers is not None and not (name in one and name in other):
                    raise ValueError(f"expected the layer '{name}' to run and return a tensor, found that it does not.")
                if name in one and name in other:
                    added = _hsic_sums(one[name], other[name], unbiased)
                    sums[name] = sums[name] + added if name in sums else added
    if empty:
        raise ValueError("expected at least one batch, found none.")
    return tuple(LayerSimilarity(name, _from_sums(sums[name]), _part_of(name, parts or {})) for name in order)


def similarity_by_part(similarities: Iterable[LayerSimilarity]) -> dict[str, float]:
    """Mean CKA of the layers of each part, NaN left out: "encoder" against "decoder".

    Args:
        similarities: of layers; those without a part are left out.
    """
    found: dict[str, list[float]] = {}
    for one in similarities:
        if one.part:
            found.setdefault(one.part, []).append(one.cka)
    means = {}
    for part, values in found.items():
        known = [value for value in values if not math.isnan(value)]
        means[part] = sum(known) / len(known) if known else math.nan
    return means


def _from_sums(sums: Tensor) -> float:
    """CKA of the three sums of HSIC: xy / sqrt(xx yy)."""
    xy, xx, yy = sums.tolist()
    return xy / math.sqrt(xx * yy) if xx > 0 and yy > 0 else math.nan


def _hsic_sums(x: Tensor, y: Tensor, unbiased: bool) -> Tensor:
    """(3,) float64 HSIC of x and y, x and x, y and y, all three times one factor."""
    n, least = len(x), FEWEST_FOR_UNBIASED if unbiased else 2
    if n != len(y) or n < least:
        raise ValueError(f"expected at least {least} examples, the same for both networks, found {n} and {len(y)}.")
    grams = [_centered_gram(one, unbiased) for one in (x, y)]
    pairs = ((0, 1), (0, 0), (1, 1))
    # After U-centering (Szekely and Rizzo 2014) the unbiased HSIC is a plain sum of products, as the biased one is.
    factor = 1 / (n * (n - 3)) if unbiased else 1 / (n - 1) ** 2
    return torch.stack([factor * (grams[i] * grams[j]).sum() for i, j in pairs]).cpu()


def _centered_gram(activations: Tensor, unbiased: bool) -> Tensor:
    """(n, n) float64 inner products, their rows and columns centered; 0 where all activations are equal."""
    flat = activations.flatten(1).double()
    centered = flat - flat.mean(dim=0)
    if bool((centered.abs().amax() <= 1e-12 * flat.abs().amax().clamp_min(1e-300)).item()):
        return torch.zeros((len(flat), len(flat)), dtype=torch.float64, device=flat.device)
    gram = centered @ centered.T
    if not unbiased:
        return gram
    n = len(gram)
    gram.fill_diagonal_(0)
    rows = gram.sum(dim=1)
    gram = gram - (rows[:, None] + rows[None, :]) / (n - 2) + rows.sum() / ((n - 1) * (n - 2))
    return gram.fill_diagonal_(0)


def _activations(network: nn.Module, names: Sequence[str], batch: Tensor) -> dict[str, Tensor]:
    """Outputs of the named layers on a batch, in the order in which they ran; of a layer that runs twice, the last."""
    found: dict[str, Tensor] = {}

    def keeper(name: str) -> Callable[[nn.Module, object, object], None]:
        def keep(_: nn.Module, __: object, output: object) -> None:
            if isinstance(output, Tensor) and output.ndim > 0 and len(output) == len(batch):
                # A copy: the next layer may work in place, as activations often do.
                found[name] = output.detach().clone()

        return keep

    modules = dict(network.named_modules())
    handles = [modules[name].register_forward_hook(keeper(name)) for name in names]
    try:
        network(batch)
    finally:
        for handle in handles:
            handle.remove()
    return found


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _common_leaves(first: nn.Module, second: nn.Module) -> list[str]:
    there = dict(second.named_modules())
    return [name for name, module in first.named_modules() if name in there and not list(module.children())]


def _part_of(name: str, parts: Mapping[str, str]) -> str:
    return next((part for part, pattern in parts.items() if fnmatchcase(name, pattern)), "")
