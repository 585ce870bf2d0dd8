"""Numbers with their nouns, and sentences with one mark at their end."""

from __future__ import annotations

import ast
import re

import pytest

from medsegdist.words import counted, sentence

NOUNS = "cases|files|masks|images|folders|datasets|patients|problems|errors|channels|pairs|methods|sources|targets"
# Numbers that are never 1 where they stand, as the code above them sees to.
NEVER_ONE = {
    "folds",
    "pages",
    "n",
    "len(datasets)",
    "min_patients",
    "looks.cases",
    "len(image)",
    "len(images)",
    "shape[-1]",
    "cases[0].shape[1]",
    "FEWEST_PAIRS",
    "len(comparisons)",
    "having",
}


@pytest.mark.parametrize(
    ("number", "nouns", "told"),
    [
        (1, ("case",), "1 case"),
        (0, ("case",), "0 cases"),
        (2, ("case",), "2 cases"),
        (1, ("entry", "entries"), "1 entry"),
        (3, ("entry", "entries"), "3 entries"),
    ],
)
def test_one_is_no_plural(number, nouns, told):
    assert counted(number, *nouns) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [("a", "a."), ("a.", "a."), ("a..", "a."), ("a; did you mean 'b'?", "a; did you mean 'b'?"), ("a?.", "a?")],
)
def test_a_sentence_ends_once(text, told):
    assert sentence(text) == told


def test_no_message_puts_a_plural_behind_a_number_that_may_be_one(project_root):
    found = []
    for path in [*(project_root / "medsegdist").rglob("*.py"), *(project_root / "transforms").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.JoinedStr):
                continue
            for number, text in zip(node.values, node.values[1:], strict=False):
                if isinstance(number, ast.FormattedValue) and isinstance(text, ast.Constant):
                    said = ast.unparse(number.value)
                    if re.match(rf" ({NOUNS})\b", str(text.value)) and said not in NEVER_ONE:
                        found.append(f"{path.name}:{number.lineno}: {{{said}}}{text.value}")
    assert found == []
