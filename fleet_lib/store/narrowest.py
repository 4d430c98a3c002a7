"""Which index a list is read along, if it has several filters: the one with the fewest rows. SQLite
knows no numbers of rows here, and would look for a status that no row has among all rows of a
machine."""

from __future__ import annotations

from collections.abc import Mapping

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import sqlite3

_COUNTED = 1000  # rows: where each filter has more, a page is soon full


def narrowest(
    connection: sqlite3.Connection,
    table: str,
    indexes: Mapping[str, str],
    more: str,
    values: Mapping[str, object],
) -> str:
    """The name of one of the indexes, {its name: the condition that it answers}. `more` is a
    condition that each of them answers as well, such as a time; `values` are those of all
    conditions. Of two with as many rows, the first."""
    if len(indexes) == 1:
        return next(iter(indexes))

    def count(name: str) -> int:
        row = connection.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM {table} INDEXED BY {name}"
            f" WHERE {indexes[name]} AND {more} LIMIT {_COUNTED})",
            values,
        ).fetchone()
        return int(row[0])

    return min(indexes, key=count)
