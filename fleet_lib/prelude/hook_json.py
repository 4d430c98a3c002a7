"""The JSON that a printing hook reads and writes. SQLite does it: Python's own module takes longer
to import than the whole hook."""

from fleet_lib.prelude.database import decode, sqlite3


def hook_output(event: str, text: str) -> bytes:
    """The one JSON object that Claude Code takes context from."""
    return _json(
        "json_object('hookSpecificOutput',"
        " json_object('hookEventName', ?, 'additionalContext', ?))",
        (event, text),
    )


def prompt_receipt(session_id: str, prompt_id: str) -> bytes:
    """The payload that is spooled when a prelude was shown: the prompt itself is left out."""
    return _json(
        "json_object('hook_event_name', 'UserPromptSubmit', 'session_id', ?, 'prompt_id', ?)",
        (session_id, prompt_id),
    )


def payload_fields(payload: bytes, names: "tuple[str, ...]") -> "dict[str, str]":
    """The named top-level strings of a hook's payload; {} if it is not a JSON object."""
    # One statement, so that SQLite parses the text once.
    columns = ", ".join([f"json_extract(text, '$.{name}')" for name in names])
    try:
        values = _connection().execute(
            f"SELECT {columns} FROM (SELECT ? AS text) WHERE json_valid(text)",
            (payload.decode("utf-8", "replace"),),
        )
        row = values.fetchone() or ()
        return {name: value for name, value in zip(names, row) if isinstance(value, str)}
    except sqlite3.Error:
        return {}


def _json(expression: str, values: "tuple[str, ...]") -> bytes:
    return bytes(_connection().execute("SELECT " + expression, values).fetchone()[0], "utf-8")


_opened: "list[sqlite3.Connection]" = []  # one, for all that the hook asks


def _connection() -> "sqlite3.Connection":
    if not _opened:
        _opened.append(sqlite3.connect(":memory:"))
        _opened[0].text_factory = decode
    return _opened[0]
