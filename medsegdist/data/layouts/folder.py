"""Images and masks in folders, paired by their names."""

from __future__ import annotations

import glob
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, NonNegativeInt, model_validator

from medsegdist.data.layouts import listing, paths
from medsegdist.errors import DataError
from medsegdist.words import counted, listed, printable

# Of the search for patterns: an archive that is named by mistake is not searched for minutes.
_DEPTH, _MOST_FILES, _MOST_PATTERNS = 4, 200_000, 20
_SEPARATOR = r"[_\-. ]"
_IMAGE_WORDS = ("image", "images", "img", "imgs", "im", "ct", "mr", "mri", "t1", "t2", "flair", "scan", "volume", "vol")
_MASK_WORDS = (
    *("mask", "masks", "msk", "seg", "segmentation", "label", "labels", "gt", "groundtruth", "manual", "roi"),
    *("annotation", "maske", "masken", "segmentierung", "masque", "mascara", "maschera"),
)
_MASK_FOLDERS = re.compile(r"(mask|label|seg|annotation|annot|gt|ground.?truth|manual)", re.IGNORECASE)
_IMAGE_FOLDERS = re.compile(r"(image|img|scan|volume|data|ct|mr)", re.IGNORECASE)


def _with_stars(pattern: str) -> str:
    path = PurePosixPath(pattern)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError("expected a pattern inside `root`, without a leading / and without ..")
    if "*" not in pattern or "**" in pattern:
        raise ValueError(f"expected a pattern with one * or several, which pair images and masks, found '{pattern}'")
    if not pattern.lower().endswith(paths.SUFFIXES):
        raise ValueError(f"expected a pattern ending in {', '.join(paths.SUFFIXES)}")
    return pattern


_Pattern = Annotated[str, AfterValidator(_with_stars)]


class FolderLayout(listing.FileLayout):
    """Files in folders, each image paired with the mask whose name has the same part at each *.

    Files are volumes (NIfTI, NRRD, MHA, MHD) or pictures (PNG, JPEG, BMP, TIFF), by their endings.

    A case has the name that the * stands for (with / between those of several), and is a patient of its own unless
    `patient_pattern` says otherwise. Endings may be in capitals, accents in either form of Unicode. Hidden files are
    passed over.

    Args:
        root: the dataset's folder; may hold ${VARIABLES} and ~.
        images: where images are in `root`, with one *, as in "images/*.png" or "*/ct.nii.gz", or several, as in
            "*/*/image.png".
        masks: where masks are, with as many, as in "masks/*_mask.png".
        color: how an RGB picture becomes one channel: its luminance (ITU-R BT.601) or one of its colors.
        channel: which channel of multi-channel (4D) volumes, from 0; None if images have none.
        patient_pattern: regular expression with one group, searched for in the case's id; the group is the patient.
    """

    looked_for: ClassVar[str] = (
        "pairs of NIfTI, NRRD, MHA, PNG, JPEG, BMP or TIFF files, such as images/*.png + masks/*.png, "
        "imagesTr/*_0000.nii.gz + labelsTr/*.nii.gz, *.nii.gz + *_seg.nii.gz, */image.nrrd + */mask.nrrd, or "
        f"*/*/img.png + */*/mask.png; words that mean a mask: {', '.join(_MASK_WORDS)}"
    )

    kind: Literal["folder"] = "folder"
    root: paths.Root
    images: _Pattern
    masks: _Pattern
    color: paths.Color = "luminance"
    channel: NonNegativeInt | None = None
    patient_pattern: paths.PatientPattern = None

    @model_validator(mode="after")
    def _check_patterns_differ(self) -> FolderLayout:
        if self.images == self.masks:
            raise ValueError(f"images and masks have the same pattern '{self.images}'; name each by its own")
        if self.images.count("*") != self.masks.count("*"):
            raise ValueError(f"expected as many * in both patterns, found '{self.images}' and '{self.masks}'")
        return self

    def cases(self) -> list[listing.Case]:
        """The pairs of image and mask, in the order of their names; no pixel is read.

        Raises:
            DataError: the folder does not exist or holds no image.
            PartialListingError: images without mask, masks without image, or cases of unknown patients.
        """
        if not self.root.is_dir():
            raise DataError(f"the folder {self.root} does not exist", "set `root` to where the dataset is")
        masks = _matches(self.root, self.masks)
        # "*.nii.gz" also finds the masks "*_seg.nii.gz" of the same folder.
        images = {key: path for key, path in _matches(self.root, self.images).items() if path not in masks.values()}
        if not images or not masks:
            holds = f"{counted(len(images), 'file')} '{self.images}' and {counted(len(masks), 'file')} '{self.masks}'"
            raise DataError(f"{self.root} holds {holds}", "correct the pattern that fits no file, or add the files")
        paths.check_names(sorted(images.keys() | masks.keys()), str(self.root))
        ids = sorted(images.keys() & masks.keys())
        found = [(case_id, str(images[case_id]), str(masks[case_id]), None) for case_id in ids]
        unpaired = [
            DataError(f"the {this} has no {other} '{pattern}'", f"add the {other}, or move the {this} away", case=name)
            for this, other, pattern, here, there in (
                ("image", "mask", self.masks, images, masks),
                ("mask", "image", self.images, masks, images),
            )
            for name in sorted(here.keys() - there.keys())
        ]
        return listing.build_cases(found, self.patient_pattern, self.root, unpaired)

    @classmethod
    def recognize(cls, root: Path) -> listing.Recognized | None:
        """Patterns that pair the images of the folder `root` with its masks, by their names; None if no names do.

        Patterns that leave no file without a partner come first, then those that pair most files.

        Raises:
            DataError: its subfolders are datasets of their own, of which no pattern takes but a small part.
        """
        files = _files_under(root)
        best = _best_pairing(files)
        if best is None:
            return None
        rest = len(files) - 2 * best.pairs - best.alone
        if rest > len(files) / 2:
            _refuse_datasets(root, files, best)
        others = f"{counted(rest, 'other image is', 'other images are')} here that fit neither pattern"
        return listing.Recognized(
            what=f"pairs of {best.images} and {best.masks}",
            layout={"kind": "folder", "images": best.images, "masks": best.masks},
            remarks=(others,) if rest > 0 else (),
        )


