"""What one of the person's other machines decided about a prompt here that only Claude Code's own file
showed at that moment: for the first six seconds no hook says so, and no row has that state."""

import contextlib
import sqlite3

from fleet_lib import clock
from fleet_lib.errors import BadInput
from fleet_lib.prelude.live_sessions import live_sessions
from fleet_lib.store import db
from fleet_lib.store.live_state import PermissionRepo
from fleet_lib.store.relay_sessions import Decision, RelaySessionRepo
from fleet_lib.store.sessions import Session, SessionRepo
from fleet_lib.views.hiding import as_asked, hide
from fleet_lib.views.sessions import session_now

_ABOUT_NS = 5_000_000_000  # between a prompt's request and what the file says of it


def hide_prompts(connection: sqlite3.Connection) -> None:
    """Hide, or show again, as `fleet dismiss` here would have. Reads files, so it is no part of a
    transaction."""
    found = RelaySessionRepo(connection).taken_lately()
    if not found:
        return
    live = live_sessions(connection, is_thorough=True)
    for decision in found:
        stored = SessionRepo(connection).get(decision.session_id)
        if stored is None or stored.hidden_until == decision.hidden_until:
            continue
        session = stored
        if stored.session_id in live:
            session = session_now(stored, live[stored.session_id])
        if session.state_at == decision.state_at:
            session = as_asked(connection, session)
        elif not _is_announced_since(connection, stored, decision):
            continue
        # It raises BadInput for one that has gone on.
        with contextlib.suppress(BadInput), db.transaction(connection):
            hide(connection, session, decision.hidden_until)


def _is_announced_since(
    connection: sqlite3.Connection, session: Session, decision: Decision
) -> bool:
    """Whether the session's row is the notification of the prompt that was decided about, and no
    machine has decided about that one."""
    asked = PermissionRepo(connection).pending(session.session_id)
    if not asked or RelaySessionRepo(connection).decision(session.session_id, session.state_at):
        return False
    apart = clock.nanoseconds(asked[0].asked_at) - clock.nanoseconds(decision.state_at)
    return (
        abs(apart) <= _ABOUT_NS
        and session.state in ("waiting_for_permission", "waiting_for_input")
        and session.detail == asked[0].text
        and session.state_at >= asked[0].asked_at
    )
