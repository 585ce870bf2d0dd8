"""Whether the files of a folder pair up as images and masks, by their names."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from medsegdist.data.layouts.paths import PICTURE_SUFFIXES, VOLUME_SUFFIXES
from medsegdist.data.problems import printable
from medsegdist.data.recognition.found import Found
from medsegdist.errors import DataError
from medsegdist.words import counted

LOOKED_FOR = (
    "pairs of NIfTI, NRRD, MHA, PNG, JPEG, BMP or TIFF files, such as images/*.png + masks/*.png, "
    "imagesTr/*_0000.nii.gz + labelsTr/*.nii.gz, *.nii.gz + *_seg.nii.gz, or */image.nrrd + */mask.nrrd"
)

_SUFFIXES = (*VOLUME_SUFFIXES, *PICTURE_SUFFIXES)
_IMAGE_WORDS = ("image", "images", "img", "imgs", "im", "ct", "mr", "mri", "t1", "t2", "flair", "scan", "volume", "vol")
_MASK_WORDS = ("mask", "masks", "seg", "segmentation", "label", "labels", "gt", "groundtruth", "manual", "roi")
_MASK_FOLDERS = re.compile(r"(mask|label|seg|annotation|annot|gt|ground.?truth|manual)", re.IGNORECASE)
_IMAGE_FOLDERS = re.compile(r"(image|img|scan|volume|data|ct|mr)", re.IGNORECASE)
_SEPARATORS = ("_", "-", ".", " ")
_DEPTH = 4
_NAMED = 8
# So that a whole archive, named by mistake, is not looked through for minutes.
_MOST_FILES, _MOST_CANDIDATES = 200_000, 400


@dataclass(frozen=True, slots=True)
class _Pairing:
    images: str
    masks: str
    pairs: int
    alone: int
    """Files that fit one of the patterns and have no partner."""


def recognize_pairs(folder: Path) -> Found | None:
    """Patterns that pair the images of a folder with its masks; None if no names do.

    Patterns that leave no file without a partner come first, then those that pair most files.

    Args:
        folder: where to look, four folders deep.

    Raises:
        DataError: its subfolders are datasets of their own, of which no pattern takes but a small part.
    """
    files = _files(folder)
    best = _best(files)
    if best is None:
        return None
    rest = len(files) - 2 * best.pairs - best.alone
    if rest > len(files) / 2:
        _refuse_datasets(folder, files, best)
    others = "1 other image lies" if rest == 1 else f"{rest} other images lie"
    remarks = [f"{others} here that fit neither pattern"] if rest > 0 else []
    return Found(
        what=f"pairs of {best.images} and {best.masks}",
        layout={"kind": "folder", "images": best.images, "masks": best.masks},
        remarks=tuple(remarks),
    )


def _best(files: Sequence[str]) -> _Pairing | None:
    patterns = dict.fromkeys(islice(_candidates(files), _MOST_CANDIDATES))
    tried = [_paired(files, images, masks) for images, masks in patterns if images != masks]
    found = [pairing for pairing in tried if pairing.pairs]
    return max(
        found,
        key=lambda one: (one.alone == 0, one.pairs, -one.alone, -len(one.images + one.masks)),
        default=None,
    )


def _refuse_datasets(folder: Path, files: Sequence[str], best: _Pairing) -> None:
    """Refuse a folder of datasets, whose subfolders pair more than twice as many images each for itself."""
    below: dict[str, list[str]] = defaultdict(list)
    for path in files:
        name, _, inside = path.partition("/")
        if inside:
            below[name].append(inside)
    pairs = {name: one.pairs for name, inside in below.items() if (one := _best(inside)) is not None}
    if len(pairs) > 1 and sum(pairs.values()) > 2 * best.pairs:
        more = f" and {len(pairs) - _NAMED} more" if len(pairs) > _NAMED else ""
        raise DataError(
            f"{folder}: expected the folder of one dataset, found {counted(best.pairs, 'pair')} of {best.images} and "
            f"{best.masks} among {counted(len(files), 'image')}, and datasets in its subfolders; name one of its "
            f"subfolders: {', '.join(map(printable, list(pairs)[:_NAMED]))}{more}."
        )


def _files(folder: Path) -> list[str]:
    """Paths in the folder, with /, of files that an image may be read from; hidden ones are passed over."""
    found: list[str] = []
    for place, folders, names in os.walk(folder):
        inside = Path(place).relative_to(folder)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if len(inside.parts) < _DEPTH else []
        found += [
            (inside / name).as_posix()
            for name in sorted(names)
            if not name.startswith(".") and name.lower().endswith(_SUFFIXES)
        ]
        if len(found) > _MOST_FILES:
            break
    return found


def _candidates(files: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Patterns of images and of masks that the names suggest."""
    by_folder: dict[str, list[str]] = defaultdict(list)
    for path in files:
        place, _, name = path.rpartition("/")
        by_folder[f"{place}/" if place else ""].append(name)
    yield from _folder_per_case(files)
    for place, names in by_folder.items():
        if "*" in place:
            continue
        yield from _within(place, names, names)
        if not _MASK_FOLDERS.search(_last(place)):
            continue
        parent = _parent(place)
        beside = [one for one in by_folder if one != place and parent in (_parent(one), one.rstrip("/"))]
        for other in sorted(beside, key=lambda one: not _IMAGE_FOLDERS.search(_last(one))):
            yield from _within(other, by_folder[other], names, place)


