"""The status as lines and tables: what needs attention first, each session with the command that
takes you there."""

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from commander.cli._display import STYLES, Cell, Line, Part, Table, count, human_size
from commander.cli._listing import Listing, Row
from fleet_lib import clock
from fleet_lib.lines import state_words
from fleet_lib.machines import at
from fleet_lib.store.jobs import JobRepo
from fleet_lib.views import usage
from fleet_lib.views.ids import shortest_id
from fleet_lib.views.projects import NamesOnDemand, project_names
from fleet_lib.views.sessions import STATE_OF_REASON, hidden

FOLDED = 10  # rows of a list that is shown in part; what needs you is shown whole


def nothing_yet() -> list[Part]:
    return [
        Line(("Nothing was captured yet. Finish a turn in any Claude Code session,",), wraps=True),
        Line(("then run `fleet` again; if it stays empty, run `fleet doctor`.",), wraps=True),
    ]


def screen(
    connection: sqlite3.Connection,
    report: Mapping[str, Any],
    *,
    shows_all: bool = False,
    marks: bool = False,
    machine: str | None = None,
) -> list[Part]:
    """The report as it is shown, what needs attention first. With `marks`, the sessions of
    `waiting` are numbered. `machine` is the one that the report is limited to, as it takes it."""
    most = None if shows_all else FOLDED
    return [
        Listing(
            [
                *session_lines(connection, report, most, marks),
                *_hidden(connection, report, most, machine),
            ]
        ),
        *_projects(report["projects"], report.get("projects_in_all"), most),
        *_jobs(connection, report["jobs"], most),
        Line(()),
        _commander_line(report["commander"]),
        *_usage_lines(usage.today(connection)),
        *_relay_lines(report.get("relay")),
        *_capture_lines(report["capture"]),
        _database_line(report["database"]),
    ]


