"""Facts with their names, as a page begins with them: the names aligned, and each fact whole, on as
many lines as it needs. A pipe gets one line each."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from commander.cli._cells import width, wrapped_text
from commander.cli._display import Cell, Table, rich_text
from fleet_lib.records import Record

if TYPE_CHECKING:
    from rich.console import RenderableType

_LIMIT = 2000  # characters of a fact


class Facts(Record):
    """(name, fact) each; one without words is left out."""

    rows: Sequence[tuple[str, Cell]]

    def plain(self) -> Iterator[str]:
        yield from Table((), self._cells()).plain()

    def rich(self, room: int) -> "RenderableType":
        from rich.table import Table as RichTable

        cells = self._cells()
        names = max(width(str(name.text)) for name, _ in cells)
        made = RichTable(box=None, pad_edge=False, padding=0, show_header=False)
        for column_width in (names, 2, None):
            made.add_column(width=column_width, no_wrap=True)
        for name, cell in cells:
            fact = wrapped_text(rich_text(cell, _LIMIT), max(room - names - 2, 2))
            made.add_row(rich_text(name, _LIMIT), "", fact)
        return made

    def _cells(self) -> list[tuple[Cell, Cell]]:
        return [(Cell(name, "dim"), cell) for name, cell in self.rows if cell.text]
