"""Tokens that were used: sums, the messages from which they were counted, and how far each
transcript was read. Nothing here knows what a token costs (store/usage_rates.py does)."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from fleet_lib import clock
from fleet_lib.records import Record, field
from fleet_lib.store.projects import ProjectRepo

QUARTER_SECONDS = 900
_TIERS = (200_000, 100_000)  # a message with more context than one of these may have other prices
_VALUES_LIMIT = 500  # of one statement
# What the Commander's own sessions used belongs to no repository.
COMMANDER = "commander"

_TOKENS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
)
_COLUMNS = ", ".join(_TOKENS)


class Tokens(NamedTuple):
    """Numbers of tokens; `input` is without the cache's."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0

    @property
    def tier(self) -> int:
        """The context that the message was over: 0, 100,000 or 200,000 tokens."""
        context = self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h
        return next((tier for tier in _TIERS if context > tier), 0)

    def is_more_than(self, other: "Tokens") -> bool:
        """Whether this is a later report of the same message: its output grows as it is written."""
        return (self.output, sum(self)) > (other.output, sum(other))


class Owner(NamedTuple):
    """What a message belongs to."""

    session_id: str
    turn_key: str  # or a follow-up's prompt; "" if no line says it
    quarter: int  # Unix time in quarters of an hour
    model: str
    speed: str  # standard or fast


class FilePlace(Record):
    """How far a transcript was read."""

    read_to: int = 0  # bytes
    tail: int = 0  # digest of the bytes before that
    turn_key: str = ""  # of the next line


class UsageReading(Record):
    """What a transcript, or a part of it, says that was not read before."""

    file: int  # digest of its path
    place: FilePlace
    messages: Mapping[int, tuple[Owner, Tokens]] = field(default_factory=dict)  # {digest of its id}
    costs: Mapping[str, float] = field(default_factory=dict)  # {session: the client's own total}
    folders: Mapping[str, str] = field(default_factory=dict)  # {session: where its messages began}
    is_at_end: bool = True


