"""`fleet jobs run`: the job runner in the foreground."""

import contextlib
from typing import Any

import click

from commander.cli._app import json_option
from commander.cli._display import say
from commander.cli._json import as_json as json_text
from fleet_lib import paths
from fleet_lib.errors import FleetError
from fleet_lib.jobs import run as runner_process
from fleet_lib.store import db
from fleet_lib.store.job_hold import JobHoldRepo
from fleet_lib.store.job_runs import JobRunRepo
from fleet_lib.text import clean


@click.command()
@click.option("--once", is_flag=True, help="End when the queue is empty.")
@json_option
def run(once: bool, as_json: bool) -> None:
    """Run queued jobs in the foreground until Ctrl-C.

    You rarely need this: `fleet jobs submit` starts a runner in the background, which ends when the
    queue is empty. One runner works at a time; this one waits if another is running. Ctrl-C lets
    the running jobs finish; press it again to stop them.

    While the model's service refuses all jobs (a usage limit, an expired login), the queue is held
    and tried again by itself. This command tries at once; with --once it exits with 1 if the queue
    is still held.

    \b
    Examples:
      fleet jobs run
      fleet jobs run --once
      fleet jobs run --once --json
    """
    from fleet_lib.jobs import runner
    from fleet_lib.jobs.claim import Notice

    home = paths.home()
    db.connect(paths.database(home)).close()

    def report(notice: Notice) -> None:
        if as_json:
            if notice.job_id is not None:
                line: dict[str, Any] = {"job_id": notice.job_id, "status": notice.status}
                line |= {"cost_usd": notice.cost_usd, "error": notice.error}
                say(json_text(line))
        else:
            say(clean(notice.text, 500))

    lock = runner_process.open_lock(home)
    has_said = False
    while not runner_process.take(lock, seconds=0.5):
        if once and _is_queue_done(home):
            return
        if not has_said:
            has_said = True
            say("another runner is running, waiting for it to end", err=True)
    _try_now(home)
    runner.run(home, "once" if once else "forever", report)
    with contextlib.closing(db.connect_read_only(paths.database(home))) as connection:
        if hold := JobHoldRepo(connection).of_waiting_jobs():
            raise FleetError(str(hold))


def _try_now(home: str) -> None:
    with (
        contextlib.closing(db.connect(paths.database(home))) as connection,
        db.transaction(connection),
    ):
        JobHoldRepo(connection).try_now()


def _is_queue_done(home: str) -> bool:
    with contextlib.closing(db.connect_read_only(paths.database(home))) as connection:
        return JobRunRepo(connection).is_queue_done()
