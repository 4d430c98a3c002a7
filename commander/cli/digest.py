"""`fleet digest`: what happened, as a note that a person can paste. What it says is
views/digest.py's."""

import re
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import click

from commander.cli._app import json_option
from commander.cli._cells import wrapped
from commander.cli._database import reading
from commander.cli._display import (
    Cell,
    Line,
    count,
    is_interactive,
    print_json,
    say,
    show,
    terminal,
)
from commander.cli._params import Moment, machine_option, project_option, since_option
from commander.cli.usage import look_up_prices
from fleet_lib import clock, typed_time
from fleet_lib.lines import listed, state_words
from fleet_lib.machines import at
from fleet_lib.store.relay import RelayRepo
from fleet_lib.text import clean
from fleet_lib.views.digest import TURNS
from fleet_lib.views.digest import digest as digest_of
from fleet_lib.views.ids import shortest_id
from fleet_lib.views.projects import project_id_of, project_names
from fleet_lib.views.sessions import STATE_OF_REASON
from fleet_lib.views.usage import in_words

_WIDTH, _MOST_WIDTH = 80, 100
_WAITS = 10
_DAYS = 14
# (up to so many days, projects of a day, things that a project did in it, characters of each): a
# longer time is summed up in fewer words a day.
_DETAIL = ((1, 15, 8, 200), (3, 8, 5, 200), (7, 6, 3, 130), (_DAYS, 3, 2, 64))
_NAMES = 3  # documents, next steps
_COMMAND = re.compile(r"\(fleet [^()]*\)")
_GLUE = "\u00a0"
# A name with an underscore or an asterisk would become bold or italic.
_MARKED = re.compile(r"(?<![`\w])([^\s`,;:()]*[_*][^\s`,;:()]*)(?![`\w])")


@click.command()
@since_option("what happened", default="yesterday")
@click.option(
    "--until", type=Moment(), metavar="WHEN", help="Only before this; `today` is its beginning."
)
@project_option
@machine_option
@click.option("--markdown", is_flag=True, help="Print markdown.")
@json_option
def digest(
    since: str | None,
    until: str | None,
    project: str | None,
    machine: str | None,
    markdown: bool,
    as_json: bool,
) -> None:
    """Print what happened, by day and project: a note for a standup.

    It says what was done, what waits for you, what failed, which documents went stale, and what was
    used. Small turns, which touched no file, are only counted. Several turns with the same words
    are one. What another machine of your relay did stands apart, as `api-svc@box`. No model is asked. A longer time is summed up in fewer words a day; `fleet briefings list`
    has every turn.

    \b
    Examples:
      fleet digest
      fleet digest --since yesterday --until today
      fleet digest --since monday --project api-svc --markdown
    """
    since = since or typed_time.past("yesterday")
    if until and until <= since:
        raise click.UsageError("--until is not after --since")
    with reading() as connection:
        names = project_names(connection)
        project_id = project_id_of(connection, project)
        bounds: dict[str, Any] = {"since": since, "until": until, "project_id": project_id}
        bounds["machine"] = RelayRepo(connection).machine_filter(machine)
        report = digest_of(connection, names, **bounds)
        if look_up_prices(connection, report["usage"]):
            report = digest_of(connection, names, **bounds)
        waiting = [*report["needs_you"][:_WAITS], *report["left_open"][:_WAITS]]
        short = {row["session_id"]: shortest_id(connection, row["session_id"]) for row in waiting}
    if as_json:
        print_json(report)
        return
    note = _Note(short, is_markdown=markdown)
    note.write(report)
    if is_interactive() and not markdown:
        show(*note.lines)
    else:
        for line in note.lines:
            for text in line.plain():
                say(text)


