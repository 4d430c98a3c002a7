"""`fleet jobs`: a queue of headless Claude Code sessions."""

import contextlib
import sqlite3
import sys
from typing import Any, get_args

import click

from commander.cli._app import ListGroup, json_option, limit_option
from commander.cli._database import reading
from commander.cli._display import (
    Cell,
    Line,
    Part,
    print_json,
    print_table,
    project,
    say,
    show,
    state,
    when,
)
from commander.cli._facts import Facts
from commander.cli._json import escaped
from commander.cli._params import (
    PROJECT_WORDS,
    JobId,
    Prompt,
    Words,
    complete_project,
    since_option,
)
from commander.cli.running import run
from fleet_lib import clock, paths
from fleet_lib.errors import NotFound
from fleet_lib.jobs import stream
from fleet_lib.json_text import json_object
from fleet_lib.lines import state_words
from fleet_lib.store import db
from fleet_lib.store.jobs import FINISHED, Job, JobModel, JobRepo, JobStatus
from fleet_lib.store.projects import Project
from fleet_lib.text import clean
from fleet_lib.views.projects import (
    find_project,
    project_id_of,
    project_names,
    project_of_folder,
)

TYPES = ("worker_task", "skill_patch", "doc_patch")  # `fleet ask` queues a commander_turn
MODES = ("default", "acceptEdits", "plan", "dontAsk", "bypassPermissions")
_STATUSES = {state_words(status): status for status in get_args(JobStatus)}
_KIND_STYLES = {"tool": "cyan", "result": "dim", "error": "red", "note": "dim"}
_MARKS = {"tool": "· ", "result": "  ", "error": "! ", "note": "- "}


@click.group(cls=ListGroup)
def jobs() -> None:
    """Queue tasks for Claude Code without a terminal.

    A job runs in its project's folder. Jobs run oldest first, as many at once as the setting
    jobs.at_once allows and one per project. Each job has a time limit and a budget, and there is a daily budget for all jobs (see the jobs
    settings in `fleet config list`). The session of a job runs no hooks.

    \b
    Examples:
      fleet jobs submit --project api "Update the changelog for the last release"
      fleet jobs logs 12 --follow
      fleet jobs list --status failed
    """


@jobs.command()
@click.option(
    "--project",
    "name",
    metavar="PROJECT",
    shell_complete=complete_project,
    help="The project to work in (default: this folder's).",
)
@click.option(
    "--type",
    "job_type",
    type=click.Choice(TYPES),
    default="worker_task",
    show_default=True,
    help="The kind of task. skill_patch and doc_patch may edit files.",
)
@click.option(
    "--model",
    type=click.Choice(get_args(JobModel)),
    default="sonnet",
    show_default=True,
    help="The model to use.",
)
@click.option(
    "--allow-tool",
    "tools",
    multiple=True,
    metavar="RULE",
    help="A tool that the job may use without asking, as a Claude Code permission rule: Edit,"
    ' "Bash(npm test:*)". Repeatable.',
)
@click.option(
    "--permission-mode",
    type=click.Choice(MODES),
    help="Claude Code's permission mode. bypassPermissions needs the setting jobs.allow_bypass.",
)
@click.option("--file", "file", type=Prompt(), help="Read the prompt from a file.")
@click.option(
    "--timeout", type=click.FloatRange(1, 86400), metavar="SECONDS", help="Time limit in seconds."
)
@click.option(
    "--max-usd", type=click.FloatRange(0.01, 1000), metavar="USD", help="Budget in US dollars."
)
@json_option
@click.argument("prompt", required=False)
def submit(
    name: str | None,
    job_type: Any,
    model: Any,
    tools: tuple[str, ...],
    permission_mode: Any,
    file: str | None,
    timeout: float | None,
    max_usd: float | None,
    as_json: bool,
    prompt: str | None,
) -> None:
    """Queue a job and run it in the background.

    PROMPT is the task; it is read from stdin if it is - or missing. A job cannot ask for
    permissions: allow the tools that the task needs, other than for reading, with --allow-tool.

    \b
    Examples:
      fleet jobs submit --project api --allow-tool Edit "Fix the typo in the README"
      fleet jobs submit --type doc_patch --model haiku --file task.md
      git diff | fleet jobs submit --project api --json
    """
    from fleet_lib.jobs.request import make
    from fleet_lib.jobs.submit import submit as queue

    text = _prompt(prompt, file)
    with reading() as connection:
        target = find_project(connection, name) if name else _project_here(connection)
    request = make(
        prompt=text,
        allowed_tools=tools,
        permission_mode=permission_mode,
        timeout_seconds=timeout,
        max_usd=max_usd,
    )
    home = paths.home()
    with contextlib.closing(db.connect(paths.database(home))) as connection:
        job_id = queue(
            connection, home, type=job_type, model=model, request=request, project=target
        )
    if as_json:
        queued = {"job_id": job_id, "status": "queued", "type": job_type, "model": model}
        print_json(queued | {"project_id": target.project_id})
    else:
        say(f"Queued job {job_id}; watch it with `fleet jobs logs {job_id} --follow`")