def _within(
    place: str, images: Sequence[str], masks: Sequence[str], mask_place: str | None = None
) -> Iterator[tuple[str, str]]:
    """Patterns for the files of one folder, or of two."""
    one_folder = mask_place is None
    for image_ending in _endings(images):
        for mask_ending in _endings(masks):
            for mask in _affixes(masks, _MASK_WORDS, mask_ending):
                if one_folder and mask == ("", ""):
                    continue
                for image in _affixes(images, _IMAGE_WORDS, image_ending):
                    yield (
                        f"{place}{image[0]}*{image[1]}{image_ending}",
                        f"{place if mask_place is None else mask_place}{mask[0]}*{mask[1]}{mask_ending}",
                    )
            if not one_folder:
                yield (
                    f"{place}{_common(images, image_ending)}*{image_ending}",
                    f"{mask_place}{_common(masks, mask_ending)}*{mask_ending}",
                )


def _endings(names: Iterable[str]) -> list[str]:
    """The endings of these names as they are written, .nii.gz as one."""
    found = {}
    for name in names:
        ending = next(suffix for suffix in _SUFFIXES if name.lower().endswith(suffix))
        found[name[-len(ending) :]] = True
    return list(found)


def _affixes(names: Sequence[str], words: Sequence[str], ending: str) -> list[tuple[str, str]]:
    """What names begin or end with beside a case's own name, as (before, after): words, or nnU-Net's channel 0."""
    stems = [name.removesuffix(ending) for name in names if name.endswith(ending)]
    found = {("", ""): True}
    for stem in stems:
        parts = re.split(r"[_\-. ]", stem)
        if len(parts) < 2:
            continue
        if parts[-1].casefold() in words or parts[-1] == "0000":
            found["", stem[-len(parts[-1]) - 1 :]] = True
        if parts[0].casefold() in words:
            found[stem[: len(parts[0]) + 1], ""] = True
    return list(found)


def _common(names: Sequence[str], ending: str) -> str:
    """What all names begin with up to a separator, such as "volume-" of volume-0 and volume-1."""
    some = [name for name in names if name.endswith(ending)]
    first, last = min(some), max(some)
    shared = first[: next((k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))]
    cut = max(shared.rfind(separator) for separator in _SEPARATORS) + 1
    return shared[:cut].replace("*", "")


def _folder_per_case(files: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Patterns such as */image.nii.gz and */mask.nii.gz."""
    below = dict.fromkeys(path.partition("/")[2] for path in files if "/" in path)
    words_of = {tail: set(re.split(r"[^a-z0-9]+", tail.casefold())) for tail in below}
    masks = [tail for tail in below if words_of[tail].intersection(_MASK_WORDS)]
    for mask in masks[:50]:
        for image in below:
            if image not in masks and words_of[image].intersection(_IMAGE_WORDS):
                yield f"*/{image}", f"*/{mask}"


def _paired(files: Sequence[str], images: str, masks: str) -> _Pairing:
    of_masks = _keys(files, masks)
    taken = set(of_masks.values())
    of_images = {key: path for key, path in _keys(files, images).items() if path not in taken}
    both = of_images.keys() & of_masks.keys()
    return _Pairing(images, masks, len(both), len(of_images.keys() ^ of_masks.keys()))


def _keys(files: Iterable[str], pattern: str) -> dict[str, str]:
    before, after = pattern.split("*")
    whole = re.compile(re.escape(before) + "([^/]+)" + re.escape(after))
    return {match.group(1): path for path in files if (match := whole.fullmatch(path))}


def _last(place: str) -> str:
    return place.rstrip("/").rpartition("/")[2]


def _parent(place: str) -> str:
    return place.rstrip("/").rpartition("/")[0]
