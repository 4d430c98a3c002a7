"""A spool entry to one transaction's worth of changes: parse, redact, facts, then state and events.

`prepare` reads the world (git, the transcript, documents) and touches no database; `apply` writes inside
the caller's transaction, and asks git only for the files of the turn's commits. Applying the same entry again, or another copy of it, changes nothing.
"""

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from fleet_lib import clock, paths
from fleet_lib.errors import BadEntry
from fleet_lib.ingest.turn_events import DETAIL_LIMIT, TurnEvents, digest, meaning_of
from fleet_lib.redact import redact
from fleet_lib.spool import Entry
from fleet_lib.store.briefings import BriefingRecord, BriefingRepo, Turn
from fleet_lib.store.conversations import ConversationRepo
from fleet_lib.store.derivations import DerivedRepo
from fleet_lib.store.outbox import EventType, OutboxRepo
from fleet_lib.store.projects import ProjectRepo, without_credentials
from fleet_lib.store.sessions import Session, SessionRepo
from fleet_lib.turn import briefing_parser, facts, transcript
from fleet_lib.turn.briefing_parser import Briefing
from fleet_lib.turn.documents import is_document, is_skill
from fleet_lib.turn.git import GitState, commits_since, head_at

EVENTS = ("SessionStart", "UserPromptSubmit", "Stop", "StopFailure", "Notification", "SessionEnd")
_WAITS_FOR_A_HUMAN = (
    "permission_prompt",
    "worker_permission_prompt",
    "elicitation",
    "elicitation_dialog",
    "elicitation_url_dialog",
    "agent_needs_input",
)
_ANSWERED = ("elicitation_complete", "elicitation_response")
_NS = 1_000_000_000


class Payload(BaseModel):
    """What Fleet reads of a hook's input; the rest is left alone."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    session_id: str | None = None
    prompt_id: str | None = None
    cwd: str | None = None
    transcript_path: str | None = None
    hook_event_name: str | None = None
    agent_id: str | None = None
    last_assistant_message: str | None = None
    error: str | None = None
    source: str | None = None
    notification_type: str | None = None
    message: str | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _text_or_none(cls, value: object, info: ValidationInfo) -> object:
        """Only the session must be named rightly: a turn is not lost to another field's new form."""
        if info.field_name == "last_assistant_message" and isinstance(value, list):
            blocks = (block.get("text") for block in value if isinstance(block, dict))
            return "\n".join(text for text in blocks if isinstance(text, str))
        return value if info.field_name == "session_id" or isinstance(value, str) else None

    @field_validator("*", mode="after")
    @classmethod
    def _storable(cls, value: str | None) -> str | None:
        # A lone surrogate cannot be stored as UTF-8, and SQLite's functions stop at a NUL.
        return value and value.encode("utf-8", "replace").decode().replace("\0", "")

    @field_validator("session_id", "prompt_id", mode="after")
    @classmethod
    def _id(cls, value: str | None) -> str | None:
        if value is not None and len(value) > 200:
            raise ValueError("is longer than an id")
        return value or None


@dataclass(frozen=True, slots=True)
class Prepared:
    """An entry, parsed, with what could be read about it outside the database."""

    entry: Entry
    payload: Payload
    folder: str  # the session's project folder, "" if nobody said
    is_commander: bool
    received_at: str
    digest: str  # of the payload: the same for every copy of one hook call
    git: GitState | None = None
    turn: transcript.TurnFacts | None = None
    message: str = ""  # the last assistant message, redacted
    block: Briefing | None = None
    status_file: Briefing | None = None

    @property
    def session_id(self) -> str:
        if not self.payload.session_id:
            raise BadEntry("the payload has no session_id")
        return self.payload.session_id

    @property
    def turn_key(self) -> str:
        """prompt_id; in old clients the prompt's line in the transcript, else the payload itself."""
        line = self.turn.prompt_key if self.turn else ""
        return self.payload.prompt_id or (f"line:{line}" if line else f"payload:{self.digest}")


