"""A turn, composed once as a value: what was written, else what is derived. Pure: no database, no
files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fleet_lib.digests import sha256
from fleet_lib.records import Record, field
from fleet_lib.store.briefings import FIELDS, BriefingRecord
from fleet_lib.store.sessions import Session
from fleet_lib.turn import derive
from fleet_lib.turn.briefing_parser import Briefing
from fleet_lib.turn.payload import digest
from fleet_lib.turn.prepared import Prepared
from fleet_lib.turn.sources import Source
from fleet_lib.turn.stored_text import (
    TEXT_LIMIT,
    TITLE_LIMIT,
    stored_paths,
    stored_text,
    stored_texts,
)

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

    from fleet_lib.levels import BroadcastLevel, DocDriftRisk, ImpactLevel, Status
    from fleet_lib.store.briefings import BriefingFields

_WORD_LIMIT = 200  # characters of an id, a commit, a branch

_PATHS = ("files_touched", "docs_touched")  # what was derived of them is in the briefing itself
_LEVELS = ("impact_level", "broadcast_level", "doc_drift_risk")

# What a reader would call news; a change of it is a new revision.
_MEANING = (
    "status",
    "impact_level",
    "broadcast_level",
    "doc_drift_risk",
    "blockers",
    "next_steps",
    "docs_touched",
    "files_touched",
)


class ComposedTurn(Record):
    """Everything that is stored of one turn. Field names are the briefing's, where it has them."""

    project_id: str
    session_id: str
    turn_key: str
    task_id: str
    status: Status
    started_at: str | None
    ended_at: str
    impact_level: ImpactLevel
    broadcast_level: BroadcastLevel
    doc_drift_risk: DocDriftRisk
    base_commit: str | None
    head_commit: str | None
    branch: str | None
    blockers: tuple[str, ...]
    next_steps: tuple[str, ...]
    docs_touched: tuple[str, ...]
    files_touched: tuple[str, ...]
    raw_markdown: str
    title: str  # that was written; "" for none
    summary: str
    question: str | None  # what a turn asks its reader
    source: str
    status_digest: str | None
    warnings: tuple[str, ...]
    stale: Mapping[str, list[str]] = field(default_factory=dict)  # {document: files it mentions}
    # {field that was not written: its derived value, None once a reader or a model has set it}
    derived: Mapping[str, Any] = field(default_factory=dict)

    def fields(self) -> BriefingFields:
        """The briefing's columns."""
        values = self.__dict__
        return {name: values[name] for name in FIELDS}  # type: ignore[return-value]

    @property
    def detail(self) -> str:
        """What the session waits for, else what it did: one line."""
        return detail_of(self.blockers, self.summary, self.question)


def meaning_of(summary: str, fields: Mapping[str, Any], question: str | None) -> str:
    """A digest of what a reader would call news of a briefing."""
    asked = [question] if question else []
    return digest([summary, *(fields[name] for name in _MEANING), *asked])


def detail_of(blockers: tuple[str, ...], summary: str, question: str | None = None) -> str:
    return (question or next(iter(blockers), summary))[:TEXT_LIMIT]


def source_of(prepared: Prepared, known: Session | None) -> tuple[Source, str | None]:
    """The first source that is there: a briefing block, a status file that changed, the message.
    With the digest of the status file, where that is the source."""
    for source in prepared.sources:
        if source.name != "status_file":
            break
        digest = sha256(prepared.entry.status or b"").hexdigest()
        is_old = known is not None and known.status_digest == digest
        # An old file is not news; for another Stop of the turn that wrote it, it still is.
        if not is_old or (known is not None and known.status_turn == prepared.turn_key):
            return source, digest
    return prepared.sources[-1], None


def compose(
    prepared: Prepared,
    project_id: str,
    known: Session | None,
    before: BriefingRecord | None,
    derived_before: Mapping[str, Any],
) -> ComposedTurn:
    """The turn that a Stop or StopFailure ended.

    `known` is its session before this, `before` the briefing that an earlier Stop of the same turn
    left, with the values that were derived then. Raises turn.prepared.NotRead.
    """
    source, status_digest = source_of(prepared, known)
    written, status = source.written, source.status
    files, docs = _paths(written, prepared, before)
    stale = prepared.stale_documents(files.names, docs.names)
    levels, derived = _levels(
        written, status, files.stored, docs.stored, len(stale), before, derived_before
    )
    derived |= {name: () for name in ("blockers", "next_steps") if getattr(written, name) is None}
    derived |= {name: True for name in _PATHS if getattr(written, name) is None}
    # What Claude Code reports as a failure needs no second opinion.
    if written.status is None and prepared.entry.event == "Stop":
        derived["status"] = status
    head = head_of(prepared)[0]
    base = before.base_commit if before else None
    base = base or (known.head_commit if known else None)
    branch = written.branch or (prepared.git.branch if prepared.git else None)
    return ComposedTurn(
        project_id=project_id,
        session_id=prepared.session_id,
        turn_key=prepared.turn_key,
        task_id=stored_text(written.task_id or prepared.turn_key, _WORD_LIMIT),
        status=status,
        started_at=written.started_at or prepared.turn_started_at,
        ended_at=written.ended_at or prepared.received_at,
        **levels,
        base_commit=_word(written.base_commit or base or head),
        head_commit=_word(written.head_commit or head),
        branch=_word(branch),
        blockers=source.blockers,
        next_steps=source.next_steps,
        docs_touched=docs.stored,
        files_touched=files.stored,
        raw_markdown=written.raw_markdown,
        title=stored_text(written.title or "", TITLE_LIMIT),
        summary=source.summary,
        question=source.question,
        source=source.name,
        status_digest=status_digest,
        warnings=stored_texts(_warnings(prepared, written)),
        stale=stale,
        derived=derived,
    )


