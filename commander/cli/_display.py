"""How output looks: tables, words for states, relative times, colours, the pager. A terminal gets
rich's rendering at its width; a pipe gets plain aligned lines and rich is not imported. Data never
becomes an escape sequence, rich markup or a link."""

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from commander.cli._cells import padded, width, wrapped_text
from fleet_lib import clock
from fleet_lib.lines import state_words
from fleet_lib.machines import at
from fleet_lib.records import Record
from fleet_lib.text import clean

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.text import Text

STYLES = {
    "blocked": "red",
    "failed": "red",
    "error": "red",
    "canceled": "dim",
    "waiting_for_input": "yellow",
    "waiting_for_permission": "yellow",
    "running": "yellow",
    "completed": "green",
    "archived": "dim",
}
_SGR = re.compile(r"(\x1b\[[0-9;]*m)")  # a colour or style
_STATE_HEADINGS = ("status", "state")
_CELL_LIMIT = 2000  # characters
# Cells that the other columns leave to the last one, at least; on a wide terminal a share of it.
_LAST_COLUMN_WIDTH = 40
_LAST_COLUMN_SHARE = 0.4
_NARROWED_WIDTHS = (14, 8)  # cells that a column shrinks to; the second on a narrow terminal


class Part(Protocol):
    """What `show` prints: lines for a pipe, or for a terminal of so many columns."""

    def plain(self) -> Iterator[str]: ...

    def rich(self, width: int, /) -> "RenderableType": ...


class Cell(Record):
    """A text, its style, and what a pipe gets instead of it."""

    text: object
    style: str = ""
    piped: object = None
    highlight: str = ""  # a regular expression
    whole: bool = False  # its column is never narrowed


class Line(Record):
    """One line of cells, cut at the terminal's edge, or wrapped below its own beginning."""

    cells: tuple[object, ...]
    wraps: bool = False

    def plain(self) -> Iterator[str]:
        yield "".join(_piped(cell, 2000, True) for cell in self.cells).rstrip()

    def rich(self, room: int) -> "RenderableType":
        from rich.text import Text

        text = Text(no_wrap=True, overflow="ellipsis")
        for cell in self.cells:
            text.append_text(rich_text(cell, 2000, True))
        return wrapped_text(text, room) if self.wraps else text


class Table(Record):
    """Aligned columns, with or without headings. The last column gets the remaining width. Where
    that is less than `least` cells, the columns `optional` (headings or numbers) are left out, in
    this order."""

    headings: Sequence[str]
    rows: Sequence[Sequence[object]]
    optional: tuple[str | int, ...] = ()
    indent: int = 0
    least: int = 30
    widths: Sequence[int] = ()  # fixed widths of all columns but the last

    def plain(self) -> Iterator[str]:
        rows = [[_piped(cell, _CELL_LIMIT) for cell in row] for row in self.rows]
        table = [list(self.headings), *rows] if self.headings else rows
        widths = [max(width(row[at]) for row in table) for at in range(len(table[0]) - 1)]
        for row in table:
            line = [*map(padded, row[:-1], widths), row[-1]]
            yield (" " * self.indent + "  ".join(line)).rstrip()

    def rich(self, room: int) -> "RenderableType":
        from rich.padding import Padding
        from rich.table import Table as RichTable

        rows = [[self._styled(cell, at) for at, cell in enumerate(row)] for row in self.rows]
        headings = [rich_text(Cell(name, "bold"), 80) for name in self.headings]
        table = [headings, *rows] if headings else rows
        shown, widths = self._layout(table, room - self.indent)
        # The gaps are columns: the width of a column's padding differs between rich's versions.
        made = RichTable(box=None, pad_edge=False, padding=0, show_header=bool(self.headings))
        for column, column_width in zip(shown, widths, strict=True):
            if column != shown[0]:
                made.add_column("", width=2, no_wrap=True)
            heading = headings[column] if headings else ""
            made.add_column(heading, width=column_width, no_wrap=True, overflow="ellipsis")
        for row in rows:
            first, *others = (row[column] for column in shown)
            made.add_row(first, *(cell for other in others for cell in ("", other)))
        return Padding(made, (0, 0, 0, self.indent), expand=False) if self.indent else made

    def _layout(self, table: "list[list[Text]]", room: int) -> tuple[list[int], list[int]]:
        """(the columns that are shown, their widths in cells)."""
        last = len(table[0]) - 1
        # A column without a word would cost its width and its gap.
        rows = table[1:] if self.headings else table
        shown = [at for at in range(last) if self.widths or any(row[at].plain for row in rows)]
        shown.append(last)
        whole = {
            at
            for row in self.rows
            for at, cell in enumerate(row)
            if isinstance(cell, Cell) and cell.whole
        } | {at for at, heading in enumerate(self.headings) if heading in _STATE_HEADINGS}
        widths = _fit(table, shown, room, whole, self.widths)
        needed = min(max(row[last].cell_len for row in table), self.least)
        for optional in self.optional:
            column = optional if isinstance(optional, int) else list(self.headings).index(optional)
            if widths[-1] < needed and column in shown:
                shown.remove(column)
                widths = _fit(table, shown, room, whole, ())
        return shown, widths

    def _styled(self, cell: object, column: int) -> "Text":
        is_state = bool(self.headings) and self.headings[column] in _STATE_HEADINGS
        if is_state and not isinstance(cell, Cell):
            cell = state(cell)
        return rich_text(cell, _CELL_LIMIT)


