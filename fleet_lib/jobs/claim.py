"""Claiming the next queued job under this runner's lease. Jobs that cannot run are refused on the
way, because other programs queue jobs too."""

import asyncio
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from fleet_lib import ignored
from fleet_lib.config import Config
from fleet_lib.errors import BadInput, FleetError
from fleet_lib.jobs import budget
from fleet_lib.jobs import request as requests
from fleet_lib.jobs.program import claude_program
from fleet_lib.jobs.request import JobRequest
from fleet_lib.store import db
from fleet_lib.store.job_hold import JobHoldRepo
from fleet_lib.store.job_runs import JobRunRepo, Run
from fleet_lib.store.jobs import Job, JobModel, JobRepo, JobType
from fleet_lib.store.projects import ProjectRepo

StopReason = Literal["canceled", "lost", "refused", "shutdown", "timeout"]


@dataclass
class Work:
    """A claimed job, and whether it must stop before its end."""

    job: Job
    run: Run
    request: JobRequest
    settings: Config
    must_stop: asyncio.Event = field(default_factory=asyncio.Event)
    stop_reason: StopReason | None = None

    def stop(self, reason: StopReason) -> None:
        """Ask it to stop; the first reason counts."""
        self.stop_reason = self.stop_reason or reason
        self.must_stop.set()


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that the runner did, for a person or program that watches it."""

    text: str
    job_id: int | None = None
    status: str | None = None
    cost_usd: float | None = None
    error: str | None = None


def claim_next(
    connection: sqlite3.Connection, home: str, runner: str, settings: Config
) -> tuple[Work | None, list[Notice]]:
    """(the next job, now claimed; the jobs that were refused before it), in one transaction. None
    if nothing is queued, all slots are taken, every queued job's lane is busy, or the queue is
    held.

    A hold does not concern Commander turns: a person waits for the answer. When a hold's time is
    over, one job is tried alone.
    """
    refused: list[Notice] = []
    if not JobRepo(connection).has_queued():
        return None, refused
    with db.transaction(connection):
        runs, hold = JobRunRepo(connection), JobHoldRepo(connection).get()
        while (active := len(runs.active())) < settings.jobs.at_once:
            job = runs.next_job(only_commander=bool(hold and (hold.is_active or active)))
            if job is None:
                break
            try:
                request = _checked(connection, home, job, settings)
            except FleetError as error:
                refused.append(_refuse(runs, job, str(error)))
                continue
            left = budget.left_today(connection, settings)
            if left < budget.LEAST_BUDGET_USD:
                if active:
                    break  # a running job may cost less than its budget, which leaves some
                refused.append(_refuse(runs, job, budget.used_up_today(settings)))
                continue
            run = runs.claim(job, runner, budget.budget_of(request, settings, left))
            if run:
                return Work(job, run, request, settings), refused
    return None, refused


def folder_of(
    connection: sqlite3.Connection, home: str, job: Job, request: JobRequest
) -> Path | None:
    """The folder that a job runs in; None if it needs only an empty one. Raises BadInput."""
    if job.type == "commander_turn":
        return Path(home)
    if request.purpose:
        return None
    project = ProjectRepo(connection).get(job.project_id) if job.project_id else None
    root = project.repo_root if project else job.repo_root
    if not root:
        raise BadInput("the job names no known project and no folder")
    if not Path(root).is_absolute():
        raise BadInput(f"the job's folder {root} is not an absolute path")
    if not Path(root).is_dir():
        raise BadInput(f"the job's folder {root} does not exist any more")
    if ignored.is_ignored(home, root):
        raise BadInput(f"the job's folder {root} is in projects.ignore")
    return Path(root)


def _checked(connection: sqlite3.Connection, home: str, job: Job, settings: Config) -> JobRequest:
    """The request of a job that can run. Raises FleetError."""
    for name, value, allowed in (
        ("type", job.type, get_args(JobType)),
        ("model", job.model, get_args(JobModel)),
    ):
        if value not in allowed:
            raise BadInput(f"the job's {name} {value!r} is not one of {', '.join(allowed)}")
    request = requests.read(job)
    requests.permission_mode(job.type, request, settings)
    claude_program(home)
    folder_of(connection, home, job, request)
    return request


def _refuse(runs: JobRunRepo, job: Job, reason: str) -> Notice:
    runs.refuse(job, reason)
    return Notice(f"job {job.job_id} failed: {reason}", job.job_id, "failed", 0.0, reason)
