"""How this machine stands with its relay, for people and programs."""

import sqlite3
from typing import Any

from fleet_lib.relay.backoff import is_running
from fleet_lib.relay.sharing import shared_records
from fleet_lib.relay.trouble import RelayTrouble, is_unreachable
from fleet_lib.store.relay import Member, Peer, RelayRepo


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
    skipped: dict[str, list[Peer]] = {}
    for peer in relay.peers():
        newest.setdefault(peer.machine, peer)
        skipped.setdefault(peer.machine, []).append(peer)
    return [
        {
            "machine": peer.machine,
            "is_own": peer.is_own,
            "heard_at": peer.heard_at,
            "behind_since": peer.sent_event_at
            if peer.sent_event_id > peer.received_event_id
            else None,
            "newer": sum(one.newer for one in skipped[peer.machine]),
            "set_aside": sum(one.set_aside for one in skipped[peer.machine]),
            "last_reason": next(
                (one.last_reason for one in skipped[peer.machine] if one.last_reason), ""
            ),
        }
        for peer in newest.values()
        if (peer.machine, peer.epoch) != (member.machine, member.epoch)
    ]


def connection_trouble(home: str, member: Member) -> str:
    """Why the server cannot be used now, "" if it can. Takes three seconds at most."""
    from fleet_lib.relay.connection import connected, run  # imports all that an exchange needs

    async def look() -> None:
        async with connected(home, member) as link:
            await link.rights()

    try:
        run(look())
    except (RelayTrouble, TimeoutError) as error:
        return str(error) or "the server does not answer"
    return ""


def trouble_besides(member: Member) -> str:
    """Why the last exchange failed, if the server could be reached."""
    return "" if is_unreachable(member.trouble) else member.trouble
