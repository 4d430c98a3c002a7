"""`fleet status`: what needs attention, printed once or kept up to date."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commander.cli._app import json_option
from commander.cli._database import drain_spool, reading, require_usable
from commander.cli._display import (
    STYLES,
    TITLE_SHOWN,
    Cell,
    Harmless,
    Line,
    Table,
    count,
    is_interactive,
    print_json,
    show,
    terminal,
)
from fleet_lib import clock, paths, spool
from fleet_lib.errors import DatabaseUnusable
from fleet_lib.lines import state_words
from fleet_lib.notify.due import start_if_due
from fleet_lib.store import db
from fleet_lib.text import clean
from fleet_lib.views import overview, usage
from fleet_lib.views.sessions import STATE_OF_REASON

if TYPE_CHECKING:
    from rich.console import Console

_DRAIN_AGAIN_SECONDS = 30.0  # after a failed drain
_LEFT_OPEN_SHOWN = 10  # rows


@click.command()
@click.option(
    "--watch",
    is_flag=False,
    flag_value=2.0,
    type=click.FloatRange(0.5, 3600),
    metavar="[SECONDS]",
    help="Refresh the status every SECONDS (default: 2). Stop with Ctrl-C.",
)
@json_option
def status(watch: float | None, as_json: bool) -> None:
    """Show what needs your attention and what is new.

    Sessions that need permission, ask you, are blocked or have failed come first. Then come those
    that ended so and are left open for seven days, the latest briefing of each project, and the
    state of the Commander and of capture. #12 is a briefing: `fleet briefings show 12` prints it,
    `fleet resume 12` opens its session, and `fleet dismiss 12` hides it.

    \b
    Examples:
      fleet status
      fleet status --watch
      fleet status --json | jq '.needs_you[].project'
    """
    home = paths.home()
    if watch is not None:
        if as_json:
            raise click.UsageError("--watch prints no JSON; use `fleet events tail --json`")
        _watch(home, watch)
        return
    require_usable(home)
    if not Path(paths.database(home)).exists() and not spool.pending(home):
        if as_json:
            print_json(overview.nothing(home))
        else:
            show(*_nothing_yet(home))
        return
    with reading() as connection:
        report = overview.overview(connection, home)
        used = usage.today(connection)
        start_if_due(connection, home)  # what quiet hours held back
    if as_json:
        print_json(report)
    else:
        show(*_parts(report, used))


def _watch(home: str, seconds: float) -> None:
    """Show the status on the terminal's alternate screen and redraw it when something changed."""
    if not is_interactive():
        raise click.UsageError("--watch needs a terminal; use `fleet events tail --json` in a pipe")
    console = terminal()
    if console.is_dumb_terminal:
        raise click.UsageError("--watch needs a terminal that can redraw, and TERM is dumb")
    require_usable(home)
    footer = Line((Cell(f"Every {seconds:g} s. Stop with Ctrl-C.", "dim"),))
    shown, not_before = "", 0.0
    with contextlib.suppress(KeyboardInterrupt), console.screen():
        while True:
            undrained = ""
            if spool.pending(home) and time.monotonic() >= not_before:
                undrained = drain_spool(home, timeout=5.0)
                not_before = time.monotonic() + (_DRAIN_AGAIN_SECONDS if undrained else 0)
            parts = [*_current_parts(home)]
            if undrained:
                parts.append(
                    Line((Cell(f"New captures could not be applied: {undrained}", "red"),))
                )
            if (drawn := _frame(console, [*parts, footer])) != shown:
                shown = drawn
                # One write clears the rest of each line and of the screen, so nothing flickers.
                cleared = drawn.replace("\r\n", "\x1b[K\r\n")
                click.echo(f"\x1b[H{cleared}\x1b[K\x1b[J", nl=False, color=True)
            time.sleep(seconds)


def _frame(console: "Console", parts: list[Line | Table]) -> str:
    """The parts as lines that fit the terminal; the last one is always shown."""
    with console.capture() as captured:
        console.print(Harmless(*(part.rich(console.width) for part in parts)), end="")
    lines = captured.get().splitlines()
    if len(lines) > console.height:
        left = len(lines) - console.height + 2
        lines = [*lines[: console.height - 2], f"… {left} more lines", lines[-1]]
    return "\r\n".join(lines)


def _current_parts(home: str) -> tuple[Line | Table, ...]:
    """The status as it is now. An error is shown and does not end the watch."""
    if not os.path.lexists(paths.database(home)):
        return _nothing_yet(home)
    try:
        with contextlib.closing(db.connect_read_only(paths.database(home))) as connection:
            start_if_due(connection, home)
            return _parts(overview.overview(connection, home), usage.today(connection))
    except (DatabaseUnusable, sqlite3.Error, OSError) as error:
        return (Line((Cell(f"{error}; run `fleet doctor` for details", "red"),)),)