def waiting(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The sessions that wait for you in the order of the screen."""
    return [*report["needs_you"], *report["left_open"]]


def session_lines(
    connection: sqlite3.Connection,
    report: Mapping[str, Any],
    most: int | None,
    marks: bool = False,
) -> Iterator[Line | Row]:
    """What needs you, is working and is left open, by sections of at most `most` rows."""
    numbers = {row["session_id"]: number for number, row in enumerate(waiting(report)[:9], start=1)}
    needing, left, working = report["needs_you"], report["left_open"], report["working"]
    if needing:
        yield Line((Cell(f"Needs you: {len(needing)}", "bold red"),))
    elif not left:
        yield Line((Cell("Nothing needs your attention.", "bold green"),))
    sections = [
        ("", needing, None, ""),
        (Cell(f"Working: {len(working)}", "bold"), working, most, "fleet sessions list"),
        (Cell(f"Left open: {len(left)}", "bold yellow"), left, most, "fleet status --all"),
    ]
    is_first = not needing and bool(left)
    for title, rows, shown, command in sections:
        if title and rows:
            yield from () if is_first else (Line(()),)
            is_first = False
            yield Line((title,))
        for row in rows[:shown]:
            mark = f"{numbers.get(row['session_id'], ' ')} " if marks else ""
            yield session_row(connection, row, mark)
        yield from _more(len(rows), shown, command)


def session_row(connection: sqlite3.Connection, row: Mapping[str, Any], mark: str = "") -> Row:
    """A session of the overview."""
    return Row(
        name=at(row["project"], row.get("machine")),
        title=row.get("title") or _worktree(row),
        state=STATE_OF_REASON[row["reason"]] if "reason" in row else "working",
        since=row["since"],
        command=f"fleet resume {shortest_id(connection, row['session_id'])}",
        text=row.get("text") or "",
        mark=mark,
    )


def _worktree(row: Mapping[str, Any]) -> str:
    """The folder's name, where it says more than the project's."""
    folder = PurePath(row["folder"]).name
    return "" if folder == row["project"] else folder


def _hidden(
    connection: sqlite3.Connection,
    report: Mapping[str, Any],
    most: int | None,
    machine: str | None,
) -> Iterator[Line | Row]:
    numbers, shows_all = report["hidden"], most is None
    words = []
    if numbers["dismissed"]:
        words.append(f"{numbers['dismissed']} dismissed")
    if numbers["snoozed"]:
        first = "until" if numbers["snoozed"] == 1 else "the first until"
        words.append(f"{numbers['snoozed']} snoozed, {first} {clock.soon(numbers['until'])}")
    if not words:
        return
    more = "" if shows_all else " `fleet status --all` shows them."
    yield from (
        Line(()),
        Line(
            (
                Cell(f"Hidden: {', '.join(words)}.", "bold" if shows_all else "dim"),
                Cell(more, "dim"),
            ),
            wraps=True,
        ),
    )
    names = NamesOnDemand(connection)
    for record in hidden(connection, waiting(report), names, machine) if shows_all else ():
        short = shortest_id(connection, record["session_id"])
        yield Row(
            name=at(record["project"], record.get("machine")),
            title=record.get("title") or "",
            state=STATE_OF_REASON[record["reason"]],
            since=record["since"],
            command=f"fleet dismiss --undo {short}",
            text=record["text"],
        )


def _projects(roster: list[dict[str, Any]], number: int | None, most: int | None) -> list[Part]:
    number = len(roster) if number is None else number
    title = Line((Cell(f"Projects: {number}", "bold"),))
    if not roster:
        return [Line(()), Line((Cell("Projects", "bold"),)), Line(("  No projects yet.",))]
    rows = [
        (
            at(row["project"], row.get("machine")),
            _state(row["status"]),
            Cell(clock.age(row["at"]), "dim", whole=True),
            Cell(
                f"fleet show {row['briefing_id']}" if row["briefing_id"] else "", "cyan", whole=True
            ),
            row["summary"],
        )
        for row in roster[:most]
    ]
    return [
        Line(()),
        title,
        Table((), rows, (2, 3), indent=2, least=20),
        *_more(number, most, "fleet projects list"),
    ]


def _state(status: str | None) -> Cell:
    return Cell(state_words(status or "no turn yet"), STYLES.get(status or "", ""), whole=True)


def _jobs(connection: sqlite3.Connection, jobs: Mapping[str, Any], most: int | None) -> list[Part]:
    parts: list[Part] = []
    if number := jobs["running"] + jobs["queued"]:
        at_work = [
            job
            for status in ("running", "queued")
            for job in JobRepo(connection).query(status=status, limit=most or number)
        ][:most]
        names = project_names(connection, {job.project_id for job in at_work if job.project_id})
        rows = [
            (
                names.get(job.project_id or "", job.project_id or "-"),
                _state(job.status),
                Cell(clock.age(job.ts_started or job.ts_created), "dim", whole=True),
                Cell(f"fleet show job{job.job_id}", "cyan", whole=True),
                f"{job.type}, {job.model}",
            )
            for job in at_work
        ]
        words = f"Jobs: {jobs['running']} running, {jobs['queued']} queued."
        parts = [Line(()), Line((Cell(words, "bold"),)), Table((), rows, indent=2)]
        parts += _more(number, most, "fleet jobs list")
    if held := jobs["held"]:
        until = clock.soon(held["until"])
        parts.append(Line((Cell(f"  They wait until {until}: {held['reason']}.", "yellow"),)))
    return parts


def _more(number: int, most: int | None, command: str) -> Iterator[Line]:
    if most is not None and number > most:
        yield Line((Cell(f"  and {number - most} more; `{command}` shows all.", "dim"),))


def _commander_line(commander: dict[str, Any]) -> Line:
    if not commander["started"]:
        return Line(("Commander: not started. Run `fleet commander` to start it.",), wraps=True)
    if not commander["new"]:
        return Line(("Commander: up to date.",))
    return Line(
        (f"Commander: {count(commander['new'], 'event')} behind. `fleet prelude` shows them.",),
        wraps=True,
    )


def _usage_lines(used: dict[str, Any] | None) -> Iterator[Line]:
    if used:
        yield Line((f"Used today: {usage.in_words(used)}.",), wraps=True)


def _relay_lines(relay: dict[str, Any] | None) -> Iterator[Line]:
    """When the other machines were heard of: what they show may be old."""
    if not relay:
        return
    heard = [f"{one['machine']} {clock.age(one['heard_at'])}" for one in relay["machines"]]
    if heard:
        yield Line((f"Machines last heard of: {', '.join(heard)}.",))
    if relay["copy_heard_at"]:
        words = f"Another home uses the key of {relay['machine']}, last {clock.age(relay['copy_heard_at'])}:"
        yield Line((Cell(f"{words} `fleet doctor` says what to do.", "yellow"),), wraps=True)
    if relay["failing_since"]:
        trouble = f"  Not connected since {clock.local(relay['failing_since'])}: {relay['trouble']}"
        yield Line((Cell(f"{trouble}.", "yellow"),))


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


def _database_line(database: dict[str, Any]) -> Line:
    kept = f", {count(database['keep_days'], 'day')} are kept" if database["keep_days"] else ""
    return Line((f"Database: {human_size(database['bytes'])}{kept}.",))


def _entries(number: int) -> str:
    return f"{number} entry" if number == 1 else f"{number} entries"
