"""Joining a relay and leaving it, and which projects leave this machine."""

import contextlib
import shutil
import sqlite3
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from fleet_lib import clock, paths
from fleet_lib.errors import BadInput
from fleet_lib.files import write_whole
from fleet_lib.relay import keys, names
from fleet_lib.relay.connection import connected_with, run
from fleet_lib.relay.link import Rights
from fleet_lib.relay.publish import home_digest, new_epoch
from fleet_lib.store import db
from fleet_lib.store.projects import Project
from fleet_lib.store.relay import Member, RelayRepo

_SCHEMES = ("nats://", "tls://")
_LOCAL = ("127.0.0.1", "localhost", "[::1]")


def join(home: str, url: str, *, seed_file: Path, ca: Path | None, name: str | None) -> Member:
    """Join once the server has answered to the key. Raises BadInput, RelayTrouble, and leaves
    everything as it was."""
    if "://" not in url:
        url = f"tls://{url}" if ca else f"nats://{url}"
    if not _is_address(url):
        raise BadInput(f"{url!r} is no server's address; use tls://HOST:4222 or nats://HOST:4222")
    seed = keys.read_seed(seed_file)
    if ca and not ca.is_file():
        raise BadInput(f"there is no file {ca}; copy the server's ca.pem here")
    machine = name or seed_file.name.partition(".")[0]
    if not names.MACHINE.fullmatch(machine):
        raise BadInput(f"{machine!r} is no machine's name; give the server's with --name")
    rights = run(_rights(url, seed, ca, machine))
    if rights.machine != machine:
        raise BadInput(f"this key belongs to the machine {rights.machine}, not to {machine}")
    with contextlib.closing(db.connect(paths.database(home))) as connection:
        folder = Path(paths.relay(home, "seed")).parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        member = Member(
            machine=machine,
            person=rights.person,
            epoch=new_epoch(),
            home=home_digest(home),
            url=url,
            grants=rights.grants,
            joined_at=clock.now(),
        )
        with db.transaction(connection):
            relay = RelayRepo(connection)
            before = relay.member()
            if before and (before.machine, before.url) != (machine, url):
                relay.leave()  # what was shared there is not shared here
            elif before:
                member = _with_epoch(member, before)
            relay.save_member(member)
        write_whole(folder / "seed", seed + "\n", mode=0o600)
        (folder / "ca.pem").unlink(missing_ok=True)
        if ca:
            write_whole(folder / "ca.pem", ca.read_bytes(), mode=0o600)
        (folder / "not-before").unlink(missing_ok=True)
    return member


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_usable = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return url.startswith(_SCHEMES) and "@" not in url and bool(parts.hostname) and is_usable


def is_exposed(url: str, ca: Path | None) -> bool:
    """Whether what goes over the connection could be read on the way."""
    host = url.partition("://")[2].rpartition(":")[0] or url.partition("://")[2]
    return not ca and not url.startswith("tls://") and host not in _LOCAL


def leave(home: str) -> bool:
    """Forget the relay, its key and what was shared. What came from others stays. False if this
    home had joined none."""
    opened = contextlib.closing(db.connect(paths.database(home)))
    with opened as connection, db.transaction(connection):
        relay = RelayRepo(connection)
        member = relay.member()
        relay.leave()
    folder = Path(paths.relay(home, "seed")).parent
    for file in ("seed", "ca.pem", "not-before"):
        (folder / file).unlink(missing_ok=True)
    return member is not None


def share(connection: sqlite3.Connection, project: Project) -> bool:
    """Let a project leave this machine. False if it did before. Raises BadInput."""
    if not names.PROJECT.fullmatch(project.project_id):
        raise BadInput(f"{project.repo_name} belongs to another machine, which shares it itself")
    return RelayRepo(connection).set_shared(project.project_id, True)


def unshare(connection: sqlite3.Connection, project: Project) -> bool:
    """Keep a project's news here from now on, also if relay.share names it. False if that was so."""
    return RelayRepo(connection).set_shared(project.project_id, False)


async def _rights(url: str, seed: str, ca: Path | None, machine: str) -> Rights:
    folder = Path(tempfile.mkdtemp(prefix="fleet-relay-"))
    try:
        write_whole(folder / "seed", seed + "\n", mode=0o600)
        async with connected_with(url, folder / "seed", ca, machine) as link:
            return await link.rights()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _with_epoch(member: Member, before: Member) -> Member:
    from fleet_lib.records import replace

    return replace(member, epoch=before.epoch, home=before.home, joined_at=before.joined_at)
