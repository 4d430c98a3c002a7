"""`fleet notify`: where messages are sent when something needs you, and what was sent."""

import contextlib
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from commander.cli._app import ListGroup, json_option, limit_option
from commander.cli._database import drain_spool, reading
from commander.cli._display import Cell, count, print_json, print_table, say
from fleet_lib import clock, paths
from fleet_lib.errors import BadInput, DatabaseUnusable, NotFound
from fleet_lib.notify import message, send, sending, settings, targets
from fleet_lib.notify.due import seconds_to_next
from fleet_lib.notify.targets import Target
from fleet_lib.store import db
from fleet_lib.store.notifications import Notification, NotificationRepo, may_retry
from fleet_lib.text import clean

T = TypeVar("T")

_STYLES = {"sent": "green", "failed": "red", "noted": "yellow"}


@click.group(cls=ListGroup)
def notify() -> None:
    """Send a message when something needs you.

    A session that needs permission, asks you, is blocked or has failed, and a failed job, become a
    message to every target: the desktop, a phone, a chat, mail, or a webhook. It is sent after
    notify.grace_seconds, if it still needs you then, and never twice. Nothing is sent before you
    add a target.

    \b
    Examples:
      fleet notify add desktop
      fleet notify add ntfy://my-secret-topic
      fleet notify test
      fleet config set notify.quiet_hours 22:00-07:00
    """


@notify.command("add")
@click.argument("url")
@click.option("--name", help="What to call the target (default: after its kind, such as slack).")
def add(url: str, name: str | None) -> None:
    """Add a target.

    URL is `desktop`, or the address of a service as Apprise writes it.

    An http:// or https:// address that is no known service's gets each message as a POST of JSON.
    `-` reads the URL from standard input, which keeps it out of the shell's history. It is stored
    in $FLEET_HOME/notify.json, which only you can read, and never shown whole. All but the desktop
    needs the extra fleet[notify]: ./install.sh --with notify.

    \b
    Examples:
      fleet notify add desktop
      fleet notify add ntfy://my-secret-topic
      fleet notify add slack://TokenA/TokenB/TokenC/#alerts --name team
      fleet notify add tgram://BOT_TOKEN/CHAT_ID
      fleet notify add "mailto://me:app-password@gmail.com"
      fleet notify add https://example.com/hook --name webhook
      pass show slack-url | fleet notify add -
    """
    home = paths.home()
    address = sys.stdin.readline() if url == "-" else url
    found = _usable(address.strip())
    drain_spool(home)
    target = targets.add(home, found, name)
    _leave_out_earlier(home, target)
    say(f"Added {_named(target)}")
    if found == targets.DESKTOP and (trouble := send.desktop_trouble()):
        say(f"No message will be seen: {trouble}.", err=True)
        return
    say(f"`fleet notify test {target.name}` sends a test message.", err=True)


