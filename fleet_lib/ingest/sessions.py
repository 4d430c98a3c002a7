"""Worker sessions between their turns: started, waiting for a person, ended."""

from __future__ import annotations

from fleet_lib import clock
from fleet_lib.ingest import placing, provisional
from fleet_lib.ingest.compose import head_of
from fleet_lib.ingest.project import ProjectFinder
from fleet_lib.records import replace
from fleet_lib.store.repos import Repos
from fleet_lib.store.sessions import Session
from fleet_lib.text import storable
from fleet_lib.turn.prepared import Prepared
from fleet_lib.turn.stored_text import stored_text

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from fleet_lib.levels import SessionState

_NEEDS_A_PERSON = (
    "elicitation",
    "elicitation_dialog",
    "elicitation_url_dialog",
    "agent_needs_input",
)
_LAST_WORDS_SECONDS = 60  # events that come so soon after a session's end are still of it
_ANSWERED = ("elicitation_complete", "elicitation_response")
_IDLE = "idle_prompt"
PERMISSION_PROMPTS = ("permission_prompt", "worker_permission_prompt")  # see ingest/permissions.py
KINDS = {
    *PERMISSION_PROMPTS,
    *_NEEDS_A_PERSON,
    *_ANSWERED,
    _IDLE,
}  # of notifications; hooks.json registers them


def apply_session_start(repos: Repos, projects: ProjectFinder, prepared: Prepared) -> str:
    known = repos.sessions.get(prepared.session_id)
    source = prepared.payload.source or "startup"
    session = known or new_session(repos, projects, prepared)
    if source != "compact":
        provisional.session_ended(repos, session.session_id, prepared.received_at)
        session = repos.sessions.get(session.session_id) or session
    # A compacted or resumed session goes on; it has started only if it is new.
    is_start = known is None or source not in ("compact", "resume")
    announced = is_start and not repos.outbox.has_of_session("session_started", session.session_id)
    if announced:
        details = {
            "sessionId": session.session_id,
            "projectId": session.project_id,
            "source": stored_text(source),
        }
        repos.outbox.add(
            type="session_started",
            project_id=session.project_id,
            broadcast_level="silent",
            payload={"session": details, "sessionId": session.session_id},
            ts=prepared.received_at,
        )
    if known is None or prepared.received_at > seen_until(known):
        if prepared.received_at >= seen_until(session):
            session = replace(session, last_seen_at=prepared.received_at, ended_at=None)
        session = replace(session, title=prepared.session_title or session.title)
        if source != "compact":
            head, head_at = head_of(prepared)
            session = replace(session, head_commit=head, head_at=head_at, hidden_until=None)
        repos.sessions.save(session)
        if source != "compact":
            repos.permissions.forget_all(session.session_id)
    elif not announced:
        return "unchanged: the session was known"
    return f"session {'started' if announced else source} in {session.project_id}"


def apply_notification(repos: Repos, projects: ProjectFinder, prepared: Prepared) -> str:
    session = repos.sessions.get(prepared.session_id)
    if session and prepared.received_at <= seen_until(session):
        return "unchanged: older than what is known of the session"
    session = replace(
        session or new_session(repos, projects, prepared), last_seen_at=prepared.received_at
    )
    kind = prepared.payload.notification_type or ""
    detail = stored_text(prepared.payload.message or kind)
    is_waiting = session.state == "waiting_for_permission"
    agents_run = provisional.is_waiting(repos, session.session_id)
    outcome = "session state updated"
    if kind in _NEEDS_A_PERSON and not (is_waiting and session.detail == detail):
        session = needs_a_person(
            repos, session, "waiting_for_permission", detail, prepared.received_at
        )
        outcome = "the session needs a person"
    elif kind in _ANSWERED and is_waiting:
        session = replace(session, state="working", state_at=prepared.received_at)
        outcome = "the session continues"
    elif kind == _IDLE and session.state == "working" and not agents_run:
        # A turn that the user interrupted has no Stop; the session asks nothing.
        session = replace(session, state="completed", state_at=prepared.received_at)
        outcome = "the session is idle"
    repos.sessions.save(session)
    return outcome


def apply_session_end(repos: Repos, prepared: Prepared) -> str:
    placing.place(repos, prepared)
    provisional.session_ended(repos, prepared.session_id, prepared.received_at)
    session = repos.sessions.get(prepared.session_id)
    if session is None:
        return "ignored: an unknown session"
    if prepared.received_at <= seen_until(session):
        return "unchanged: older than what is known of the session"
    repos.permissions.forget_all(session.session_id)
    repos.sessions.save(
        replace(session, ended_at=prepared.received_at, last_seen_at=prepared.received_at)
    )
    return "session ended"


def seen_until(session: Session) -> str:
    """The time up to which the session's state is known; "" if the stored one is in the future,
    from a clock that was set back since. It must not outweigh what comes now."""
    return "" if clock.is_ahead(session.last_seen_at) else session.last_seen_at


def end_after_event(session: Session, at: str) -> str | None:
    """The session's `ended_at` once an event came at this time. In `-p` a StopFailure may come just
    after the SessionEnd. A later one shows that the session, which was taken for gone, goes on."""
    if session.ended_at is None:
        return None
    seconds = (clock.nanoseconds(at) - clock.nanoseconds(session.ended_at)) / 1e9
    return session.ended_at if seconds < _LAST_WORDS_SECONDS else None


def new_session(repos: Repos, projects: ProjectFinder, prepared: Prepared) -> Session:
    """A new session, as this entry shows it. Only its end may be known already."""
    end = repos.background.end_of(prepared.session_id)
    ended_at = end if end > prepared.received_at else None
    return Session(
        session_id=prepared.session_id,
        project_id=projects.project_of(prepared, None),
        folder=storable(prepared.folder),
        state="working",
        state_at=prepared.received_at,
        detail="",
        briefing_id=None,
        event_id=None,
        last_seen_at=ended_at or prepared.received_at,
        ended_at=ended_at,
        hidden_until=None,
        head_commit=None,
        head_at=None,
        status_digest=None,
        status_turn=None,
    )


def needs_a_person(
    repos: Repos, session: Session, state: SessionState, detail: str, at: str
) -> Session:
    """The session in this state, with the alert that says so."""
    details = {
        "sessionId": session.session_id,
        "projectId": session.project_id,
        "status": state,
        "detail": detail,
    }
    event_id = repos.outbox.add(
        type="session_blocked",
        project_id=session.project_id,
        broadcast_level="highlight",
        payload={"session": details, "sessionId": session.session_id},
        ts=at,
    )
    return replace(
        session, state=state, state_at=at, detail=detail, event_id=event_id, hidden_until=None
    )
