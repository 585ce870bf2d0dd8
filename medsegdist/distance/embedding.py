"""Features in the place of pixels: what a network, or any other function, makes of the images of a dataset."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.errors import DataError
from medsegdist.words import counted

Embedding = Callable[[Tensor], Tensor]
"""From (n, *grid) float32 images to (n, features), each row from its own image alone."""

BATCH = 64
"""Images that an embedding is given at once."""


def embed(samples: SegmentationSamples, embedding: Embedding, *, batch_size: int = BATCH) -> Tensor:
    """The features of every image of a dataset.

    Args:
        samples: n samples; their images stay as they are, whatever the embedding does with its argument.
        embedding: given (b, *grid) float32 images on the device of the samples, b <= batch_size, without gradients.
        batch_size: images at once.

    Returns:
        (n, features) float32 or float64, as the embedding gave them, on the device of the samples.

    Raises:
        ValueError: the embedding is a torch module in training mode, in which one image changes another's features.
        DataError: the embedding returns no such features, or NaN or infinite ones.
    """
    if isinstance(embedding, torch.nn.Module) and embedding.training:
        raise ValueError("expected an embedding in evaluation mode, found one in training mode; call its .eval().")
    found: list[Tensor] = []
    with torch.no_grad():
        for start in range(0, len(samples), batch_size):
            batch = samples.images[start : start + batch_size].clone()
            features = embedding(batch)
            _check(features, samples, start, len(batch), found[0].shape[1] if found else None)
            found.append(features.detach().to(samples.images.device))
    return torch.cat(found)


def _check(features: Tensor, samples: SegmentationSamples, start: int, count: int, width: int | None) -> None:
    where = f"dataset '{samples.name}', from case '{samples.case_ids[start]}' on"
    if not isinstance(features, Tensor) or features.dtype not in (torch.float32, torch.float64):
        kind = features.dtype if isinstance(features, Tensor) else type(features).__name__
        raise DataError(f"{where}: expected the embedding to return a float32 or float64 tensor, found {kind}.")
    if features.ndim != 2 or len(features) != count or features.shape[1] == 0 or width not in (None, features.shape[1]):
        raise DataError(
            f"{where}: expected the embedding to return features of shape ({count}, {width or 'features'}) for "
            f"{counted(count, 'image')}, found {tuple(features.shape)}."
        )
    finite = torch.isfinite(features).all(dim=1)
    if not bool(finite.all()):
        bad = start + int((~finite).nonzero()[0, 0])
        raise DataError(
            f"dataset '{samples.name}', case '{samples.case_ids[bad]}': expected finite features, found NaN or "
            f"infinite ones ({int((~finite).sum())} of {counted(count, 'image')}); look at the embedding, and at the "
            "scale it expects of intensities."
        )
