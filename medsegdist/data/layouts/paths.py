"""What the layouts share: options of theirs, and paths and names that are checked before they are used."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ValidationInfo

from medsegdist.errors import DataError, ManifestError
from medsegdist.words import counted

ITK_SUFFIXES = (".nrrd", ".mha", ".mhd")
VOLUME_SUFFIXES = (".nii.gz", ".nii", *ITK_SUFFIXES)
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
SUFFIXES = (*VOLUME_SUFFIXES, *PICTURE_SUFFIXES)

Color = Literal["luminance", "red", "green", "blue"]
"""How an RGB picture becomes one channel: its luminance (ITU-R BT.601) or one of its colors."""

DIRECTORY = "directory"  # key of the validation context under which relative roots are looked up
_VARIABLE = re.compile(r"\$\{([^}]*)\}")


def expand_path(text: str | os.PathLike[str], directory: Path | None = None) -> Path:
    """The path that a manifest's text stands for; a ValueError if a variable is not set or the home is unknown."""

    def value_of(match: re.Match[str]) -> str:
        name = match.group(1)
        if not os.environ.get(name):
            raise ValueError(f"the environment variable {name} is not set; set it to the folder that holds the data")
        return os.environ[name]

    try:
        path = Path(_VARIABLE.sub(value_of, os.fspath(text))).expanduser()
    except RuntimeError as error:
        raise ValueError(f"the home folder in '{os.fspath(text)}' is unknown; write it out") from error
    return (directory / path if directory is not None else path).absolute()


def _expand_root(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, (str, os.PathLike)):
        return value
    if not os.fspath(value):
        raise ValueError("the path is empty")
    return str(expand_path(value, (info.context or {}).get(DIRECTORY)))


def _one_group(pattern: str | None) -> str | None:
    if pattern is None:
        return None
    try:
        groups = re.compile(pattern).groups
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from error
    if groups != 1:
        raise ValueError(
            f"expected a regular expression with one group (the patient), found {counted(groups, 'group')}"
        )
    return pattern


Root = Annotated[Path, BeforeValidator(_expand_root)]
"""A folder, absolute once validated: ${VARIABLES} and ~ expanded, relative ones taken from the manifest's folder."""

PatientPattern = Annotated[str | None, AfterValidator(_one_group)]
"""A regular expression with one group, searched for in a case's id; the group is the patient."""


def inside(root: Path, entry: str) -> Path:
    """The file that a listing names, relative to `root` or by an absolute path, which must be under `root`."""
    if not PurePosixPath(entry).parts or not is_file_name(entry):
        raise ManifestError(f"expected a path inside {root}, found {ascii(entry)[:200]}", "correct the path")
    if Path(entry).is_absolute():
        # Either may be named by a link.
        for real in (os.path.normpath, os.path.realpath):
            whole = Path(real(entry))
            if whole.is_relative_to(real(root)):
                return root / whole.relative_to(real(root))
    path = PurePosixPath(entry)
    # A listing written on Windows has backslashes, which a POSIX path takes for part of a name.
    foreign = PureWindowsPath(entry)
    if path.is_absolute() or foreign.drive or foreign.root or ".." in foreign.parts or ".." in path.parts:
        problem = f"expected a path inside {root}, found '{entry}'"
        raise ManifestError(problem, "list files of that folder, or set `root` to one that holds them all")
    return root / path


def is_file_name(text: str) -> bool:
    """Whether a file can have this name: JSON and YAML can write characters that no disk takes."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def check_names(case_ids: list[str], where: str) -> None:
    """Refuse names that no report and no other file could hold, as old archives leave them."""
    wrong = [ascii(case_id) for case_id in case_ids if not is_file_name(case_id)]
    if wrong:
        raise DataError(f"{where}: expected names in UTF-8, found {', '.join(wrong)}", "rename these files")


def is_picture(source: object) -> bool:
    """Whether an image is read from a picture, which has no size in mm, by the file's ending."""
    return isinstance(source, (str, os.PathLike)) and os.fspath(source).lower().endswith(PICTURE_SUFFIXES)


def ending_of(name: str) -> str:
    """The ending that says the format, such as .nii.gz, as the name has it; empty if it is none that is read."""
    known = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return name[len(name) - len(known) :]


def without_suffix(name: str) -> str:
    """The file name `name` without the ending that says its format; `.nii.gz` counts as one ending."""
    return name.removesuffix(ending_of(name) or Path(name).suffix)


def case_names(files: Sequence[Path], root: Path | None = None, taken: Collection[str] = ()) -> list[str]:
    """What the case of each file is called; different files get different names.

    By the file's name without the ending. Where that repeats or is taken, all by their path below `root`, or else below
    the folder that they have in common; and where that repeats, with the ending.
    """
    above = [file.parent.parts for file in files] if root is None else [root.parts]
    shared = len(os.path.commonprefix(above))  # noqa: RUF071 (of parts, which may be on several drives)
    below = ["/".join(file.parts[shared:]) for file in files]
    for names in ([file.name for file in files], below):
        without = list(map(without_suffix, names))
        if len(set(without)) == len(set(files)) and set(without).isdisjoint(taken):
            return without
    return below
