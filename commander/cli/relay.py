"""`fleet relay`: several machines, joined by a server of your own. The server's side is in
relay_server.py."""

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commander.cli._app import json_option
from commander.cli._database import drain_spool, reading, writing
from commander.cli._display import Cell, Line, Table, count, print_json, say, show, when
from commander.cli._params import complete_project
from commander.cli._progress import progress_bar
from commander.cli.relay_server import server
from fleet_lib import clock, hot_settings, paths
from fleet_lib.errors import BadInput
from fleet_lib.store.relay import RelayRepo
from fleet_lib.text import clean
from fleet_lib.views.projects import find_project

if TYPE_CHECKING:
    from fleet_lib.relay.exchange import Outcome

_BUSY_SECONDS = 130.0


@click.group()
def relay() -> None:
    """Share news with your other machines and with colleagues.

    The machines exchange events and session states over a NATS server that one of you runs. Nothing
    leaves this machine before you share a project. Needs the extra fleet[relay]:
    ./install.sh --with relay.

    \b
    Examples:
      fleet relay server init ~/relay --tls --host box.example.org --machine laptop --machine box
      fleet relay join tls://box.example.org:4222 --seed-file laptop.seed --ca ca.pem
      fleet relay share api-svc
      fleet relay status
    """


relay.add_command(server)


@relay.command()
@click.argument("url")
@click.option(
    "--seed-file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The machine's key, from the server's folder `keys`. It is copied.",
)
@click.option(
    "--ca",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The server's ca.pem, if it uses TLS with a certificate of its own. It is copied.",
)
@click.option("--name", help="The machine's name on the server (default: the seed file's name).")
def join(url: str, seed_file: Path, ca: Path | None, name: str | None) -> None:
    """Join the relay at URL with this machine's key.

    URL is tls://HOST:PORT, or nats://HOST:PORT without TLS. Nothing is sent until you share a
    project.

    \b
    Examples:
      fleet relay join tls://box.example.org:4222 --seed-file laptop.seed --ca ca.pem
      fleet relay join nats://127.0.0.1:4222 --seed-file keys/box.seed --name box
    """
    from fleet_lib.relay import membership

    member = membership.join(paths.home(), url, seed_file=seed_file, ca=ca, name=name)
    say(f"This machine is {member.machine} on {member.url}.")
    if membership.is_exposed(member.url, ca):
        say("The connection is not encrypted: use it only inside a tunnel or VPN.", err=True)
    grants = "every project" if member.reads_everything else ", ".join(member.grants)
    say(f"It may read and publish {grants or 'nothing yet: the owner grants projects'}.")
    say("Nothing is sent until you share a project: `fleet relay share PROJECT`.")
    _exchange_now(paths.home())


@relay.command()
def leave() -> None:
    """Leave the relay, and forget its key and what was shared.

    What came from other machines stays. The server keeps what was sent for up to 90 days.

    \b
    Examples:
      fleet relay leave
    """
    from fleet_lib.relay import membership

    if membership.leave(paths.home()):
        say("This machine has left the relay. What came from other machines stays.")
    else:
        say("This machine has joined no relay.")


@relay.command()
@click.argument("project", shell_complete=complete_project)
def share(project: str) -> None:
    """Share PROJECT with your other machines.

    Its events of the last 90 days and the states of its sessions leave this machine, and from then
    on what is new. `fleet config set relay.share 'github.com/acme/*'` shares
    every project of such an address, also future ones.

    \b
    Examples:
      fleet relay share api-svc
    """
    from fleet_lib.relay import membership

    drain_spool(paths.home())
    with writing() as connection:
        found = find_project(connection, project)
        is_new = membership.share(connection, found)
        is_member = RelayRepo(connection).member() is not None
    name = clean(found.project_id, 200)
    say(f"{name} is shared." if is_new else f"{name} was shared already.")
    if is_member:
        _exchange_now(paths.home())
    else:
        say("It is sent once this machine joins a relay: `fleet relay join`.")


@relay.command()
@click.argument("project", shell_complete=complete_project)
def unshare(project: str) -> None:
    """Stop sharing PROJECT, also if the setting relay.share names it.

    The server keeps what was sent for up to 90 days, and other machines keep what they have.

    \b
    Examples:
      fleet relay unshare api-svc
    """
    from fleet_lib.relay import membership

    with writing() as connection:
        found = find_project(connection, project)
        is_new = membership.unshare(connection, found)
    name = clean(found.project_id, 200)
    say(f"{name} is not shared any more." if is_new else f"{name} was not shared.")


@relay.command()
@json_option
def once(as_json: bool) -> None:
    """Exchange everything that waits, once.

    With the setting relay.auto, on by default, this happens by itself after each turn and when you
    look.

    \b
    Examples:
      fleet relay once
    """
    from fleet_lib.relay.backoff import Lock, is_running

    home = paths.home()
    drain_spool(home)
    _require_joined(home)
    if is_running(home):
        say("`fleet relay run` or the gateway exchanges all the time: nothing to do.", err=as_json)
        if as_json:
            print_json({"sent": 0, "received": 0})
        return
    lock = Lock(home, "exchange")
    if not lock.take(_BUSY_SECONDS):
        raise BadInput("another exchange is still running; `fleet relay status` shows how it goes")
    with contextlib.closing(lock):
        done = _exchange(home)
    if as_json:
        print_json({"sent": done.sent, "received": done.received})
        return
    say(f"Sent {count(done.sent, 'event')}, received {count(done.received, 'message')}.")


