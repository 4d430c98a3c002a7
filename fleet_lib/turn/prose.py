"""The structure of a message: its blocks, and the sentences in them. What a sentence means is not
decided here.

A message may be of any size, so only its beginning and its end are read (`READ_LIMIT`): what it
says first and what it says last.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from fleet_lib.compiled import compiled
from fleet_lib.lazy import lazy
from fleet_lib.records import Record
from fleet_lib.turn.blocks import COMMONMARK, BlockParser

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import re
    from typing import Literal

    from fleet_lib.turn.blocks import Block as Token

    Kind = Literal["paragraph", "item", "heading", "code", "table", "rule", "quote"]

READ_LIMIT = 20_000  # characters that are read of a message's beginning, and of its end
_KEPT = 32  # texts whose sentences are kept: several questions are asked of each
HIDDEN = "\ue000"  # stands for each character of code, of an address and of a quotation

# A line that may begin something else than a paragraph: a list, a heading, a quotation, a table,
# code, a rule, the definition of a link. Or one with a rare blank at its end, which is trimmed or
# not by the version of the parser.
_MAY_BE_MARKUP = lazy(
    r"(?m)^[ \t]*(?:[-+*#>`~_|:\[]|[0-9])|^ {0,3}\t|^ {4}|^[ \t]*[^\S \t\n]|[^\S \t\n][ \t]*$"
)

_FENCE = lazy(r"(?m)^[ >]*(`{3,}|~{3,})([^\n]*)$")
_MARKUP = lazy(
    r"(?P<ticks>`{1,5})(?!`)(?P<code>[^`]{1,500}?|[^`](?:[^\n]{0,300}?[^`])?)(?<!`)(?P=ticks)(?!`)"
    r"|!?\[(?P<text>[^\[\]]{0,500})\]\((?P<target>[^()\s]{0,500}(?:\([^()\s]{0,100}\))?["
    r"^()\s]{0,100})\)"
    r"|<?(?P<url>\b(?:https?|file|ftp|wss?)://[^\s<>)\]`*]+|\bwww\.[^\s<>)\]`*]+)>?"
    r"|(?P<tag></?(?:a|b|br|code|details|div|em|h[1-6r]|i|img|kbd|li|ol|p|pre|s|small|span|strong"
    r"|sub|summary|sup|table|t(?:body|d|h|head|r)|u|ul)\b[^<>\n]{0,200}>|<!--[^\n]{0,500}?-->)"
    r"|(?P<mark>\*\*|~~|__(?=\w)|(?<=\w)__"
    r"|(?<!\w)(?P<pair>[*_])(?=[^\s*_](?:[^*_\n]{0,300}[^\s*_/(\[])?(?P=pair)(?![\w/]|\.\w))"
    r"|(?<=[^\s/(\[])[*_](?![\w/]|\.\w)|\\(?=[^\w\s]))"
)
_MAY_HAVE_INLINE = lazy(r"[`\[<*~_\\]|://|www\.")
_MAY_HAVE_QUOTATION = lazy(r"[“„«「『\"‘']")
_FILE = lazy(r"[\w@./\\-]*[./\\_][\w@./\\-]*(?::[\d:-]+)?")
_QUOTATION = lazy(
    r"“[^“”\n]{1,400}”|„[^„“”\n]{1,400}[“”]|«[^«»\n]{1,400}»|「[^「」\n]{1,400}」|『[^『』\n]{1,400}』"
    r"|(?<![\w\"])\"[^\"\n]{1,400}\"(?!\w)|‘[^‘’\n]{2,400}’(?!\w)|(?<![\w'])'[^'\n]{2,200}'(?!\w)"
)
_CLOSING = "*_`)\\]\"'”’»」』）"
_END = lazy(
    rf"[.!?…‽⁇⁈⁉]+[{_CLOSING}]*(?=\s|\Z)|[!?]+[{_CLOSING}]*(?=[{HIDDEN}\W])(?=[^\w\s.,;:)/|-])"
    rf"|[。！？؟｡।]+[…!?！？]*[{_CLOSING}]*|(?<=[\u0370-\u03ff\u1f00-\u1fff])[;\u037e]["
    rf"{_CLOSING}]*(?=\s|\Z)"
    r"|\n"
)
_ABBREVIATION = lazy(
    r"(?i)\b(?:e\.g|i\.e|vs|cf|approx|incl|resp|d\.h|z\.b|p\.ej|mr|mrs|dr|fig)\.\Z",
)
# A line that begins like this is no continuation of the line before it.
_NEW_LINE = lazy(
    r"\s*(?:\*\*|__|[-*+•·▪→▶►✓✔✅❌⚠☐☑]|[0-9]{1,3}[.):]\s|[(]?[A-Za-z0-9][.)]\s"
    r"|[^\w\s\"'“‘(\[`<¿¡*_~$@/.\\-])"
)


class Block(Record):
    """One block, in the order of the message."""

    kind: Kind
    text: str  # markdown, lines as they were written; of code and of a table what was written
    depth: int = 0  # of lists around it
    list_number: int = 0  # items of one outermost list share it
    is_ordered: bool = False


class Sentence(Record):
    """A sentence without its markup."""

    text: str
    masked: str  # of the same length, with HIDDEN for code, addresses and quotations


def first_blocks(message: str) -> tuple[Block, ...]:
    """The blocks of a message's beginning."""
    if len(message) <= READ_LIMIT:
        return _blocks(message)
    cut = message.rfind("\n", 0, READ_LIMIT)
    return _blocks(message[: cut if cut > 0 else READ_LIMIT])


