"""Pairs of samples that transport matched, as small pictures: `thumbnails.json`, which is there only if asked for."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
from PIL import Image
from pydantic import Field, NonNegativeInt
from skimage.segmentation import find_boundaries
from torch import Tensor

from medsegdist.data.samples import SegmentationSamples
from medsegdist.distance.table import DistanceTable
from medsegdist.distance.transport import MatchedPair
from medsegdist.report.record import JsonFile, Part
from medsegdist.report.verdict import methods_of

SIDE = 128  # pixels of the longer side of a picture: enough to see what is matched
GRAYS = 64  # shades of gray in a picture; the noise of more of them would take most of its bytes
MOST_PAIRS = 60  # pairs in a report at most, so that it stays a page that can be sent
# Outlines are light enough for dark images and for the eyes of color-blind readers.
SOURCE_COLOR, TARGET_COLOR = (230, 120, 0), (60, 160, 235)

_Png = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]+={0,2}$")]


class PairOfSamples(Part):
    """Two samples that transport matched."""

    mass: Annotated[float, Field(gt=0, le=1)]  # that goes from one to the other; all pairs together have 1
    source: _Png  # PNG of the source's sample in base64, its mask outlined
    target: _Png  # the same of the target's


class MatchedDatasets(Part):
    """The strongest pairs of a target and its nearest source."""

    source: str
    target: str
    methods: Annotated[tuple[str, ...], Field(min_length=1)]  # that find it nearest and match these samples
    pairs: Annotated[tuple[PairOfSamples, ...], Field(min_length=1)]  # the most mass first


class Thumbnails(JsonFile):
    """All pictures of a report; they show patients, if the images do."""

    written_by: ClassVar[str] = "rank --thumbnails"

    format: Literal["medsegdist thumbnails"] = "medsegdist thumbnails"
    version: Literal[1] = 1
    matched: tuple[MatchedDatasets, ...]  # target by target
    left_out: NonNegativeInt = 0  # pairs that were one too many for a page


def draw_thumbnails(
    table: DistanceTable,
    targets: Iterable[str],
    matches: Mapping[tuple[str, str, str], tuple[MatchedPair, ...]],
    samples: Mapping[str, SegmentationSamples],
) -> Thumbnails:
    """Pictures of the strongest pairs, by source, target and method, of each target and its nearest sources."""
    shown: list[MatchedDatasets] = []
    drawn = left_out = 0
    for target in targets:
        agreed: dict[tuple[str, tuple[MatchedPair, ...]], list[str]] = {}  # methods by nearest source and pairs
        for method in methods_of(table, target):
            source = table.ranking(target, method)[0].source
            agreed.setdefault((source, matches[source, target, method]), []).append(method)
        for (source, pairs), methods in agreed.items():
            if drawn + len(pairs) > MOST_PAIRS:
                left_out += len(pairs)
            elif pairs:
                drawn += len(pairs)
                pictures = tuple(
                    PairOfSamples(
                        mass=pair.mass,
                        source=_drawn(samples[source], pair.source, SOURCE_COLOR),
                        target=_drawn(samples[target], pair.target, TARGET_COLOR),
                    )
                    for pair in pairs
                )
                shown.append(MatchedDatasets(source=source, target=target, methods=tuple(methods), pairs=pictures))
    return Thumbnails(matched=tuple(shown), left_out=left_out)


def _drawn(samples: SegmentationSamples, number: int, color: tuple[int, int, int]) -> str:
    return base64.b64encode(thumbnail(samples.images[number], samples.masks[number], color)).decode()


def thumbnail(image: Tensor, mask: Tensor, color: tuple[int, int, int]) -> bytes:
    """A sample as a small PNG with the outline of its mask; of a volume, the slice with the most foreground."""
    if image.ndim == 3:
        fullest = int(mask.flatten(1).sum(1).argmax())
        image, mask = image[fullest], mask[fullest]
    pixels = image.cpu().double().numpy()
    low, high = np.percentile(pixels, [0.5, 99.5])
    grays = (GRAYS - 1) * ((pixels - low) / (high - low or 1)).clip(0, 1)
    height, width = pixels.shape
    size = tuple(max(1, round(SIDE * length / max(height, width))) for length in (width, height))
    shrunk = Image.fromarray(grays.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    area = Image.fromarray(255 * mask.cpu().numpy().astype(np.uint8)).resize(size, Image.Resampling.BOX)
    outlined = np.asarray(shrunk).round().astype(np.uint8)
    # A pixel with any part of the mask counts, so that no small segment is lost; the outline goes around it.
    outlined[find_boundaries(np.asarray(area) > 0, mode="outer")] = GRAYS
    picture = Image.fromarray(outlined)
    picture.putpalette([level for k in range(GRAYS) for level in [255 * k // (GRAYS - 1)] * 3] + list(color))
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()
