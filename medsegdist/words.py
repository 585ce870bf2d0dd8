"""Small parts of messages: numbers with their nouns, and the end of a sentence."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number and what it counts: "1 case", "2 cases".

    Args:
        number: how many.
        noun: what one of them is called.
        plural: what several are called; empty adds an s.
    """
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"


def sentence(text: str) -> str:
    """`text` with one mark at its end: a full stop unless it is a question.

    Args:
        text: a message, whoever wrote it.
    """
    text = text.strip().rstrip(".")
    return text if text.endswith(("?", "!")) else f"{text}."
