"""What the READMEs show, as a Markdown parser reads it, and the place where their commands can run.

The place is small phantom datasets under the names that they use for the reader's own files: STUDY.yaml,
DATASET.yaml, sent.json and so on. A command runs there word for word, except for what `SUBSTITUTES` lists.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer
import yaml
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from medsegdist.cli import app
from tests.recommend.planted import library, write
from tests.synthetic import TRAINING
from tests.test_cli import write_dataset

ROOT = Path(__file__).parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for pattern in ("README.md", "[!.]*/README.md", "medsegdist/*/README.md", "scripts/results/*/README.md")
    for path in sorted(ROOT.glob(pattern))
}
"""The READMEs by their places in the checkout."""

ORGANS = {"Liver": "liver", "Spleen": "spleen", "Lung": "lung_tumor"}
"""The datasets of STUDY.yaml, whose target is the first: phantoms of 10 patients with one slice each."""

PREPROCESSING = {"grid": [32, 32], "min_pixels": 3}

# What README's placeholders stand for, where a file of that name in the place is not enough. `DIR` is one after --out.
SUBSTITUTES = {
    "--target DIR": "--target pictures/target",
    "--source DIR": "--source pictures/source",
    "--dataset SOURCE": "--dataset Spleen",
    "--target TARGET": "--target Liver",
    "TaskXX_Name": "Task11_Name",
    "LIBRARY...": "library",
    " ...": " STUDY.yaml --method euclidean --no-report",
    "tcp://HOST:8786": "tcp://localhost:8786",
}


@dataclass(frozen=True)
class Block:
    """A fenced or indented block.

    Args:
        kind: the word after the fence; "" where there is none.
        content: its lines, without the indentation of a list around it.
        line: where it begins, counted from 1.
        page: the README.
    """

    kind: str
    content: str
    line: int
    page: str = "README.md"

    def __str__(self) -> str:
        first = next(iter(self.content.splitlines()), "")
        return f"{self.page}, line {self.line}: {first.strip()[:50]}"


def blocks(text: str, page: str = "README.md") -> list[Block]:
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    found = [token for token in tokens if token.type in ("fence", "code_block")]
    return [Block(token.info.strip(), token.content, (token.map or [0])[0] + 1, page) for token in found]


def spans(text: str) -> list[str]:
    """Every `code span` once, in order."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    inline = (child for token in tokens if token.type == "inline" for child in token.children or ())
    return list(dict.fromkeys(child.content for child in inline if child.type == "code_inline"))


def links(text: str) -> list[str]:
    """Where links and pictures lead to."""
    inline = (child for token in MarkdownIt("commonmark").parse(text) for child in token.children or ())
    found = [child.attrs.get("href") or child.attrs.get("src") for child in inline]
    return [str(one) for one in found if one]


def anchors(text: str) -> set[str]:
    """What GitHub calls the headings."""
    tokens = MarkdownIt("commonmark").parse(text)
    titles = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    return {"#" + re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands_of(block: Block) -> list[str]:
    """The commands of a shell block, without comments."""
    words = (shlex.split(line, comments=True) for line in block.content.splitlines())
    return [shlex.join(one) for one in words if one]


def substituted(command: str) -> list[str]:
    for placeholder, thing in SUBSTITUTES.items():
        command = command.replace(placeholder, thing)
    return shlex.split(command)


def command_at(words: list[str]) -> tuple[Any, list[str]]:
    """The command of `medsegdist` that words lead to, and what they hand to it and to the groups above it.

    Raises:
        ValueError: there is no such command.
    """
    command: Any = typer.main.get_command(app)
    options = []
    for word in words:
        if word.startswith("-") or not hasattr(command, "commands"):
            options.append(word)
        elif word in command.commands:
            command = command.commands[word]
        else:
            raise ValueError(f"no command '{word}' in `medsegdist {shlex.join(words)}`")
    return command, options


def unknown_options(words: list[str]) -> list[str]:
    """Which options in the words of a `medsegdist` command it does not have."""
    command, given = command_at(words)
    known = {option for one in (command, typer.main.get_command(app)) for option in options_of(one)}
    return [word for word in given if word.startswith("-") and word.split("=")[0] not in known]


def options_of(command: Any) -> set[str]:
    own = {option for one in command.params for option in (*one.opts, *one.secondary_opts) if option.startswith("-")}
    return own | {"--help"}


def all_options(command: Any = None) -> set[str]:
    command = command or typer.main.get_command(app)
    below: Iterator[Any] = iter(getattr(command, "commands", {}).values())
    return options_of(command).union(*(all_options(one) for one in below))


def script_options(script: Path) -> set[str]:
    """The options that a script's argparse knows, as they stand in its source."""
    source = script.read_text(encoding="utf-8")
    return {
        option
        for call in re.findall(r"add_argument\(([^)]*)", source)
        for option in re.findall(r'"(--?\w[\w-]*)"', call)
    }


def run(*words: str | Path) -> str:
    """`medsegdist` with these words, in process and in the current folder; what it showed."""
    result = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "120"})
    assert result.exit_code == 0, (words, result.exit_code, result.output, result.exception)
    return result.output


def phantom(name: str) -> dict[str, Any]:
    layout = {"kind": "phantom", "organ": ORGANS[name], "patients": 10, "slices": 1, "size": [64, 64]}
    return {"name": name, "modality": "CT", "layout": layout, "simulated": "everything"}


def small_study(**more: Any) -> dict[str, Any]:
    """A study of phantoms that any `distance:` or `transfer:` can be put into."""
    datasets = [phantom(name) for name in ORGANS]
    return {"name": "small", "preprocessing": PREPROCESSING, "datasets": datasets, "targets": ["Liver"], **more}


def make_place(folder: Path) -> None:
    """Fill the current folder, `folder`, with what README's placeholders name."""
    study = small_study(methods=["gmm2d"], distance={"components": 1, "classes": 2}, transfer=TRAINING)
    (folder / "STUDY.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    (folder / "DATASET.yaml").write_text(yaml.safe_dump(phantom("Liver")), encoding="utf-8")
    (folder / "other.yaml").write_text(yaml.safe_dump(phantom("Spleen")), encoding="utf-8")
    for name, seed in (("target", 0), ("source", 1)):
        write_dataset(folder / "pictures" / name, (8, 8 + seed), seed=seed)
    run("cards", "make", "other.yaml", "--like", "STUDY.yaml", "-o", ".")
    (folder / "Spleen.json").rename("sent.json")
    run("rank", "STUDY.yaml", "--bootstrap", "4", "--no-report", "--out", "out/demo")
    write(folder / "library", library(repetitions=1))
    run("paper", "--out", "paper")
    for name in ("distances", "gains"):
        shutil.copy(folder / "paper" / f"{name}.csv", folder / f"{name.upper()}.csv")