class _Note:
    """The lines of the note, each wrapped with its continuation below its text."""

    def __init__(self, short_ids: dict[str, str], *, is_markdown: bool) -> None:
        self.lines: list[Line] = []
        self._short = short_ids  # of the sessions that wait
        self._is_markdown = is_markdown
        self._text_limit = 0  # characters of an item's text
        self._named: set[int] = set()  # briefings that wait, which their day need not repeat
        self._width = min(terminal().width, _MOST_WIDTH) if is_interactive() else _WIDTH

    def write(self, report: dict[str, Any]) -> None:
        until = report["until"]
        self._heading(1, f"{_moment(report['since'])} to {_moment(until) if until else 'now'}")
        if not (report["days"] or report["needs_you"] or report["left_open"]):
            self._gap()
            self._line("Nothing happened in this time.")
        self._write_waiting("Needs you", report["needs_you"])
        self._write_waiting("Left open", report["left_open"])
        days = report["days"][:_DAYS]
        detail = next(row for row in _DETAIL if len(days) <= row[0])
        for number, day in enumerate(days):
            self._text_limit = detail[3]
            self._write_day(day, *detail[1:3], is_newest=number == 0)
        if left_out := report["days"][_DAYS:]:
            turns = sum(project["turns"] for day in left_out for project in day["projects"])
            self._gap()
            self._line(
                f"Before that: {count(turns, 'turn')} in {count(len(left_out), 'day')};"
                f" --until {days[-1]['day']} shows them."
            )
        if report["read_since"] != report["since"]:
            since = _moment(report["read_since"])
            self._line(f"Only the newest {TURNS:,} turns were read, those since {since}.")
        if report["usage"]:
            self._gap()
            self._line(f"Used: {in_words(report['usage'])}.")

    def _write_waiting(self, title: str, waits: Sequence[dict[str, Any]]) -> None:
        if not waits:
            return
        self._heading(2, f"{title}: {len(waits)}")
        for row in waits[:_WAITS]:
            words = state_words(STATE_OF_REASON[row["reason"]])
            name = at(row["project"], row.get("machine"))
            text = f"{name} {words}: {row['text'] or row.get('title') or 'no words'}"
            self._named |= {row["briefing_id"]} - {None}
            self._item(f"{text} (fleet resume {self._short[row['session_id']]})", style="yellow")
        if len(waits) > _WAITS:
            self._item(f"and {len(waits) - _WAITS} more: `fleet status`")

    def _write_day(
        self, day: dict[str, Any], projects: int, things: int, *, is_newest: bool
    ) -> None:
        self._heading(2, _day(day["day"]))
        for project in day["projects"][:projects]:
            self._write_project(project, things, is_newest=is_newest)
        if rest := day["projects"][projects:]:
            turns = sum(project["turns"] for project in rest)
            names = listed([at(one["project"], one.get("machine")) for one in rest], _NAMES)
            self._line(
                f"and {count(turns, 'turn')} in {names}", indent=0 if self._is_markdown else 2
            )

    def _write_project(self, project: dict[str, Any], things: int, *, is_newest: bool) -> None:
        self._project_line(project)
        done = project["done"] or project["small_turns"]
        for item in _chosen(done, things):
            self._item(self._words(item), depth=2)
        small = project["small"] - (0 if project["done"] else min(len(done), things))
        counted = [
            *([f"{len(done) - things} more"] if project["done"] and len(done) > things else []),
            *([count(small, "small turn")] if small > 0 else []),
        ]
        if counted:
            also = "and " if done else ""
            self._item(f"{also}{' and '.join(counted)}", depth=2, style="dim")
        for item in self._not_named(project["open"])[:things]:
            words = state_words(item["status"])
            self._item(
                f"{words[0].upper()}{words[1:]}: {self._words(item)}", depth=2, style="yellow"
            )
        for item in self._not_named(project["failed"])[:things]:
            self._item(f"Failed: {self._words(item)}", depth=2, style="red")
        if project["stale_documents"]:
            self._item(f"Stale: {listed(project['stale_documents'], _NAMES)}", depth=2)
        if is_newest and project["next_steps"]:
            steps = "; ".join(step.rstrip(".") for step in project["next_steps"][:_NAMES])
            self._item(f"Next: {steps}", depth=2)

    def _not_named(self, items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return [item for item in items if item["briefing_id"] not in self._named]

    def _words(self, item: dict[str, Any]) -> str:
        name = f"#{item['briefing_id']}" if item["briefing_id"] else f"job{item.get('job_id')}"
        return f"{clean(item['text'], self._text_limit)} ({name})"

    def _project_line(self, project: dict[str, Any]) -> None:
        facts = [count(project["turns"], "turn")]
        if project["files"]:
            facts.append(count(project["files"], "file"))
        if number := project["turns_with_commits"]:
            facts.append(f"{number} with commits")
        name = clean(at(project["project"], project.get("machine")), 80)
        if self._is_markdown:
            self._gap()
            self._line(f"**{name}** ({', '.join(facts)})")
            self._gap()
        else:
            self.lines.append(
                Line(("  ", Cell(name, "bold"), Cell(f"  {', '.join(facts)}", "dim")))
            )

    def _heading(self, level: int, text: str) -> None:
        if self.lines:
            self._gap()
        if self._is_markdown:
            self._line(f"{'#' * level} {text}")
            if level == 2:
                self._gap()
        else:
            self.lines.append(Line((Cell(text, "bold"),)))

    def _gap(self) -> None:
        if self.lines and self.lines[-1].cells:
            self.lines.append(Line(()))

    def _item(self, text: str, *, depth: int = 1, style: str = "") -> None:
        text = clean(text, 400)
        if self._is_markdown:
            marked = _MARKED.sub(r"`\1`", text)
            self._line(f"- {marked}")
        else:
            self._line(f"- {text}", indent=2 * depth, hang=2, style=style)

    def _line(self, text: str, *, indent: int = 0, hang: int = 0, style: str = "") -> None:
        room = 10_000 if self._is_markdown else self._width - indent - hang
        mark, words = text[:hang], _COMMAND.sub(_unbroken, text[hang:])
        for number, part in enumerate(wrapped(words, room, len(text) + 1)):
            start = " " * indent + (mark if number == 0 else " " * hang)
            self.lines.append(Line((Cell(start + part.replace(_GLUE, " "), style),)))


def _unbroken(match: re.Match[str]) -> str:
    """A command that is not wrapped."""
    return match[0].replace(" ", _GLUE)


def _chosen(items: Sequence[dict[str, Any]], limit: int) -> Iterator[dict[str, Any]]:
    """The items of the largest impact, the newest of them, in the order of time."""
    order = ("major", "moderate", "minor", "trivial")
    ranked = sorted(
        range(len(items)), key=lambda place: (order.index(items[place]["impact_level"]), -place)
    )
    for place in sorted(ranked[:limit]):
        yield items[place]


def _moment(moment: str) -> str:
    """`Wed 25 Nov, 14:00`; without the time at the beginning of a day."""
    local = clock.parse(moment).astimezone()
    at = f", {local:%H:%M}" if (local.hour, local.minute) != (0, 0) else ""
    return _day(f"{local:%Y-%m-%d}") + at


def _day(text: str) -> str:
    """`Wed 25 Nov`, with its year if that is another than today's."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return clean(text, 20)
    year = f" {day.year}" if day.year != date.today().year else ""
    return f"{day:%a} {day.day} {day:%b}{year}"
