"""Counting the tokens of transcripts: which ones were written to, what is new in them, its rows. It
is apart from the entries: whatever an entry becomes, and in whatever order entries come, each
message counts once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from fleet_lib.store import db
from fleet_lib.store.usage import FilePlace, UsageReading, UsageRepo
from fleet_lib.turn.payload import TURN_ENDS
from fleet_lib.turn.prepared import Prepared
from fleet_lib.turn.usage import PORTION_BYTES, file_digest, read_usage, usage_files

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import sqlite3

_READ_BYTES = 32 * 1024 * 1024  # before what was read is stored

Question = tuple[str, FilePlace, str]  # what read_usage is asked


def _files_of(transcripts: Sequence[str]) -> list[Mapping[str, int]]:
    return [usage_files(transcript) for transcript in transcripts]


def _read_each(questions: Iterable[Question]) -> list[UsageReading | None]:
    return [read_usage(*question) for question in questions]


class TranscriptUsage:
    """Transcripts that are to be read, and what was read and is not stored yet."""

    def __init__(
        self,
        files_of: Callable[[list[str]], Sequence[Mapping[str, int]]] = _files_of,
        read_each: Callable[[list[Question]], Sequence[UsageReading | None]] = _read_each,
    ) -> None:
        self._files_of = files_of
        self._read_each = read_each
        self._waiting: dict[str, str] = {}  # {transcript: its session}
        self._left: dict[str, str] = {}  # those of them that have more
        self._readings: list[UsageReading] = []
        self._is_read = False

    @property
    def waiting(self) -> int:
        """How many transcripts are to be read."""
        return len(self._waiting)

    def note(self, prepared: Prepared) -> None:
        """The transcript of a turn's or a session's end has new lines."""
        payload = prepared.payload
        ends = prepared.entry.event in TURN_ENDS or prepared.entry.event == "SessionEnd"
        is_kept = not prepared.is_ignored and not payload.agent_id
        if ends and payload.transcript_path and is_kept:
            self.add(payload.transcript_path, payload.session_id or "")

    def add(self, transcript: str, session_id: str) -> None:
        self._waiting[transcript] = session_id
        self._is_read = False

    def read(self, connection: sqlite3.Connection) -> None:
        """Read what is new, unless that was done and is not stored yet. What is more than a portion
        waits."""
        if self._is_read:
            return
        self._is_read, self._left, room = True, {}, _READ_BYTES
        files = dict(zip(self._waiting, self._files_of(list(self._waiting)), strict=True))
        digests = {path: file_digest(path) for found in files.values() for path in found}
        places = UsageRepo(connection).places(list(digests.values()))
        questions: list[Question] = []
        asking: list[str] = []  # the transcript of each question
        for transcript, found in files.items():
            if room < 0:
                self._left[transcript] = self._waiting[transcript]
                continue
            for path, size in found.items():
                place = places.get(digests[path], FilePlace())
                # Most subagents have long ended: their files need not be opened.
                if size != place.read_to or path == transcript:
                    questions.append((path, place, self._waiting[transcript]))
                    asking.append(transcript)
                    new = size - place.read_to if size >= place.read_to else size
                    room -= min(new, PORTION_BYTES)
        for transcript, reading in zip(asking, self._read_each(questions), strict=True):
            if reading:
                self._readings.append(reading)
                if not reading.is_at_end:
                    self._left[transcript] = self._waiting[transcript]

    def store(self, connection: sqlite3.Connection) -> None:
        """Count what was read, in the caller's transaction."""
        UsageRepo(connection).count(self._readings)

    def stored(self) -> None:
        """The transaction was committed: only what was left is still to be read."""
        self._waiting, self._left, self._readings = self._left, {}, []
        self._is_read = False

    def forget(self) -> None:
        """Reading or storing failed. The next end of a turn reads the same lines."""
        self._waiting, self._left, self._readings = {}, {}, []
        self._is_read = False

    def finish(
        self,
        connection: sqlite3.Connection,
        holding: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Read and store all that is waiting, in transactions of its own, each in `holding()`."""
        while self._waiting:
            self.read(connection)
            if self._readings:
                with holding(), db.transaction(connection):
                    self.store(connection)
            self.stored()
