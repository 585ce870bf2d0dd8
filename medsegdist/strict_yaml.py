"""YAML files of anybody: plain values only, with what YAML passes over in silence refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from medsegdist.errors import DataError, ManifestError
from medsegdist.files import read_text
from medsegdist.words import did_you_mean

MAX_YAML_BYTES = 1 << 20
"""Larger YAML files are refused; every value of one is held several times while it is checked."""

_MOST_VALUES = 50_000


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping that a YAML file holds, made of plain values only.

    Keys given twice, merge keys (`<<`) and aliases inside of what an alias stands for are refused: YAML keeps the last
    of two keys silently, and a few lines of nested aliases stand for more values than any memory can hold.

    Args:
        path: a regular file of at most 1 MiB.

    Raises:
        ManifestError: there is no such file, it is no YAML, or it holds no mapping.
    """
    path = Path(path)
    try:
        content = yaml.load(read_text(path, max_bytes=MAX_YAML_BYTES), Loader=_StrictLoader)
    except FileNotFoundError as error:
        raise ManifestError(_missing(path)) from error
    except DataError as error:
        raise ManifestError(error.problem, error.remedy) from error
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error})") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ManifestError(f"{path}{place}: not valid YAML: {_yaml_problem(error)}.") from error
    # What PyYAML raises for a value that cannot be what its form or its tag says: 2001-99-99, !!bool maybe, [[[...
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ManifestError(f"{path}: not valid YAML: {type(error).__name__}: {str(error)[:200]}.") from error
    if not isinstance(content, dict):
        found = "an empty file" if content is None else f"{str(content)[:80]!r}"
        raise ManifestError(f"{path}: expected a mapping of keys to values, found {found}.")
    return content


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader, with what :func:`read_yaml` refuses."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.anchored = self.values = 0
        self.sizes: dict[str, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        is_alias = isinstance(event, yaml.AliasEvent)
        problem = ""
        if is_alias and self.anchored:
            problem = f"the alias *{event.anchor} is part of what another alias stands for; write it out"
        here, before = int(not is_alias and event.anchor is not None), self.values
        self.anchored += here
        node = None if problem else super().compose_node(parent, index)
        self.anchored -= here
        # What an alias stands for counts each time, as it is checked each time.
        self.values += self.sizes.get(event.anchor, 1) if is_alias else 1
        if self.values > _MOST_VALUES:
            problem = f"expected at most {_MOST_VALUES} values, found more; write fewer"
        if problem:
            raise yaml.constructor.ConstructorError(None, None, problem, event.start_mark)
        if here:
            self.sizes[event.anchor] = self.values - before
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                problem = f"the key '{key.value}' is given twice" if (key.tag, key.value) in seen else ""
                if key.tag == "tag:yaml.org,2002:merge":
                    problem = "merge keys (<<) are not read; write the keys out"
                if problem:
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add((key.tag, key.value))
        return node


def _yaml_problem(error: yaml.YAMLError) -> str:
    """What PyYAML found, and what to do about the commonest mistakes."""
    problem = str(getattr(error, "problem", None) or error)
    if "'\\t'" in problem:
        return f"{problem}; indent by spaces, as YAML takes no tabs"
    if problem.startswith("expected <block end>"):
        return "the indentation of this line differs from that of its neighbors; line it up with them"
    if problem == "mapping values are not allowed here":
        return f"{problem}; indent the line as its neighbors, or put a text that holds ': ' in quotes"
    return problem


def _missing(path: Path) -> str:
    """What was looked for, from where, and what it was probably meant to be."""
    start = f"{path}: expected a YAML file here, found none; the current folder is {Path.cwd()}"
    if not path.parent.is_dir():
        return f"{start}, and there is no folder {path.parent}."
    there = [file.name for file in path.parent.iterdir() if file.suffix.lower() in (".yaml", ".yml")]
    return f"{start}{did_you_mean(path.name, there) or '; correct the path, which is relative to that folder.'}"
