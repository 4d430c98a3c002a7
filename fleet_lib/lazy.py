"""Regular expressions that are compiled when they are first needed, and once for all processes. The
large ones take milliseconds each, which would be most of what a turn costs, and an ordinary turn
needs few of them."""

from __future__ import annotations

import marshal
from collections.abc import Iterable
from functools import lru_cache

from fleet_lib.compiled import checksum, compiled, kept

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import re
    from typing import Any, AnyStr

_METHODS = ("search", "match", "fullmatch", "findall", "finditer", "split", "sub", "subn")
_SPECIAL = frozenset("\\[{(|.^$*+?")
_Literals = tuple[str, ...]


def lazy(source: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """`re.compile` at the first use."""
    pattern: Any = _Lazy(source, flags)
    stands_for: re.Pattern[AnyStr] = pattern
    return stands_for


class _Lazy:
    def __init__(self, source: str | bytes, flags: int) -> None:
        self._source, self._flags = source, int(flags)

    def __getattr__(self, name: str) -> Any:
        pattern = compiled(self._source, self._flags)
        # From now on this class is no detour.
        self.__dict__.update({method: getattr(pattern, method) for method in _METHODS})
        return getattr(pattern, name)


# Literal characters (the last one apart if a quantifier follows that allows none of it), an escape,
# a class, the beginning or the end of a group, a quantifier, or a single character.
_PARTS = (
    r"(?s)[^\\\[{}()|.^$*+?]+(?![*?{])|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]"
    r"|\(\?(?:[:=!]|<[=!]|P<\w+>)|[()|]|(?:[*+?]|\{\d*,?\d*\})[?+]?|."
)
_PART = lazy(_PARTS)


class AnyOf:
    """A table of regular expressions without flags. Each is compiled when a text contains letters
    without which it cannot match."""

    def __init__(self, sources: Iterable[str]) -> None:
        self._sources = tuple(sources)
        self._patterns: list[re.Pattern[str]] = []
        # (literal, number of its expression), by the literal's first three letters
        self._literals: dict[str, list[tuple[str, int]]] = {}
        self._short: list[tuple[str, int]] = []  # literals of fewer letters
        self._always: list[int] = []  # those without a literal

    def search(self, text: str) -> bool:
        """Whether one of them matches somewhere in the text."""
        if not self._patterns:
            self._begin()
        known, literals = self._patterns, self._literals
        possible = set(self._always)
        # There are hundreds of literals. Their first letters rule out most of them, in one step.
        for three in literals.keys() & _threes(text):
            possible.update([number for literal, number in literals[three] if literal in text])
        possible.update([number for literal, number in self._short if literal in text])
        return any(known[number].search(text) for number in possible)

    def _begin(self) -> None:
        for number, needs in enumerate(_needed_of(self._sources)):
            if not needs:
                self._always.append(number)
            for literal in needs:
                if len(literal) < 3:
                    self._short.append((literal, number))
                else:
                    self._literals.setdefault(literal[:3], []).append((literal, number))
        self._patterns = [lazy(source) for source in self._sources]


@lru_cache(maxsize=16)  # several tables look at the same sentence
def _threes(text: str) -> frozenset[str]:
    """All strings of three letters in a text."""
    return frozenset(map("".join, zip(text, text[1:], text[2:], strict=False)))


def _needed_of(sources: tuple[str, ...]) -> tuple[_Literals, ...]:
    """`needed` of each. It takes as long as compiling them, so it is kept from one process to the
    next, as long as nothing of it changes."""
    parts = (needed.__code__, _needed.__code__, _may_be_left_out.__code__, _best.__code__, _PARTS)

    def found() -> tuple[_Literals, ...]:
        return tuple(needed(source) for source in sources)

    try:
        key = (checksum(marshal.dumps(parts)), sources)
    except ValueError:  # a tool has changed the code in memory, as one that measures coverage does
        return found()
    return kept(key, found)


def needed(source: str) -> _Literals:
    """Literals of which each match of this expression contains at least one; () if none are sure."""
    return _needed(_PART.findall(source)[::-1])


def _needed(parts: list[str]) -> _Literals:
    """The same for what is left of an expression's parts (the next one is the last) up to the end of
    their group, which is taken off."""
    branches: list[_Literals] = []
    found: list[_Literals] = []  # each is needed by the current branch
    run = ""  # the literal characters that end here
    while parts and (part := parts.pop()) != ")":
        if part[0] not in _SPECIAL and not _may_be_left_out(parts):
            run += part
            continue
        if run:
            found.append((run,))
            run = ""
        if part[0] == "(":
            inner = _needed(parts)
            if inner and not _may_be_left_out(parts) and part not in ("(?!", "(?<!"):
                found.append(inner)
        elif part == "|":
            branches.append(_best(found))
            found = []
    branches.append(_best([*found, (run,)] if run else found))
    return () if () in branches else tuple(literal for branch in branches for literal in branch)


def _may_be_left_out(parts: list[str]) -> bool:
    """Whether the quantifier that comes next, if one does, allows that nothing is there."""
    return bool(parts) and parts[-1][0] in "*?{"


def _best(found: list[_Literals]) -> _Literals:
    """The set whose shortest literal is the longest."""
    return max(found, key=lambda literals: min(map(len, literals)), default=())
