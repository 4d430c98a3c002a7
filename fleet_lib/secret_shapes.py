"""What a kind of secret is made of, and the ways to write one down. The kinds are in secret_kinds and
secret_vendors.

No pattern uses `\\b`: to it, an underscore belongs to the word beside it.
"""

from __future__ import annotations

from collections.abc import Callable

from fleet_lib.compiled import compiled

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import re

_ASCII = 0x100  # re.ASCII
START = r"(?<![A-Za-z0-9])"
# Inside base64, `/` and `+` are no boundary.
_UNBROKEN = r"(?<![A-Za-z0-9+/])"

HEX = "0-9a-fA-F"
LOWER = "a-z0-9"
UPPER = "A-Z0-9"
ALNUM = "A-Za-z0-9"
SNAKE = "A-Za-z0-9_"
WORD = "A-Za-z0-9_-"
DOTS = "A-Za-z0-9_.-"
BASE64 = "A-Za-z0-9+/=_-"
_ESCAPED = str.maketrans({sign: "\\" + sign for sign in ".$+-/:"})
UUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"


class Kind:  # no record, since hundreds are made each time that a drainer starts
    def __init__(
        self,
        name: str,
        hints: tuple[str, ...],
        source: str,
        is_secret: Callable[[re.Match[str]], bool] | None = None,
        begins_with_hint: bool = False,
    ) -> None:
        self.name = name  # as the mask says it
        self.hints = hints
        self.source = source  # a regular expression
        self.is_secret = is_secret  # what the expression cannot say
        self.begins_with_hint = begins_with_hint  # so that it is tried only where a hint stands

    @property
    def pattern(self) -> re.Pattern[str]:
        return compiled(self.source, _ASCII)


def kind(
    name: str, hints: str, source: str, is_secret: Callable[[re.Match[str]], bool] | None = None
) -> Kind:
    """A kind by its expression. At least one of the hints, in small letters, must stand in every
    text that the expression matches; without a hint it is tried on every long word. A group named
    `secret` is what is masked, else the whole match."""
    return Kind(name, tuple(hints.split()), source, is_secret)


def token(name: str, prefixes: str, characters: str, least: int, start: str = START) -> Kind:
    """A prefix that means nothing else, and at least `least` of these characters."""
    source = rf"{start}{_either(prefixes)}[{characters}]{{{least},}}"
    return Kind(name, tuple(prefixes.lower().split()), source, begins_with_hint=True)


def mixed(name: str, prefixes: str, characters: str, least: int) -> Kind:
    """A prefix with which other words begin too, so what follows must hold a letter, and twice a
    digit or a change of case that no word has."""
    start = START if all(not prefix[-1].isalnum() for prefix in prefixes.split()) else _UNBROKEN
    chance = (
        rf"(?=(?:[{characters}]{{0,80}}?(?:[0-9]|[A-Z][a-z][A-Z])){{2}})"
        rf"(?=[{characters}]{{0,80}}?[A-Za-z])"
    )
    source = rf"{start}{_either(prefixes)}{chance}[{characters}]{{{least},}}"
    return Kind(name, tuple(prefixes.lower().split()), source, begins_with_hint=True)


def _either(prefixes: str) -> str:
    return f"(?:{'|'.join(prefixes.translate(_ESCAPED).split())})"
