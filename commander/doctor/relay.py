"""The check of the relay: whether this machine reaches its server, and what others sent that could
not be used."""

import contextlib
import importlib.util
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from commander.doctor.findings import Finding, Installation, open_untouched
from fleet_lib import clock, hot_settings, paths
from fleet_lib.extras import command_to_add
from fleet_lib.relay import report
from fleet_lib.relay.backoff import is_running
from fleet_lib.relay.sharing import shared_records
from fleet_lib.store.relay import Member, RelayRepo
from fleet_lib.text import clean


def relay(installation: Installation) -> Iterator[Finding]:
    home = str(installation.home)
    database = Path(paths.database(home))
    if not database.exists():
        return
    try:
        with contextlib.closing(open_untouched(database)) as connection:
            connection.row_factory = sqlite3.Row
            member = RelayRepo(connection).member()
            if member:
                yield from _of_member(home, connection, member)
    except sqlite3.Error:
        return  # the database check's business


def _of_member(home: str, connection: sqlite3.Connection, member: Member) -> Iterator[Finding]:
    if not all(importlib.util.find_spec(name) for name in ("nats", "nkeys")):
        yield Finding(
            "failed",
            "relay",
            f"This machine is {member.machine} on {clean(member.url, 100)}, but the relay's"
            " packages are not installed.",
            "Nothing is exchanged. What is to be sent waits in the database.",
            command_to_add("relay"),
        )
        return
    seed = Path(paths.relay(home, "seed"))
    if not seed.exists():
        yield Finding(
            "failed",
            "relay",
            f"The key of {member.machine} is gone: {seed}.",
            "The server does not let this machine in.",
            "fleet relay join, with the machine's seed",
        )
        return
    if seed.stat().st_mode & 0o077:
        yield Finding(
            "warning",
            "relay",
            f"Others can read {seed}.",
            "Who has the key can read and send in this machine's name.",
            f"chmod 600 '{seed}'",
        )
    yield from _connection(home, member)
    repo = RelayRepo(connection)
    for copy in repo.copies(member)[:1]:
        yield Finding(
            "warning",
            "relay",
            f"Another home uses the key of {member.machine}; it was heard of"
            f" {clock.age(copy.heard_at)}.",
            "Nothing is lost, but each keeps the other from reading for a moment.",
            "fleet relay server add-machine NAME, and join the copy with that key",
        )
    for record in report.machine_records(repo, member):
        yield from _of_peer(record)
    for shared in shared_records(connection, home):
        if shared["refused"]:
            yield Finding(
                "warning",
                "relay",
                f"{clean(shared['project_id'], 100)} is shared, but {shared['refused']}.",
                "Its news wait here.",
                f"fleet relay server grant {member.machine} {clean(shared['project_id'], 100)}",
            )


def _connection(home: str, member: Member) -> Iterator[Finding]:
    trouble = report.connection_trouble(home, member)
    if trouble:
        since = (
            f" It fails since {clock.local(member.failing_since)}."
            if (member.failing_since)
            else ""
        )
        yield Finding(
            "warning",
            "relay",
            clean(f"This machine is not connected: {trouble}.{since}", 300),
            "What is to be sent waits in the database, and is sent once the server answers.",
            "start the server, or check the network; `fleet relay status` looks again",
        )
    elif besides := report.trouble_besides(member):
        yield Finding(
            "warning",
            "relay",
            clean(f"The last exchange failed: {besides}.", 300),
            "What is to be sent waits in the database; it is tried again after the next turn.",
            "fleet relay once",
        )
    elif hot_settings.setting(home, "relay", "auto") == "false" and not is_running(home):
        yield Finding(
            "note",
            "relay",
            f"This machine is {member.machine}; relay.auto is off and `fleet relay run` does not"
            " run.",
            "News are exchanged only by `fleet relay once`.",
        )
    else:
        yield Finding(
            "ok", "relay", f"This machine is {member.machine} on {clean(member.url, 100)}."
        )


def _of_peer(record: dict[str, object]) -> Iterator[Finding]:
    name = clean(record["machine"], 40)
    if record["newer"]:
        yield Finding(
            "warning",
            "relay",
            f"{record['newer']} messages of {name} were skipped: a newer Fleet sent them.",
            "They are not shown here.",
            "upgrade Fleet on this machine",
        )
    if record["set_aside"]:
        yield Finding(
            "note",
            "relay",
            clean(
                f"{record['set_aside']} messages of {name} could not be used; the last one:"
                f" {record['last_reason']}",
                300,
            ),
            "The others were applied.",
        )