@jobs.command("list")
@click.option(
    "--project",
    "name",
    metavar="PROJECT",
    shell_complete=complete_project,
    help=f"Only jobs of this project: {PROJECT_WORDS}.",
)
@click.option("--status", type=Words(_STATUSES), help="Only jobs with this status.")
@since_option("jobs queued")
@limit_option(20)
@json_option
def list_(
    name: str | None, status: str | None, since: str | None, limit: int, as_json: bool
) -> None:
    """List jobs, newest first.

    \b
    Examples:
      fleet jobs list
      fleet jobs list --project api --status failed
      fleet jobs list --json | jq '.[].cost_usd'
    """
    with reading() as connection:
        project_id = project_id_of(connection, name)
        found = JobRepo(connection).query(
            project_id=project_id, status=status, since=since, limit=limit
        )
        names = project_names(connection, {job.project_id for job in found if job.project_id})
        described = [stream.describe(connection, job) for job in found]
    if as_json:
        print_json(described)
        return
    rows = [
        (
            Cell(f"job{job.job_id}", piped=job.job_id),
            when(job.ts_created),
            project(names, job.project_id),
            Cell(job.type, whole=True),
            job.model,
            job.status,
            Cell(_cost(one)),
            Cell(job.error or one["prompt"]),
        )
        for job, one in zip(found, described, strict=True)
    ]
    headings = ("id", "when", "project", "type", "model", "status", "cost", "what")
    empty = "No jobs match." if project_id or status or since else "No jobs yet."
    print_table(headings, rows, empty, optional=("type", "model"))


@jobs.command("show")
@click.argument("job_id", type=JobId())
@json_option
def show_(job_id: int, as_json: bool) -> None:
    """Show one job: its prompt, status, cost and answer.

    \b
    Examples:
      fleet jobs show 12
      fleet jobs show 12 --json | jq -r .answer
    """
    with reading() as connection:
        job = JobRepo(connection).require(job_id)
        shown = stream.describe(connection, job)
        names = project_names(connection)
    if as_json:
        print_json(shown)
        return
    words = {
        "took": _took(job),
        "cost": _cost(shown),
        "tokens": _tokens(shown),
        "error": job.error,
        "session": shown["session_id"],
        "prompt": shown["prompt"],
    }
    facts = [
        ("status", state(job.status)),
        ("project", project(names, job.project_id)),
        ("type", Cell(f"{job.type}, {job.model}")),
        ("created", when(job.ts_created)),
        *((name, Cell(value)) for name, value in words.items() if value != "-"),
    ]
    parts: list[Part] = [Facts(facts)]
    if shown["answer"]:
        parts += [Line(()), *(Line((line,), wraps=True) for line in shown["answer"].splitlines())]
    show(*parts)


