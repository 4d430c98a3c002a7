"""The blocks of a markdown text, as markdown-it-py finds them.

Importing the whole library takes twice as long as starting Python, and most of it is for what stands
inside a block. So its block rules are imported alone, under a name of ours, and stand on the small
classes of this file; the library's own are made by `dataclasses`. A text with the definition of a
link needs more, and is left to the library; so is every text, should a later version of it be made
otherwise.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from functools import cache, cached_property
from types import ModuleType

from fleet_lib.lazy import lazy

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any, ClassVar, Protocol

    class Block(Protocol):
        """A token: a block's beginning, its end, or its text."""

        type: str
        tag: str
        nesting: int
        map: list[int] | None
        level: int
        content: str
        info: str


_NAME = "fleet_lib.turn.block_rules"
_SPECIAL = frozenset("()[]{}?*+-|^$\\.&~# \t\n\r\v\f")  # in a regular expression
# Those of CommonMark. Without "inline" no text can make the library slow.
COMMONMARK = frozenset(
    "blockquote code fence heading hr html_block lheading list reference paragraph".split()
)


class BlockParser:
    """A parser of blocks alone, by these of the library's rules."""

    def __init__(self, rules: Collection[str] = COMMONMARK) -> None:
        self._rules = rules

    def parse(self, text: str) -> list[Block]:
        if "]:" not in text:  # no definition of a link
            try:
                return self._light.parse(text)
            except (ImportError, AttributeError, TypeError, KeyError):
                pass  # another version of the library
        tokens: list[Block] = self._whole.parse(text)
        return tokens

    @cached_property
    def _light(self) -> _LightParser:
        return _LightParser(self._rules)

    @cached_property
    def _whole(self) -> Any:
        from markdown_it import MarkdownIt

        parser = MarkdownIt("commonmark").disable("inline")
        parser.disable([*(COMMONMARK - set(self._rules))])
        return parser.enable([*self._rules])


class _LightParser:
    """What the rules ask of the library's parser."""

    class _Options(dict[str, object]):
        maxNesting = 20

    def __init__(self, rules: Collection[str]) -> None:
        self.options = self._Options(html=True, maxNesting=20)
        self.block = _block_rules().ParserBlock()
        self.block.ruler.enabled = rules

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def parse(self, text: str) -> list[Block]:
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
        tokens: list[Block] = []
        self.block.parse(text, self, {}, tokens)
        return tokens


@cache
def _block_rules() -> Any:
    """The library's module `parser_block`. Raises ImportError."""
    finder = sys.modules["_frozen_importlib_external"].PathFinder  # importlib.machinery's
    spec = finder.find_spec("markdown_it")
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError("markdown_it")
    package = ModuleType(_NAME)
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules[_NAME] = package
    ours: dict[str, dict[str, object]] = {
        "token": {"Token": _Token},
        "ruler": {"StateBase": _StateBase, "Ruler": _Ruler},
        "utils": {"EnvType": dict},
        "common.entities": {"entities": {}},  # only what stands inside a block has them
    }
    modules = {f"{_NAME}.{name}": contents for name, contents in ours.items()}
    # Each rule says that it was entered, which is not read, and has expressions of which a text needs
    # few. Without threads no other import can meet this.
    if is_alone := not {"logging", "threading"} & sys.modules.keys():
        modules["logging"] = {"getLogger": lambda _: _Silence()}
        modules["re"] = {"compile": lazy, "escape": _escape, "IGNORECASE": 2, "Match": object}
        modules["typing"] = {"TYPE_CHECKING": False, "Literal": _Generic, "TypeVar": _Generic}
    real = {name: sys.modules.get(name) for name in modules}
    for name, contents in modules.items():
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__dict__.update(contents)
    try:
        return __import__(f"{_NAME}.parser_block", fromlist=["ParserBlock"])
    finally:
        for name in ("logging", "re", "typing") if is_alone else ():
            del sys.modules[name]
            if module := real[name]:
                sys.modules[name] = module


def _escape(text: str) -> str:
    """As `re.escape` does it."""
    return "".join(f"\\{char}" if char in _SPECIAL else char for char in text)


class _Generic:
    """Stands for what is written for a type checker."""

    __class_getitem__: ClassVar = classmethod(lambda cls, _: cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass


class _Silence:
    def debug(self, *_: object) -> None:
        """Say nothing."""


class _Token:
    def __init__(self, type: str, tag: str, nesting: int) -> None:
        self.type, self.tag, self.nesting = type, tag, nesting
        self.attrs: dict[str, Any] = {}
        self.meta: dict[str, Any] = {}
        self.map: list[int] | None = None
        self.children = None
        self.level = 0
        self.content = self.markup = self.info = ""
        self.block = self.hidden = False


class _StateBase:
    def __init__(self, src: str, md: object, env: object) -> None:
        self.src, self.md, self.env = src, md, env


class _Ruler:
    """Rules in the order in which they are tried: all, and those that may end another block."""

    __class_getitem__: ClassVar = classmethod(lambda cls, _: cls)

    def __init__(self) -> None:
        self.enabled: Collection[str] = ()
        self._rules: list[tuple[str, Callable[..., bool], Collection[str]]] = []
        self._chains: dict[str, list[Callable[..., bool]]] = {}

    def push(self, name: str, rule: Callable[..., bool], options: dict[str, list[str]]) -> None:
        self._rules.append((name, rule, options["alt"]))

    def get_active_rules(self) -> list[str]:
        return [name for name, _, _ in self._rules if name in self.enabled]

    def getRules(self, chain: str) -> list[Callable[..., bool]]:
        if chain not in self._chains:
            self._chains[chain] = [
                rule
                for name, rule, alt in self._rules
                if name in self.enabled and (not chain or chain in alt)
            ]
        return self._chains[chain]
