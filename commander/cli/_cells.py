"""How wide a text is on a terminal, in cells: a Chinese character takes two, an accent none. Cutting
and wrapping by that. No library is imported for it: a pipe gets aligned columns, too."""

import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text


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


def wrapped_text(text: "Text", cells: int) -> "Text":
    """rich's text in as many lines as it needs, each as wide as `wrapped` makes it. Its indentation,
    and the mark of a list's item, stay free in the other lines."""
    plain = text.plain
    at = free = len(plain) - len(plain.lstrip(" ")) + (2 if plain.lstrip(" ")[:2] == "- " else 0)
    made = text[:free]
    made.no_wrap, made.overflow = True, "ellipsis"
    for line in wrapped(plain[free:], max(cells - free, 2), len(plain) + 1):
        at = plain.index(line, at)
        if at > free:
            made.append("\n" + " " * free)
        made.append_text(text[at : at + len(line)])
        at += len(line)
    return made


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
