"""`fleet ask`: one question to the Commander, answered here."""

import contextlib
import sys
from pathlib import Path
from typing import Any, cast, get_args

import click

from commander.cli._app import json_option
from commander.cli._database import writing
from commander.cli._display import print_json, safe
from commander.cli._params import Prompt
from fleet_lib import paths
from fleet_lib.errors import FleetError, NotFound
from fleet_lib.store import db
from fleet_lib.store.conversations import COMMANDER_MODEL, ConversationRepo
from fleet_lib.store.job_runs import JobRunRepo
from fleet_lib.store.jobs import JobModel, JobRepo


class JobFailed(FleetError):
    """The Commander gave no answer."""


@click.command()
@click.option(
    "--model",
    type=click.Choice(get_args(JobModel)),
    help="The model that answers (default: the conversation's).",
)
@click.option("--timeout", type=click.FloatRange(1, 86400), help="Seconds it may take at most.")
@json_option
@click.argument("question")
def ask(model: Any, timeout: float | None, as_json: bool, question: str) -> None:
    """Ask the Commander one question and print its answer as it comes.

    It goes on with the Commander's conversation, the one that `fleet commander` opens, and is told what is
    new since. QUESTION may be - for stdin. Two questions at once are answered one after the other; Ctrl-C
    takes a question back.

    \b
    Examples:
      fleet ask "what needs me?"
      fleet ask "what did the api project do today?" --model haiku
      fleet ask "who is blocked?" --json | jq -r .answer
    """
    from fleet_lib.jobs.request import make
    from fleet_lib.jobs.stream import answer_of
    from fleet_lib.jobs.submit import cancel, submit

    home = paths.home()
    if not (Path(home) / "CLAUDE.md").exists():
        raise NotFound(f"{home} is no Commander's folder yet: run ./install.sh")
    text = Prompt().read_stdin() if question == "-" else question
    with writing() as connection:
        known = ConversationRepo(connection).get_or_create_commander(home).model
    connection = db.connect(paths.database(home))
    with contextlib.closing(connection):
        job_id = submit(
            connection,
            home,
            type="commander_turn",
            model=model or _model(known),
            request=make(prompt=Prompt().checked(text), timeout_seconds=timeout),
        )
        try:
            has_spoken = _stream(connection, job_id, quiet=as_json)
        except KeyboardInterrupt:
            click.echo("\ntaking it back …", err=True)
            cancel(connection, job_id)
            raise click.exceptions.Exit(130) from None
        job = JobRepo(connection).get(job_id)
        assert job is not None
        run = JobRunRepo(connection).latest(job_id)
    if as_json:
        answer = answer_of(job) if job.status == "completed" else None
        told = {"job_id": job_id, "status": job.status, "answer": answer, "error": job.error}
        told |= {"session_id": run and run.session_id, "cost_usd": run and run.cost_usd}
        print_json(told)
    elif job.status == "completed" and not has_spoken:
        click.echo(safe(answer_of(job) or ""))
    if job.status != "completed":
        if as_json:
            raise click.exceptions.Exit(1)
        raise JobFailed(f"no answer: {job.error or job.status}")


def _model(known: str) -> JobModel:
    for name in get_args(JobModel):
        if name == known:
            return cast(JobModel, name)
    return COMMANDER_MODEL


def _stream(connection: Any, job_id: int, *, quiet: bool) -> bool:
    """Print the answer as it is written; what it looks up on the way is told to a person on stderr. False if
    there was nothing to print."""
    from fleet_lib.jobs import stream

    runs = JobRunRepo(connection)
    if not quiet and sys.stderr.isatty() and len(runs.at_work()) > 0:
        click.echo("waiting for its turn …", err=True)
    written, at_line_start, has_spoken = "", True, False
    for chunk in stream.follow(connection, job_id, partials=True):
        value = stream.value_of(chunk)
        if quiet or _is_synthetic(value):
            continue
        if value.get("type") == "stream_event":
            pieces = [stream.delta_of(value)]
            written += pieces[0]
        elif value.get("type") == "assistant":
            pieces = []
            for kind, words in stream.words_of(value):
                if kind == "text":
                    # What came in parts is printed; the parts of one that came too fast may be gone.
                    pieces.append((words.removeprefix(written) if written else words) + "\n")
                    written = ""
                elif kind == "tool" and sys.stderr.isatty():
                    click.echo(click.style(f"· {words}", dim=True), err=True)
        else:
            continue
        for piece in filter(None, pieces):
            click.echo(safe(piece), nl=False)
            at_line_start, has_spoken = piece.endswith("\n"), True
    if not quiet and not at_line_start:
        click.echo()
    return has_spoken


def _is_synthetic(value: dict[str, Any]) -> bool:
    """Whether Claude Code itself says it: an error of the API, which is the job's error too."""
    message = value.get("message")
    return isinstance(message, dict) and message.get("model") == "<synthetic>"
