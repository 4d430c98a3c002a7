"""Counting the tokens of transcripts: which ones were written to, what is new in them, its rows. It
is apart from the entries: whatever an entry becomes, and in whatever order entries come, each
message counts once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

from fleet_lib.store import db
from fleet_lib.store.usage import FilePlace, UsageReading, UsageRepo
from fleet_lib.turn.payload import TURN_ENDS
from fleet_lib.turn.prepared import Prepared
from fleet_lib.turn.usage import file_digest, read_usage, usage_files

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import sqlite3

_READ_BYTES = 32 * 1024 * 1024  # before what was read is stored


class TranscriptUsage:
    """Transcripts that are to be read, and what was read and is not stored yet."""

    def __init__(
        self,
        files: Callable[[str], Mapping[str, int]] = usage_files,
        read: Callable[[str, FilePlace, str], UsageReading | None] = read_usage,
    ) -> None:
        self._files = files
        self._read = read
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
        self._is_read, self._left, read_bytes = True, {}, 0
        for transcript, session_id in self._waiting.items():
            if read_bytes > _READ_BYTES:
                self._left[transcript] = session_id
                continue
            files = self._files(transcript)
            digests = {path: file_digest(path) for path in files}
            places = UsageRepo(connection).places(list(digests.values()))
            for path, size in files.items():
                place = places.get(digests[path], FilePlace())
                # Most subagents have long ended: their files need not be opened.
                reading = None if size == place.read_to else self._read(path, place, session_id)
                if reading is None:
                    continue
                self._readings.append(reading)
                read_bytes += max(0, reading.place.read_to - place.read_to)
                if not reading.is_at_end:
                    self._left[transcript] = session_id

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
