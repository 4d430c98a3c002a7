"""What this home is called on its relay, what it shares, how far it has read, and the machines that
it has heard of. What came from them is in relay_rows.py."""

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from fleet_lib import clock
from fleet_lib.errors import NotFound
from fleet_lib.json_text import json_array_or_none
from fleet_lib.records import Record

_EPOCHS = 20  # of one machine that are kept apart
COPY_SECONDS = 3600.0  # another home with the same key was heard of so lately
HERE = "-"  # names this machine in a filter; no machine of a relay can be called so


class Member(Record):
    """This home as one of the relay's machines."""

    machine: str
    person: str
    epoch: str
    home: str
    url: str
    grants: tuple[str, ...]
    joined_at: str
    connected_at: str | None = None
    failing_since: str | None = None
    failures: int = 0
    trouble: str = ""

    @property
    def reads_everything(self) -> bool:
        return "*" in self.grants


class Share(Record):
    project_id: str
    is_shared: bool | None  # what a person decided; None: the setting relay.share decides
    sent_through: int = 0
    scanned_through: int = 0
    refused: str = ""


class Position(Record):
    """The last message that was applied of those that a filter lets through."""

    sequence: int
    stored_ns: int
    started_at: str


class Peer(Record):
    """A machine in one of its epochs."""

    machine: str
    epoch: str
    is_own: bool
    heard_at: str
    sent_event_id: int
    sent_event_at: str
    received_event_id: int
    newer: int
    set_aside: int
    last_reason: str


