"""Which machine a row is from. What comes over the relay is kept in the same tables as this
machine's own rows: its session ids end in MARK and the machine's name, which no session of Claude
Code does, and the payload of its events has the name as `machine`. Hot path."""

MARK = "@relay/"


def marked(session_id: str, machine: str) -> str:
    """The id under which a session of another machine is kept here."""
    return f"{session_id}{MARK}{machine}"


def apart(session_id: "str | None") -> "tuple[str | None, str]":
    """(the session's own id, its machine); "" for this machine. Another program may have stored
    an id of any type."""
    if session_id is not None and not isinstance(session_id, str):
        return session_id, ""
    own, mark, machine = (session_id or "").partition(MARK)
    return (own or None, machine) if mark else (session_id, "")


def record_ids(session_id: "str | None") -> "dict[str, str | None]":
    """The session in a record for programs: its own id, and `machine` if that is another one."""
    own, machine = apart(session_id)
    return {"session_id": own, "machine": machine} if machine else {"session_id": own}


def of_session(column: str) -> str:
    """The machine of a session in SQL; NULL for this one."""
    return (
        f"CASE WHEN instr({column}, '{MARK}') > 0"
        f" THEN substr({column}, instr({column}, '{MARK}') + {len(MARK)}) END"
    )


def machine_of(column: str) -> str:
    """The same; "" for this one. Letter for letter the indexes' expression in
    migrations/0021_relay_sessions.sql."""
    return f"ifnull({of_session(column)}, '')"


def is_here(column: str) -> str:
    """In SQL: whether a session is one of this machine."""
    return f"(instr(ifnull({column}, ''), '{MARK}') = 0)"


def at(name: str, machine: object) -> str:
    """A project's name with the machine that a row of it is from: `web@laptop`."""
    if not machine:
        return name
    end = f"@{machine}"
    return name if name.endswith(end) else name + end
