"""Queueing a job and canceling one, for the console and the gateway."""

import sqlite3
import time
from pathlib import Path

from fleet_lib import config, ignored, wake
from fleet_lib.errors import BadInput
from fleet_lib.jobs import budget
from fleet_lib.jobs import request as requests
from fleet_lib.jobs.child import GRACE_SECONDS
from fleet_lib.jobs.program import claude_program
from fleet_lib.jobs.recover import recover
from fleet_lib.jobs.request import JobRequest
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
    """Queue a job and start a runner for it; the job's id. Raises FleetError, with nothing queued,
    for a job that could not run."""
    settings = config.load(home)
    claude_program(home)
    if not request.prompt.strip():
        raise BadInput("the prompt is empty")
    requests.permission_mode(type, request, settings)
    budget.check_max_usd(request, settings)
    if project and not project.repo_root:
        raise BadInput(
            f"{project.repo_name} is a project of another machine: no folder of it is here"
        )
    if project and not Path(project.repo_root).is_dir():
        raise BadInput(f"the project's folder {project.repo_root} does not exist any more")
    if project and ignored.is_ignored(home, project.repo_root):
        raise BadInput(f"the project's folder {project.repo_root} is in projects.ignore")
    with db.transaction(connection):
        if budget.left_today(connection, settings) < budget.LEAST_BUDGET_USD:
            raise BadInput(budget.used_up_today(settings))
        job_id = JobRepo(connection).create(
            type=type,
            model=model,
            request_json=request.to_json(),
            project_id=project.project_id if project else None,
            repo_root=project.repo_root if project else None,
        )
    wake.start_job_runner(home)
    return job_id


def request_cancel(connection: sqlite3.Connection, job_id: int) -> None:
    """Ask for a job's end without waiting for it. Raises NotFound."""
    runs = JobRunRepo(connection)
    with db.transaction(connection):
        job = JobRepo(connection).require(job_id)
        # Without a run of ours it is queued or another program runs it: nothing to stop here.
        if job.status not in FINISHED and not runs.request_cancel(job_id):
            runs.cancel_unclaimed(job_id)


def cancel(connection: sqlite3.Connection, job_id: int) -> str:
    """Cancel a job and wait until its process is gone; its status then. Raises NotFound."""
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