@relay.command()
def run() -> None:
    """Exchange news all the time, until you stop it.

    News of other machines then arrives within a second. A running `fleet gateway` does the same.
    Stop it with Ctrl-C. docs/relay.md has units for systemd and launchd.

    \b
    Examples:
      fleet relay run
    """
    from fleet_lib.relay.backoff import is_running
    from fleet_lib.relay.process import BUSY

    home = paths.home()
    drain_spool(home)
    _require_joined(home)
    if is_running(home):
        raise BadInput(BUSY)
    # It may run for weeks, and does not need the console's memory.
    os.execv(sys.executable, [sys.executable, "-I", paths.RELAY, home, "shown"])  # noqa: S606


@relay.command()
@json_option
def status(as_json: bool) -> None:
    """Show the connection, the other machines, and what is shared.

    \b
    Examples:
      fleet relay status
      fleet relay status --json | jq '.machines[].heard_at'
    """
    from fleet_lib import wake
    from fleet_lib.relay import report

    home = paths.home()
    with reading() as connection:
        found = report.report(connection, home)
        member = RelayRepo(connection).member()
    if member:
        now = report.connection_trouble(home, member)
        found["connected"] = not now
        found["trouble"] = now or report.trouble_besides(member)
        wake.start_relay(home)
    else:
        found["connected"] = False
    if as_json:
        print_json(found)
    elif member is None:
        say("This machine has joined no relay. docs/relay.md shows how to begin.")
    else:
        show(*_parts(found))


def _require_joined(home: str) -> None:
    if not Path(paths.relay(home, "seed")).exists():
        from fleet_lib.relay.exchange import NotJoined  # imports all that an exchange needs

        raise NotJoined


def _exchange_now(home: str) -> None:
    """What a person has just joined or shared is shown at once, unless relay.auto is off."""
    from fleet_lib.relay.backoff import Lock, is_running
    from fleet_lib.relay.trouble import RelayTrouble

    if hot_settings.setting(home, "relay", "auto") == "false" or is_running(home):
        return
    lock = Lock(home, "exchange")
    if not lock.take(_BUSY_SECONDS):
        return
    with contextlib.closing(lock):
        try:
            done = _exchange(home)
        except RelayTrouble as error:
            say(f"fleet: {clean(error, 300)}; it is tried again after the next turn", err=True)
            return
    say(f"Sent {count(done.sent, 'event')}, received {count(done.received, 'message')}.")


def _exchange(home: str) -> "Outcome":
    """An exchange, with a bar on a terminal if it takes long."""
    from fleet_lib.relay import exchange

    what = "sent"

    def words(number: int, of: int) -> str:
        return f"{number:,} of {of:,} {what}"

    with progress_bar("Exchanging", words) as bar:

        def show(now: str, number: int, of: int) -> None:
            nonlocal what
            what = now
            if bar:
                bar(number, of)

        return exchange.once(home, show if bar else None)


def _parts(found: dict[str, Any]) -> list[Line | Table]:
    words = Cell("connected", "green") if found["connected"] else Cell("not connected", "red")
    parts: list[Line | Table] = [
        Line((Cell(f"{found['machine']} at {found['url']}: "), words, ".")),
    ]
    if found["trouble"]:
        since = found["failing_since"]
        age = f" (since {clock.local(since)})" if since else ""
        parts.append(Line((Cell(f"  {found['trouble']}{age}", "red"),)))
    running = "all the time" if found["running"] else "after each turn and when you look"
    last = f", last {clock.age(found['connected_at'])}" if found["connected_at"] else ""
    parts.append(Line((f"It exchanges news {running}{last}.",)))
    parts += [Line(()), Line((Cell("Machines", "bold"),))]
    if found["machines"]:
        rows = [_machine_row(one, found["machine"]) for one in found["machines"]]
        parts.append(Table((), rows, indent=2))
    else:
        parts.append(Line(("  No other machine was heard of yet.",)))
    parts += [Line(()), Line((Cell("Shared projects", "bold"),))]
    if found["shared"]:
        shared = [
            (one["project"], one["project_id"], Cell(one["refused"] or "sent", _style(one)))
            for one in found["shared"]
        ]
        parts.append(Table((), shared, indent=2))
    else:
        parts.append(Line(("  None: nothing leaves this machine. `fleet relay share PROJECT`.",)))
    if found["grants"] != ["*"]:
        allowed = ", ".join(found["grants"]) or "none"
        parts.append(Line((f"The server lets this machine read and publish: {allowed}.",)))
    return parts


def _style(row: dict[str, Any]) -> str:
    return "red" if row["refused"] else "green"


def _machine_row(row: dict[str, Any], own_name: str) -> tuple[object, ...]:
    whose = "yours" if row["is_own"] else "another person's"
    if row["machine"] == own_name:
        whose = "another home with this machine's key"
    state = Cell("up to date", "green")
    if row["behind_since"]:
        state = Cell(f"its news of {clock.age(row['behind_since'])} is not here yet", "yellow")
    more = []
    if row["newer"]:
        more.append(f"{count(row['newer'], 'message')} of a newer Fleet skipped")
    if row["set_aside"]:
        more.append(f"{count(row['set_aside'], 'message')} set aside: {row['last_reason']}")
    return (row["machine"], whose, when(row["heard_at"]), state, "; ".join(more))
