"""Leases: renewing this runner's, settling the jobs of runners that died, and noticing that a job
must stop."""

import sqlite3
from collections.abc import Iterable

from fleet_lib import processes
from fleet_lib.jobs.claim import Notice, StopReason
from fleet_lib.processes import ProcessName
from fleet_lib.store import db
from fleet_lib.store.job_runs import JobRunRepo, is_lost
from fleet_lib.store.jobs import JobRepo

_GRACE_SECONDS = 5.0


def renew_and_recover(connection: sqlite3.Connection, runner: str) -> list[Notice]:
    """Renew this runner's leases and settle what dead runners left; what was settled."""
    with db.transaction(connection):
        JobRunRepo(connection).renew(runner)
    notices = []
    for job_id, status in recover(connection, runner):
        job = JobRepo(connection).get(job_id)
        text = f"job {job_id}: its runner died; the job is now {status}"
        notices.append(Notice(text, job_id, status, error=job.error if job else None))
    return notices


def recover(
    connection: sqlite3.Connection, me: str, job_id: int | None = None
) -> list[tuple[int, str]]:
    """Settle the runs whose runner died (of all jobs or of one): end the run's `claude`, then queue
    its job again or fail it. Returns [(job_id, new status)]. `me` is the caller as a runner, whose
    runs are left alone."""
    settled = []
    runs = JobRunRepo(connection)
    for lost in runs.active():
        if lost.runner == me or job_id not in (None, lost.job_id) or not is_lost(lost):
            continue
        if lost.process_id is not None and lost.process_started is not None:
            processes.end(ProcessName(lost.process_id, lost.process_started), _GRACE_SECONDS)
        with db.transaction(connection):
            run = runs.latest(lost.job_id)
            # Read again under the lock: another process may have settled it, or renewed its lease.
            if run and run.ended_at is None and is_lost(run):
                settled.append((run.job_id, runs.settle_lost(run)))
    return settled


def stop_reasons(
    connection: sqlite3.Connection, runner: str, job_ids: Iterable[int]
) -> dict[int, StopReason]:
    """{job_id: why it must stop}, of this runner's jobs that must."""
    active = {run.job_id: run for run in JobRunRepo(connection).active()}
    reasons: dict[int, StopReason] = {}
    for job_id in job_ids:
        run, job = active.get(job_id), JobRepo(connection).get(job_id)
        if run is None or run.runner != runner:
            reasons[job_id] = "lost"
        elif run.cancel_requested_at or job is None or job.status != "running":
            reasons[job_id] = "canceled"
    return reasons
