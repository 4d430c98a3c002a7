"""One spool entry with everything that the world says about it: git, the transcript, the documents.

All of it is read here, before any transaction, so that no slow git and no dead disk is waited for
while the database is locked. What the transaction needs and this did not read (the session is known
to the database alone) it asks for by raising NotRead; `read_more` reads that, and the entry is
applied again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache

from fleet_lib import clock, hot_settings, ignored, outside, paths
from fleet_lib.errors import BadEntry
from fleet_lib.records import replace
from fleet_lib.redact import redact
from fleet_lib.spool import Entry
from fleet_lib.text import storable
from fleet_lib.turn import follow_ups, transcript
from fleet_lib.turn.client_folder import client_folder_of, is_headless
from fleet_lib.turn.committed import committed_files
from fleet_lib.turn.derive import risk_of
from fleet_lib.turn.follow_ups import Place
from fleet_lib.turn.git import head_at
from fleet_lib.turn.gone_folder import repository_of
from fleet_lib.turn.payload import SESSION_WIDE, TURN_ENDS, Payload, parse_payload
from fleet_lib.turn.prepared import EarlierTurn, NotRead, Prepared, stored_time
from fleet_lib.turn.repositories import Repositories, relative_files
from fleet_lib.turn.sources import sources_of
from fleet_lib.turn.title import title_of
from fleet_lib.turn.transcript import TurnFacts

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from fleet_lib.turn.transcript_turns import FinishedTurn

_NS = 1_000_000_000
_counted_as_now = 0  # the last time that was in the future, as it was counted


def prepare(
    entry: Entry,
    home: str,
    repositories: Repositories,
    pause: Callable[[float], None] = time.sleep,
) -> Prepared:
    """Parse and redact an entry and read its facts. Raises BadEntry, with the reason in one line."""
    entry.received_ns = _received_ns(entry)
    received_at = clock.iso(entry.received_ns)
    given = entry.project or entry.cwd
    outside.asking(given)
    if ignored.is_ignored(home, given):  # whatever its payload says
        return Prepared(entry, Payload(), "", received_at, given, False, is_ignored=True)
    payload, digest = parse_payload(entry)
    folder = entry.project or payload.cwd or entry.cwd
    prepared = Prepared(entry, payload, digest, received_at, folder, _is_commander(folder, home))
    if folder != given and ignored.is_ignored(home, folder):
        return replace(prepared, is_ignored=True)
    if prepared.is_commander or (payload.agent_id and entry.event not in SESSION_WIDE):
        return prepared
    client_folder = client_folder_of(payload.transcript_path)
    exists = bool(folder) and outside.is_folder(folder)
    git = repositories.state(folder, entry.received_ns) if exists else None
    prepared = replace(
        prepared,
        folder_exists=exists,
        real_folder=os.path.realpath(folder) if folder else "",
        git=git,
        head=head_at(git, entry.received_ns) if git else None,
        gone_from=None if exists else repository_of(folder, entry, repositories),
        is_git_silent=repositories.is_silent(folder),
        client_folder=client_folder,
        keeps_prompts=hot_settings.keeps_prompts(home),
        is_headless=entry.event == "Notification"
        and client_folder is not None
        and is_headless(client_folder, payload.session_id),
    )
    # A worktree may lie outside the repository that is ignored.
    repository = prepared.git or prepared.gone_from
    if repository and ignored.is_ignored(home, repository.toplevel, repository.root):
        return replace(prepared, is_ignored=True)
    if entry.event == "SessionEnd":
        return replace(prepared, newest=_newest_turn(prepared, pause))
    if entry.event not in TURN_ENDS:
        return prepared
    return _read_files(_read_words(prepared, pause), repositories)


def _received_ns(entry: Entry) -> int:
    """When the entry was received. A time in the future, of a clock that was set back since, counts
    as now; of several entries each is a millisecond after the one before it."""
    global _counted_as_now
    now = time.time_ns()
    if entry.received_ns <= now + clock.AHEAD_NANOSECONDS:
        return entry.received_ns
    _counted_as_now = max(now, _counted_as_now + 1_000_000)
    return _counted_as_now


def read_more(prepared: Prepared, missing: NotRead, repositories: Repositories) -> Prepared:
    """The same entry with what was missing."""
    if missing.missed:
        return _with_missed_turn(prepared, repositories)
    if prepared.missed:
        missed = read_more(prepared.missed, missing, repositories)
        # The session's end asks for its earlier turns, too.
        return replace(prepared, missed=missed, earlier_turns=missed.earlier_turns)
    git = prepared.git
    stale = dict(prepared.stale)
    if git and missing.documents:
        stale[missing.documents] = repositories.documents(git).stale(*missing.documents)
    digests = dict(prepared.digests)
    if git and missing.digests:
        digests |= repositories.documents(git).digests(missing.digests)
    folders = {folder: outside.exists(folder) for folder in missing.folders}
    earlier = {prompt: _read_earlier(prepared, prompt, repositories) for prompt in missing.prompts}
    return replace(
        prepared,
        stale=stale,
        digests=digests,
        folders={**prepared.folders, **folders},
        earlier_turns={**prepared.earlier_turns, **earlier},
    )


def _newest_turn(prepared: Prepared, pause: Callable[[float], None]) -> FinishedTurn | None:
    """The newest finished turn of a session that ended; its hook may have been killed with the
    client."""
    from fleet_lib.turn.transcript_turns import newest_turn  # only a session's end asks

    wait_until = prepared.entry.received_ns / _NS + transcript.WAIT_SECONDS
    while True:
        turn, is_coming = newest_turn(prepared.payload.transcript_path or "")
        remaining = wait_until - time.time()
        if not is_coming or remaining <= 0:
            return turn
        pause(min(0.02, remaining))


def _with_missed_turn(prepared: Prepared, repositories: Repositories) -> Prepared:
    """The SessionEnd with its session's newest turn, as if that turn's own hook had reported it."""
    turn, entry = prepared.newest, prepared.entry
    if turn is None:
        return prepared
    try:
        payload = Payload.read(
            {
                "session_id": prepared.payload.session_id,
                "prompt_id": turn.prompt_id,
                "cwd": prepared.payload.cwd,
                "transcript_path": prepared.payload.transcript_path,
                "last_assistant_message": turn.message,
                "error": turn.error,
            }
        )
    except BadEntry:
        return replace(prepared, newest=None)
    event = "Stop" if turn.error is None else "StopFailure"
    received_ns = turn.ended_ns or entry.received_ns
    git = prepared.git
    missed = replace(
        prepared,
        head=head_at(git, received_ns) if git else None,
        entry=Entry(entry.name, event, received_ns, entry.project, entry.cwd, None, b"", None),
        payload=payload,
        received_at=clock.iso(received_ns),
        newest=None,
    )
    return replace(prepared, missed=_read_files(_read_words(missed, time.sleep), repositories))


def _read_words(prepared: Prepared, pause: Callable[[float], None]) -> Prepared:
    """What the turn's message, status file and transcript say."""
    entry, payload = prepared.entry, prepared.payload
    waits = entry.event == "Stop"
    turn = transcript.read_turn(
        payload.transcript_path or "",
        payload.prompt_id,
        payload.last_assistant_message if waits else None,
        entry.received_ns / _NS + transcript.WAIT_SECONDS if waits else 0,
        received_at=prepared.received_at,
        pause=pause,
    )
    path = payload.transcript_path or ""
    place = _place(path, payload.prompt_id, turn) if payload.prompt_id else Place("")
    message = payload.last_assistant_message
    message = redact(storable(turn.final_text) if message is None else message)
    status = entry.status.decode("utf-8", "replace").replace("\0", "") if entry.status else None
    return replace(
        prepared,
        turn=turn,
        turn_prompt=place.turn,
        is_placed=place.is_seen,
        agents={
            agent: follow_ups.turn_of_agent(path, agent) for agent in payload.background_tasks or ()
        },
        title=title_of(turn.asked) if prepared.keeps_prompts else "",
        message=message,
        sources=sources_of(entry.event, message, None if status is None else redact(status)),
    )