def _matches(root: Path, pattern: str) -> dict[str, Path]:
    """The files that fit `pattern`, by the part that its * stands for, or parts with / between."""
    found: dict[str, Path] = {}
    # Only the * is a wildcard; a [ or ? in a folder's name is itself.
    ending = paths.ending_of(pattern)
    parts = pattern.removesuffix(ending).split("*")
    whole = re.compile("([^/]+)".join(map(re.escape, parts)) + f"(?i:{re.escape(ending)})")
    in_any_case = "".join(f"[{one.lower()}{one.upper()}]" if one.isalpha() else one for one in ending)
    for path in root.glob("*".join(map(glob.escape, parts)) + in_any_case):
        relative = path.relative_to(root)
        match = whole.fullmatch(relative.as_posix())
        if match and path.is_file() and not any(part.startswith(".") for part in relative.parts):
            key = unicodedata.normalize("NFC", "/".join(match.groups()))
            if key in found:
                twins = " and ".join(sorted(str(one.relative_to(root)) for one in (path, found[key])))
                problem = f"{root}: expected one file for each '{pattern}', found two that are called alike: {twins}"
                raise DataError(problem, "rename or remove one")
            found[key] = path
    return found


@dataclass(frozen=True, slots=True)
class _Pairing:
    """Two patterns, how many pairs they make, and how many files fit one of them and have no partner."""

    images: str
    masks: str
    pairs: int
    alone: int


def _best_pairing(files: Sequence[str]) -> _Pairing | None:
    """The patterns that leave no file alone and pair most; of those, near folders and words of images come first."""
    found = _patterns(files)
    largest = sorted(found, key=lambda pattern: -len(found[pattern]))
    masks = [pattern for pattern in largest if _means_masks(pattern)][:_MOST_PATTERNS]
    images = [pattern for pattern in largest if not _means_masks(pattern)][:_MOST_PATTERNS]
    tried = []
    for of_masks, of_images in product(masks, images):
        taken = set(found[of_masks].values())
        keys = {key for key, path in found[of_images].items() if path not in taken}
        if pairs := keys & found[of_masks].keys():
            tried.append(_Pairing(of_images, of_masks, len(pairs), len(keys ^ found[of_masks].keys())))
    return max(
        tried,
        key=lambda one: (
            one.alone == 0,
            one.pairs,
            -one.alone,
            -len(set(one.images.split("/")[:-1]) ^ set(one.masks.split("/")[:-1])),
            bool(_IMAGE_FOLDERS.search(one.images)),
            -len(one.images + one.masks),
        ),
        default=None,
    )