@jobs.command()
@click.argument("job_id", type=JobId())
@click.option(
    "--follow",
    "-f",
    is_flag=True,
    help="Follow the job until it ends. Ctrl-C does not stop the job.",
)
@json_option
def logs(job_id: int, follow: bool, as_json: bool) -> None:
    """Print the messages and tool calls of a job's session.

    With --json these are Claude Code's own lines.

    \b
    Examples:
      fleet jobs logs 12
      fleet jobs logs 12 --follow
      fleet jobs logs 12 --json | jq -c 'select(.type == "result")'
    """
    with reading() as connection:
        job = JobRepo(connection).require(job_id)
        if not follow:
            chunks = JobRepo(connection).get_stream_chunks(job_id)
            _print_chunks(chunks, as_json)
            return
    connection = db.connect_read_only(paths.database(paths.home()))
    with contextlib.closing(connection), contextlib.suppress(KeyboardInterrupt):
        if job.status == "queued" and not as_json:
            say("queued, waiting to be started", err=True)
        for chunk in stream.follow(connection, job_id):
            _print_chunks([chunk], as_json)
        job = JobRepo(connection).require(job_id)
        if not as_json:
            reason = f": {clean(job.error, 300)}" if job.error else ""
            say(f"job {job_id} {job.status}{reason}", err=True)


@jobs.command()
@click.argument("job_ids", type=JobId(), nargs=-1, required=True)
@json_option
def cancel(job_ids: tuple[int, ...], as_json: bool) -> None:
    """Cancel queued or running jobs, and wait for their end.

    It returns when their processes have ended.

    \b
    Examples:
      fleet jobs cancel 12
      fleet jobs cancel 12 13 --json
    """
    from fleet_lib.jobs.submit import cancel as cancel_job

    ended = []
    with contextlib.closing(db.connect(paths.database(paths.home()))) as connection:
        for job_id in job_ids:
            before = JobRepo(connection).require(job_id).status
            status = cancel_job(connection, job_id)
            ended.append({"job_id": job_id, "status": status})
            if not as_json:
                is_over = status in FINISHED
                was = "was already " if before == status else ""
                say(f"job {job_id} {was + status if is_over else 'is still ending'}")
    if as_json:
        print_json(ended)
    if any(row["status"] != "canceled" for row in ended):
        raise click.exceptions.Exit(1)


def _prompt(prompt: str | None, file: str | None) -> str:
    """The prompt from the file, the argument or stdin. Raises BadInput or UsageError."""
    if file is not None:
        if prompt is not None:
            raise click.UsageError("the prompt is given twice: as an argument and as --file")
        return file
    if prompt is None or prompt == "-":
        if prompt is None and (sys.stdin is None or sys.stdin.isatty()):
            raise click.UsageError(
                "there is no prompt; give it as an argument, with --file, or on stdin"
            )
        return Prompt().read_stdin()
    return Prompt().checked(prompt)


def _project_here(connection: sqlite3.Connection) -> Project:
    found = project_of_folder(connection, ".")
    if found is None:
        raise NotFound(
            "this folder is not in a project that Fleet knows; name one with --project"
            " (`fleet projects list` lists them)"
        )
    return found


def _print_chunks(chunks: list[str], as_json: bool) -> None:
    if as_json:
        for chunk in chunks:
            say(escaped(chunk))
        return
    lines: list[Line] = []
    for chunk in chunks:
        for kind, text in stream.readable_parts(json_object(chunk)):
            mark = _MARKS.get(kind, "")
            for row in text.splitlines() or [""]:
                lines.append(Line((Cell(mark + row, _KIND_STYLES.get(kind, "")),), wraps=True))
    if lines:
        show(*lines)


def _cost(described: dict[str, Any]) -> str:
    """What a job cost, as it counts towards the daily budget."""
    cost, counted = described["cost_usd"], described["counted_usd"]
    if cost is None:
        return f"≤${counted:.2f}" if counted else "-"
    return f"${cost:.4f}" if cost < 0.1 else f"${cost:.2f}"


def _tokens(shown: dict[str, Any]) -> str:
    if shown["input_tokens"] is None:
        return ""
    return f"{shown['input_tokens']:,} in, {shown['output_tokens'] or 0:,} out"


def _took(job: Job) -> str:
    if not job.ts_started or not job.ts_finished:
        return ""
    try:
        seconds = (clock.parse(job.ts_finished) - clock.parse(job.ts_started)).total_seconds()
    except ValueError:
        return ""
    return f"{seconds:.1f} s"


jobs.add_command(run)