def prepare(
    entry: Entry,
    home: str,
    repositories: facts.Repositories,
    pause: Callable[[float], None] = time.sleep,
) -> Prepared:
    """Parse and redact an entry and read its facts. Raises BadEntry, with the reason for a person."""
    if entry.event not in EVENTS:
        raise BadEntry(f"Fleet does not capture {entry.event or 'this event'}")
    payload, digest = _parse(entry)
    folder = entry.project or payload.cwd or entry.cwd
    prepared = Prepared(
        entry,
        payload,
        folder,
        _is_commander(folder, home),
        clock.iso(entry.received_ns),
        digest,
    )
    if prepared.is_commander or payload.agent_id:
        return prepared
    is_there = bool(folder) and Path(folder).is_dir()
    git = repositories.state(folder, entry.received_ns) if is_there else None
    if entry.event not in ("Stop", "StopFailure"):
        return replace(prepared, git=git)
    waits = entry.event == "Stop"
    wait_until = entry.received_ns / _NS + transcript.WAIT_SECONDS if waits else 0
    turn = transcript.read_turn(
        payload.transcript_path or "",
        payload.prompt_id,
        payload.last_assistant_message if waits else None,
        wait_until,
        received_at=prepared.received_at,
        pause=pause,
    )
    if git and (turn.files or (git.reflog and git.reflog[0].is_commit)):
        # Now, and not inside the transaction: it may read many files.
        repositories.documents(git)
    message = payload.last_assistant_message
    message = redact(_storable_text(turn.final_text) if message is None else message)
    block = briefing_parser.find_block(message)
    status = entry.status.decode("utf-8", "replace").replace("\0", "") if entry.status else None
    return replace(
        prepared,
        git=git,
        turn=turn,
        message=message,
        block=None if block is None else briefing_parser.parse(block),
        status_file=None if status is None else briefing_parser.parse(redact(status)),
    )


