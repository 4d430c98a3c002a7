"""One spool entry with everything that the world says about it: git, the transcript, the documents.

All of it is read here, before any transaction, so that no slow git and no dead disk is waited for
while the database is locked. What the transaction needs and this did not read (the session is known
to the database alone) it asks for by raising NotRead; `read_more` reads that, and the entry is
applied again.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path

from fleet_lib import clock, hot_settings, ignored, paths
from fleet_lib.errors import BadEntry
from fleet_lib.records import Record, field, replace
from fleet_lib.redact import redact
from fleet_lib.spool import Entry
from fleet_lib.turn import briefing_parser, follow_ups, status_file, transcript
from fleet_lib.turn.briefing_parser import Briefing
from fleet_lib.turn.client_folder import ClientFolder, client_folder_of, is_headless
from fleet_lib.turn.committed import committed_files
from fleet_lib.turn.derive import risk_of
from fleet_lib.turn.documents import is_document
from fleet_lib.turn.follow_ups import Place
from fleet_lib.turn.git import GitState
from fleet_lib.turn.gone_folder import repository_of
from fleet_lib.turn.payload import SESSION_WIDE, TURN_ENDS, Payload, parse_payload
from fleet_lib.turn.payload import digest as digest_of
from fleet_lib.turn.repositories import Repositories, relative_files
from fleet_lib.turn.stored_text import TITLE_LIMIT, storable, stored_text
from fleet_lib.turn.title import title_of
from fleet_lib.turn.transcript import TurnFacts
from fleet_lib.turn.transcript_turns import FinishedTurn, newest_turn

_NS = 1_000_000_000
Touched = tuple[tuple[str, ...], tuple[str, ...]]  # files and documents
_counted_as_now = 0  # the last time that was in the future, as it was counted


class NotRead(Exception):
    """What a transaction needs to know of the world and was not read before it."""

    def __init__(
        self,
        *,
        digests: Iterable[str] = (),
        folders: Iterable[str] = (),
        documents: Touched | None = None,
        missed: bool = False,
        prompts: Iterable[str] = (),
    ) -> None:
        super().__init__("an entry needs more than was read for it")
        self.digests = tuple(digests)
        self.folders = tuple(folders)
        self.documents = documents
        self.missed = missed
        self.prompts = tuple(prompts)


class EarlierTurn(Record):
    """What the transcript says now about a turn whose Stop was applied before."""

    place: Place
    files: tuple[str, ...]  # relative to the repository
    started_at: str | None  # in the database's form
    title: str  # "" for none


class Prepared(Record):
    """An entry, parsed, with what was read about it outside the database."""

    entry: Entry
    payload: Payload
    digest: str  # of the payload: the same for every copy of one hook call
    received_at: str
    folder: str  # the session's project folder, "" if neither Claude Code nor the payload names one
    is_commander: bool
    folder_exists: bool = False
    real_folder: str = ""  # without symbolic links
    git: GitState | None = None
    is_git_silent: bool = False  # git did not answer in time
    gone_from: GitState | None = None  # the repository that a folder which is gone belonged to
    is_ignored: bool = False  # projects.ignore keeps its folder out of the database
    client_folder: ClientFolder | None = None  # where the session's client keeps its files
    is_headless: bool = False  # a notification of a living `claude -p`
    turn: TurnFacts = field(default_factory=TurnFacts)
    turn_prompt: str = ""  # the prompt that opened the turn: another one if this is a follow-up
    is_placed: bool = True  # False: the transcript does not have the prompt yet
    # {running background agent: the prompt that opened the turn which started it, "" if unknown}
    agents: Mapping[str, str] = field(default_factory=dict)
    # That its tool calls edited and committed, relative to the repository.
    touched_files: tuple[str, ...] = ()
    keeps_prompts: bool = False  # the setting capture.prompts
    title: str = ""  # of the prompt's words, redacted; "" for none
    message: str = ""  # the last assistant message, redacted
    block: Briefing | None = None
    status_file: Briefing | None = None
    # {what a turn touched: {document that was left behind: the touched files that it mentions}}
    stale: Mapping[Touched, dict[str, list[str]]] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)  # of files in the working tree
    folders: Mapping[str, bool] = field(default_factory=dict)  # whether they exist
    is_imported: bool = False  # history: no hook reported it, and none of it is news
    # Of a SessionEnd: the session's newest turn as its transcript has it, and that turn as an entry
    # of its own.
    newest: FinishedTurn | None = None
    missed: "Prepared | None" = None
    earlier_turns: Mapping[str, EarlierTurn] = field(default_factory=dict)  # {prompt_id: its turn}

    @property
    def session_id(self) -> str:
        if not self.payload.session_id:
            raise BadEntry("the payload has no session_id")
        return self.payload.session_id

    @property
    def turn_key(self) -> str:
        """The prompt_id that opened the turn; for old clients the prompt's line in the transcript,
        else the payload itself."""
        line = self.turn.prompt_key
        prompt = self.turn_prompt or self.payload.prompt_id
        return prompt or (f"line:{line}" if line else f"payload:{self.digest}")

    @property
    def words_digest(self) -> str:
        """The same for a turn's end as its hook reports it and as it is read from the transcript."""
        return digest_of([self.entry.event, self.message.strip(), self.payload.error])

    @property
    def session_title(self) -> str | None:
        """The name that a person gave the session, if this entry says it."""
        title = self.payload.session_title or self.turn.title
        return stored_text(title, TITLE_LIMIT) if title else None

    @property
    def turn_started_at(self) -> str | None:
        """When the turn's prompt was written, as the database holds times."""
        return _stored_time(self.turn.started_at)

    # What the transaction asks of the world. Each raises NotRead for what was not read.

    def stale_documents(
        self, files: tuple[str, ...], docs: tuple[str, ...]
    ) -> dict[str, list[str]]:
        """{document that was left behind: the touched files that it mentions}."""
        if self.git is None or not files or self.is_imported:
            return {}
        if (files, docs) not in self.stale:
            raise NotRead(documents=(files, docs))
        return self.stale[files, docs]

    def digests_of(self, files: Iterable[str]) -> Mapping[str, str]:
        """{file of the working tree: fingerprint of its content}."""
        if missing := [file for file in files if file not in self.digests]:
            raise NotRead(digests=missing)
        return self.digests

    def earlier_turn(self, prompt_id: str) -> EarlierTurn:
        """The turn of another prompt of the session."""
        if prompt_id not in self.earlier_turns:
            raise NotRead(prompts=[prompt_id])
        return self.earlier_turns[prompt_id]

    def exists(self, folder: str) -> bool:
        if folder not in self.folders:
            raise NotRead(folders=[folder])
        return self.folders[folder]


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
    exists = bool(folder) and Path(folder).is_dir()
    prepared = replace(
        prepared,
        folder_exists=exists,
        real_folder=os.path.realpath(folder) if folder else "",
        git=repositories.state(folder, entry.received_ns) if exists else None,
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
        digests |= {file: repositories.documents(git).digest(file) for file in missing.digests}
    folders = {folder: Path(folder).exists() for folder in missing.folders}
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
    missed = replace(
        prepared,
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
    block = briefing_parser.find_block(message)
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
        block=None if block is None else briefing_parser.parse(block),
        status_file=None if status is None else status_file.read(redact(status), message),
    )


def _read_earlier(prepared: Prepared, prompt_id: str, repositories: Repositories) -> EarlierTurn:
    path = prepared.payload.transcript_path or ""
    turn = transcript.read_turn(path, prompt_id, None, 0)
    place = _place(path, prompt_id, turn)
    files = _touched_files(prepared, turn, repositories)
    title = title_of(turn.asked) if prepared.keeps_prompts else ""
    return EarlierTurn(place, files, _stored_time(turn.started_at), title)


def _place(path: str, prompt_id: str, turn: TurnFacts) -> Place:
    """Where a prompt belongs; to a follow-up's facts those of its turn are added."""
    place = follow_ups.place_of(path, prompt_id, turn.opening)
    if place.turn != prompt_id:
        for prompt in (*place.between, place.turn):
            transcript.add_turn(turn, path, prompt)
    return place


def _stored_time(text: str | None) -> str | None:
    try:
        return clock.normal(text) if text else None
    except (ValueError, OverflowError):
        return None


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
    written = prepared.block or prepared.status_file or Briefing()
    files = written.files_touched or touched
    if git is None or not files:
        return prepared
    docs = written.docs_touched
    docs = tuple(file for file in files if is_document(file)) if docs is None else docs
    documents = repositories.documents(git)
    stale = documents.stale(files, docs)
    risk = written.doc_drift_risk or risk_of(len(stale))
    mentioned = {*stale, *(source for sources in stale.values() for source in sources)}
    return replace(
        prepared,
        stale={(files, docs): stale},
        digests={file: documents.digest(file) for file in mentioned if risk == "high"},
    )


@cache
def _is_commander(folder: str, home: str) -> bool:
    return paths.is_commander(folder, home)