@notify.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the targets and the last message to each.

    Of an address only the kind and the host are shown.

    \b
    Examples:
      fleet notify list --json
    """
    home = paths.home()
    found = targets.read(home)
    records = [_record(target, _last_of(home, target)) for target in found]
    if as_json:
        print_json(records)
        return
    rows = [
        (
            record["name"],
            record["target"],
            _state_cell(record["last_state"]),
            clock.age(record["last_at"]) if record["last_at"] else "-",
        )
        for record in records
    ]
    empty = "No targets: nothing is sent. Add one, such as `fleet notify add desktop`."
    print_table(("name", "target", "state", "last message"), rows, empty)
    _say_failures([last for target in found if (last := _last_of(home, target))])
    if found:
        _say_when(home)


def _complete_names(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    names = [target.name for target in targets.read(paths.home())]
    return [name for name in names if name.startswith(incomplete)]


@notify.command("test")
@click.argument("name", required=False, shell_complete=_complete_names)
def test(name: str | None) -> None:
    """Send a test message to NAME or to all.

    \b
    Examples:
      fleet notify test
      fleet notify test slack
    """
    home = paths.home()
    chosen = [targets.find(home, name)] if name else targets.read(home)
    if not chosen:
        raise NotFound("there are no targets; add one with `fleet notify add`")
    errors = sending.send({target: message.test_message() for target in chosen})
    for target in chosen:
        if not errors[target]:
            say(f"{target.name}: sent")
    failed = [f"{target.name}: {errors[target].rstrip('.')}" for target in chosen if errors[target]]
    if failed:
        raise BadInput("; ".join(failed))


@notify.command("remove")
@click.argument("name", shell_complete=_complete_names)
def remove(name: str) -> None:
    """Remove the target NAME.

    \b
    Examples:
      fleet notify remove slack
    """
    target = targets.remove(paths.home(), name)
    say(f"Removed {_named(target)}")


@notify.command("log")
@limit_option(20)
@json_option
def log(limit: int, as_json: bool) -> None:
    """Show what was sent, and what failed and why.

    An alert that failed is tried again after the time that is shown, at the next hook or look. One that
    was noted was about to be sent when the sender was killed; it is not sent again.

    \b
    Examples:
      fleet notify log
      fleet notify log --json -n 5
    """
    with reading() as connection:
        found = NotificationRepo(connection).newest(limit)
    if as_json:
        print_json([_log_record(*one) for one in found])
        return
    rows = [
        (
            clock.age(one.at),
            one.target_name,
            _state_cell(one.state),
            f"e{one.event_id}",
            clean(project, 60) or "-",
            clean(line, 400),
        )
        for one, project, line in found
    ]
    print_table(("when", "target", "state", "event", "project", "alert"), rows, "Nothing was sent.")
    _say_failures([one for one, _, _ in found])
    _say_when(paths.home())


def _named(target: Target) -> str:
    return f"{target.name}: {target.shown}" if target.name != target.shown else f"{target.name}."


def _usable(url: str) -> str:
    """The address to send to. Raises BadInput, which never quotes it."""
    if url.lower() in ("desktop", "desktop://"):
        send.require_usable(targets.DESKTOP)
        return targets.DESKTOP
    if "://" not in url:
        raise BadInput("this is no address: use `desktop`, or a URL such as ntfy://my-secret-topic")
    try:
        send.require_usable(url)
    except BadInput:
        webhook = send.webhook_of(url)
        if webhook is None:
            raise
        send.require_usable(webhook)
        return webhook
    return url


def _leave_out_earlier(home: str, target: Target) -> None:
    """What already waits when a target is added is not sent to it: you know of it."""
    path = paths.database(home)
    with contextlib.suppress(DatabaseUnusable, sqlite3.Error):
        db.connect_read_only(path).close()  # does not make a database
        with contextlib.closing(db.connect(path)) as connection, db.transaction(connection):
            repo = NotificationRepo(connection)
            waiting = [one.event_id for one in repo.waiting(target.id)]
            repo.leave_out(target.id, target.name, waiting, "earlier")


def _last_of(home: str, target: Target) -> Notification | None:
    return _asked(home, lambda connection: NotificationRepo(connection).last_of(target.id))


def _asked(home: str, question: Callable[[sqlite3.Connection], T]) -> T | None:
    """What the database answers; None if there is none, or it cannot be used now."""
    try:
        with contextlib.closing(db.connect_read_only(paths.database(home))) as connection:
            return question(connection)
    except (DatabaseUnusable, sqlite3.Error):
        return None


def _record(target: Target, last: Notification | None) -> dict[str, Any]:
    return {
        "name": target.name,
        "target": target.shown,
        "last_state": last.state if last else None,
        "last_at": last.at if last else None,
        "error": last.error or None if last else None,
    }


def _log_record(one: Notification, project: str, line: str) -> dict[str, Any]:
    return {
        "at": one.at,
        "target": one.target_name,
        "state": one.state,
        "attempts": one.attempts,
        "event_id": one.event_id,
        "project": project,
        "line": line,
        "error": one.error or None,
        "retry_after": one.retry_after if may_retry(one) else None,
    }


def _say_failures(found: Sequence[Notification]) -> None:
    """Why messages failed and when they are tried again: whole lines below a table, which would
    cut them."""
    lines: dict[str, None] = {}
    for one in found:
        if one.error:
            again = (
                f"tried again after {clock.local(one.retry_after)}"
                if may_retry(one)
                else "given up"
            )
            attempts = f"{count(one.attempts, 'attempt')}, {again}"
            lines[f"{one.target_name}: {one.error.rstrip('.')} ({attempts})."] = None
    for line in lines:
        say(line)


def _say_when(home: str) -> None:
    """When the next message may be sent."""
    wanted = settings.read(home)
    now = time.time()
    if wanted.is_quiet(now):
        until = clock.local(clock.of_seconds(wanted.quiet_until(now)))
        say(f"Quiet hours until {until}: what still needs you then is sent after that.", err=True)
        return
    seconds = _asked(home, lambda connection: seconds_to_next(connection, home))
    if seconds is not None:
        say(
            f"An alert waits: it is sent in {max(seconds, 0):.0f} s if it still needs you.",
            err=True,
        )


def _state_cell(state: str | None) -> Cell:
    return Cell(state or "-", _STYLES.get(state or "", ""), whole=True)
