"""`fleet status`: what a person looks at first, once or for as long as it is watched."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from commander.cli import _display as _look
from commander.cli._app import drain_waiting, json_option, print_json, reading, require_usable
from commander.cli._display import Cell, Line, Table, count
from fleet_lib import paths, spool
from fleet_lib.errors import DatabaseUnusable
from fleet_lib.store import db
from fleet_lib.views import overview

_WORDS = {"waiting_for_permission": "waits for permission", "waiting_for_input": "waits for you"}
_DRAIN_AGAIN_SECONDS = 30.0  # after a drain that failed


@click.command()
@click.option(
    "--watch",
    is_flag=False,
    flag_value=2.0,
    type=click.FloatRange(0.5, 3600),
    metavar="[SECONDS]",
    help="Stay, and look again every so often (2 seconds if not said). Ctrl-C ends it.",
)
@json_option
def status(watch: float | None, as_json: bool) -> None:
    """Who needs a human, the latest of each project, and whether capture is flowing.

    Most urgent first: sessions that are blocked, failed or wait for a permission.
    #12 is a briefing: `fleet briefings show 12` prints it whole.

    \b
    Examples:
      fleet status
      fleet status --watch
      fleet status --json | jq '.needs_human[].project'
    """
    home = paths.home()
    if watch is not None:
        if as_json:
            raise click.UsageError(
                "--watch is for people; programs read `fleet events tail --json`"
            )
        _watch(home, watch)
        return
    require_usable(home)
    if not Path(paths.database(home)).exists() and not spool.pending(home):
        if as_json:
            print_json(overview.nothing(home))
        else:
            _look.show(*_nothing_yet(home))
        return
    with reading() as connection:
        report = overview.overview(connection, home)
    if as_json:
        print_json(report)
    else:
        _look.show(*_parts(report))


def _watch(home: str, seconds: float) -> None:
    """Show the status on the terminal's other screen, drawn again when something changed."""
    if not _look.a_person_looks():
        raise click.UsageError("--watch needs a terminal; programs read `fleet events tail --json`")
    console = _look.terminal()
    if console.is_dumb_terminal:
        raise click.UsageError("--watch needs a terminal that can draw again; TERM says it cannot")
    require_usable(home)
    every = Cell(f"every {seconds:g} s, Ctrl-C ends it", "dim")
    shown, not_before = "", 0.0
    with contextlib.suppress(KeyboardInterrupt), console.screen():
        while True:
            undrained = ""
            if spool.pending(home) and time.monotonic() >= not_before:
                undrained = drain_waiting(home, timeout=5.0)
                not_before = time.monotonic() + (_DRAIN_AGAIN_SECONDS if undrained else 0)
            parts = [*_look_now(home)]
            if undrained:
                parts.append(Line((Cell(f"Not drained: {undrained}", "red"),)))
            with console.capture() as captured:
                rendered = [part.rich(console.width) for part in (*parts, Line((every,)))]
                console.print(_look.Harmless(*rendered), end="")
            lines = captured.get().splitlines()
            if len(lines) > console.height:
                left = len(lines) - console.height + 2
                lines = [*lines[: console.height - 2], f"… {left} more lines", lines[-1]]
            if (drawn := "\r\n".join(lines)) != shown:
                # In one write, each line's rest and the screen's rest cleared: nothing flickers.
                shown = drawn
                click.echo(
                    "\x1b[H" + drawn.replace("\r\n", "\x1b[K\r\n") + "\x1b[K\x1b[J",
                    nl=False,
                    color=True,
                )
            time.sleep(seconds)


def _look_now(home: str) -> tuple[Line | Table, ...]:
    """The status as it is; in a watch, trouble is something to show and not an end."""
    if not os.path.lexists(paths.database(home)):
        return _nothing_yet(home)
    try:
        with contextlib.closing(db.connect_read_only(paths.database(home))) as connection:
            return _parts(overview.overview(connection, home))
    except (DatabaseUnusable, sqlite3.Error, OSError) as error:
        return (Line((Cell(f"{error}; run `fleet doctor` for details", "red"),)),)


def _nothing_yet(home: str) -> tuple[Line | Table, ...]:
    return (
        Line(("Nothing was captured yet. Finish a turn in any Claude Code session,",)),
        Line(("then look again. If nothing comes, `fleet doctor` says why.",)),
        Line((Cell(f"Fleet keeps its data in {home}.", "dim"),)),
    )


def _parts(report: dict[str, Any]) -> tuple[Line | Table, ...]:
    """The report as lines and tables, who needs a human first."""
    stuck, roster = report["needs_human"], report["projects"]
    parts: list[Line | Table] = [_title(stuck, roster)]
    if stuck:
        rows = [
            (
                Cell(row["project"]),
                f"#{row['briefing_id']}" if row["briefing_id"] else "",
                _state(row["state"]),
                Cell(_look.ago(row["since"]), "dim"),
                row["detail"],
            )
            for row in stuck
        ]
        parts.append(Table((), rows, indent=2))
    parts += [Line(()), Line((Cell("Projects", "bold"),))]
    if roster:
        rows = [
            (
                Cell(row["project"]),
                f"#{row['briefing_id']}" if row["briefing_id"] else "-",
                _state(row["status"] or "no briefing yet"),
                Cell(_look.ago(row["at"]), "dim"),
                row["summary"],
            )
            for row in roster
        ]
        parts.append(Table((), rows, indent=2))
    else:
        parts.append(Line(("  none yet",)))
    return (
        *parts,
        Line(()),
        *_commander_lines(report["commander"]),
        *_job_lines(report["jobs"]),
        *_capture_lines(report),
    )


def _job_lines(jobs: dict[str, int]) -> Iterator[Line]:
    if jobs["running"] or jobs["queued"]:
        yield Line((f"Jobs: {jobs['running']} at work, {jobs['queued']} queued",))


def _title(stuck: list[dict[str, Any]], roster: list[dict[str, Any]]) -> Line:
    if stuck:
        return Line((Cell(f"Needs you: {len(stuck)}", "bold red"),))
    left = sum(row["status"] in ("blocked", "failed") for row in roster)
    if left:
        were = "was" if left == 1 else "were"
        told = f"No open session needs you; {count(left, 'project')} {were} left blocked or failed."
        return Line((Cell(told, "bold yellow"),))
    return Line((Cell("Nobody needs you.", "bold green"),))


def _state(name: str) -> Cell:
    words = _WORDS.get(name, name.replace("_", " "))
    return Cell(words, _look.STYLES.get(name, ""), whole=True)


def _commander_lines(told: dict[str, Any]) -> tuple[Line, ...]:
    if not told["started"]:
        return (Line(("Commander: not started yet (`fleet commander` starts it)",)),)
    behind = told["new"]
    if not behind:
        return (Line(("Commander: up to date",)),)
    return (Line((f"Commander: {count(behind, 'event')} behind (`fleet prelude` shows them)",)),)


def _capture_lines(report: dict[str, Any]) -> Iterator[Line]:
    capture = report["capture"]
    last = capture["last_capture_at"]
    waiting, quarantined = capture["waiting"], capture["quarantined"]
    yield Line(
        (
            f"Capture: last {_look.ago(last)}, " if last else "Capture: nothing yet, ",
            Cell(f"{waiting} waiting", "yellow" if waiting else ""),
            ", ",
            Cell(f"{quarantined} in quarantine", "red" if quarantined else ""),
        )
    )
    if waiting or quarantined:
        yield Line(("  `fleet doctor` says why and what to do",))