def last_blocks(message: str) -> tuple[Block, ...]:
    """The blocks of a message's end."""
    if len(message) <= READ_LIMIT:
        return _blocks(message)
    cut = message.find("\n", len(message) - READ_LIMIT) + 1
    cut = cut or len(message) - READ_LIMIT
    return _blocks(_open_fence(message[:cut]) + message[cut:])


@lru_cache(maxsize=_KEPT)
def sentences(text: str) -> tuple[Sentence, ...]:
    """The sentences of a block's text, without their markup."""
    plain, masked = _without_markup(text)
    found: list[Sentence] = []
    start = 0
    for end in _sentence_ends(masked):
        part = masked[start:end]
        left = start + len(part) - len(part.lstrip())
        right = start + len(part.rstrip())
        if right > left:
            found.append(Sentence(plain[left:right], masked[left:right]))
        start = end
    return tuple(found)


def plain(text: str) -> str:
    """Inline markdown as words: links to their text, emphasis and code marks away."""
    return _without_markup(text)[0]


# --- blocks -----------------------------------------------------------------------------------


def _open_fence(before: str) -> str:
    """The opening line of the fence that is not closed in a text, or ""."""
    opened = ""
    for match in _FENCE.finditer(before):
        if not opened:
            opened = match[1]
        elif match[1].startswith(opened) and not match[2].strip():
            opened = ""
    return f"{opened}\n" if opened else ""


@lru_cache(maxsize=2)  # what a message asks and what it says first are read of the same blocks
def _blocks(text: str) -> tuple[Block, ...]:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not _MAY_BE_MARKUP.search(text):  # as the parser sees it, without importing the parser
        paragraphs = compiled(r"\n(?:[ \t]*\n)+").split(text.replace("\0", "\ufffd"))
        return tuple(Block("paragraph", one.strip()) for one in paragraphs if one.strip(" \t\n"))
    return tuple(_Walk(text).blocks())


# Without "lheading", since models write `---` under a line to draw a rule, not to make a heading.
_PARSER = BlockParser((COMMONMARK | {"table"}) - {"lheading", "html_block"})


