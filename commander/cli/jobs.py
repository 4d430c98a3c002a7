"""`fleet jobs`: headless Claude Code, queued."""

import contextlib
import sqlite3
import sys
from pathlib import Path
from typing import Any, get_args

import click

from commander.cli import _display as _look
from commander.cli._app import json_option, limit_option
from commander.cli._database import reading
from commander.cli._display import Cell, Line, Table, print_json, print_table, project, show, when
from commander.cli._params import JOB_ID, Prompt
from fleet_lib import clock, paths
from fleet_lib.errors import NotFound
from fleet_lib.jobs import run as run_jobs
from fleet_lib.jobs import stream
from fleet_lib.store import db
from fleet_lib.store.jobs import FINISHED, Job, JobModel, JobRepo, JobStatus
from fleet_lib.store.projects import Project, ProjectRepo
from fleet_lib.text import clean
from fleet_lib.views.projects import find_project, project_names

TYPES = ("worker_task", "skill_patch", "doc_patch")  # a commander_turn is `fleet ask`'s
MODES = ("default", "acceptEdits", "plan", "dontAsk", "bypassPermissions")
_KIND_STYLES = {"tool": "cyan", "result": "dim", "error": "red", "note": "dim"}
_MARKS = {"tool": "· ", "result": "  ", "error": "! ", "note": "- "}


@click.group()
def jobs() -> None:
    """Headless Claude Code: a queue of tasks, each in its project's folder.

    At most 3 run at once and one in a project, oldest first; each has a time limit and a cap on its cost, and
    so has the day (`fleet config list` shows them under jobs). A job's session fires no hooks.

    \b
    Examples:
      fleet jobs submit --project api "Update the changelog for the last release"
      fleet jobs logs 12 --follow
      fleet jobs list --status failed
    """


