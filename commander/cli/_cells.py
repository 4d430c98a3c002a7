"""How wide a text is on a terminal, in cells: a Chinese character takes two, an accent none. Cutting
and wrapping by that. No library is imported for it: a pipe gets aligned columns, too."""

import unicodedata
from collections.abc import Iterator


def width(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(map(_of_character, text))


def padded(text: str, cells: int) -> str:
    return text + " " * max(0, cells - width(text))


def cut(text: str, cells: int) -> str:
    """The text in at most so many cells, with an ellipsis if something is missing."""
    if width(text) <= cells:
        return text
    return _beginning(text, cells - 1).rstrip() + "…" if cells > 0 else ""


def wrapped(text: str, cells: int, lines: int) -> Iterator[str]:
    """The text in at most so many lines. It is broken at blanks, and within a word that is longer
    than a line, as a sentence without blanks is."""
    rest = text
    for _ in range(lines - 1):
        if width(rest) <= cells:
            break
        line = _beginning(rest, max(cells, 2))
        at = len(line) if rest[len(line) : len(line) + 1] == " " else line.rfind(" ")
        # A blank near the line's beginning would leave most of the line empty.
        line = line[:at] if at > len(line) // 2 else line
        yield line.rstrip()
        rest = rest[len(line) :].lstrip()
    if rest:
        yield cut(rest, cells)


def _beginning(text: str, cells: int) -> str:
    used = 0
    for at, character in enumerate(text):
        used += _of_character(character)
        if used > cells:
            return text[:at]
    return text


def _of_character(character: str) -> int:
    if character < "\u0300":
        return 1
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
