"""Secrets out of text before anything is stored. What a secret looks like stands in secret_kinds and
secret_names.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from fleet_lib import secret_names
from fleet_lib.lazy import lazy
from fleet_lib.secret_kinds import KINDS
from fleet_lib.secret_shapes import UUID, Kind

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import re

# Plain in YAML, so that a masked front matter still parses.
_MASK = "(redacted:{})"
_MASKED = lazy(r"\(redacted:[a-z0-9-]{1,40}\)")
_SHORTEST = 8  # characters; no shorter secret can be distinguished from a word
_SHORT = 200  # characters of a text that may come again
_ROUNDS = 5  # a mask can uncover a second secret beside it
# No secret without a hint is shorter, or has no digit.
_LONG_WORD = lazy(r"[A-Za-z0-9_.:/|+=-]{22,}")
_DIGIT = lazy(r"[0-9]")
# Of git and of most programs: neither is the form of a secret that needs no hint.
_HASH_OR_UUID = lazy(rf"[0-9a-f]{{40}}|{UUID}")
_PRIVATE_TAG = lazy(r"(?i)<(/?)private(?:\s*>|(?=[\s/>]|\Z))")

# What stands around a secret and is none of it. An underscore counts where it is emphasis.
_MARKUP = lazy(
    r"(?m)\x1b\[[0-9;]{0,20}[A-Za-z]"
    r"|^[ \t>]{0,8}(?:`{3,}|~{3,})[^\n`]{0,80}$"
    r"|(?<=\n)[ \t]{0,3}>[ \t>]{0,8}"
    r"|</?(?:b|strong|i|em|code|pre|td|th|tr|p|li|br|kbd|span|div|tt|a|summary|details)(?:[ /][^<>\n]{0,80})?>"
    r"|\\{1,7}[nrt\"'`*|/]"
    r"|%(?:2[0267BbFf]|3[AaDd]|22|27)"
    r"|&(?:quot|lt|gt|#39|amp|nbsp);"
    r"|[`*\"'“”‘’„«»「」『』\u200b\u200c\u200d\u2060\ufeff\u00a0\u3000]"
    r"|(?<![A-Za-z0-9_])_{1,2}(?=[A-Za-z0-9][^\s=]{0,100}_(?![A-Za-z0-9_]))|(?<=[A-Za-z0-9:.!?)])_{1,2}(?=[\s.,;:!?)|]|\Z)",
)
_MAY_BE_MARKUP = lazy(
    r"[\x1b`~<>\\%&_*\"'“”‘’„«»「」『』\u200b\u200c\u200d\u2060\ufeff\u00a0\u3000]"
)

_Span = tuple[int, int, int, str]  # start, end, place in the table, name of the kind


_WITHOUT_HINT = [place for place, kind in enumerate(KINDS) if not kind.hints]
_HINTS: dict[str, list[tuple[str, int]]] = {}  # by their first three letters
for _place, _kind in enumerate(KINDS):
    for _hint in _kind.hints:
        _HINTS.setdefault(_hint[:3], []).append((_hint, _place))


def redact(text: str) -> str:
    """The text with every secret replaced by a mask that names its kind. Idempotent.

    `<private>…</private>` is taken out whole; an unclosed one, or an unclosed key block, runs to
    the end of the text.
    """
    if len(text) < _SHORTEST:
        return text
    return _redacted_short(text) if len(text) <= _SHORT else _redacted(text)


def _redacted(text: str) -> str:
    if "<private" in text.lower():
        text = _without_private(text)
    if "\\_" in text:  # as markdown escapes an underscore
        bare = text.replace("\\_", "_")
        if len(_secrets(bare)) > len(_secrets(text)):
            text = bare
    for _ in range(_ROUNDS):
        spans = _secrets(text)
        if not spans:
            break
        text = _masked(text, spans)
    return text


_redacted_short = lru_cache(maxsize=256)(_redacted)  # a branch and a commit come again and again


def _secrets(text: str) -> list[_Span]:
    """Where the secrets are: in the text, and in a copy of it without markup."""
    if "(redacted:" in text:  # a mask is no secret, and no part of one
        text = _MASKED.sub(lambda mask: "(" * len(mask[0]), text)
    plain = text
    if _MAY_BE_MARKUP.search(text):
        plain = _MARKUP.sub(lambda markup: " " * len(markup[0]), text)
    lowered = _lowered(plain)
    copies = [(copy, _long_words(copy)) for copy in ((text,) if plain == text else (text, plain))]
    found: list[_Span] = []
    # There are hundreds of hints. The first three letters rule out most of them, in one step.
    beginnings = set(map("".join, zip(lowered, lowered[1:], lowered[2:], strict=False)))
    for place, kind in _possible(lowered, beginnings, any(words for _, words in copies)):
        for copy, words in copies:
            spans = _matches(kind, copy, lowered, words)
            found += [(*span, place, kind.name) for span in spans]
    found += [
        (*span, len(KINDS), "named-secret")
        for span in secret_names.find(text, plain, lowered, beginnings)
    ]
    return found


def _long_words(text: str) -> list[tuple[int, int]]:
    """Where the words are that may be a secret without a hint, each with the character after it."""
    return [
        (word.start(), word.end() + 1)
        for word in _LONG_WORD.finditer(text)
        if _DIGIT.search(word[0]) and not _HASH_OR_UUID.fullmatch(word[0])
    ]


def _possible(lowered: str, beginnings: set[str], has_long_words: bool) -> list[tuple[int, Kind]]:
    """The kinds of which a hint is in the text, and those that need none where there is a long
    word. Each with its place in the table."""
    places = {
        place
        for beginning in _HINTS.keys() & beginnings
        for hint, place in _HINTS[beginning]
        if hint in lowered
    }
    if has_long_words:
        places.update(_WITHOUT_HINT)
    return [(place, KINDS[place]) for place in sorted(places)]


def _matches(
    kind: Kind, text: str, lowered: str, words: list[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    for match in _found(kind, text, lowered, words):
        if kind.is_secret is None or kind.is_secret(match):
            yield match.span("secret" if "secret" in match.re.groupindex else 0)


def _found(
    kind: Kind, text: str, lowered: str, words: list[tuple[int, int]]
) -> Iterator[re.Match[str]]:
    """The matches of the pattern, looked for only where there can be one."""
    if not kind.hints:
        for start, end in words:
            yield from kind.pattern.finditer(text, start, end)
    elif not kind.begins_with_hint:
        yield from kind.pattern.finditer(text)
    else:
        for hint in kind.hints:
            start = lowered.find(hint)
            while start >= 0:
                match = kind.pattern.match(text, start)
                if match:
                    yield match
                start = lowered.find(hint, match.end() if match else start + 1)


def _masked(text: str, spans: list[_Span]) -> str:
    """Each span, and spans that overlap as one, replaced by the mask of the first kind."""
    pieces: list[str] = []
    end = 0
    for start, stop, _place, name in _merged(spans):
        pieces += [text[end:start], _MASK.format(name)]
        end = stop
    return "".join([*pieces, text[end:]])


def _merged(spans: list[_Span]) -> list[_Span]:
    merged: list[_Span] = []
    for span in sorted(spans):
        if merged and span[0] < merged[-1][1]:
            start, end, place, name = merged[-1]
            place, name = min((place, name), span[2:])
            merged[-1] = (start, max(end, span[1]), place, name)
        elif span[1] > span[0]:
            merged.append(span)
    return merged


def _lowered(text: str) -> str:
    """In small letters, and of the same length, which `İ` has not."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else text.replace("İ", "i").lower()


def _without_private(text: str) -> str:
    """`<private>` through the `</private>` that closes it, also where another stands inside."""
    kept, depth, end = [], 0, 0
    for tag in _PRIVATE_TAG.finditer(text):
        if not tag[1]:
            if not depth:
                kept += [text[end : tag.start()], _MASK.format("private")]
            depth += 1
        elif depth:
            depth -= 1
            end = tag.end()
    return text if not kept else "".join([*kept, "" if depth else text[end:]])