def _fit(
    table: "list[list[Text]]",
    shown: list[int],
    room: int,
    whole: set[int],
    fixed: Sequence[int],
) -> list[int]:
    """The columns' widths in cells. If the last one would be too narrow, the widest others
    shrink."""
    *others, last = (max(row[column].cell_len for row in table) for column in shown)
    others = list(fixed) or others
    wanted = min(last, max(_LAST_COLUMN_WIDTH, int(room * _LAST_COLUMN_SHARE)))
    too_wide = 0 if fixed else sum(others) + 2 * len(others) + wanted - room
    for least in _NARROWED_WIDTHS:
        while too_wide > 0:
            narrowable = [
                at for at, have in enumerate(others) if have > least and shown[at] not in whole
            ]
            if not narrowable:
                break
            others[max(narrowable, key=others.__getitem__)] -= 1
            too_wide -= 1
        too_wide -= wanted // 2  # next, half that width is enough for the last column
    return [*others, max(1, min(last, room - sum(others) - 2 * len(others)))]


def _piped(cell: object, limit: int, is_part: bool = False) -> str:
    if isinstance(cell, Cell):
        cell = cell.text if cell.piped is None else cell.piped
    return _cleaned(cell, limit, is_part)


def rich_text(cell: object, limit: int, is_part: bool = False) -> "Text":
    from rich.text import Text

    given = cell if isinstance(cell, Cell) else Cell(cell)
    words = _cleaned(given.text, limit, is_part)
    text = Text(words, style=given.style, no_wrap=True, overflow="ellipsis")
    if given.highlight:
        text.highlight_regex(f"(?i){given.highlight}", "bold yellow")
    return text


def _cleaned(value: object, limit: int, is_part: bool) -> str:
    """`clean`, but a part of a line keeps its spaces at both ends."""
    words = clean(value, limit)
    if not is_part or not isinstance(value, str):
        return words
    start, end = len(value) - len(value.lstrip(" ")), len(value) - len(value.rstrip(" "))
    return f"{value[:start]}{words}{value[len(value) - end :]}" if words else " " * start


# --- cells ------------------------------------------------------------------------------------


def state(value: object) -> Cell:
    """A state or status: coloured words for a person, the database's value for a pipe."""
    return Cell(state_words(value), STYLES.get(str(value), ""), value, whole=True)


def when(moment: str | None) -> Cell:
    """A time: "4m ago" for a person, ISO 8601 for a pipe."""
    return Cell(clock.age(moment), "dim", moment) if moment else Cell("-")


def project(names: Mapping[str, str], project_id: str | None, machine: str | None = None) -> Cell:
    """A project: its name for a person, its id for a pipe; with the machine if that is another
    one: `web@laptop`."""
    if not project_id:
        return Cell(f"@{machine}" if machine else "-")
    return Cell(at(names.get(project_id, project_id), machine), "", at(project_id, machine))


def folder(path: str) -> Cell:
    """A folder: with ~ for a person, in full for a pipe."""
    if not is_interactive():
        return Cell(path)
    home = str(Path.home())
    short = "~" + path[len(home) :] if path == home or path.startswith(home + "/") else path
    return Cell(short, "", path)


