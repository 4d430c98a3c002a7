"""The sums of usage by hour, day and session, which triggers keep of those of the turns (migration
0020): whether they are right, and made anew. Who reads them is in store/usage_rates.py."""

import sqlite3

_NO_PROJECT = "ifnull(project_id, '')"
_SUMS = (
    "SELECT {quarters}, {project}, kind_id, quarter / {quarters}, sum(input_tokens),"
    " sum(output_tokens), sum(cache_read_tokens), sum(cache_write_5m_tokens),"
    " sum(cache_write_1h_tokens) FROM usage_sums GROUP BY 2, 3, 4"
)
_WEIGHTS = f"""SELECT session_id, kind_id, {_NO_PROJECT}, sum(input_tokens * 20 + output_tokens * 100
    + cache_read_tokens * 2 + cache_write_5m_tokens * 25 + cache_write_1h_tokens * 40)
  FROM usage_sums GROUP BY 1, 2, 3"""
_ROLLUPS = " UNION ALL ".join(
    _SUMS.format(quarters=quarters, project=project)
    for quarters, project in ((4, "'*'"), (4, _NO_PROJECT), (96, _NO_PROJECT))
)
# (table, what must be in it, its rows that are not 0)
_TABLES = (
    (
        *("usage_rollups", _ROLLUPS),
        "input_tokens + output_tokens + cache_read_tokens + cache_write_5m_tokens"
        " + cache_write_1h_tokens <> 0",
    ),
    ("usage_sessions", _WEIGHTS, "weight <> 0"),
)


def problems(connection: sqlite3.Connection) -> list[str]:
    """How many rows are not what the turns' sums say; [] if all are."""
    differ = 0
    for table, expected, is_something in _TABLES:
        for one, other in (
            (expected, f"SELECT * FROM {table}"),
            (f"SELECT * FROM {table} WHERE {is_something}", expected),
        ):
            differ += connection.execute(
                f"SELECT count(*) FROM (SELECT * FROM ({one}) EXCEPT SELECT * FROM ({other}))"
            ).fetchone()[0]
    return [f"usage: {differ} sums by hour, day or session are wrong"] if differ else []


def rebuild(connection: sqlite3.Connection) -> None:
    """Make all of them anew, in the caller's transaction."""
    for table, expected, _ in _TABLES:
        connection.execute(f"DELETE FROM {table}")
        connection.execute(f"INSERT INTO {table} {expected}")
