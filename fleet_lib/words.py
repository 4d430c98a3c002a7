"""Text as the words by which a search compares it, and what a search asks for.

Letters lose their case, their accents and their width. Scripts that put no spaces between words
become single characters, so that a word inside a sentence is found as a phrase of them; so does
Korean, whose particles follow the word without a space.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import cache

from fleet_lib.compiled import compiled
from fleet_lib.lazy import lazy
from fleet_lib.records import Record

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import re

WORD_LIMIT = 100  # characters: longer ones are hashes and encoded files
_PART = 32_000  # characters

# Letters, signs and digits, without the punctuation between them.
_SINGLE = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e50-\u0e59"  # Thai
    "\u0e81-\u0edf"  # Lao
    "\u1000-\u1049\u1050-\u109d\ua9e0-\ua9fe\uaa60-\uaa76\uaa7a-\uaa7f"  # Burmese
    "\u1780-\u17d3\u17d7\u17dc\u17dd\u17e0-\u17e9"  # Khmer
    "\u1950-\u19dd\u1a20-\u1a99\uaa80-\uaadd"  # Tai
    "\u1100-\u11ff\ua960-\ua97c\uac00-\ud7fb"  # Korean
    "\u3005-\u3007\u3021-\u3029\u3031-\u3035\u303b\u303c\u3041-\u309a\u309d-\u309f"  # Japanese
    "\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\U0001b000-\U0001b16f"
    "\u3105-\u312f\u31a0-\u31bf\ua000-\ua48c"  # Bopomofo, Yi
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"  # Chinese
)
# Indic scripts, Tibetan, Thaana: a vowel sign is no letter to a regular expression, but it is part
# of the word.
_SIGNED = "\u07a6-\u07b0\u0900-\u0963\u0966-\u096f\u0971-\u0df3\u0f18-\u0f39\u0f3e-\u0fbc"
# Accents, and the vowel points of Hebrew and Arabic, which most people do not write.
_DROPPED = (
    "\u00ad\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
    "\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed"
    "\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f"
)
# Letters with a stroke have no accent that could be dropped; people type them without.
_STROKES = str.maketrans("øłđħŧı", "oldhti") | str.maketrans({"æ": "ae", "œ": "oe"})
_ASCII_WORD = lazy(r"[a-z0-9]+")
_COMMON_WORD = lazy(r"[^\W_]+")
_ACCENT = lazy(f"[{_DROPPED}]+")
_CHUNK = lazy(r'"([^"]*)"|([^\s"]+)')
# Whether a text may have scripts of the first two tables. They take milliseconds to compile, which
# is a tenth of a turn's cost, so that waits until one is met.
_MAY_BE_OTHER = lazy("[\u0700-\u1cff\u2e80-\ufaff\U0001b000-\U0001b16f\U00020000-\U000323af]")


@cache
def _word() -> re.Pattern[str]:
    return compiled(rf"[{_SINGLE}]|(?:[^\W_{_SINGLE}]|[{_SIGNED}])+")


@cache
def _run() -> re.Pattern[str]:
    """A word as it was written, in composed form: the marks that follow a letter are its accents."""
    letter = rf"[^\W_{_SINGLE}]|[{_SIGNED}]"
    return compiled(rf"[{_SINGLE}][{_DROPPED}]*|(?:{letter})(?:{letter}|[{_DROPPED}])*")


@cache
def _common_run() -> re.Pattern[str]:
    return compiled(rf"[^\W_](?:[^\W_]|[{_DROPPED}])*")


@cache
def _single() -> re.Pattern[str]:
    return compiled(f"[{_SINGLE}]")


def _is_single(word: str) -> bool:
    """Whether the word is one character of a script that is split."""
    return bool(_MAY_BE_OTHER.match(word) and _single().match(word))


class Phrase(Record):
    """Words that a search wants side by side."""

    words: tuple[str, ...]
    is_begun: bool = False  # the last word may be the beginning of a longer one

    def as_text(self) -> str:
        """What a text that `as_text` made contains where it contains this phrase."""
        return f" {' '.join(self.words)}{'' if self.is_begun else ' '}"


def words(text: str) -> list[str]:
    """The words of a text in order, as a search compares them."""
    if text.isascii():
        found = _ASCII_WORD.findall(text.lower())
    else:
        plain = _ACCENT.sub("", unicodedata.normalize("NFKD", text).casefold())
        composed = unicodedata.normalize("NFC", plain).translate(_STROKES)
        found = (_word() if _MAY_BE_OTHER.search(composed) else _COMMON_WORD).findall(composed)
    return [word[:WORD_LIMIT] for word in found] if len(text) > WORD_LIMIT else found


def as_text(text: str) -> str:
    """The words, each between two spaces: " two words "."""
    parts = [" ".join(words(part)) for part in _parts(text)]
    found = " ".join(filter(None, parts))
    return f" {found} " if found else ""


def _parts(text: str) -> Iterator[str]:
    """The text in parts that end between two words. A word in a list takes ten times its place in a
    text, so the words of half a megabyte are not in memory together."""
    start = 0
    while len(text) - start > _PART:
        end = max(text.rfind(gap, start + 1, start + _PART) for gap in " \n")
        if end < 0:
            break
        yield text[start:end]
        start = end
    yield text[start:]


def phrases(query: str) -> list[Phrase]:
    """What a query asks for: each of its words, literally. What stands between quotation marks, or
    in one piece as in `app.py`, is wanted side by side. The last word may be incomplete. Nothing is
    asked for by a query without a letter or a digit."""
    found: dict[Phrase, None] = {}
    chunks = list(_CHUNK.finditer(query))
    for number, chunk in enumerate(chunks, 1):
        quoted, plain = chunk.groups()
        parts = tuple(words(quoted if plain is None else plain))
        if parts:
            is_last = number == len(chunks) and plain is not None
            is_begun = is_last and not _is_single(parts[-1])
            found[Phrase(parts, is_begun)] = None
    return list(found)


def find(text: str, wanted: list[Phrase]) -> tuple[int, int] | None:
    """Where the first of these phrases stands in a text that is in composed form (NFC): its first
    and its last character, as positions for a slice."""
    places = list(_places(text))
    for at in range(len(places)):
        for phrase in wanted:
            if phrase.words[0][:1] == places[at][0][:1] and _starts_at(places, at, phrase):
                return places[at][1], places[at + len(phrase.words) - 1][2]
    return None


def _starts_at(places: list[tuple[str, int, int]], at: int, phrase: Phrase) -> bool:
    found = [place[0] for place in places[at : at + len(phrase.words)]]
    *whole, last = phrase.words
    if len(found) != len(phrase.words) or found[:-1] != whole:
        return False
    return found[-1] == last or (phrase.is_begun and found[-1].startswith(last))


def _places(text: str) -> Iterator[tuple[str, int, int]]:
    pattern = _run() if _MAY_BE_OTHER.search(text) else _common_run()
    for run in pattern.finditer(text):
        for word in words(run[0]):
            yield word, run.start(), run.end()


def pattern(wanted: list[Phrase]) -> str:
    """A regular expression that finds these phrases as most people write them, for highlighting."""
    import re  # a turn needs none of it

    return "|".join(
        ("" if _is_single(phrase.words[0]) else r"\b")
        + r"[\W_]*".join(map(re.escape, phrase.words))
        for phrase in wanted
    )
