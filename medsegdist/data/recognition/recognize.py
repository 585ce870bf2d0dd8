"""The layout of a folder, by looking at it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from medsegdist.data.layouts.paths import PICTURE_SUFFIXES, VOLUME_SUFFIXES
from medsegdist.data.problems import printable
from medsegdist.data.recognition import datalist, decathlon, dicom, folder, nnunet
from medsegdist.data.recognition.found import Found
from medsegdist.errors import DataError
from medsegdist.words import counted

_FAMILIES: tuple[tuple[str, Callable[[Path], Found | None]], ...] = (
    (decathlon.LOOKED_FOR, decathlon.recognize_decathlon),
    (nnunet.LOOKED_FOR, nnunet.recognize_nnunet),
    (datalist.LOOKED_FOR, datalist.recognize_datalist),
    (dicom.LOOKED_FOR, dicom.recognize_dicom),
    (folder.LOOKED_FOR, folder.recognize_pairs),
)
_NAMED = 5


def recognize(root: Path) -> Found:
    """What a folder is: the first layout that fits it.

    Args:
        root: the folder, or a datalist in it.

    Raises:
        DataError: it does not exist, no layout fits, or it is a folder of datasets; the message says what was looked
            for and what is there.
    """
    if root.is_file():
        found = datalist.recognize_datalist(root)
        if found is None:
            raise DataError(f"{root}: expected a folder, or {datalist.LOOKED_FOR}, found a file of another kind.")
        return found
    refuse_absent(root)
    for _, recognize_family in _FAMILIES:
        found = recognize_family(root)
        if found is not None:
            return found
    lines = [f"{root}: no layout was recognized. Looked for:"]
    lines += [f"  {looked_for}" for looked_for, _ in _FAMILIES]
    lines += [f"Found: {_contents(root)}.", _advice(root)]
    raise DataError("\n".join(lines))


def refuse_absent(root: Path) -> None:
    """Refuse what is neither a folder nor a file.

    Args:
        root: the folder, or a datalist in it.

    Raises:
        DataError: it does not exist.
    """
    if not root.is_file() and not root.is_dir():
        raise DataError(f"the folder {root} does not exist; name the folder that holds the images and their masks.")


def _contents(root: Path) -> str:
    """What lies in a folder, in a few words."""
    entries = sorted(path for path in islice(root.iterdir(), 10_000) if not path.name.startswith("."))
    folders = [f"{printable(path.name)}/" for path in entries if path.is_dir()]
    files = Counter(_ending(path.name) for path in entries if path.is_file())
    parts = [f"{count} {ending}" for ending, count in files.most_common(_NAMED)]
    if folders:
        more = ", ..." if len(folders) > _NAMED else ""
        count = counted(len(folders), "folder")
        parts.append(f"{count} ({', '.join(folders[:_NAMED])}{more})")
    return ", ".join(parts) or "nothing"


def _ending(name: str) -> str:
    known = next((suffix for suffix in (*VOLUME_SUFFIXES, *PICTURE_SUFFIXES) if name.lower().endswith(suffix)), "")
    return printable(known or Path(name).suffix or "without an ending")


def _advice(root: Path) -> str:
    """What to do, by what lies a floor lower."""
    below = sorted(path.parent.name for path in islice(root.glob("*/dataset.json"), _NAMED))
    if below:
        return f"These folders in it have a dataset.json: {', '.join(map(printable, below))}; name one of them."
    return "Name the folder that holds both, rename the files, or describe the dataset by hand as in data_manifests/."
