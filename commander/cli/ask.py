"""`fleet ask`: ask the Commander one question and print its answer."""

import contextlib
import sys
from pathlib import Path
from typing import Any, cast, get_args

import click

from commander.cli._app import json_option
from commander.cli._database import writing
from commander.cli._display import print_json, say
from commander.cli._params import Prompt
from fleet_lib import paths
from fleet_lib.errors import FleetError, NotFound
from fleet_lib.json_text import json_object
from fleet_lib.store import db
from fleet_lib.store.conversations import COMMANDER_MODEL, ConversationRepo
from fleet_lib.store.job_runs import JobRunRepo
from fleet_lib.store.jobs import JobModel, JobRepo


class JobFailed(FleetError):
    """The Commander did not answer."""


@click.command()
@click.option(
    "--model",
    type=click.Choice(get_args(JobModel)),
    help="The model to use (default: the conversation's).",
)
@click.option(
    "--timeout", type=click.FloatRange(1, 86400), metavar="SECONDS", help="Time limit in seconds."
)
@json_option
@click.argument("question")
def ask(model: Any, timeout: float | None, as_json: bool, question: str) -> None:
    """Ask the Commander one question and print its answer.

    The answer is printed as it arrives. The question continues the conversation that `fleet commander` opens, and the Commander first
    gets what is new since its last turn. A QUESTION of - is read from stdin. Questions are answered
    one at a time; Ctrl-C cancels yours. While `fleet commander` is open, the question is asked in a
    fork of its conversation, and the open Commander does not see the answer.

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
        raise NotFound(f"{home} is not set up as the Commander's folder; run ./install.sh")
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
            has_printed = _stream(connection, job_id, quiet=as_json)
        except KeyboardInterrupt:
            say("\nCancelling …", err=True)
            cancel(connection, job_id)
            raise click.exceptions.Exit(130) from None
        job = JobRepo(connection).require(job_id)
        run = JobRunRepo(connection).latest(job_id)
        is_beside = ConversationRepo(connection).is_beside(run.session_id if run else None)
    if is_beside:
        say(
            "The Commander is open: this was asked in a fork of its conversation, and the open"
            " Commander will not see the answer.",
            err=True,
        )
    if as_json:
        answer = answer_of(job) if job.status == "completed" else None
        result = {"job_id": job_id, "status": job.status, "answer": answer, "error": job.error}
        result |= {"session_id": run and run.session_id, "cost_usd": run and run.cost_usd}
        print_json(result)
    elif job.status == "completed" and not has_printed:
        say(answer_of(job) or "")
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
    """Print the answer as it is written, and tool calls on a terminal. False if there was no
    text."""
    from fleet_lib.jobs import stream
    from fleet_lib.turn.transcript import is_synthetic

    is_interactive = sys.stderr.isatty()
    if not quiet and is_interactive and JobRunRepo(connection).active():
        say("Waiting for other jobs …", err=True)
    written, at_line_start, has_printed = "", True, False
    for chunk in stream.follow(connection, job_id, partials=True):
        value = json_object(chunk)
        if quiet or is_synthetic(value):  # an API error is reported as the job's
            continue
        if value.get("type") == "stream_event":
            pieces = [stream.partial_text(value)]
            written += pieces[0]
        elif value.get("type") == "assistant":
            pieces = []
            for kind, text in stream.readable_parts(value):
                if kind == "text":
                    # Its parts were printed, unless it was complete before they were read.
                    pieces.append((text.removeprefix(written) if written else text) + "\n")
                    written = ""
                elif kind == "tool" and is_interactive:
                    click.echo(click.style(f"· {text}", dim=True), err=True)
        else:
            continue
        for piece in filter(None, pieces):
            say(piece, nl=False)
            at_line_start, has_printed = piece.endswith("\n"), True
    if not quiet and not at_line_start:
        say()
    return has_printed
