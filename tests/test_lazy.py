"""What spares a turn its imports and its compilations gives the same answers: records as dataclasses,
words as one large expression, paragraphs as the parser's."""

import dataclasses
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from support import ROOT

from fleet_lib import redact
from fleet_lib.lazy import AnyOf, lazy, needed
from fleet_lib.records import MutableRecord, Record, as_dict, field, replace
from fleet_lib.turn import asking_words, blocks, prose, sections, transcript
from fleet_lib.turn.asks import _key

CASES = json.loads((ROOT / "tests" / "cases" / "messages.json").read_text())
TABLES = {name: one for name, one in vars(asking_words).items() if isinstance(one, AnyOf)}


class Point(Record):
    x: int
    y: int = 2
    tags: list[str] = field(default_factory=list)

    @property
    def sum(self) -> int:
        return self.x + self.y


class Named(Point):
    name: str = ""


class Counter(MutableRecord):
    count: int = 0


@dataclasses.dataclass(frozen=True)
class PointOfDataclasses:
    x: int
    y: int = 2
    tags: list[str] = dataclasses.field(default_factory=list)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ((), {}),
        ((1,), {}),
        ((1, 3), {}),
        ((1,), {"y": 4}),
        ((), {"x": 1, "tags": ["a"]}),
        ((1,), {"x": 2}),
        ((1, 2, [], 4), {}),
        ((1,), {"z": 1}),
    ],
)
def test_record_takes_and_refuses_the_values_that_a_dataclass_does(
    values: tuple[Any, ...], named: dict[str, Any]
) -> None:
    try:
        expected = dataclasses.asdict(PointOfDataclasses(*values, **named))
    except TypeError:
        with pytest.raises(TypeError):
            Point(*values, **named)
    else:
        assert as_dict(Point(*values, **named)) == expected


def test_record_is_compared_by_its_fields_and_never_changes() -> None:
    point = Point(1)
    assert point == Point(1, 2) != Point(2) and point != PointOfDataclasses(1)
    assert point.sum == 3 and repr(point) == "Point(x=1, y=2, tags=[])"
    assert replace(point, y=5) == Point(1, 5)
    assert Point(1).tags is not Point(1).tags
    assert as_dict(Named(1, name="a")) == {"x": 1, "y": 2, "tags": [], "name": "a"}
    with pytest.raises(AttributeError):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del point.x
    with pytest.raises(TypeError):
        replace(point, z=1)


def test_mutable_record_changes_and_has_no_hash() -> None:
    counter = Counter()
    counter.count += 1
    assert counter == Counter(1)
    with pytest.raises(TypeError):
        hash(counter)


def test_lazy_expression_answers_as_a_compiled_one() -> None:
    pattern = lazy(r"(?P<word>[a-z]+)", re.IGNORECASE)
    assert pattern.sub("-", "Ab 1 c") == "- 1 -"
    match = pattern.search("1 Ab")
    assert match and match["word"] == "Ab" and pattern.fullmatch("a1") is None
    assert pattern.pattern == r"(?P<word>[a-z]+)" and pattern.findall("a b") == ["a", "b"]


@pytest.mark.parametrize(
    ("source", "literals"),
    [
        (r"\blet (?:me|us) know\b", (" know",)),
        (r"a?bc", ("bc",)),
        (r"(?:ab|cd)?ef", ("ef",)),
        (r"(?:ab|cd)+", ("ab", "cd")),
        (r"x{0,3}yz|q", ("yz", "q")),
        (r"(?!foobar)go", ("go",)),
        (r"(?:a|)\d", ()),
        (r"[abc]\.*", ()),
    ],
)
def test_needed_literals_are_those_of_every_match(source: str, literals: tuple[str, ...]) -> None:
    assert needed(source) == literals


@pytest.mark.parametrize("name", TABLES)
def test_every_expression_of_the_words_that_ask_is_tried_where_it_could_match(name: str) -> None:
    table = TABLES[name]
    whole = re.compile("|".join(f"(?:{source})" for source in table._sources))
    sentences = [
        _key(sentence)
        for case in CASES
        for block in prose.last_blocks(case["message"])
        for sentence in prose.sentences(block.text)
    ]
    for key in sentences:
        assert table.search(key) == bool(whole.search(key)), key


_SIGNS = "ab1 .,;:/?!<>[]()`*_~\\|&%=@#\n\t\"'“”‘’„«»「」『』\u200b\u00a0\u3000\x1b-"
_WORDS = (
    "www.",
    "http://",
    "<br>",
    "&quot;",
    "%20",
    "**a**",
    "_a_",
    "“a b”",
    '"a b"',
    "\\n",
    "```",
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(_SIGNS), st.sampled_from(_WORDS)), max_size=12))
def test_a_text_that_a_quick_look_finds_plain_has_no_markup(pieces: list[str]) -> None:
    text = "".join(pieces)
    for quick, whole in (
        (prose._MAY_HAVE_INLINE, prose._MARKUP),
        (prose._MAY_HAVE_QUOTATION, prose._QUOTATION),
        (redact._MAY_BE_MARKUP, redact._MARKUP),
    ):
        assert quick.search(text) or not whole.search(text), text


@given(st.uuids(), st.binary(min_size=20, max_size=20))
def test_no_kind_of_secret_that_needs_no_hint_looks_like_a_uuid_or_a_commit(
    uuid: UUID, commit: bytes
) -> None:
    for word in (str(uuid), commit.hex()):
        for place in redact._WITHOUT_HINT:
            assert not redact.KINDS[place].pattern.search(f" {word} "), redact.KINDS[place].name


