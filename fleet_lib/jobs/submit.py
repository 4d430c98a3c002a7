"""Putting a job into the queue, and taking one out again: what the console and the gateway both do."""

import sqlite3
import time
from pathlib import Path

from fleet_lib import config
from fleet_lib.errors import BadInput, NotFound
from fleet_lib.jobs import request as requests
from fleet_lib.jobs import run as run_jobs
from fleet_lib.jobs.child import GRACE_SECONDS
from fleet_lib.jobs.claude import claude_program
from fleet_lib.jobs.request import JobRequest
from fleet_lib.jobs.runner import LEAST_BUDGET_USD, day_is_spent, left_today, recover
from fleet_lib.store import db
from fleet_lib.store.job_runs import JobRunRepo, is_lost, runner_name
from fleet_lib.store.jobs import FINISHED, JobModel, JobRepo, JobType
from fleet_lib.store.projects import Project

_POLL_SECONDS = 0.1


def submit(
    connection: sqlite3.Connection,
    home: str,
    *,
    type: JobType,
    model: JobModel,
    request: JobRequest,
    project: Project | None = None,
) -> int:
    """Queue a job and have a runner at work; the job's id. Raises FleetError, with nothing queued then,
    for what could not be run anyway."""
    settings = config.load(home)
    claude_program(home)
    if not request.prompt.strip():
        raise BadInput("the prompt is empty")
    requests.permission_mode(type, request, settings)
    if request.max_usd and request.max_usd > settings.jobs.max_usd:
        raise BadInput(
            f"${request.max_usd:.2f} is over the ${settings.jobs.max_usd:.2f} that one job may cost:"
            " jobs.max_usd raises it (`fleet config set`)"
        )
    if project and not Path(project.repo_root).is_dir():
        raise BadInput(f"the project's folder {project.repo_root} is not there any more")
    with db.transaction(connection):
        if left_today(connection, settings) < LEAST_BUDGET_USD:
            raise BadInput(day_is_spent(settings))
        job_id = JobRepo(connection).create(
            type=type,
            model=model,
            request_json=request.to_json(),
            project_id=project.project_id if project else None,
            repo_root=project.repo_root if project else None,
        )
    run_jobs.start(home)
    return job_id


def request_cancel(connection: sqlite3.Connection, job_id: int) -> None:
    """Have a job ended, without waiting for it. Raises NotFound."""
    runs = JobRunRepo(connection)
    with db.transaction(connection):
        job = JobRepo(connection).get(job_id)
        if job is None:
            raise NotFound(f"there is no job {job_id}: `fleet jobs list` shows what there is")
        # Queued, or another program's that runs: nobody of ours has a process to end.
        if job.status not in FINISHED and not runs.request_cancel(job_id):
            runs.cancel_unclaimed(job_id)


def cancel(connection: sqlite3.Connection, job_id: int) -> str:
    """End a job, waiting until its process is really gone; its status then. Raises NotFound."""
    deadline = time.monotonic() + 3 * GRACE_SECONDS
    request_cancel(connection, job_id)
    runs = JobRunRepo(connection)
    while True:
        job = JobRepo(connection).get(job_id)
        run = runs.latest(job_id)
        if job is None or job.status in FINISHED or time.monotonic() > deadline:
            return job.status if job else "canceled"
        if run and run.ended_at is None and is_lost(run):
            recover(connection, runner_name(), job_id)
        time.sleep(_POLL_SECONDS)
