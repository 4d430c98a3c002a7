"""How this machine stands with its relay, for people and programs."""

import sqlite3
from typing import Any

from fleet_lib import clock
from fleet_lib.relay.backoff import is_running
from fleet_lib.relay.connection import connected, run
from fleet_lib.relay.link import RelayTrouble
from fleet_lib.relay.membership import shared_records
from fleet_lib.store.relay import Member, Peer, RelayRepo

COPY_SECONDS = 3600.0  # another home with the same key was heard of so lately


def report(connection: sqlite3.Connection, home: str) -> dict[str, Any]:
    """joined, machine, person, url, connected_at, failing_since, trouble, running, grants,
    machines, shared. Asks nothing of the server."""
    relay = RelayRepo(connection)
    member = relay.member()
    if member is None:
        return {"joined": False, "machines": [], "shared": []}
    return {
        "joined": True,
        "machine": member.machine,
        "person": member.person,
        "url": member.url,
        "connected_at": member.connected_at,
        "failing_since": member.failing_since,
        "trouble": member.trouble,
        "running": is_running(home),
        "grants": list(member.grants),
        "machines": machine_records(relay, member),
        "shared": shared_records(connection, home),
    }


def machine_records(relay: RelayRepo, member: Member) -> list[dict[str, Any]]:
    """The other machines, the one that was heard of last first; a machine of several epochs as it
    is in its newest. `behind_since` is the time of its newest event, if that is not here yet."""
    newest: dict[str, Peer] = {}
    for peer in relay.peers():
        newest.setdefault(peer.machine, peer)
    return [
        {
            "machine": peer.machine,
            "is_own": peer.is_own,
            "heard_at": peer.heard_at,
            "behind_since": peer.sent_event_at
            if peer.sent_event_id > peer.received_event_id
            else None,
            "newer": peer.newer,
            "set_aside": peer.set_aside,
            "last_reason": peer.last_reason,
        }
        for peer in newest.values()
        if (peer.machine, peer.epoch) != (member.machine, member.epoch)
    ]


def copies(relay: RelayRepo, member: Member) -> list[Peer]:
    """Other homes that use this machine's key now."""
    return [
        peer
        for peer in relay.peers()
        if peer.machine == member.machine
        and peer.epoch != member.epoch
        and peer.heard_at > member.joined_at
        and clock.seconds_since(peer.heard_at) < COPY_SECONDS
    ]


def connection_trouble(home: str, member: Member) -> str:
    """Why the server does not answer now, "" if it does. Takes three seconds at most."""

    async def look() -> None:
        async with connected(home, member) as link:
            await link.rights()

    try:
        run(look())
    except RelayTrouble as error:
        return str(error)
    return ""
