"""Numbers with their nouns, and sentences with one mark at their end."""

from __future__ import annotations

import pytest

from medsegdist.words import counted, sentence


@pytest.mark.parametrize(
    ("number", "nouns", "said"),
    [
        (1, ("case",), "1 case"),
        (0, ("case",), "0 cases"),
        (2, ("case",), "2 cases"),
        (1, ("entry", "entries"), "1 entry"),
        (3, ("entry", "entries"), "3 entries"),
    ],
)
def test_one_is_no_plural(number, nouns, said):
    assert counted(number, *nouns) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [("a", "a."), ("a.", "a."), ("a..", "a."), ("a; did you mean 'b'?", "a; did you mean 'b'?"), ("a?.", "a?")],
)
def test_a_sentence_ends_once(text, said):
    assert sentence(text) == said
