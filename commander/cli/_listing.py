"""The sessions of a screen: one line each where all of it fits, else the text below its line, so that
nothing is cut that has a place. A narrow terminal gets the name on a line of its own. A pipe gets
one whole line each."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from commander.cli._cells import cut, padded, width, wrapped
from commander.cli._display import STYLES, Line
from fleet_lib import clock
from fleet_lib.lines import state_words
from fleet_lib.records import Record, replace
from fleet_lib.text import clean

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_TEXT_LINES = 10  # of what a session says, which has at most 500 characters
_NAME_WIDTH = 20  # cells; where less is left for the name, it gets a line of its own
_Parts = Sequence[tuple[str, str]]  # (text, style)


class Row(Record):
    """One session: who, in what state since when, the command that leads there, and its words."""

    name: str
    title: str
    state: str  # the database's value
    since: str  # ISO time
    command: str
    text: str
    mark: str = ""  # before the name

    def label(self) -> str:
        name, title = clean(self.name, 120), clean(self.title, 120)
        return f"{self.mark}{name} ({title})" if title else f"{self.mark}{name}"

    def facts(self) -> list[tuple[str, str]]:
        return [
            (state_words(self.state), STYLES.get(self.state, "")),
            (clock.age(self.since), "dim"),
            (self.command, "cyan"),
        ]


class Listing(Record):
    """Rows under headings, the columns of all of them aligned."""

    parts: Sequence[Line | Row]

    def plain(self) -> Iterator[str]:
        columns = self._columns()
        for part in self.parts:
            if isinstance(part, Line):
                yield from part.plain()
                continue
            cells = [part.label(), *(fact for fact, _ in part.facts())]
            aligned = map(padded, cells, columns)
            yield f"  {'  '.join([*aligned, clean(part.text, 2000)])}".rstrip()

    def rich(self, room: int) -> "RenderableType":
        from rich.console import Group

        columns = self._columns()
        rows = [part for part in self.parts if isinstance(part, Row)]
        texts = max((width(clean(row.text, 2000)) for row in rows), default=0)
        facts = sum(columns[1:]) + 2 * len(columns[1:])
        columns[0] = min(columns[0], max(room - 2 - facts, 0))
        names = max((width(row.mark + clean(row.name, 120)) for row in rows), default=0)
        if 2 + columns[0] + facts + 2 + texts <= room:
            layout = _in_one_line
        elif columns[0] >= min(names, _NAME_WIDTH):
            layout = _with_text_below
        else:
            layout = _stacked
        lines: list[RenderableType] = []
        for part in self.parts:
            if isinstance(part, Line):
                lines.append(part.rich(room))
            else:
                lines += [_text(parts) for parts in layout(part, columns, room)]
        return Group(*lines)

    def _columns(self) -> list[int]:
        """The widths of name, state, time and command."""
        rows = [part for part in self.parts if isinstance(part, Row)]
        cells = [[row.label(), *(fact for fact, _ in row.facts())] for row in rows]
        return [max(map(width, column)) for column in zip(*cells, strict=True)] or [0] * 4


def _in_one_line(row: Row, columns: Sequence[int], room: int) -> Iterator[_Parts]:
    (line,) = _head(row, columns)
    yield [*line, (f"  {clean(row.text, 2000)}", "")]


def _with_text_below(row: Row, columns: Sequence[int], room: int) -> Iterator[_Parts]:
    if width(row.label()) > columns[0]:
        words = " · ".join(part for part in (row.title, row.text) if part)
        row = replace(row, title="", text=words)
    yield from _head(row, columns)
    yield from _below(row, room)


def _stacked(row: Row, columns: Sequence[int], room: int) -> Iterator[_Parts]:
    yield [("  ", ""), (cut(row.label(), room - 2), "bold")]
    facts = [fact for each in row.facts() for fact in (("  ", ""), each)][1:]
    yield [("    ", ""), *facts]
    yield from _below(row, room)


def _head(row: Row, columns: Sequence[int]) -> Iterator[_Parts]:
    name = padded(cut(row.label(), columns[0]), columns[0])
    cells = [
        (padded(text, at), style)
        for (text, style), at in zip(row.facts(), columns[1:], strict=True)
    ]
    yield [("  ", ""), (name, ""), *(part for cell in cells for part in (("  ", ""), cell))]


def _below(row: Row, room: int) -> Iterator[_Parts]:
    for line in wrapped(clean(row.text, 2000), room - 4, _TEXT_LINES):
        yield [("    ", ""), (line, "")]


def _text(parts: _Parts) -> "Text":
    from rich.text import Text

    text = Text.assemble(*parts, no_wrap=True, overflow="ellipsis")
    text.rstrip()
    return text
