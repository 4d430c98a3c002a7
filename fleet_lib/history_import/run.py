"""Taking in the turns that the transcripts have and the database has not: in batches, each in one
transaction under the drainer's lock. Killed at any moment, what was committed stays, and the next
run does the rest."""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator

from fleet_lib import paths, spool, wake
from fleet_lib.drain.foreground import holder_words, lock_trouble
from fleet_lib.drain.usage import TranscriptUsage
from fleet_lib.errors import BadEntry, DatabaseUnusable, NoAnswer
from fleet_lib.history_import.reading import Reader, ReadTurn
from fleet_lib.history_import.transcripts import Transcript, living_sessions
from fleet_lib.ingest.ingest import Ingest
from fleet_lib.records import MutableRecord, field
from fleet_lib.store import db, search_index
from fleet_lib.store.imports import ImportRepo, TurnIdentity
from fleet_lib.turn.prepare import read_more
from fleet_lib.turn.prepared import NotRead
from fleet_lib.turn.repositories import Repositories

BATCH_TURNS = 100
BATCH_TRANSCRIPTS = 50  # whose tokens are counted in one transaction
LOCK_SECONDS = 180.0  # a drainer's batch takes no longer


class Report(MutableRecord):
    """What a run did; a dry run, what it would do."""

    transcripts: int = 0  # read
    imported: int = 0
    known: int = 0  # turns that had a briefing, or had one before it was pruned
    left_alone: int = 0  # turns whose own hook may still come
    ignored: int = 0  # turns in folders of projects.ignore
    refused: dict[str, int] = field(default_factory=dict)  # {why: turns}
    projects: dict[str, int] = field(default_factory=dict)  # {folder: turns imported}


