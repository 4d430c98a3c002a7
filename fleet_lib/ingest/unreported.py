"""Turns that no hook reported, as their transcripts have them: at a session's end a turn like any
other, with its events; in an import history, of which nothing is announced."""

from fleet_lib import clock
from fleet_lib.ingest import turns
from fleet_lib.ingest.compose import compose
from fleet_lib.ingest.project import ProjectFinder
from fleet_lib.records import replace
from fleet_lib.store.imports import TurnIdentity
from fleet_lib.store.repos import Repos
from fleet_lib.store.sessions import Session
from fleet_lib.text import storable
from fleet_lib.turn.prepared import NotRead, Prepared


def apply_missed_turn(repos: Repos, projects: ProjectFinder, prepared: Prepared) -> str:
    """Apply the newest turn of a session that ended, if its Stop or StopFailure never came: the
    client may have killed the hook. What it became, or ""."""
    turn = prepared.newest
    session = repos.sessions.get(prepared.session_id)
    if turn is None or session is None:
        return ""
    identity = TurnIdentity(prepared.session_id, turn.prompt_id, turn.prompt_key, None)
    # A turn from before Fleet knew the session is history: `fleet import` takes it in.
    ended_at = clock.iso(turn.ended_ns or prepared.entry.received_ns)
    if ended_at <= session.last_seen_at or repos.imports.is_known(identity):
        return ""
    if prepared.missed is None:
        raise NotRead(missed=True)
    missed = prepared.missed
    return turns.apply_turn_end(
        repos, projects, replace(missed, digest=turns.recovered_digest(missed))
    )


def apply_import(
    repos: Repos, projects: ProjectFinder, prepared: Prepared, *, is_living: bool
) -> int | None:
    """Store one turn of a transcript as history, and return its briefing; None if the turn was
    known."""
    identity = TurnIdentity(
        prepared.session_id,
        prepared.payload.prompt_id,
        prepared.turn.prompt_key,
        prepared.turn_started_at,
    )
    if repos.imports.is_known(identity):
        return None
    known = repos.sessions.get(prepared.session_id)
    project_id = projects.project_of(prepared, known)
    turn = compose(prepared, project_id, None, None, {})
    derived = dict(turn.derived)
    if "broadcast_level" in derived:
        derived["broadcast_level"] = "silent"
    turn = replace(turn, broadcast_level="silent", base_commit=None, derived=derived)
    record = turns.store(repos, prepared, turn, None, None, is_history=True)
    repos.imports.mark(record.briefing_id, prepared.received_at)
    if known is None or _is_an_imports(repos, known, is_living):
        _remember_session(repos, prepared, known, project_id, record.briefing_id, is_living)
    return record.briefing_id


def _is_an_imports(repos: Repos, known: Session, is_living: bool) -> bool:
    """Whether an import may describe a known session. One that lives is its hooks' to describe,
    unless they never did."""
    if known.briefing_id is not None and repos.imports.is_imported(known.briefing_id):
        return True
    return known.ended_at is not None and not is_living


def _remember_session(
    repos: Repos,
    prepared: Prepared,
    known: Session | None,
    project_id: str,
    briefing_id: int,
    is_living: bool,
) -> None:
    """The session of an imported turn: it waits for no answer, and has ended unless a client has it
    open."""
    at = prepared.received_at
    ended_at = None if is_living else at
    if known is None:
        known = Session(
            session_id=prepared.session_id,
            project_id=project_id,
            folder=storable(prepared.folder),
            state="completed",
            state_at=at,
            detail="",
            briefing_id=None,
            event_id=None,
            last_seen_at=at,
            ended_at=ended_at,
            hidden_until=None,
            head_commit=None,
            head_at=None,
            status_digest=None,
            status_turn=None,
        )
    elif at < known.last_seen_at:
        return
    repos.sessions.save(
        replace(known, briefing_id=briefing_id, state_at=at, last_seen_at=at, ended_at=ended_at)
    )