def _read_earlier(prepared: Prepared, prompt_id: str, repositories: Repositories) -> EarlierTurn:
    path = prepared.payload.transcript_path or ""
    turn = transcript.read_turn(path, prompt_id, None, 0)
    place = _place(path, prompt_id, turn)
    files = _touched_files(prepared, turn, repositories)
    title = title_of(turn.asked) if prepared.keeps_prompts else ""
    return EarlierTurn(place, files, stored_time(turn.started_at), title)


def _place(path: str, prompt_id: str, turn: TurnFacts) -> Place:
    """Where a prompt belongs; to a follow-up's facts those of its turn are added."""
    place = follow_ups.place_of(path, prompt_id, turn.opening)
    if place.turn != prompt_id:
        for prompt in (*place.between, place.turn):
            transcript.add_turn(turn, path, prompt)
    return place


def _touched_files(
    prepared: Prepared, turn: TurnFacts, repositories: Repositories
) -> tuple[str, ...]:
    """The files of a turn's edits and of its own commits, relative to the repository."""
    git, folder, until_ns = prepared.git, prepared.folder, prepared.entry.received_ns
    files = relative_files(turn.files, git, folder)
    if not prepared.is_git_silent:
        files += committed_files(repositories, git, turn.calls, files, folder, until_ns)
    return tuple(dict.fromkeys(files))


def _read_files(prepared: Prepared, repositories: Repositories) -> Prepared:
    """The files that the turn touched, and the documents that mention them."""
    git = prepared.git
    touched = _touched_files(prepared, prepared.turn, repositories)
    prepared = replace(prepared, touched_files=touched)
    written = prepared.sources[0].written
    files = written.files_touched or touched
    if git is None or not files:
        return prepared
    from fleet_lib.turn.documents import is_document

    docs = written.docs_touched
    docs = tuple(file for file in files if is_document(file)) if docs is None else docs
    documents = repositories.documents(git)
    stale = documents.stale(files, docs)
    risk = written.doc_drift_risk or risk_of(len(stale))
    mentioned = {*stale, *(source for sources in stale.values() for source in sources)}
    return replace(
        prepared,
        stale={(files, docs): stale},
        digests=documents.digests(mentioned) if risk == "high" else {},
    )


@cache
def _is_commander(folder: str, home: str) -> bool:
    return paths.is_commander(folder, home)