class RelayRepo:
    """Takes a connection; the caller's transaction holds what it does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    # --- this home ---

    def member(self) -> Member | None:
        """None if the home is not joined to a relay."""
        row = self._connection.execute("SELECT * FROM relay_self").fetchone()
        if row is None:
            return None
        values = {name: row[name] for name in Member.__annotations__ if name != "grants"}
        grants = tuple(str(one) for one in json_array_or_none(row["grants_json"]) or ())
        return Member(**values, grants=grants)

    def save_member(self, member: Member) -> None:
        values = {name: getattr(member, name) for name in Member.__annotations__}
        values["grants_json"] = json.dumps(list(values.pop("grants")))
        self._connection.execute(
            f"INSERT OR REPLACE INTO relay_self (only_row, {', '.join(values)})"
            f" VALUES (1, {', '.join('?' * len(values))})",
            tuple(values.values()),
        )

    def note_success(self) -> bool:
        """Note that everything was exchanged. Whether that is the first time today."""
        now, member = clock.now(), self.member()
        self._connection.execute(
            "UPDATE relay_self SET connected_at = ?, failing_since = NULL, failures = 0,"
            " trouble = ''",
            (now,),
        )
        return member is not None and (member.connected_at or "")[:10] != now[:10]

    def note_failure(self, trouble: str) -> int:
        """Note why an exchange failed; how many have failed in a row."""
        self._connection.execute(
            "UPDATE relay_self SET failing_since = ifnull(failing_since, ?),"
            " failures = failures + 1, trouble = ?",
            (clock.now(), trouble),
        )
        row = self._connection.execute("SELECT failures FROM relay_self").fetchone()
        return int(row[0]) if row else 0

    def leave(self) -> None:
        """Forget the relay. What came from it stays."""
        for table in ("relay_self", "relay_shares", "relay_positions"):
            self._connection.execute(f"DELETE FROM {table}")

    # --- what it shares ---

    def shares(self) -> dict[str, Share]:
        """{project_id: what was decided about it, and how far it was sent}."""
        rows = self._connection.execute(
            "SELECT project_id, is_shared, sent_through, scanned_through, refused FROM relay_shares"
        )
        return {
            row[0]: Share(row[0], None if row[1] is None else bool(row[1]), *row[2:])
            for row in rows
        }

    def set_shared(self, project_id: str, is_shared: bool) -> bool:
        """False if that was so before."""
        cursor = self._connection.execute(
            "INSERT INTO relay_shares (project_id, is_shared, sent_through, scanned_through,"
            " refused) VALUES (?1, ?2, 0, 0, '') ON CONFLICT (project_id) DO UPDATE"
            " SET is_shared = ?2, refused = '' WHERE is_shared IS NOT ?2",
            (project_id, is_shared),
        )
        return cursor.rowcount == 1

    def note_sent(
        self, project_id: str, sent_through: int, scanned_through: int, refused: str = ""
    ) -> None:
        self._connection.execute(
            "INSERT INTO relay_shares (project_id, is_shared, sent_through, scanned_through,"
            " refused) VALUES (?1, NULL, ?2, ?3, ?4) ON CONFLICT (project_id) DO UPDATE"
            " SET sent_through = ?2, scanned_through = ?3, refused = ?4",
            (project_id, sent_through, scanned_through, refused),
        )

    # --- how far it has read ---

    def position(self, filter: str) -> Position | None:
        row = self._connection.execute(
            "SELECT sequence, stored_ns, started_at FROM relay_positions WHERE filter = ?",
            (filter,),
        ).fetchone()
        return Position(*row) if row else None

    def save_position(self, filter: str, position: Position) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO relay_positions (filter, sequence, stored_ns, started_at)"
            " VALUES (?, ?, ?, ?)",
            (filter, position.sequence, position.stored_ns, position.started_at),
        )

    def forget_positions(self, filters: Iterable[str]) -> None:
        self._connection.executemany(
            "DELETE FROM relay_positions WHERE filter = ?", [(one,) for one in filters]
        )

    # --- the machines ---

    def peers(self) -> list[Peer]:
        rows = self._connection.execute("SELECT * FROM relay_machines ORDER BY heard_at DESC")
        return [
            Peer(**{name: row[name] for name in _PEER_FIELDS} | {"is_own": bool(row["is_own"])})
            for row in rows
        ]

    def copies(self, member: Member) -> list[Peer]:
        """Other homes that use this machine's key now."""
        return [
            peer
            for peer in self.peers()
            if peer.machine == member.machine
            and peer.epoch != member.epoch
            and peer.heard_at > member.joined_at
            and clock.seconds_since(peer.heard_at) < COPY_SECONDS
        ]

    def is_own(self, machine: str) -> bool:
        """Whether it belongs to the same person."""
        row = self._connection.execute(
            "SELECT 1 FROM relay_machines WHERE machine = ? AND is_own LIMIT 1", (machine,)
        ).fetchone()
        return row is not None

    def hear(self, machine: str, epoch: str, at: str, **changes: Any) -> None:
        """Note that a message of the machine was stored on the server at this time. `changes`:
        is_own, or what its heartbeat says it has sent."""
        cursor = self._connection.execute(
            "INSERT OR IGNORE INTO relay_machines (machine, epoch, is_own, heard_at, sent_event_id,"
            " sent_event_at, received_event_id, newer, set_aside, last_reason)"
            " VALUES (?, ?, 0, '', 0, '', 0, 0, 0, '')",
            (machine, epoch),
        )
        if cursor.rowcount == 1:
            self._merge_epochs(machine, epoch)
        sets = ["heard_at = max(heard_at, ?)", *(f"{name} = max({name}, ?)" for name in changes)]
        self._connection.execute(
            f"UPDATE relay_machines SET {', '.join(sets)} WHERE machine = ? AND epoch = ?",
            (at, *changes.values(), machine, epoch),
        )

    def _merge_epochs(self, machine: str, epoch: str) -> None:
        """Of a machine with many epochs, as a hostile one may name any number, leave the one that
        was heard of last and this one; what was counted is not forgotten."""
        rows = self._connection.execute(
            "SELECT epoch, is_own, newer, set_aside, last_reason FROM relay_machines"
            " WHERE machine = ? AND epoch <> ? ORDER BY heard_at DESC, epoch",
            (machine, epoch),
        ).fetchall()
        if len(rows) < _EPOCHS:
            return
        reason = next((row["last_reason"] for row in rows if row["last_reason"]), "")
        self._connection.execute(
            "UPDATE relay_machines SET is_own = ?, newer = ?, set_aside = ?, last_reason = ?"
            " WHERE machine = ? AND epoch = ?",
            (
                max(row["is_own"] for row in rows),
                *(sum(row[name] for row in rows) for name in ("newer", "set_aside")),
                *(reason, machine, rows[0]["epoch"]),
            ),
        )
        self._connection.executemany(
            "DELETE FROM relay_machines WHERE machine = ? AND epoch = ?",
            [(machine, row["epoch"]) for row in rows[1:]],
        )

    def count(self, machine: str, epoch: str, column: str, reason: str = "") -> None:
        """Count a message that was skipped (`newer`) or set aside."""
        self._connection.execute(
            f"UPDATE relay_machines SET {column} = {column} + 1,"
            " last_reason = CASE ?1 WHEN '' THEN last_reason ELSE ?1 END"
            " WHERE machine = ?2 AND epoch = ?3",
            (reason, machine, epoch),
        )

    def machine_filter(self, name: str | None) -> str | None:
        """A machine's name as filters take it: "" for this machine, None for no filter. HERE is this
        machine too, whatever its name is. Raises NotFound."""
        if name is None:
            return None
        member = self.member()
        if name == HERE or (member and name == member.machine):
            return ""
        known = self.machine_names()
        if name not in known:
            raise NotFound(
                f"there is no machine {name!r}; known are: {', '.join(known) or 'none'}"
                " (`fleet relay status`)"
            )
        return name

    def other_machines(self) -> list[str]:
        """The names of the machines that were heard of, without this one's."""
        member = self.member()
        return [one for one in self.machine_names() if not member or one != member.machine]

    def machine_names(self) -> list[str]:
        """This machine's name first, if it has one."""
        rows = self._connection.execute(
            "SELECT machine FROM relay_self UNION ALL SELECT * FROM"
            " (SELECT DISTINCT machine FROM relay_machines ORDER BY machine)"
        )
        return list(dict.fromkeys(row[0] for row in rows))


_PEER_FIELDS = tuple(Peer.__annotations__)
