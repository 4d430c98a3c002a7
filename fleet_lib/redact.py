"""Secrets out of text before anything is stored. What a secret looks like stands in secret_kinds."""

import re

from fleet_lib.secret_kinds import KINDS, Kind

# Plain in YAML, so that a masked front matter still parses.
_MASK = "(redacted:{})"
_SHORTEST = 8  # characters; no shorter secret can be distinguished from a word
_LONG_WORD = re.compile(r"[\w.:-]{32,}")
_PRIVATE_TAG = re.compile(r"(?i)<(/?)private(?:\s*>|(?=[\s/>]|\Z))")


def redact(text: str) -> str:
    """The text with every secret replaced by a mask that names its kind. Idempotent.

    `<private>…</private>` is taken out whole; an unclosed one, or an unclosed key block, runs to
    the end of the text.
    """
    if len(text) < _SHORTEST:
        return text
    lowered = text.lower()
    if "<private" in lowered:
        text = _without_private(text)
    # Most texts hold no hint at all, and a plain `in` is a hundred times faster than a pattern.
    has_long_word = _LONG_WORD.search(text) is not None
    for kind in KINDS:
        is_possible = any([hint in lowered for hint in kind.hints]) if kind.hints else has_long_word  # noqa: C419 (a generator takes twice as long)
        if is_possible:
            text = _masked(kind, text)
    return text


def _masked(kind: Kind, text: str) -> str:
    mask = _MASK.format(kind.name)

    def replace(match: re.Match[str]) -> str:
        if "secret" not in match.re.groupindex:
            return mask
        start, end = (place - match.start() for place in match.span("secret"))
        whole = match[0]
        return whole[:start] + mask + whole[end:]

    return kind.pattern.sub(replace, text)


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