class UsageRepo:
    """Uses the caller's connection and transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._kinds: dict[tuple[str, str, int], int] = {}

    def places(self, files: Sequence[int]) -> dict[int, FilePlace]:
        """{file: how far it was read}, of those that were."""
        sql = "SELECT file, read_to, tail, turn_key FROM usage_files WHERE file"
        return {row[0]: FilePlace(*row[1:4]) for row in self._rows(sql, files)}

    def count(self, readings: Iterable[UsageReading]) -> None:
        """Add what these readings say. A message that was counted before counts only for what its
        output has grown, and stays with its first owner."""
        for reading in readings:
            self._count_messages(reading.messages, reading.folders)
            for session_id, cost in reading.costs.items():
                self._connection.execute(
                    "INSERT INTO client_costs (session_id, cost_usd) VALUES (?, ?)"
                    " ON CONFLICT (session_id) DO UPDATE SET cost_usd = excluded.cost_usd",
                    (session_id, cost),
                )
            place = reading.place
            self._connection.execute(
                "INSERT OR REPLACE INTO usage_files (file, read_to, tail, turn_key, read_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (reading.file, place.read_to, place.tail, place.turn_key, clock.now()),
            )

    def forget_files(self, before: str) -> None:
        """Forget how far transcripts were read that were last read before an ISO time. One that is
        written to again is read from its beginning, and its messages are known."""
        self._connection.execute("DELETE FROM usage_files WHERE read_at < ?", (before,))

    def _count_messages(
        self, messages: Mapping[int, tuple[Owner, Tokens]], folders: Mapping[str, str]
    ) -> None:
        known = self._known(list(messages))
        added: dict[Owner, dict[int, Tokens]] = {}
        for message, (owner, tokens) in messages.items():
            if message in known:
                sum_id, before = known[message]
                if not tokens.is_more_than(before):
                    continue
                owner = self._owner_of(sum_id)
                self._take_back(sum_id, before)
            added.setdefault(owner, {})[message] = tokens
        projects = {
            session_id: self._project_of(session_id, folders.get(session_id, ""))
            for session_id in {owner.session_id for owner in added}
        }
        for owner, of_owner in added.items():
            tiers: dict[int, dict[int, Tokens]] = {}
            for message, tokens in of_owner.items():
                tiers.setdefault(tokens.tier, {})[message] = tokens
            for tier, of_tier in tiers.items():
                total = Tokens(*map(sum, zip(*of_tier.values(), strict=True)))
                sum_id = self._add_to_sum(owner, tier, projects[owner.session_id], total)
                self._connection.executemany(
                    f"INSERT OR REPLACE INTO usage_messages (message, sum_id, {_COLUMNS})"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [(message, sum_id, *tokens) for message, tokens in of_tier.items()],
                )

    def _known(self, messages: Sequence[int]) -> dict[int, tuple[int, Tokens]]:
        sql = f"SELECT message, sum_id, {_COLUMNS} FROM usage_messages WHERE message"
        return {row[0]: (row[1], Tokens(*row[2:7])) for row in self._rows(sql, messages)}

    def _owner_of(self, sum_id: int) -> Owner:
        row = self._connection.execute(
            "SELECT session_id, turn_key, quarter, model, speed FROM usage_sums"
            " JOIN usage_kinds USING (kind_id) WHERE sum_id = ?",
            (sum_id,),
        ).fetchone()
        return Owner(*row)

    def _project_of(self, session_id: str, folder: str) -> str | None:
        """The session's project; of a session that has none yet, as far as its folder says it."""
        row = self._connection.execute(
            "SELECT project_id FROM sessions WHERE session_id = ?1 UNION ALL"
            f" SELECT '{COMMANDER}' FROM commander_sessions WHERE session_id = ?1 UNION ALL"
            f" SELECT '{COMMANDER}' FROM commander_sessions_apart WHERE session_id = ?1 UNION ALL"
            f" SELECT '{COMMANDER}' FROM conversations WHERE claude_session_id = ?1",
            (session_id,),
        ).fetchone()
        if row:
            return str(row[0])
        return ProjectRepo(self._connection).find_around(folder) if folder else None

    def _add_to_sum(self, owner: Owner, tier: int, project_id: str | None, tokens: Tokens) -> int:
        """The sum to which they were added. A new one belongs to this project."""
        kept = ", ".join(f"{name} = {name} + excluded.{name}" for name in _TOKENS)
        kind = self._kind_id(owner.model, owner.speed, tier)
        row = self._connection.execute(
            "INSERT INTO usage_sums"
            f" (session_id, turn_key, quarter, kind_id, project_id, {_COLUMNS})"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            f" ON CONFLICT (session_id, turn_key, quarter, kind_id) DO UPDATE SET {kept}"
            " RETURNING sum_id",
            (owner.session_id, owner.turn_key, owner.quarter, kind, project_id, *tokens),
        ).fetchone()
        return int(row[0])

    def _kind_id(self, model: str, speed: str, tier: int) -> int:
        kind = (model, speed, tier)
        if kind not in self._kinds:
            self._connection.execute(
                "INSERT OR IGNORE INTO usage_kinds (model, speed, tier) VALUES (?, ?, ?)", kind
            )
            row = self._connection.execute(
                "SELECT kind_id FROM usage_kinds WHERE model = ? AND speed = ? AND tier = ?", kind
            ).fetchone()
            self._kinds[kind] = int(row[0])
        return self._kinds[kind]

    def _take_back(self, sum_id: int, tokens: Tokens) -> None:
        less = ", ".join(f"{name} = {name} - ?" for name in _TOKENS)
        self._connection.execute(
            f"UPDATE usage_sums SET {less} WHERE sum_id = ?", (*tokens, sum_id)
        )

    def _rows(self, sql: str, values: Sequence[int]) -> Iterator[Any]:
        """The rows of a statement that ends before its list of values."""
        for start in range(0, len(values), _VALUES_LIMIT):
            some = values[start : start + _VALUES_LIMIT]
            yield from self._connection.execute(f"{sql} IN ({', '.join('?' * len(some))})", some)