class _Walk:
    """The parser's tokens, walked once."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._tokens = _PARSER.parse(text)
        self._lists: list[bool] = []  # of each open list: whether it is ordered
        self._number = 0
        self._quotes = 0

    def blocks(self) -> Iterator[Block]:
        inside = ""  # the heading or table that is open
        for token in self._tokens:
            match token.type:
                case "bullet_list_open" | "ordered_list_open":
                    self._number += not self._lists
                    self._lists.append(token.type == "ordered_list_open")
                case "bullet_list_close" | "ordered_list_close":
                    self._lists.pop()
                case "blockquote_open" | "blockquote_close":
                    self._quotes += token.nesting
                case "heading_open" | "table_open":
                    inside = token.type.removesuffix("_open")
                    if inside == "table":
                        yield from self._table(token)
                case "heading_close" | "table_close":
                    inside = ""
                case "fence" if token.info.split()[:1] == ["briefing"]:
                    pass  # it is read apart from the message
                case "fence" | "code_block":
                    yield self._block("code", token.content)
                case "hr":
                    yield self._block("rule", "")
                case "inline" if inside == "heading":
                    yield self._block("heading", token.content)
                case "inline" if not inside:
                    yield from self._paragraph(token)

    def _block(self, kind: Kind, text: str) -> Block:
        if self._quotes:
            kind = "quote"
        if not self._lists:
            return Block(kind, text)
        kind = "item" if kind == "paragraph" else kind
        return Block(kind, text, len(self._lists), self._number, self._lists[-1])

    def _paragraph(self, token: Token) -> Iterator[Block]:
        """A paragraph. In a list or a quotation, lines that forgot their indentation or their `>`
        and begin a sentence are a paragraph of their own."""
        lines = token.content.split("\n")
        cut = len(lines)
        if (self._lists or self._quotes) and token.map:
            for index in range(1, len(lines)):
                raw = self._lines[token.map[0] + index]
                is_lazy = not raw.lstrip().startswith(">") if self._quotes else raw == raw.lstrip()
                if is_lazy and not lines[index][:1].islower():
                    cut = index
                    break
        yield self._block("paragraph", "\n".join(lines[:cut]))
        if cut < len(lines):
            yield Block("paragraph", "\n".join(lines[cut:]))

    def _table(self, token: Token) -> Iterator[Block]:
        """A table. A line without a bar that follows it directly is a paragraph of its own."""
        first, end = token.map or (0, 0)
        lines = self._lines[first:end]
        cut = next((index for index, line in enumerate(lines) if "|" not in line), len(lines))
        yield self._block("table", "\n".join(lines[:cut]))
        if rest := "\n".join(lines[cut:]).strip():
            yield Block("paragraph", rest)


# --- sentences --------------------------------------------------------------------------------


@lru_cache(maxsize=_KEPT)
def _without_markup(text: str) -> tuple[str, str]:
    """(the words without their markup, the same with HIDDEN for what is not the author's words)."""
    plain = hidden = text
    if _MAY_HAVE_INLINE.search(text):
        plain, hidden = _without_inline(text)
    if _MAY_HAVE_QUOTATION.search(hidden):
        hidden = _QUOTATION.sub(lambda match: HIDDEN * len(match[0]), hidden)
    return plain, hidden


def _without_inline(text: str) -> tuple[str, str]:
    words: list[str] = []
    masked: list[str] = []

    def add(text: str, is_hidden: bool = False) -> None:
        words.append(text)
        masked.append(HIDDEN * len(text) if is_hidden else text)

    at = 0
    for match in _MARKUP.finditer(text):
        add(text[at : match.start()])
        at = match.end()
        if match["code"] is not None:
            add(match["code"].replace("\n", " "), is_hidden=True)
        elif match["text"] is not None:
            for part, is_hidden in _link_text(match["text"]):
                add(part, is_hidden)
        elif match["url"] is not None:
            url = match["url"].rstrip(".,;:!\"'")
            add(url, is_hidden=True)
            add(match["url"][len(url) :])
    add(text[at:])
    return "".join(words), "".join(masked)


def _link_text(text: str) -> Iterator[tuple[str, bool]]:
    """(part, whether it is code) of a link's text. A lone name of a file is code, too."""
    if _FILE.fullmatch(text):
        yield text, True
        return
    for index, part in enumerate(text.replace("**", "").split("`")):
        yield part, index % 2 == 1


def _sentence_ends(masked: str) -> Iterator[int]:
    """Where the sentences of a text end."""
    for match in _END.finditer(masked):
        if match[0] == "\n":
            before = masked[: match.start()][-60:].rstrip(" *_")
            after = masked[match.end() : match.end() + 40]
            if before[-1:] not in ":;,-–" or before[-1:] == ":":
                is_end = before[-1:] in ":" or _NEW_LINE.match(after) or before.endswith("\\")
                if is_end:
                    yield match.end()
        elif match[0].startswith(".") and _goes_on(masked, match):
            continue
        else:
            yield match.end()
    yield len(masked)


def _goes_on(masked: str, match: re.Match[str]) -> bool:
    """Whether a full stop ends an abbreviation, not a sentence."""
    if masked[match.end() : match.end() + 2].strip()[:1].islower():
        return True
    return match[0] == "." and bool(_ABBREVIATION.search(masked[: match.end()][-12:]))