class _Paths(Record):
    """Files by their names, as the repository has them, and as they are stored."""

    names: tuple[str, ...]
    stored: tuple[str, ...]


def _paths(
    written: Briefing, prepared: Prepared, before: BriefingRecord | None
) -> tuple[_Paths, _Paths]:
    """(the files of a turn, the documents among them)."""
    if written.files_touched is None:
        earlier, touched = before.files_touched if before else (), prepared.touched_files
        names, stored = (*earlier, *touched), (*earlier, *stored_paths(touched))
    else:
        names, stored = written.files_touched, stored_paths(written.files_touched)
    files = _Paths(tuple(dict.fromkeys(names)), tuple(dict.fromkeys(stored)))
    if not written.docs_touched:
        return files, _Paths(_documents_in(files.names), _documents_in(files.stored))
    return files, _Paths(written.docs_touched, stored_paths(written.docs_touched))


def _documents_in(files: Sequence[str]) -> tuple[str, ...]:
    if not files:
        return ()
    from fleet_lib.turn.documents import is_document  # most turns of a talk touch no file

    return tuple(filter(is_document, files))


def with_more_files(
    record: BriefingRecord, derived: Mapping[str, Any], files: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the fields of a stored briefing that more files can change, what is derived of it then).
    What was written, or set by a reader, stays."""
    touched, docs, impact = record.files_touched, record.docs_touched, record.impact_level
    broadcast, derived = record.broadcast_level, dict(derived)
    if derived.get("files_touched"):
        touched = tuple(dict.fromkeys([*touched, *files]))
    if derived.get("docs_touched"):
        docs = _documents_in(touched)
    if derived.get("impact_level") is not None and derived["impact_level"] == impact:
        level = derive.impact_of([*touched, *docs])
        if derived.get("broadcast_level") is not None and derived["broadcast_level"] == broadcast:
            status: Any = record.status  # one of the few that there are
            least = derive.broadcast_of(level, status)
            broadcast = derived["broadcast_level"] = least
        impact = derived["impact_level"] = level
    fields = {
        "files_touched": touched,
        "docs_touched": docs,
        "impact_level": impact,
        "broadcast_level": broadcast,
    }
    return fields, derived


def head_of(prepared: Prepared) -> tuple[str | None, int | None]:
    """HEAD when the entry was received, and that moment in Unix nanoseconds."""
    if prepared.git is None:
        return None, None
    return prepared.head, prepared.entry.received_ns


def _levels(
    written: Briefing,
    status: Status,
    files: tuple[str, ...],
    docs: tuple[str, ...],
    stale: int,
    before: BriefingRecord | None,
    derived_before: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """({level: its value}, {level that was not written: what was derived}). A level that a reader
    or a model has set since the turn first ended stays as it is; what was derived is None then."""
    impact = written.impact_level or derive.impact_of([*files, *docs])
    levels: dict[str, Any] = {
        "impact_level": impact,
        "broadcast_level": _broadcast(written, impact, status),
        "doc_drift_risk": written.doc_drift_risk or derive.risk_of(stale),
    }
    derived = {name: levels[name] for name in _LEVELS if getattr(written, name) is None}
    for name in list(derived):
        if before and name in derived_before:
            current = getattr(before, name)
            if derived_before[name] is None or derived_before[name] != current:
                levels[name], derived[name] = current, None
    return levels, derived


def _broadcast(written: Briefing, impact: ImpactLevel, status: Status) -> BroadcastLevel:
    least = derive.broadcast_of(impact, status)
    is_heard = written.broadcast_level not in (None, "silent") or status == "completed"
    return written.broadcast_level if written.broadcast_level and is_heard else least


def _warnings(prepared: Prepared, written: Briefing) -> tuple[str, ...]:
    return (*written.warnings, *(prepared.git.warnings if prepared.git else ()))


def _word(text: str | None) -> str | None:
    return stored_text(text or "", _WORD_LIMIT) or None