class Ingest:
    """Applies prepared entries to one database. The caller holds the transaction."""

    def __init__(
        self, connection: sqlite3.Connection, home: str, repositories: facts.Repositories
    ) -> None:
        self._home = home
        self._connection = connection
        self._repositories = repositories
        self._projects = ProjectRepo(connection)
        self._briefings = BriefingRepo(connection)
        self._outbox = OutboxRepo(connection)
        self._sessions = SessionRepo(connection)
        self._conversations = ConversationRepo(connection)
        self._derivations = DerivedRepo(connection)
        self._project_of_folder: dict[tuple[str, int], str] = {}

    def apply(self, prepared: Prepared) -> str:
        """Apply one entry inside a savepoint and say in a few words what it became.

        Raises BadEntry, or sqlite3.Error; the savepoint is rolled back then.
        """
        self._connection.execute("SAVEPOINT entry")
        try:
            outcome = self._dispatch(prepared)
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO entry")
                self._connection.execute("RELEASE entry")
            self._project_of_folder.clear()
            raise
        self._connection.execute("RELEASE entry")
        return outcome

    def record_quarantine(self, name: str, session_id: str | None, reason: str) -> None:
        """The `error` event of an entry that cannot be applied; once, however often it is tried."""
        payload: dict[str, Any] = {
            "error": {
                "message": redact(reason)[:DETAIL_LIMIT],
                "code": "quarantined",
                "entry": name,
            }
        }
        if session_id:
            payload["sessionId"] = session_id
        self._announce_once("error", payload)

    def _dispatch(self, prepared: Prepared) -> str:
        event = prepared.entry.event
        # Who asks for a permission holds the session up, whoever it is.
        if prepared.payload.agent_id and event != "Notification":
            return "left alone: a subagent's, not a turn of its own"
        if prepared.is_commander:
            return self._commander(prepared)
        if event == "SessionStart":
            return self._session_started(prepared)
        if event in ("Stop", "StopFailure"):
            return self._turn_ended(prepared)
        if event == "Notification":
            return self._notified(prepared)
        if event == "SessionEnd":
            return self._session_ended(prepared)
        return "left alone: only the Commander's prompts are told anything"

    # --- the Commander ---

    def _commander(self, prepared: Prepared) -> str:
        """A Commander's turn writes no briefing and no event, or it would read its own echo; it moves
        cursors, and only a Stop does."""
        entry, session_id = prepared.entry, prepared.session_id
        conversation = self._conversations.get_or_create_commander(self._home)
        seed = entry.shown[0] if entry.shown else None
        self._conversations.join(conversation, session_id, seed)
        prompt_id = prepared.payload.prompt_id or ""
        if entry.event == "SessionStart" and entry.shown:
            self._conversations.shown_at_start(session_id, entry.shown[1])
            return f"shown to the Commander through event {entry.shown[1]}"
        if entry.event == "UserPromptSubmit" and entry.shown:
            self._conversations.shown_at_prompt(session_id, prompt_id, entry.shown[1])
            return f"shown to the Commander through event {entry.shown[1]}"
        if entry.event == "Stop":
            self._conversations.commit_shown(conversation, session_id, prompt_id)
            return "the Commander's turn: what it was shown is committed"
        return "the Commander's: nothing to record"

    # --- worker sessions ---

    def _session_started(self, prepared: Prepared) -> str:
        known = self._sessions.get(prepared.session_id)
        source = prepared.payload.source or "startup"
        session = known or self._new_session(prepared)
        # A compacted or resumed session goes on; only one that was never heard of has started.
        is_start = known is None or source not in ("compact", "resume")
        announced = is_start and not self._outbox.has_of_session(
            "session_started", session.session_id
        )
        if announced:
            details = {
                "sessionId": session.session_id,
                "projectId": session.project_id,
                "source": _said(source),
            }
            self._outbox.add(
                type="session_started",
                project_id=session.project_id,
                broadcast_level="silent",
                payload={"session": details, "sessionId": session.session_id},
                ts=prepared.received_at,
            )
        if known is None or prepared.received_at > known.last_seen_at:
            session = session.but(last_seen_at=prepared.received_at, ended_at=None)
            if source != "compact":
                head, head_at = self._head(prepared)
                session = session.but(head_commit=head, head_at=head_at)
            self._sessions.save(session)
        elif not announced:
            return "unchanged: the session was known"
        return f"session {'started' if announced else source} in {session.project_id}"

    def _notified(self, prepared: Prepared) -> str:
        kind = prepared.payload.notification_type or ""
        session = self._sessions.get(prepared.session_id)
        if session and prepared.received_at <= session.last_seen_at:
            return "unchanged: older than what is known of the session"
        session = (session or self._new_session(prepared)).but(last_seen_at=prepared.received_at)
        outcome = "noted"
        detail = _said(prepared.payload.message or kind)
        is_waiting = session.state == "waiting_for_permission"
        if kind in _WAITS_FOR_A_HUMAN and not (is_waiting and session.detail == detail):
            details = {
                "sessionId": session.session_id,
                "projectId": session.project_id,
                "status": "waiting_for_permission",
                "detail": detail,
            }
            event_id = self._outbox.add(
                type="session_blocked",
                project_id=session.project_id,
                broadcast_level="highlight",
                payload={"session": details, "sessionId": session.session_id},
                ts=prepared.received_at,
            )
            session = session.but(
                state="waiting_for_permission",
                state_at=prepared.received_at,
                detail=detail,
                event_id=event_id,
            )
            outcome = "the session waits for a human"
        elif kind in _ANSWERED and is_waiting:
            session = session.but(state="working", state_at=prepared.received_at)
            outcome = "the session goes on"
        elif kind == "idle_prompt" and session.state == "working":
            # A turn that the user interrupted has no Stop.
            session = session.but(state="waiting_for_input", state_at=prepared.received_at)
            outcome = "the session is idle"
        self._sessions.save(session)
        return outcome

    def _session_ended(self, prepared: Prepared) -> str:
        session = self._sessions.get(prepared.session_id)
        if session is None:
            return "left alone: a session that nothing is known of"
        if prepared.received_at <= session.last_seen_at:
            return "unchanged: older than what is known of the session"
        self._sessions.save(
            session.but(ended_at=prepared.received_at, last_seen_at=prepared.received_at)
        )
        return "session ended"

    def _new_session(self, prepared: Prepared) -> Session:
        return Session(
            session_id=prepared.session_id,
            project_id=self._project(prepared, None),
            folder=_storable_text(prepared.folder),
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

    # --- turns ---

    def _turn_ended(self, prepared: Prepared) -> str:
        session_id, turn_key = prepared.session_id, prepared.turn_key
        turn = self._briefings.get_turn(session_id, turn_key)
        # Without a prompt_id the turn is the transcript's last one, which another payload may have told
        # of already. (In a turn that nobody told of, the same bytes are news: old clients' all look alike.)
        replayed = (
            prepared.payload.prompt_id is None
            and turn is not None
            and self._briefings.has_input(session_id, prepared.digest)
        )
        if replayed or not self._briefings.take_input(session_id, turn_key, prepared.digest):
            return "unchanged: this payload was applied before"
        known = self._sessions.get(session_id)
        project_id = self._project(prepared, known)
        before = self._briefings.get(turn.briefing_id) if turn else None
        written, source, status_digest = self._words(prepared, known)
        told = self._compose(prepared, written, known, before, project_id)
        summary, stale = told.pop("summary"), told.pop("stale")
        derived = self._derived(prepared, written, told, before)
        meaning = meaning_of(summary, told)

        if turn and before:
            briefing_id, revision = turn.briefing_id, turn.revision
            self._take_own_key(told, prepared, briefing_id)
            self._briefings.update(briefing_id, **told)
            if meaning != turn.meaning:
                revision += 1
        else:
            self._take_own_key(told, prepared, None)
            briefing_id, revision = self._briefings.insert(**told), 1
        is_news = turn is None or turn.revision != revision
        self._derivations.save(
            briefing_id, derived, changed_something=_changed_something(prepared, told)
        )
        self._briefings.save_turn(
            Turn(
                session_id,
                turn_key,
                briefing_id,
                revision,
                summary,
                meaning,
                source,
                prepared.turn is None or prepared.turn.partial,
                _said_all(written.warnings),
            )
        )
        self._projects.restore(project_id)
        event_id = known.event_id if known else None
        if is_news:
            event_id = self._announce_turn(
                prepared, project_id, briefing_id, revision, summary, told, stale, before
            )
        self._save_turn_state(
            prepared, known, project_id, briefing_id, told, summary, event_id, status_digest
        )
        word = "new" if revision == 1 and is_news else f"revision {revision}" if is_news else "same"
        return f"briefing #{briefing_id} ({word}, {told['status']}) of {project_id}"

    def _words(self, prepared: Prepared, known: Session | None) -> tuple[Briefing, str, str | None]:
        """(what was written, which source, the status file's digest if that is the source)."""
        if prepared.block is not None:
            return prepared.block, "block", None
        if prepared.status_file is not None and prepared.entry.status:
            digest = hashlib.sha256(prepared.entry.status).hexdigest()
            seen = known is not None and known.status_digest == digest
            # An old file is not news; for another Stop of the turn that wrote it, it still is.
            if not seen or (known is not None and known.status_turn == prepared.turn_key):
                return prepared.status_file, "status_file", digest
        return briefing_parser.parse(prepared.message, bare_front_matter=False), "message", None

    def _compose(
        self,
        prepared: Prepared,
        written: Briefing,
        known: Session | None,
        before: BriefingRecord | None,
        project_id: str,
    ) -> dict[str, Any]:
        """Every field of the briefing: what was written, else what is derived."""
        git, turn = prepared.git, prepared.turn or transcript.TurnFacts()
        edited = facts.relative_files(turn.files, git, prepared.folder)
        files = written.files_touched
        if files is None:
            earlier = before.files_touched if before else ()
            files = _unique([*earlier, *edited, *self._committed(prepared, known)])
        docs = written.docs_touched
        if docs is None:
            docs = tuple(file for file in files if is_document(file))
        stale = self._stale_documents(git, files, docs)
        impact = written.impact_level or facts.impact_of([*files, *docs])
        status = written.status or _derived_status(prepared)
        head, _ = self._head(prepared)
        base = before.base_commit if before else known.head_commit if known else None
        summary = written.summary or briefing_parser.first_line(written.raw_markdown)
        blockers = tuple(written.blockers or ())
        summary = summary or next(iter(blockers), "") or f"(a turn without words, {status})"
        return {
            "project_id": project_id,
            "session_id": prepared.session_id,
            "task_id": _said(written.task_id or prepared.turn_key, 200),
            "status": status,
            "started_at": written.started_at or _iso_or_none(turn.started_at),
            "ended_at": written.ended_at or prepared.received_at,
            "impact_level": impact,
            "broadcast_level": written.broadcast_level or facts.broadcast_of(impact),
            "doc_drift_risk": written.doc_drift_risk or facts.risk_of(len(stale)),
            "base_commit": _said(written.base_commit or base or head or "", 200) or None,
            "head_commit": _said(written.head_commit or head or "", 200) or None,
            "branch": _said(written.branch or (git.branch if git else None) or "", 200) or None,
            "blockers": _said_all(blockers),
            "next_steps": _said_all(written.next_steps or ()),
            "docs_touched": _said_all(docs),
            "files_touched": _said_all(files),
            "raw_markdown": written.raw_markdown,
            "summary": _said(summary, briefing_parser.SUMMARY_LIMIT),
            "stale": stale,
        }

    def _derived(
        self,
        prepared: Prepared,
        written: Briefing,
        told: dict[str, Any],
        before: BriefingRecord | None,
    ) -> dict[str, Any]:
        """{field that nobody wrote: its derived value}. A level that somebody else has set since the turn
        first ended stays as that one said it, in `told` too; its value here is None then."""
        derived = {name: told[name] for name in _CLASSIFIED if getattr(written, name) is None}
        if prepared.entry.event == "StopFailure":
            derived.pop("status", None)  # Claude Code says it
        earlier = self._derivations.get(before.briefing_id) if before else {}
        for name in _LEVELS:
            if before and name in derived and name in earlier:
                now = getattr(before, name)
                if earlier[name] is None or earlier[name] != now:
                    told[name], derived[name] = now, None
        return derived

    def _take_own_key(
        self, told: dict[str, Any], prepared: Prepared, briefing_id: int | None
    ) -> None:
        """Where the worker wrote another turn's task and time once more: its own all the same."""
        taken = self._briefings.find_same(**told)
        if taken is not None and taken != briefing_id:
            told["task_id"], told["ended_at"] = prepared.turn_key, prepared.received_at

    def _announce_turn(
        self,
        prepared: Prepared,
        project_id: str,
        briefing_id: int,
        revision: int,
        summary: str,
        told: dict[str, Any],
        stale: dict[str, list[str]],
        before: BriefingRecord | None,
    ) -> int:
        """The turn's events; the id of the one that says what state the session is in."""
        events = TurnEvents(
            self._outbox,
            project_id=project_id,
            briefing_id=briefing_id,
            session_id=prepared.session_id,
            ts=prepared.received_at,
        )
        state_event = events.briefing(revision, summary, told)
        if told["status"] == "blocked" and (before is None or before.status != "blocked"):
            state_event = events.blocked(summary, told)
        if prepared.entry.event == "StopFailure":
            code = _said(prepared.payload.error or "unknown", 100)
            events.add("error", "highlight", {"error": {"message": summary, "code": code}})
        if told["doc_drift_risk"] == "high":
            for document, sources in self._new_drift(prepared, project_id, stale):
                events.drift(document, sources)
        skills = [path for path in told["files_touched"] if is_skill(path)]
        for path in skills:
            if before is None or path not in before.files_touched:
                events.add("skill_updated", "mention", {"skill": {"path": path}})
        return state_event

    def _save_turn_state(
        self,
        prepared: Prepared,
        known: Session | None,
        project_id: str,
        briefing_id: int,
        told: dict[str, Any],
        summary: str,
        event_id: int | None,
        status_digest: str | None,
    ) -> None:
        session = known or self._new_session(prepared)
        if known and prepared.received_at < known.last_seen_at:
            return  # an older turn, replayed or late: the session has moved on
        head, head_at = self._head(prepared)
        # Not `ended_at`: in -p a StopFailure may come after the SessionEnd, and only a SessionStart
        # brings a session back.
        session = session.but(
            project_id=project_id,
            folder=_storable_text(prepared.folder) or session.folder,
            state=told["status"],
            state_at=prepared.received_at,
            detail=next(iter(told["blockers"]), summary)[:DETAIL_LIMIT],
            briefing_id=briefing_id,
            event_id=event_id,
            last_seen_at=prepared.received_at,
            head_commit=head,
            head_at=head_at,
        )
        if status_digest:
            session = session.but(status_digest=status_digest, status_turn=prepared.turn_key)
        self._sessions.save(session)

    # --- what a turn touched ---

    def _committed(self, prepared: Prepared, known: Session | None) -> tuple[str, ...]:
        """The files of the commits that the turn made."""
        git = prepared.git
        if git is None:
            return ()
        since, head = (known.head_at, known.head_commit) if known else (None, None)
        if since is None:
            # Captured from the middle of a session: the turn's own beginning is all that is known.
            started = _iso_or_none(prepared.turn.started_at if prepared.turn else None)
            if started is None:
                return ()
            since = int(clock.parse(started).timestamp() * _NS)
        commits = commits_since(git, head, since, prepared.entry.received_ns)
        return self._repositories.files_of_commits(git, commits) if commits else ()

    def _head(self, prepared: Prepared) -> tuple[str | None, int | None]:
        """HEAD when the entry was received, and that moment in Unix nanoseconds."""
        if prepared.git is None:
            return None, None
        received_ns = prepared.entry.received_ns
        return head_at(prepared.git, received_ns), received_ns

    def _stale_documents(
        self, git: GitState | None, files: Iterable[str], docs: Iterable[str]
    ) -> dict[str, list[str]]:
        """{document that was left behind: the touched sources that it mentions}."""
        sources = [f for f in files if not is_document(f) and not f.startswith("/")]
        if git is None or not sources:
            return {}
        touched = {*files, *docs}
        documents = self._repositories.documents(git)
        stale: dict[str, list[str]] = {}
        for source in sources:
            for document in documents.mentioning(source):
                if document not in touched:
                    stale.setdefault(document, []).append(source)
        return stale

    def _new_drift(
        self, prepared: Prepared, project_id: str, stale: dict[str, list[str]]
    ) -> list[tuple[str | None, list[str]]]:
        """The stale documents with a source that they were not warned of as both are now."""
        git = prepared.git
        if git is None or not stale:
            return [(None, [])]  # the worker itself says that the risk is high
        documents = self._repositories.documents(git)
        found: list[tuple[str | None, list[str]]] = []
        for document, sources in sorted(stale.items()):
            digest = documents.digest(document)
            fresh = [
                source
                for source in sources
                if self._take_pair(project_id, source, document, documents.digest(source), digest)
            ]
            if fresh:
                found.append((_said(document, 1000), list(_said_all(fresh))))
        return found

    def _take_pair(
        self, project_id: str, source: str, document: str, source_digest: str, document_digest: str
    ) -> bool:
        """Note a (source, document) pair as warned of. False if it was, and neither has changed."""
        cursor = self._connection.execute(
            "INSERT INTO doc_drift_pairs (project_id, source, document, source_digest,"
            " document_digest) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (project_id, source, document) DO UPDATE"
            " SET source_digest = excluded.source_digest, document_digest = excluded.document_digest"
            " WHERE source_digest <> excluded.source_digest"
            " OR document_digest <> excluded.document_digest",
            (project_id, _said(source), _said(document), source_digest, document_digest),
        )
        return cursor.rowcount == 1

    # --- shared ---

    def _project(self, prepared: Prepared, known: Session | None) -> str:
        """The project of an entry's folder; of the session's last turn where the folder is gone."""
        folder, git = prepared.folder, prepared.git
        known = known or self._sessions.get(prepared.session_id)
        if git is None and not (folder and Path(folder).is_dir()):
            if known:
                return known.project_id
            if not folder:
                raise BadEntry("neither Claude Code nor the payload names a project folder")
        if git is None and self._repositories.is_silent(folder):
            # A project made of this folder would stay one for ever.
            known_root = self._projects.find_around(folder)
            if known or known_root:
                return known.project_id if known else str(known_root)
            raise BadEntry("git did not answer, so the folder's project is not known")
        key = (folder, git.read_at_ns if git else 0)
        if key not in self._project_of_folder:
            root = git.root if git else os.path.realpath(folder)
            self._project_of_folder[key] = self._projects.ensure_project(
                repo_name=_said(Path(root).name, 200),
                repo_root=_storable_text(root),
                git_remote=_said(without_credentials(git.remote), 1000)
                if git and git.remote
                else None,
            )
        return self._project_of_folder[key]

    def _announce_once(self, kind: EventType, payload: dict[str, Any]) -> None:
        if not self._outbox.has_alert(kind, payload):
            self._outbox.add(type=kind, payload=payload, broadcast_level="highlight")


# What nobody may have written, so that Fleet derives it and a model may say it better.
_LEVELS = ("impact_level", "broadcast_level", "doc_drift_risk")
_CLASSIFIED = (*_LEVELS, "status", "blockers", "next_steps")


@cache
def _is_commander(folder: str, home: str) -> bool:
    return paths.is_commander(folder, home)


def _parse(entry: Entry) -> tuple[Payload, str]:
    if len(entry.payload) > paths.MAX_PAYLOAD_BYTES:
        raise BadEntry(f"the payload is larger than {paths.MAX_PAYLOAD_BYTES >> 20} MB")
    if not entry.payload.strip():
        raise BadEntry("the payload is empty")
    try:
        value = json.loads(entry.payload.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise BadEntry(f"the payload is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadEntry(f"the payload is no JSON object but {_json_kind(value)}")
    try:
        payload = Payload.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadEntry(
            f"the payload has the wrong shape: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        ) from None
    return payload, digest([entry.event, value])


def _json_kind(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _changed_something(prepared: Prepared, told: dict[str, Any]) -> bool:
    return prepared.entry.event == "Stop" and bool(told["files_touched"] or told["docs_touched"])


def _derived_status(prepared: Prepared) -> str:
    if prepared.entry.event == "StopFailure":
        return "failed"
    asks = prepared.message.rstrip().rstrip("*_`)\"'”’ ").endswith(("?", "？"))
    return "waiting_for_input" if asks else "completed"


def _said(text: str, limit: int = DETAIL_LIMIT) -> str:
    """Somebody's words as they may be stored: redacted, one line, cut."""
    return briefing_parser.one_line(redact(_storable_text(text)), limit)


def _said_all(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(_said(text, briefing_parser.ITEM_LIMIT) for text in texts)


def _storable_text(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def _unique(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def _iso_or_none(text: str | None) -> str | None:
    try:
        return clock.normal(text) if text else None
    except (ValueError, OverflowError):
        return None
