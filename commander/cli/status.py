"""`fleet status`: what a person looks at first."""

import sqlite3
import time
from pathlib import Path
from typing import Any

import click

from commander.cli._shared import json_option, print_json, reading
from fleet_lib import clock, paths, spool
from fleet_lib.briefings import BriefingRepo
from fleet_lib.conversations import ConversationRepo
from fleet_lib.outbox import OutboxRepo
from fleet_lib.prelude import OPEN_ALERT_SECONDS, clean
from fleet_lib.projects import ProjectRepo
from fleet_lib.sessions import SessionRepo

_WORDS = {"waiting_for_permission": "waits for permission", "waiting_for_input": "waits for you"}


@click.command()
@json_option
def status(as_json: bool) -> None:
    """Who needs a human, the latest of each project, and whether capture is flowing.

    \b
    Examples:
      fleet status
      fleet status --json | jq '.needs_human[].project'
    """
    home = paths.home()
    if not Path(paths.database(home)).exists() and not spool.pending(home):
        if as_json:
            told = {"last_event_seen": 0, "last_event": 0}
            empty = {"needs_human": [], "projects": [], "commander": told}
            print_json(empty | {"capture": _capture(home, None)})
        else:
            click.echo("Nothing was captured yet. Finish a turn in any Claude Code session,")
            click.echo(f"then look again. (Fleet keeps its data in {home}.)")
        return
    with reading() as connection:
        report = _report(connection, home)
    if as_json:
        print_json(report)
    else:
        _print(report)


def _report(connection: sqlite3.Connection, home: str) -> dict[str, Any]:
    briefings, sessions = BriefingRepo(connection), SessionRepo(connection)
    names = {project.project_id: project.repo_name for project in ProjectRepo(connection).get_all()}
    since = clock.iso(time.time_ns() - OPEN_ALERT_SECONDS * 1_000_000_000)
    stuck = [
        {
            "session_id": session.session_id,
            "project_id": session.project_id,
            "project": names.get(session.project_id, session.project_id),
            "state": session.state,
            "since": session.state_at,
            "detail": session.detail,
            "briefing_id": session.briefing_id,
        }
        for session in sessions.open_alerts(since)
    ]
    roster: list[dict[str, Any]] = []
    for project in ProjectRepo(connection).get_active():
        latest = briefings.get_by_project(project.project_id, limit=1)
        turn = briefings.turn_of(latest[0].briefing_id) if latest else None
        roster.append(
            {
                "project_id": project.project_id,
                "project": project.repo_name,
                "status": latest[0].status if latest else None,
                "briefing_id": latest[0].briefing_id if latest else None,
                "at": (latest[0].ended_at or latest[0].created_at)
                if latest
                else project.updated_at,
                "summary": (turn.summary if turn else latest[0].raw_markdown[:200])
                if latest
                else "",
            }
        )
    roster.sort(key=lambda row: row["at"], reverse=True)
    conversation = ConversationRepo(connection).get_commander()
    seen = conversation.last_outbox_event_id_seen if conversation else 0
    return {
        "needs_human": stuck,
        "projects": roster,
        "commander": {"last_event_seen": seen, "last_event": OutboxRepo(connection).latest_id()},
        "capture": _capture(home, connection),
    }


def _capture(home: str, connection: sqlite3.Connection | None) -> dict[str, Any]:
    """Whether capture is flowing: the last capture, what waits, what is in quarantine."""
    last = None
    if connection:
        row = connection.execute("SELECT max(last_seen_at) FROM sessions").fetchone()
        last = row[0]
    bad = Path(paths.spool(home, "bad"))
    names = [path.name for path in bad.iterdir()] if bad.is_dir() else []
    return {
        "last_capture_at": last,
        "waiting": len(spool.pending(home)),
        "quarantined": sum(not name.endswith(".reason") for name in names),
    }


def _print(report: dict[str, Any]) -> None:
    stuck, roster, capture = report["needs_human"], report["projects"], report["capture"]
    left = sum(row["status"] in ("blocked", "failed") for row in roster)
    nobody = f"No open session needs you; {left} projects were left blocked or failed."
    title = f"Needs you: {len(stuck)}" if stuck else nobody if left else "Nobody needs you."
    click.secho(title, bold=True)
    for row in stuck:
        state = _WORDS.get(row["state"], row["state"])
        label = f"#{row['briefing_id']} " if row["briefing_id"] else ""
        click.echo(
            f"  {label}{clean(row['project'], 40)} {state} {_ago(row['since'])}:"
            f" {clean(row['detail'], 120)}"
        )
    click.echo()
    click.secho("Projects", bold=True)
    width = max((len(clean(row["project"], 30)) for row in roster), default=0)
    for row in roster:
        words = (row["status"] or "no briefing yet").replace("_", " ")
        label = f"#{row['briefing_id']}" if row["briefing_id"] else "-"
        click.echo(
            f"  {clean(row['project'], 30).ljust(width)}  {label:>6}  {words:<17}  "
            f"{_ago(row['at']):>8}  {clean(row['summary'], 100)}".rstrip()
        )
    if not roster:
        click.echo("  none yet")
    click.echo()
    told = report["commander"]
    behind = told["last_event"] - told["last_event_seen"]
    click.echo(
        f"Commander: {behind} events behind" if behind > 0 else "Commander: has been told all"
    )
    last = capture["last_capture_at"]
    line = f"Capture: last {_ago(last)}" if last else "Capture: nothing yet"
    click.echo(f"{line}, {capture['waiting']} waiting, {capture['quarantined']} in quarantine")
    if capture["quarantined"]:
        click.echo(f"  the reasons are in {paths.spool(paths.home(), 'bad')}")


def _ago(moment: str) -> str:
    try:
        seconds = max(0.0, time.time() - clock.parse(moment).timestamp())
    except ValueError:
        return clean(moment, 16)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f}{unit} ago"
    return "just now"
