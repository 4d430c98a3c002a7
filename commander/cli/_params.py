"""The values that a user types, each parsed in one place for all commands: a time, a size, an
event, a prompt. And what TAB offers for projects and briefings; a TAB drains nothing and reports no
errors."""

import contextlib
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from fleet_lib import clock, paths, typed_time
from fleet_lib.errors import BadInput
from fleet_lib.lines import BRIEFING_SUMMARY, PROJECT_NAME, state_words, without_front_matter
from fleet_lib.machines import apart
from fleet_lib.prelude.database import open_database
from fleet_lib.rules import OPEN_SESSIONS, WAITING, moments
from fleet_lib.store.jobs import PROMPT_LIMIT
from fleet_lib.text import clean

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., Any])

_BYTES = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", start=1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", start=1)},
}


class Moment(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.4
    """A time in the past (`typed_time.past`), converted to the database's form."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return typed_time.past(str(value))
        except BadInput as error:
            self.fail(str(error), param, ctx)


class Later(click.ParamType):  # type: ignore[type-arg]
    """A time in the future (`typed_time.future`), converted to the database's form. It may be at
    most `longest_seconds` ahead."""

    name = "time"

    def __init__(self, longest_seconds: int) -> None:
        self._longest_seconds = longest_seconds

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            moment = typed_time.future(str(value))
        except BadInput as error:
            self.fail(str(error), param, ctx)
        if moment > clock.ahead(self._longest_seconds):
            days = self._longest_seconds // 86400
            self.fail(f"{value!r} is more than {days} days ahead; use at most {days}d", param, ctx)
        return moment


def since_option(what: str, default: str = "") -> Callable[[F], F]:
    """`--since WHEN`, which every list that has times takes: only `what` after it."""
    usual = f" [default: {default}]" if default else ""
    return click.option(
        "--since",
        type=Moment(),
        metavar="WHEN",
        help=f"Only {what} after this: today, yesterday, monday, 3d, 2h, 2026-11-01.{usual}",
    )


class Size(click.ParamType):  # type: ignore[type-arg]
    """`500MB`, `2GB`, `1.5GiB`, converted to bytes: a MB is 1000 x 1000, a MiB 1024 x 1024."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?)\s*([a-z]{0,3})", value.strip().lower())
        if not match or match[2] not in _BYTES or not float(match[1]):
            self.fail(f"{value!r} is not a size; use 500MB or 2GB", param, ctx)
        return int(float(match[1]) * _BYTES[match[2]])


class EventId(click.ParamType):  # type: ignore[type-arg]
    """`40`, or `e40` and `#e40` as the console prints it."""

    name = "event"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"#?e?(\d{1,18})", str(value))
        if not match:
            self.fail(f"{value!r} is not an event; use 40 or e40", param, ctx)
        return int(match[1])


class JobId(click.ParamType):  # type: ignore[type-arg]
    """`3`, or `job3` as `fleet status` prints it."""

    name = "job"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"#?(?:job)?(\d{1,18})", str(value))
        if not match or not int(match[1]):
            self.fail(f"{value!r} is not a job; use 3 or job3", param, ctx)
        return int(match[1])


class Words(click.Choice):  # type: ignore[type-arg]
    """The words of a screen for the values of the database, which are taken too."""

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__(list(values))
        self._values = values

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value in self._values.values():
            return str(value)
        return self._values[super().convert(value, param, ctx)]


TURN_STATUS = Words(
    {"done": "completed", "asks-you": "waiting_for_input", "blocked": "blocked", "failed": "failed"}
)