def _nothing_yet(home: str) -> tuple[Line | Table, ...]:
    return (
        Line(("Nothing was captured yet. Finish a turn in any Claude Code session,",)),
        Line(("then run `fleet status` again. If this stays empty, run `fleet doctor`.",)),
        Line((Cell(f"Fleet keeps its data in {home}.", "dim"),)),
    )


def _parts(report: dict[str, Any], used: dict[str, Any] | None) -> tuple[Line | Table, ...]:
    """The report as lines and tables, what needs attention first, and what was used today."""
    needing, left, roster = report["needs_you"], report["left_open"], report["projects"]
    parts: list[Line | Table] = []
    if needing or not left:
        parts.append(_title(needing))
    if needing:
        parts.append(Table((), [_open_row(row) for row in needing], indent=2))
    if left:
        parts += [Line(())] if needing else []
        parts.append(Line((Cell(f"Left open: {len(left)}", "bold yellow"),)))
        parts.append(Table((), [_open_row(row) for row in left[:_LEFT_OPEN_SHOWN]], indent=2))
    if len(left) > _LEFT_OPEN_SHOWN:
        more = f"  and {len(left) - _LEFT_OPEN_SHOWN} more; `fleet status --json` has them."
        parts.append(Line((more,)))
    parts += [Line(()), Line((Cell("Projects", "bold"),))]
    if roster:
        rows = [_row(row, row["status"], row["at"], row["summary"]) for row in roster]
        parts.append(Table((), rows, indent=2))
    else:
        parts.append(Line(("  No projects yet.",)))
    return (
        *parts,
        Line(()),
        _commander_line(report["commander"]),
        *_job_lines(report["jobs"]),
        *_usage_lines(used),
        *_capture_lines(report["capture"]),
    )


def _row(row: dict[str, Any], state: str | None, since: str, text: str) -> tuple[object, ...]:
    """A project's or session's line: project, briefing, state, since when, text."""
    title = clean(row.get("title") or "", TITLE_SHOWN)
    return (
        Cell(f"{row['project']} ({title})" if title else row["project"]),
        f"#{row['briefing_id']}" if row["briefing_id"] else "-",
        Cell(state_words(state or "no briefing yet"), STYLES.get(state or "", ""), whole=True),
        Cell(clock.age(since), "dim"),
        text,
    )


def _open_row(row: dict[str, Any]) -> tuple[object, ...]:
    return _row(row, STATE_OF_REASON[row["reason"]], row["since"], row["text"])


def _title(needing: list[dict[str, Any]]) -> Line:
    if needing:
        return Line((Cell(f"Needs you: {len(needing)}", "bold red"),))
    return Line((Cell("Nothing needs your attention.", "bold green"),))


def _commander_line(commander: dict[str, Any]) -> Line:
    if not commander["started"]:
        return Line(("Commander: not started. Run `fleet commander` to start it.",))
    if not commander["new"]:
        return Line(("Commander: up to date.",))
    return Line(
        (f"Commander: {count(commander['new'], 'event')} behind. `fleet prelude` shows them.",)
    )


def _job_lines(jobs: dict[str, Any]) -> Iterator[Line]:
    if jobs["running"] or jobs["queued"]:
        yield Line((f"Jobs: {jobs['running']} running, {jobs['queued']} queued.",))
    if held := jobs["held"]:
        yield Line((f"  They wait until {clock.local(held['until'])}: {held['reason']}.",))


def _usage_lines(used: dict[str, Any] | None) -> Iterator[Line]:
    if used:
        yield Line((f"Used today: {usage.in_words(used)}.",))


def _capture_lines(capture: dict[str, Any]) -> Iterator[Line]:
    last = capture["last_capture_at"]
    waiting, quarantined = capture["waiting"], capture["quarantined"]
    yield Line(
        (
            f"Last capture: {clock.age(last)}; " if last else "Last capture: none; ",
            Cell(f"{waiting} waiting", "yellow" if waiting else ""),
            ", ",
            Cell(f"{quarantined} in quarantine", "red" if quarantined else ""),
            ".",
        )
    )
    for place in capture["put_off"]:
        entries = _entries(place["entries"])
        yield Line((Cell(f"  {entries} waiting for {place['line']}.", "yellow"),))
    if capture["drainer"]:
        yield Line((Cell(f"  {capture['drainer'][0].upper()}{capture['drainer'][1:]}.", "red"),))
    if waiting or quarantined:
        yield Line(("  Run `fleet doctor` to see why.",))


def _entries(number: int) -> str:
    return f"{number} entry" if number == 1 else f"{number} entries"
