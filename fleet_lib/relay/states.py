"""What a session is doing now, as it is sent: one message a session, which replaces the one before.
Titles and dismissals go to subjects that only the machines of the same person may read."""

import hashlib
import sqlite3
from collections.abc import Iterator

from fleet_lib import clock
from fleet_lib.machines import apart
from fleet_lib.prelude.live_sessions import live_sessions
from fleet_lib.records import Record
from fleet_lib.relay import names, wire
from fleet_lib.relay.outgoing import Composer, sessions_here
from fleet_lib.store import db
from fleet_lib.store.briefings import BriefingRepo
from fleet_lib.store.relay import Member
from fleet_lib.store.relay_sessions import Decision, RelaySessionRepo
from fleet_lib.store.sessions import Session, SessionRepo
from fleet_lib.views.sessions import session_now

_TITLES = 50  # of a session's newest turns
_TITLE = 200  # characters


class State(Record):
    """One message of the stream of states."""

    subject: str
    body: bytes
    digest: str


def states(
    connection: sqlite3.Connection, member: Member, composers: dict[str, Composer]
) -> Iterator[State]:
    """What is to be known of the sessions of the projects that are sent."""
    decisions = RelaySessionRepo(connection)
    if decisions.is_undecided():
        with db.transaction(connection):
            decisions.settle()
    # The files are read in a transaction of its own: the row and its correction belong together.
    connection.execute("BEGIN")
    try:
        found = list(_sessions(connection, composers))
        own = {one.session_id: decisions.decision(one.session_id, one.state_at) for one in found}
        others = decisions.decided_here()
        titles = {session.session_id: _titles(connection, session) for session in found}
    finally:
        connection.execute("ROLLBACK")
    for session in found:
        composer = composers[session.project_id]
        yield _state(member, composer, session)
        decision = own[session.session_id]
        yield _own(member, composer, session, titles[session.session_id], decision)
    for decision, project_id in others if composers else ():
        yield _decided(member, project_id.partition("@")[0], decision)


def _sessions(connection: sqlite3.Connection, composers: dict[str, Composer]) -> Iterator[Session]:
    since = clock.ago(names.STATE_DAYS * 86400)
    live = live_sessions(connection, is_thorough=True)
    repo = SessionRepo(connection)
    for project_id in composers:
        for session_id in sessions_here(connection, project_id, since):
            if session := repo.get(session_id):
                yield session_now(session, live[session_id]) if session_id in live else session


def _state(member: Member, composer: Composer, session: Session) -> State:
    line = composer.scrubber.line
    message = composer.state(
        {
            "session_id": _id(session.session_id),
            "state": session.state,
            "state_at": session.state_at,
            "detail": line(session.detail, 500),
            "last_seen_at": session.last_seen_at,
            "ended_at": session.ended_at,
            "briefing_id": session.briefing_id,
            "event_id": session.event_id,
        }
    )
    subject = names.state_subject(
        member.machine, member.epoch, session.project_id, wire.session_token(session.session_id)
    )
    return _made(subject, message.model_dump_json())


def _own(
    member: Member,
    composer: Composer,
    session: Session,
    titles: dict[str, str],
    decision: Decision | None,
) -> State:
    line = composer.scrubber.line
    message = wire.OwnMessage(
        v=wire.VERSION,
        session_id=_id(session.session_id),
        title=line(session.title, _TITLE) if session.title else None,
        titles={number: line(title, _TITLE) for number, title in titles.items()},
        hidden=_hidden(decision, _id(session.session_id), member.machine) if decision else None,
    )
    subject = names.own_subject(
        *(member.person, member.machine, member.epoch, session.project_id),
        wire.session_token(session.session_id),
    )
    return _made(subject, message.model_dump_json())


def _decided(member: Member, project_id: str, decision: Decision) -> State:
    """What was decided here about a session of another machine."""
    session_id, machine = apart(decision.session_id)
    message = wire.OwnMessage(v=wire.VERSION, hidden=_hidden(decision, session_id or "", machine))
    subject = names.own_subject(
        *(member.person, member.machine, member.epoch, project_id),
        wire.session_token(decision.session_id),
    )
    return _made(subject, message.model_dump_json())


def _hidden(decision: Decision, session_id: str, machine: str) -> wire.Hidden:
    return wire.Hidden(
        machine=machine,
        session_id=session_id,
        until=decision.until,
        state_at=decision.state_at,
        version=decision.version,
    )


def heartbeat(sent_event_id: int, sent_event_at: str) -> bytes:
    message = wire.HeartbeatMessage(
        v=wire.VERSION, sent_event_id=sent_event_id, sent_event_at=sent_event_at
    )
    return message.model_dump_json().encode()


def _titles(connection: sqlite3.Connection, session: Session) -> dict[str, str]:
    return BriefingRepo(connection).titles_of(session.session_id, _TITLES)


def _made(subject: str, text: str) -> State:
    return State(subject, text.encode(), hashlib.sha256(text.encode()).hexdigest()[:32])


def _id(session_id: str) -> str:
    return session_id if len(session_id) <= 200 else wire.session_token(session_id)