class Prompt(click.ParamType):  # type: ignore[type-arg]
    """A file's path, converted to the text in it: UTF-8, at most PROMPT_LIMIT characters."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            with Path(str(value)).open("rb") as file:
                return self.read(file)
        except OSError as error:
            self.fail(f"{value}: {error.strerror}", param, ctx)

    def read(self, file: IO[bytes]) -> str:
        """Raises BadInput."""
        data = file.read(4 * PROMPT_LIMIT + 1)
        try:
            return self.checked(data.decode("utf-8"))
        except UnicodeDecodeError:
            if len(data) > 4 * PROMPT_LIMIT:
                return self.checked("x" * len(data))  # cut in the middle of a character
            raise BadInput("the prompt is not UTF-8 text") from None

    def read_stdin(self) -> str:
        """Raises BadInput."""
        if sys.stdin is None:
            raise BadInput("there is no prompt: stdin is closed")
        return self.read(sys.stdin.buffer)

    def checked(self, text: str) -> str:
        """Raises BadInput."""
        if not text.strip():
            raise BadInput("the prompt is empty")
        if len(text) > PROMPT_LIMIT:
            raise BadInput(
                f"the prompt is longer than {PROMPT_LIMIT:,} characters, more than a model reads;"
                " name files in it instead of pasting their contents"
            )
        return text


def _offer(value: str, help: str | None = None) -> "CompletionItem":
    from click.shell_completion import CompletionItem  # only a TAB needs it

    return CompletionItem(value, help=help)


def complete_project(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> "list[CompletionItem]":
    """Repository names; the id if several projects share a name or a shell would split it."""
    rows = _rows(
        f"SELECT project_id, {PROJECT_NAME}, repo_root FROM projects p"
        " ORDER BY updated_at DESC LIMIT 200"
    )
    named = [
        (name if re.fullmatch(r"[\w.+@-]+", str(name)) else project_id, root)
        for project_id, name, root in rows
    ]
    return [
        _offer(clean(name, 200), help=clean(root, 80))
        for name, root in named
        if str(name).lower().startswith(incomplete.lower())
    ]


def complete_briefing(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> "list[CompletionItem]":
    """The latest briefings' numbers, each with its project and summary."""
    rows = _rows(
        f"SELECT b.briefing_id, {PROJECT_NAME}, {BRIEFING_SUMMARY}"
        " FROM briefings b LEFT JOIN projects p ON p.project_id = b.project_id"
        " WHERE CAST(b.briefing_id AS TEXT) LIKE ?"
        " ORDER BY ifnull(b.ended_at, b.created_at) DESC, b.briefing_id DESC LIMIT 30",
        f"{incomplete}%" if incomplete.isdecimal() or not incomplete else "",
    )
    return [
        _offer(str(number), help=f"{clean(name, 30)}: {clean(without_front_matter(text), 60)}")
        for number, name, text in rows
    ]


def complete_open(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> "list[CompletionItem]":
    """The sessions that need you or are left open, by briefing or by their id's beginning, and the
    projects."""
    rows = _rows(
        "SELECT s.briefing_id, s.session_id, p.repo_name, s.state, s.detail"
        f" FROM {OPEN_SESSIONS} JOIN projects p ON p.project_id = s.project_id"
        f" WHERE {WAITING} ORDER BY s.state_at DESC LIMIT 30",
        **moments(),
    )
    items = []
    for briefing_id, session_id, name, state, detail in rows:
        number, session = str(briefing_id or ""), clean(apart(str(session_id))[0], 200)
        by_session = (incomplete and session.startswith(incomplete)) or not number
        value = session if by_session else number
        if value.startswith(incomplete):
            words = f"{clean(name, 30)} {state_words(state)}: {clean(detail, 60)}"
            items.append(_offer(value, help=words))
    return [*items, *(complete_project(ctx, param, incomplete) if incomplete else [])]


def complete_machine(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> "list[CompletionItem]":
    """The machines of the relay that were heard of, and this one."""
    rows = _rows("SELECT machine FROM relay_self UNION SELECT machine FROM relay_machines")
    return [_offer(str(row[0])) for row in rows if str(row[0]).startswith(incomplete)]


machine_option = click.option(
    "--machine",
    metavar="NAME",
    shell_complete=complete_machine,
    help="Only what comes from this machine, as `fleet relay status` names it.",
)


def complete_anything(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> "list[CompletionItem]":
    """What waits for you, the latest briefings, and the projects."""
    return [
        *complete_open(ctx, param, incomplete),
        *complete_briefing(ctx, param, incomplete),
    ]


PROJECT_WORDS = "its name or id, the beginning of one, or a folder in it"
project_option = click.option(
    "--project",
    metavar="PROJECT",
    shell_complete=complete_project,
    help=f"Only this project: {PROJECT_WORDS}.",
)


def _rows(sql: str, *values: str, **named: str) -> list[tuple[object, ...]]:
    try:
        with contextlib.closing(open_database(paths.home())) as connection:
            return connection.execute(sql, named or values).fetchall()
    except Exception:  # whatever it is, an error must not appear in the middle of a command line
        return []