def run(
    home: str,
    transcripts: list[Transcript],
    since_ns: int,
    connection: sqlite3.Connection | None,
    *,
    dry_run: bool,
    report: Report,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Import what is missing, and keep count in `report`, also when it is interrupted.

    A dry run may have a read-only connection, or none where no database is, and writes nothing.
    `progress(done, total)` counts bytes. Raises DatabaseUnusable or sqlite3.Error.
    """
    importer = _Importer(home, connection, dry_run, report)
    total, done = sum(one.size for one in transcripts), 0
    for transcript in transcripts:
        importer.read(transcript, since_ns)
        done += transcript.size
        if progress:
            progress(done, total)
    importer.finish()


class _Importer:
    def __init__(
        self, home: str, connection: sqlite3.Connection | None, dry_run: bool, report: Report
    ) -> None:
        self._home = home
        self._connection = connection
        self._is_dry = dry_run
        self._report = report
        self._repositories = Repositories()
        self._reader = Reader(home, living_sessions(), self._repositories)
        self._imports = ImportRepo(connection) if connection else None
        if connection and not dry_run:
            db.keep_savepoints_in_memory(connection)
        self._batch: list[ReadTurn] = []
        self._usage = TranscriptUsage()
        self._jobs: dict[str, bool] = {}
        self._counted: set[tuple[str, str | None]] = set()  # of a dry run

    def read(self, transcript: Transcript, since_ns: int) -> None:
        self._report.transcripts += 1
        for turn in self._reader.turns(transcript, since_ns):
            if self._is_known(turn):
                self._report.known += 1
            elif turn.is_left_alone:
                self._report.left_alone += 1
            elif self._is_dry:
                self._count(turn)
            else:
                self._batch.append(turn)
                if len(self._batch) >= BATCH_TURNS:
                    self._apply_batch()
        if self._reader.ignored > self._report.ignored:
            self._report.ignored = self._reader.ignored
            return  # nothing of an ignored folder is kept, its tokens neither
        self._usage.add(transcript.path, transcript.session_id)
        if self._usage.waiting >= BATCH_TRANSCRIPTS:
            self._count_usage()

    def finish(self) -> None:
        if self._batch:
            self._apply_batch()
        self._count_usage()

    def _count_usage(self) -> None:
        """Count the tokens of the transcripts that were read, of turns that are known, too."""
        if self._connection is not None and not self._is_dry:
            self._usage.finish(self._connection, lambda: _drainers_lock(self._home))
        self._usage.forget()

    def _is_known(self, turn: ReadTurn) -> bool:
        """Asked here for what is not worth a transaction; asked again in the one that stores it."""
        prepared = turn.prepared
        identity = TurnIdentity(
            prepared.session_id,
            prepared.payload.prompt_id,
            prepared.turn.prompt_key,
            prepared.turn_started_at,
        )
        if self._is_dry and (prepared.turn_key, prepared.turn_started_at) in self._counted:
            return True
        if self._imports is None:
            return False
        return self._imports.is_known(identity) or self._is_a_jobs(prepared.session_id)

    def _is_a_jobs(self, session_id: str) -> bool:
        """Whether a job ran this session: a job has no hooks and reports itself."""
        assert self._imports is not None
        if session_id not in self._jobs:
            self._jobs[session_id] = self._imports.is_a_jobs(session_id)
        return self._jobs[session_id]

    def _count(self, turn: ReadTurn) -> None:
        prepared = turn.prepared
        self._counted.add((prepared.turn_key, prepared.turn_started_at))
        self._note_imported(turn)

    def _note_imported(self, turn: ReadTurn) -> None:
        self._report.imported += 1
        git = turn.prepared.git
        root = git.root if git else turn.prepared.real_folder
        self._report.projects[root] = self._report.projects.get(root, 0) + 1

    def _apply_batch(self) -> None:
        assert self._connection is not None
        left, self._batch = self._batch, []
        self._usage.read(self._connection)
        with _drainers_lock(self._home):
            # A hook's entry waits for the drainer, and is the better source.
            waiting = {spool.name_parts(name)[2] for name in spool.pending(self._home)}
            taken = [turn for turn in left if turn.prepared.session_id not in waiting]
            self._report.left_alone += len(left) - len(taken)
            while taken:
                missing = self._apply(self._connection, taken)
                if missing:
                    prepared = read_more(taken[0].prepared, missing, self._repositories)
                    taken[0] = ReadTurn(prepared, taken[0].is_left_alone, taken[0].is_living)
            with contextlib.suppress(sqlite3.Error):  # the next drain tries again
                search_index.catch_up(self._connection, only_changes=True)
        with contextlib.suppress(OSError):
            wake.wake_drainer(self._home)  # for what came while the lock was held

    def _apply(self, connection: sqlite3.Connection, turns: list[ReadTurn]) -> NotRead | None:
        """Store turns in one transaction and take them off the list; what the first one left lacks."""
        done: list[tuple[ReadTurn, int | None]] = []
        refused: list[str] = []
        missing = None
        with db.transaction(connection):
            ingest = Ingest(connection, self._home)
            for turn in turns:
                try:
                    done.append((turn, ingest.import_turn(turn.prepared, is_living=turn.is_living)))
                except NotRead as error:
                    missing = error
                    break
                except (BadEntry, NoAnswer) as error:
                    refused.append(str(error))
                    done.append((turn, 0))
            if missing is None:
                self._usage.store(connection)
        if missing is None:
            self._usage.stored()
        del turns[: len(done)]
        for turn, briefing_id in done:
            if briefing_id:
                self._note_imported(turn)
            elif briefing_id is None:
                self._report.known += 1
        for why in refused:
            self._report.refused[why] = self._report.refused.get(why, 0) + 1
        return missing


@contextlib.contextmanager
def _drainers_lock(home: str) -> Iterator[None]:
    """The drainer's lock, so that no turn is stored by both at once."""
    spool.make_folders(home)
    from filelock import FileLock, Timeout  # its import takes as long as three interpreters

    lock = FileLock(paths.lock(home), poll_interval=0.02, mode=0o600)
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        wake.ring(home, wake.LEAVE)
        try:
            lock.acquire(timeout=1.0)
            break
        except Timeout:
            if trouble := lock_trouble(home):
                raise DatabaseUnusable(trouble) from None
            if time.monotonic() > deadline:
                raise DatabaseUnusable(
                    f"the drainer is still at work after {LOCK_SECONDS:.0f} s{holder_words(home)}"
                ) from None
    try:
        yield
    finally:
        lock.release()