@jobs.command()
@click.option("--project", "name", help="The project to work in (default: this folder's).")
@click.option(
    "--type",
    "job_type",
    type=click.Choice(TYPES),
    default="worker_task",
    show_default=True,
    help="What kind of task: a patch of a skill or of documents may edit files.",
)
@click.option(
    "--model",
    type=click.Choice(get_args(JobModel)),
    default="sonnet",
    show_default=True,
    help="The model that works.",
)
@click.option(
    "--allow-tool",
    "tools",
    multiple=True,
    metavar="RULE",
    help='A tool it may use without asking, as Claude Code writes it: Edit, "Bash(npm test:*)". Repeatable.',
)
@click.option(
    "--permission-mode",
    type=click.Choice(MODES),
    help="Claude Code's permission mode; bypassPermissions needs the setting jobs.allow_bypass.",
)
@click.option("--file", "file", type=Prompt(), help="Read the prompt from a file.")
@click.option("--timeout", type=click.FloatRange(1, 86400), help="Seconds it may take at most.")
@click.option(
    "--max-usd", type=click.FloatRange(0.01, 1000), help="US dollars it may cost at most."
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
    """Queue a job, and have it run in the background.

    PROMPT is the task; - or none at all reads it from stdin. Nobody is asked for permissions there: what the
    task needs beyond reading is named with --allow-tool.

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
        where = find_project(connection, name) if name else _project_here(connection)
    request = make(
        prompt=text,
        allowed_tools=tools,
        permission_mode=permission_mode,
        timeout_seconds=timeout,
        max_usd=max_usd,
    )
    home = paths.home()
    with contextlib.closing(db.connect(paths.database(home))) as connection:
        job_id = queue(connection, home, type=job_type, model=model, request=request, project=where)
    if as_json:
        told = {"job_id": job_id, "status": "queued", "type": job_type, "model": model}
        print_json(told | {"project_id": where.project_id})
    else:
        click.echo(f"job {job_id} queued: `fleet jobs logs {job_id} --follow` shows it at work")


@jobs.command("list")
@click.option("--project", "name", help="Only jobs of this project.")
@click.option("--status", type=click.Choice(get_args(JobStatus)), help="Only jobs of this status.")
@limit_option(20)
@json_option
def list_(name: str | None, status: str | None, limit: int, as_json: bool) -> None:
    """List jobs, the newest first.

    \b
    Examples:
      fleet jobs list
      fleet jobs list --project api --status failed
      fleet jobs list --json | jq '.[].cost_usd'
    """
    with reading() as connection:
        project_id = find_project(connection, name).project_id if name else None
        found = JobRepo(connection).query(project_id=project_id, status=status, limit=limit)
        names = project_names(connection)
        told = [stream.describe(connection, job) for job in found]
    if as_json:
        print_json(told)
        return
    rows = [
        (
            str(job.job_id),
            when(job.ts_created),
            project(names, job.project_id),
            Cell(job.type, whole=True),
            job.model,
            job.status,
            Cell(_dollars(one["cost_usd"])),
            Cell(job.error or one["prompt"]),
        )
        for job, one in zip(found, told, strict=True)
    ]
    headings = ("id", "when", "project", "type", "model", "status", "cost", "what")
    print_table(headings, rows, "no jobs", optional="cost")


@jobs.command("show")
@click.argument("job_id", type=JOB_ID)
@json_option
def show_(job_id: int, as_json: bool) -> None:
    """Show one job: what it was asked, how it ended, what it cost, and its answer.

    \b
    Examples:
      fleet jobs show 12
      fleet jobs show 12 --json | jq -r .answer
    """
    with reading() as connection:
        job = _job(connection, job_id)
        told = stream.describe(connection, job)
        names = project_names(connection)
    if as_json:
        print_json(told)
        return
    rows = [
        (Cell("status", "bold"), _look.state(job.status)),
        (Cell("project", "bold"), project(names, job.project_id)),
        (Cell("type", "bold"), f"{job.type}, {job.model}"),
        (Cell("created", "bold"), when(job.ts_created)),
    ]
    for heading, value in (
        ("took", _took(job)),
        ("cost", _dollars(told["cost_usd"])),
        ("tokens", _tokens(told)),
        ("error", job.error),
        ("session", told["session_id"]),
        ("prompt", told["prompt"]),
    ):
        if value and value != "-":
            rows.append((Cell(heading, "bold"), Cell(value)))
    parts: list[Line | Table] = [Table((), rows)]
    if told["answer"]:
        parts += [Line(()), *(Line((line,), wraps=True) for line in told["answer"].splitlines())]
    show(*parts)


@jobs.command()
@click.argument("job_id", type=JOB_ID)
@click.option(
    "--follow", "-f", is_flag=True, help="Stay until the job has ended. Ctrl-C leaves it running."
)
@json_option
def logs(job_id: int, follow: bool, as_json: bool) -> None:
    """Print what a job's session said and did (--json: Claude Code's own lines).

    \b
    Examples:
      fleet jobs logs 12
      fleet jobs logs 12 --follow
      fleet jobs logs 12 --json | jq -c 'select(.type == "result")'
    """
    with reading() as connection:
        job = _job(connection, job_id)
        if not follow:
            chunks = JobRepo(connection).get_stream_chunks(job_id)
            _print_chunks(chunks, as_json)
            return
    connection = db.connect_read_only(paths.database(paths.home()))
    with contextlib.closing(connection), contextlib.suppress(KeyboardInterrupt):
        if job.status == "queued" and not as_json:
            click.echo("queued; waiting for its turn", err=True)
        for chunk in stream.follow(connection, job_id):
            _print_chunks([chunk], as_json)
        job = _job(connection, job_id)
        if not as_json:
            reason = f": {clean(job.error, 300)}" if job.error else ""
            click.echo(f"job {job_id} {job.status}{reason}", err=True)


@jobs.command()
@click.argument("job_ids", type=JOB_ID, nargs=-1, required=True)
@json_option
def cancel(job_ids: tuple[int, ...], as_json: bool) -> None:
    """Cancel jobs, queued or running; returns once their processes are gone.

    \b
    Examples:
      fleet jobs cancel 12
      fleet jobs cancel 12 13 --json
    """
    from fleet_lib.jobs.submit import cancel as end

    told = []
    with contextlib.closing(db.connect(paths.database(paths.home()))) as connection:
        for job_id in job_ids:
            before = _job(connection, job_id).status
            status = end(connection, job_id)
            told.append({"job_id": job_id, "status": status})
            if not as_json:
                is_over = status in FINISHED
                was = "was already " if before == status else ""
                click.echo(f"job {job_id} {was + status if is_over else 'is still being ended'}")
    if as_json:
        print_json(told)
    if any(row["status"] != "canceled" for row in told):
        raise click.exceptions.Exit(1)


@jobs.command()
@click.option("--once", is_flag=True, help="Work the queue empty, and end.")
@json_option
def run(once: bool, as_json: bool) -> None:
    """Run queued jobs here, in the foreground, until Ctrl-C.

    Nobody needs to: `submit` starts a runner in the background, which ends when nothing is left. There is one
    at a time; where another is at work this one waits for it. Ctrl-C lets what runs come to its end, and a
    second one ends it.

    \b
    Examples:
      fleet jobs run
      fleet jobs run --once
      fleet jobs run --once --json
    """
    from fleet_lib.jobs import runner

    home = paths.home()
    db.connect(paths.database(home)).close()

    def say(notice: runner.Notice) -> None:
        if as_json:
            if notice.job_id is not None:
                told: dict[str, Any] = {"job_id": notice.job_id, "status": notice.status}
                told |= {"cost_usd": notice.cost_usd, "error": notice.error}
                click.echo(_look.as_json(told))
        else:
            click.echo(clean(notice.text, 500))

    lock = run_jobs.open_lock(home)
    is_told = False
    while not run_jobs.take(lock, seconds=0.5):
        if once and _is_empty(home):
            return
        if not is_told:
            is_told = True
            click.echo("another runner is at work; waiting for it", err=True)
    runner.run(home, "once" if once else "forever", say)


def _is_empty(home: str) -> bool:
    with contextlib.closing(db.connect_read_only(paths.database(home))) as connection:
        row = connection.execute(
            "SELECT 1 FROM jobs j WHERE status = 'queued' OR EXISTS (SELECT 1 FROM job_runs r"
            " WHERE r.job_id = j.job_id AND r.ended_at IS NULL) LIMIT 1"
        ).fetchone()
        return row is None


def _prompt(prompt: str | None, file: str | None) -> str:
    """The prompt from wherever it was given. Raises BadInput or UsageError."""
    if file is not None:
        if prompt is not None:
            raise click.UsageError("the prompt is given twice: as an argument and as --file")
        return file
    if prompt is None or prompt == "-":
        if prompt is None and (sys.stdin is None or sys.stdin.isatty()):
            raise click.UsageError(
                "there is no prompt: give it as an argument, a --file, or on stdin"
            )
        return Prompt().read_stdin()
    return Prompt().checked(prompt)


def _project_here(connection: sqlite3.Connection) -> Project:
    repo = ProjectRepo(connection)
    project_id = repo.find_around(str(Path.cwd()))
    found = repo.get(project_id) if project_id else None
    if found is None:
        raise NotFound(
            "this folder is no project that Fleet knows: --project names one,"
            " `fleet projects list` shows them"
        )
    return found


def _job(connection: sqlite3.Connection, job_id: int) -> Job:
    job = JobRepo(connection).get(job_id)
    if job is None:
        raise NotFound(f"there is no job {job_id}: `fleet jobs list` shows what there is")
    return job


def _print_chunks(chunks: list[str], as_json: bool) -> None:
    if as_json:
        for chunk in chunks:
            click.echo(_look.escaped(chunk))
        return
    lines: list[Line] = []
    for chunk in chunks:
        for kind, text in stream.words_of(stream.value_of(chunk)):
            mark = _MARKS.get(kind, "")
            for row in text.splitlines() or [""]:
                lines.append(Line((Cell(mark + row, _KIND_STYLES.get(kind, "")),), wraps=True))
    if lines:
        show(*lines)


def _dollars(cost: float | None) -> str:
    return "-" if cost is None else f"${cost:.4f}" if cost < 0.1 else f"${cost:.2f}"


def _tokens(told: dict[str, Any]) -> str:
    if told["input_tokens"] is None:
        return ""
    return f"{told['input_tokens']:,} in, {told['output_tokens'] or 0:,} out"


def _took(job: Job) -> str:
    if not job.ts_started or not job.ts_finished:
        return ""
    try:
        seconds = (clock.parse(job.ts_finished) - clock.parse(job.ts_started)).total_seconds()
    except ValueError:
        return ""
    return f"{seconds:.1f} s"
