"""Worker sessions between their turns: started, waiting for a person, ended."""

from dataclasses import replace

from fleet_lib.ingest.compose import head_of
from fleet_lib.ingest.project import ProjectFinder
from fleet_lib.store.repos import Repos
from fleet_lib.store.sessions import Session
from fleet_lib.turn.prepare import Prepared
from fleet_lib.turn.stored_text import storable, stored_text

_NEEDS_A_PERSON = (
    "permission_prompt",
    "worker_permission_prompt",
    "elicitation",
    "elicitation_dialog",
    "elicitation_url_dialog",
    "agent_needs_input",
)
_ANSWERED = ("elicitation_complete", "elicitation_response")
_IDLE = "idle_prompt"
KINDS = {*_NEEDS_A_PERSON, *_ANSWERED, _IDLE}  # of notifications; hooks.json registers them


def apply_session_start(repos: Repos, projects: ProjectFinder, prepared: Prepared) -> str:
    known = repos.sessions.get(prepared.session_id)
    source = prepared.payload.source or "startup"
    session = known or new_session(projects, prepared)
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
    if known is None or prepared.received_at > known.last_seen_at:
        session = replace(session, last_seen_at=prepared.received_at, ended_at=None)
        if source != "compact":
            head, head_at = head_of(prepared)
            session = replace(session, head_commit=head, head_at=head_at)
        repos.sessions.save(session)
    elif not announced:
        return "unchanged: the session was known"
    return f"session {'started' if announced else source} in {session.project_id}"


def apply_notification(repos: Repos, projects: ProjectFinder, prepared: Prepared) -> str:
    session = repos.sessions.get(prepared.session_id)
    if session and prepared.received_at <= session.last_seen_at:
        return "unchanged: older than what is known of the session"
    session = replace(session or new_session(projects, prepared), last_seen_at=prepared.received_at)
    kind = prepared.payload.notification_type or ""
    detail = stored_text(prepared.payload.message or kind)
    is_waiting = session.state == "waiting_for_permission"
    outcome = "session state updated"
    if kind in _NEEDS_A_PERSON and not (is_waiting and session.detail == detail):
        session = _needs_permission(repos, session, detail, prepared.received_at)
        outcome = "the session needs a person"
    elif kind in _ANSWERED and is_waiting:
        session = replace(session, state="working", state_at=prepared.received_at)
        outcome = "the session continues"
    elif kind == _IDLE and session.state == "working":
        # A turn that the user interrupted has no Stop.
        session = replace(session, state="waiting_for_input", state_at=prepared.received_at)
        outcome = "the session is idle"
    repos.sessions.save(session)
    return outcome


def apply_session_end(repos: Repos, prepared: Prepared) -> str:
    session = repos.sessions.get(prepared.session_id)
    if session is None:
        return "ignored: an unknown session"
    if prepared.received_at <= session.last_seen_at:
        return "unchanged: older than what is known of the session"
    repos.sessions.save(
        replace(session, ended_at=prepared.received_at, last_seen_at=prepared.received_at)
    )
    return "session ended"


def new_session(projects: ProjectFinder, prepared: Prepared) -> Session:
    """A new session, as this entry shows it."""
    return Session(
        session_id=prepared.session_id,
        project_id=projects.project_of(prepared, None),
        folder=storable(prepared.folder),
        state="working",
        state_at=prepared.received_at,
        detail="",
        briefing_id=None,
        event_id=None,
        last_seen_at=prepared.received_at,
        ended_at=None,
        head_commit=None,
        head_at=None,
        status_digest=None,
        status_turn=None,
    )


def _needs_permission(repos: Repos, session: Session, detail: str, at: str) -> Session:
    details = {
        "sessionId": session.session_id,
        "projectId": session.project_id,
        "status": "waiting_for_permission",
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
        session, state="waiting_for_permission", state_at=at, detail=detail, event_id=event_id
    )
