"""Permission prompts: the words in which they ask, the alert of one that stays unanswered, and when
they are over."""

from __future__ import annotations

from fleet_lib import clock
from fleet_lib.ingest.project import ProjectFinder
from fleet_lib.ingest.sessions import end_after_event, needs_a_person, new_session, seen_until
from fleet_lib.records import replace
from fleet_lib.store.live_state import PermissionRequest
from fleet_lib.store.repos import Repos
from fleet_lib.store.sessions import Session
from fleet_lib.text import storable
from fleet_lib.turn.permission import QUESTION_TOOL, words_of
from fleet_lib.turn.prepared import Prepared
from fleet_lib.turn.stored_text import stored_text

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from fleet_lib.levels import SessionState

_MAIN_THREAD = ""
# Copies of a hook run within this; the client shows no second prompt so soon after the first one's
# notification, which comes six seconds after the prompt.
_COPIES_NS = 5_000_000_000
# A background agent asks 40 to 80 ms before the Stop of its turn.
_RIGHT_BEFORE_NS = 1_000_000_000


def apply_request(repos: Repos, projects: ProjectFinder, prepared: Prepared) -> str:
    """Store what a prompt asks. It is no event: most prompts are answered at once, and those of
    `claude -p` are denied by themselves."""
    session = repos.sessions.get(prepared.session_id)
    if session and prepared.received_at <= seen_until(session):
        return "unchanged: older than what is known of the session"
    session = session or new_session(repos, projects, prepared)
    ended_at = end_after_event(session, prepared.received_at)
    session = replace(session, last_seen_at=prepared.received_at, ended_at=ended_at)
    repos.sessions.save(session)
    payload = prepared.payload
    repos.permissions.save(
        PermissionRequest(
            session_id=session.session_id,
            agent_id=storable(payload.agent_id or _MAIN_THREAD),
            asked_at=prepared.received_at,
            text=words_of(payload.tool_name, payload.tool_input or {}, prepared.folder),
            is_question=payload.tool_name == QUESTION_TOOL,
            is_announced=False,
        )
    )
    return "a permission prompt's words"


def apply_notification(repos: Repos, projects: ProjectFinder, prepared: Prepared) -> str:
    """Apply the notification of a prompt that stays unanswered: an alert of its own for each
    prompt, with the words of its request."""
    session = repos.sessions.get(prepared.session_id)
    if session and prepared.received_at <= seen_until(session):
        return "unchanged: older than what is known of the session"
    session = replace(
        session or new_session(repos, projects, prepared), last_seen_at=prepared.received_at
    )
    if prepared.is_headless:
        repos.sessions.save(session)
        return "ignored: `claude -p` cannot be answered"
    repos.sessions.save(_alerted(repos, prepared, session))
    return "the session needs a person"


def _alerted(repos: Repos, prepared: Prepared, session: Session) -> Session:
    pending = repos.permissions.pending(session.session_id)
    if prepared.payload.agent_id:
        pending = [one for one in pending if one.agent_id == prepared.payload.agent_id]
    request = next((one for one in pending if not one.is_announced), next(iter(pending), None))
    message = prepared.payload.message or prepared.payload.notification_type or ""
    detail = request.text if request else stored_text(message)
    state = _state_of(request)
    is_same = (
        (session.state, session.detail) == (state, detail)
        and (request is None or request.is_announced)
        and _nanoseconds_between(session.state_at, prepared.received_at) < _COPIES_NS
    )
    if is_same:
        return session
    if request:
        repos.permissions.save(replace(request, is_announced=True))
    # A person who saw the prompt before its notification may have hidden it already.
    is_hidden = (
        request is not None
        and (session.state, session.detail) == (state, detail)
        and session.state_at >= request.asked_at
    )
    alerted = needs_a_person(repos, session, state, detail, prepared.received_at)
    return replace(alerted, hidden_until=session.hidden_until if is_hidden else None)


def after_turn(
    repos: Repos, prepared: Prepared, before: Session | None, session: Session
) -> Session:
    """The session after a turn's end: it still waits if the prompt of a background agent does. The
    end of a turn is the end of its own thread's prompts only."""
    running = _running_agents(prepared)
    over: list[PermissionRequest] = []
    waiting: list[PermissionRequest] = []
    for request in repos.permissions.pending(session.session_id):
        is_of_an_agent = request.agent_id != _MAIN_THREAD and (
            request.agent_id in running
            if running is not None
            else _nanoseconds_between(request.asked_at, prepared.received_at) < _RIGHT_BEFORE_NS
        )
        # This end may be applied late.
        is_waiting = is_of_an_agent or request.asked_at > prepared.received_at
        (waiting if is_waiting else over).append(request)
    if over:
        repos.permissions.forget(session.session_id, [request.agent_id for request in over])
    announced = next((request for request in waiting if request.is_announced), None)
    if announced is None or before is None or before.state != _state_of(announced):
        return session
    return replace(
        session,
        state=before.state,
        state_at=before.state_at,
        detail=announced.text,
        event_id=before.event_id,
    )


def _state_of(request: PermissionRequest | None) -> SessionState:
    is_question = request is not None and request.is_question
    return "waiting_for_input" if is_question else "waiting_for_permission"


def _running_agents(prepared: Prepared) -> set[str] | None:
    """The ids of the session's agents that still run; None where the client does not say."""
    tasks = prepared.payload.background_tasks
    return None if tasks is None else set(tasks)


def _nanoseconds_between(earlier: str, later: str) -> int:
    return clock.nanoseconds(later) - clock.nanoseconds(earlier)