def _refuse_datasets(folder: Path, files: Sequence[str], best: _Pairing) -> None:
    """Refuse a folder of datasets, whose subfolders pair more than twice as many images each for itself."""
    below: dict[str, list[str]] = defaultdict(list)
    for name, _, inside in (path.partition("/") for path in files if "/" in path):
        below[name].append(inside)
    pairs = {name: one.pairs for name, inside in below.items() if (one := _best_pairing(inside)) is not None}
    if len(pairs) > 1 and sum(pairs.values()) > 2 * best.pairs:
        raise DataError(
            f"{folder}: expected the folder of one dataset, found {counted(best.pairs, 'pair')} of {best.images} and "
            f"{best.masks} among {counted(len(files), 'image')}, and datasets in its subfolders",
            f"name one of its subfolders: {listed([printable(name) for name in pairs], 8)}",
        )


def _files_under(folder: Path) -> list[str]:
    """Paths in the folder, with /, of files that an image may be read from; hidden ones are passed over."""
    found: list[str] = []
    for place, folders, names in os.walk(folder):
        inside = Path(place).relative_to(folder)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and len(inside.parts) < _DEPTH)
        files = sorted(name for name in names if not name.startswith(".") and name.lower().endswith(paths.SUFFIXES))
        found += [(inside / name).as_posix() for name in files]
        if len(found) > _MOST_FILES:
            break
    return found


def _patterns(files: Sequence[str]) -> dict[str, dict[str, str]]:
    """Patterns that the names suggest, and the files that fit each, by the part that its * stands for.

    The * stands for a whole name, for a name but its first or last word, or for a folder of each case. Such a word is
    one that means images or masks, nnU-Net's channel 0, or what all names of a folder begin with. A further * stands
    for folders that differ in their numbers only.
    """
    found: dict[str, dict[str, str]] = defaultdict(dict)
    groups: dict[tuple[str, str], list[tuple[str, str, str]]] = defaultdict(list)
    places = _numbered_folders([path.rpartition("/")[0] for path in files])
    for path in files:
        place, _, name = path.rpartition("/")
        if "*" in path:
            continue
        general, numbers = places[place]
        ending = paths.ending_of(name)
        groups[general, ending.lower()].append((numbers, unicodedata.normalize("NFC", name.removesuffix(ending)), path))
        top, slash, below = path.partition("/")
        if slash:
            found[f"*/{below}"][top] = path
        if numbers:
            found[general + name][numbers[:-1]] = path
    words = {*_IMAGE_WORDS, *_MASK_WORDS, "0000"}
    for (place, ending), files_there in groups.items():
        endings = {paths.ending_of(path) for *_, path in files_there}
        ending = endings.pop() if len(endings) == 1 else ending
        first_words = {re.split(_SEPARATOR, stem)[0] for _, stem, _ in files_there}
        for numbers, stem, path in files_there:
            parts = re.split(_SEPARATOR, stem)
            first, last = parts[0], parts[-1]
            found[f"{place}*{ending}"][numbers + stem] = path
            if (key := stem[: -len(last) - 1]) and last.casefold() in words:
                found[f"{place}*{stem[len(key) :]}{ending}"][numbers + key] = path
            if (key := stem[len(first) + 1 :]) and (first.casefold() in words or len(first_words) == 1):
                found[f"{place}{stem[: -len(key)]}*{ending}"][numbers + key] = path
    return found


def _numbered_folders(places: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Each folder with * for folders that differ in their numbers only, and the names of these; both with / behind."""
    parts = {place: place.split("/") if place else [] for place in places}
    general = dict.fromkeys(parts, ("", ""))
    for depth in range(_DEPTH):
        names: dict[str, set[str]] = defaultdict(set)
        for place, folders in parts.items():
            names[general[place][0]].update(folders[depth : depth + 1])
        numbered = {
            before
            for before, alike in names.items()
            if len(alike) > 1 and len({re.sub(r"\d+", "0", name) for name in alike}) == 1
        }
        for place, folders in parts.items():
            before, numbers = general[place]
            for name in folders[depth : depth + 1]:
                alike = before in numbered
                general[place] = (f"{before}*/", f"{numbers}{name}/") if alike else (f"{before}{name}/", numbers)
    return general


def _means_masks(pattern: str) -> bool:
    folder, _, name = pattern.rpartition("/")
    words = set(re.split(r"[^a-z0-9]+", name.casefold()))
    if words.intersection(_MASK_WORDS + _IMAGE_WORDS):
        return bool(words.intersection(_MASK_WORDS))
    named = [part for part in folder.split("/") if part != "*"]
    return "*" in name and bool(named) and _MASK_FOLDERS.search(named[-1]) is not None