# --- paragraphs ---

_PIECES = (
    *("Changed", "it", "é", "`x`", "**b**", "a|b", "x: y", "(1)", "1.", "-", "---", "| a |", "#"),
    *(
        "[a]: /x",
        "[a](b)",
        "```",
        "> q",
        "    code",
        "\t",
        "\x0b",
        "\x0c",
        "\xa0",
        "\u2028",
        "\x85",
    ),
    *("\0", "\\", "<b>", "&amp;", "=", "~", "!", "*i*", "\ufeff", "<!-- c -->", "12)", "+1", " "),
)
_BETWEEN = ("\n", "\n\n", " ", "", "\n \n", "\r\n", "\r", "\n\t\n", " \n", "\n  ")


WHOLE = MarkdownIt("commonmark").disable("inline")
FOR_PROSE = MarkdownIt("commonmark").enable("table").disable(["inline", "lheading", "html_block"])
PARSERS = [(sections.markdown, WHOLE), (prose._PARSER, FOR_PROSE)]
_SEEN = ("type", "tag", "nesting", "map", "level", "content", "markup", "info", "hidden", "attrs")


def tokens_of(parser: Any, text: str) -> list[tuple[Any, ...]]:
    """What is seen of the tokens. A parser of ours must not have fallen back on the whole library."""
    if isinstance(parser, blocks.BlockParser) and "]:" not in text:
        return [tuple(getattr(each, name) for name in _SEEN) for each in parser._light.parse(text)]
    return [tuple(getattr(token, name) for name in _SEEN) for token in parser.parse(text)]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(_PIECES), st.sampled_from(_BETWEEN)), max_size=24))
def test_tokens_of_the_library_s_block_rules_alone_are_those_of_the_whole_library(
    pieces: list[tuple[str, str]],
) -> None:
    text = "".join(itertools.chain.from_iterable(pieces))
    for light, whole in PARSERS:
        assert tokens_of(light, text) == tokens_of(whole, text)


def test_tokens_of_the_cases_are_those_of_the_whole_library() -> None:
    for case in CASES:
        for light, whole in PARSERS:
            assert tokens_of(light, case["message"]) == tokens_of(whole, case["message"])


def test_drainer_compiles_those_expressions_of_the_library_alone_that_a_text_needs() -> None:
    text = "# a\n\n<div>x\n\n- [b](c) <a href='x'>d</a>\n\n```py\nx\n```\n| a |\n|---|\n| 1 |\n"
    script = f"""
import json, re, sys
sys.path += {[str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]!r}
from fleet_lib.turn import blocks
parser = blocks.BlockParser()
real, compiled = re._compiler.compile, []
re._compiler.compile = lambda *words: (compiled.append(words), real(*words))[1]
parser._light
assert sys.modules["re"] is re and "logging" not in sys.modules and not compiled
print(json.dumps([[token.type, token.content, token.map] for token in parser.parse(text)]))
""".replace("parse(text)", f"parse({text!r})")
    command = [sys.executable, "-I", "-S", "-c", script]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads(found) == [[each.type, each.content, each.map] for each in WHOLE.parse(text)]


def test_library_of_another_shape_is_used_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_block_rules", lambda: object())
    found = [token.type for token in blocks.BlockParser().parse("# a\n\n- b\n")]
    assert found == [token.type for token in WHOLE.parse("# a\n\n- b\n")]


def as_parsed(text: str) -> tuple[prose.Block, ...]:
    return tuple(prose._Walk(text.replace("\r\n", "\n").replace("\r", "\n")).blocks())


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(_PIECES), st.sampled_from(_BETWEEN)), max_size=14))
def test_blocks_of_any_text_are_the_parser_s(pieces: list[tuple[str, str]]) -> None:
    text = "".join(itertools.chain.from_iterable(pieces))
    assert prose._blocks(text) == as_parsed(text)


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab .,?\n\t\xa0\x1c\ufeff"), max_size=40))
def test_blocks_of_plain_paragraphs_are_the_parser_s(text: str) -> None:
    assert prose._blocks(text) == as_parsed(text)


def test_blocks_of_the_cases_are_the_parser_s() -> None:
    for case in CASES:
        assert prose._blocks(case["message"]) == as_parsed(case["message"])


# --- transcripts ---


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from("aaabbbcc.-tx"), max_size=14),
    st.lists(st.sampled_from("abcd"), min_size=3, max_size=8),
    st.booleans(),
)
def test_lines_of_a_turn_are_the_same_whatever_was_read_before(
    kinds: list[str], asked: list[str], is_cut: bool
) -> None:
    """A letter is a user's line of that prompt; the others are lines without one."""
    others = {".": {"type": "assistant"}, "-": {"type": "user"}, "t": {"type": "custom-title"}}
    lines = [
        json.dumps({**others.get(kind, {"type": "user", "promptId": kind}), "number": number})
        for number, kind in enumerate(kinds)
    ]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "t.jsonl"
        path.write_text("\n".join(lines) + ("" if is_cut else "\n"))
        transcript._ends.clear()
        found = [transcript.turn_lines(str(path), prompt) for prompt in asked]
        for prompt, seen in zip(asked, found, strict=True):
            transcript._ends.clear()
            assert transcript.turn_lines(str(path), prompt) == seen