def count(number: int, noun: str) -> str:
    """`1 event`, `3 events`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def none_yet(noun: str) -> str:
    """An empty list, and what fills it."""
    return f"No {noun} yet. Finish a turn in any Claude Code session."


def human_size(size: float) -> str:
    """Bytes for a person: `340 kB`, `12.4 MB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(size) < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit in ("bytes", "kB") else f"{size:.1f} {unit}"


# --- printing ---------------------------------------------------------------------------------


def is_interactive() -> bool:
    return sys.stdout.isatty()


def say(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a text. All output goes through here or through the tables: other programs' words and
    names cannot control the terminal."""
    click.echo(safe(text), err=err, nl=nl)


def print_json(value: Any) -> None:
    import json  # a person needs none of it

    from commander.cli._json import escaped

    click.echo(escaped(json.dumps(value, ensure_ascii=False, indent=2)))


def print_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[object]],
    empty: str,
    optional: tuple[str, ...] = (),
) -> None:
    """Print rows of texts or Cells under headings, or the sentence `empty` if there are none. A
    column headed "status" or "state" holds values for `state`."""
    show(Table(headings, rows, optional)) if rows else click.echo(empty)


def show(*parts: Part) -> None:
    """Print the parts; on a terminal, through the pager if they are longer than the screen."""
    if not is_interactive():
        for part in parts:
            if lines := list(part.plain()):
                click.echo("\n".join(lines))  # each call takes as long as making ten lines
        return
    console = terminal()
    show_rendered(console, *(part.rich(console.width) for part in parts))


def show_text(text: str) -> None:
    """Print a text of several lines."""
    if not is_interactive():
        click.echo(text)
        return
    from rich.text import Text

    show_rendered(terminal(), Text(safe(text)))


def markdown(text: str) -> "RenderableType":
    """Markdown for `show_rendered`; a link is printed as its text and address."""
    from rich.markdown import Markdown

    return Markdown(
        safe(text), hyperlinks=False, code_theme="ansi_dark", inline_code_theme="ansi_dark"
    )


def show_rendered(console: "Console", *parts: "RenderableType") -> None:
    """Print what rich renders, through the pager if it is longer than the screen."""
    with console.capture() as captured:
        console.print(Harmless(*parts), end="")
    _print_or_page(console, captured.get())


def show_git_output(console: "Console", output: bytes) -> None:
    """Print what git wrote, through the pager if it is longer than the screen. Of escape sequences
    only colours and styles stay: a file may hold any."""
    parts = _SGR.split(output.decode("utf-8", "replace"))
    text = "".join(part if at % 2 else safe(part) for at, part in enumerate(parts))
    _print_or_page(console, text)


def _print_or_page(console: "Console", text: str) -> None:
    context = click.get_current_context(silent=True)
    no_pager = context is not None and context.find_root().params.get("no_pager")
    if no_pager or text.count("\n") < console.height:
        click.echo(text, nl=False, color=True)
        return
    os.environ.setdefault("LESS", "-FRX")  # without the dash click would remove the colours
    click.echo_via_pager(text.removesuffix("\n"))


def terminal() -> "Console":
    """rich's console for this terminal. It respects NO_COLOR and TERM=dumb, and reads no markup in
    data."""
    from rich.console import Console
    from rich.theme import Theme

    # rich's own styles have a black background.
    theme = Theme({"markdown.code": "bold cyan", "markdown.code_block": "cyan"})
    return Console(markup=False, emoji=False, highlight=False, theme=theme)


class Harmless:
    """Renders its parts and lets only styles through: no control characters of a part's text, no
    links."""

    def __init__(self, *parts: "RenderableType") -> None:
        self._parts = parts

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.segment import Segment

        for part in self._parts:
            for line in console.render_lines(part, options, pad=False):
                # Blanks up to the edge wrap where a terminal draws an emoji wider than rich knows.
                while line and not line[-1].text.strip(" "):
                    line.pop()
                for number, (text, style, control) in enumerate(line, start=1):
                    if control is None:
                        unlinked = style.update_link(None) if style and style.link else style
                        text = text.rstrip(" ") if number == len(line) else text
                        yield Segment(safe(text), unlinked)
                yield Segment.line()


def safe(value: object) -> str:
    """A text of several lines without escape sequences or other control characters."""
    return "\n".join(
        "".join(char if char.isprintable() or char == "\t" else "�" for char in line)
        for line in str(value).replace("\r\n", "\n").split("\n")
    )
