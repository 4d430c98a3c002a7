"""What was read of one spool entry, and what a transaction says that it lacks. How it is read is in
prepare.py."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fleet_lib import clock
from fleet_lib.errors import BadEntry
from fleet_lib.records import Record, field
from fleet_lib.spool import Entry
from fleet_lib.turn.client_folder import ClientFolder
from fleet_lib.turn.follow_ups import Place
from fleet_lib.turn.git import GitState
from fleet_lib.turn.payload import Payload
from fleet_lib.turn.payload import digest as digest_of
from fleet_lib.turn.sources import Source
from fleet_lib.turn.stored_text import TITLE_LIMIT, stored_text
from fleet_lib.turn.transcript import TurnFacts

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from fleet_lib.turn.transcript_turns import FinishedTurn

Touched = tuple[tuple[str, ...], tuple[str, ...]]  # files and documents


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
    head: str | None = None  # where HEAD was when the entry was received
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
    sources: tuple[Source, ...] = ()  # of a turn's words, the first that counts first
    # {what a turn touched: {document that was left behind: the touched files that it mentions}}
    stale: Mapping[Touched, dict[str, list[str]]] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)  # of files in the working tree
    folders: Mapping[str, bool] = field(default_factory=dict)  # whether they exist
    is_imported: bool = False  # history: no hook reported it, and none of it is news
    # Of a SessionEnd: the session's newest turn as its transcript has it, and that turn as an entry
    # of its own.
    newest: FinishedTurn | None = None
    missed: Prepared | None = None
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
        return stored_time(self.turn.started_at)

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


def stored_time(text: str | None) -> str | None:
    """A time of the transcript in the database's form; None where it says none."""
    try:
        return clock.normal(text) if text else None
    except (ValueError, OverflowError):
        return None
