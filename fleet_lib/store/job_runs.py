"""The runs of jobs: claiming a job under a lease, what a run cost, and how it ends together with
its event.

A claim and a run's end are one transaction each, opened by the caller. A project is a lane, and so
is the Commander's conversation: one job at a time runs in each.
"""

import os
import sqlite3
from datetime import datetime
from typing import Any

from fleet_lib import clock, processes
from fleet_lib.processes import ProcessName
from fleet_lib.records import Record
from fleet_lib.store.jobs import Job, JobRepo, JobStatus
from fleet_lib.store.outbox import OutboxRepo
from fleet_lib.text import clean

LEASE_SECONDS = 30
ATTEMPTS = 3  # for a job whose process never started; once it has started, it is not run again
_SUMMARY_LIMIT = 300  # characters

_LANE = """CASE WHEN {0}.type = 'commander_turn' THEN 'commander' ELSE coalesce({0}.project_id,
  (SELECT project_id FROM projects WHERE repo_root = {0}.repo_root LIMIT 1), {0}.repo_root,
  {0}.job_id) END"""
_NEXT_SQL = f"""
SELECT j.* FROM jobs j WHERE j.status = 'queued' AND {_LANE.format("j")} NOT IN (
  SELECT {_LANE.format("b")} FROM job_runs r JOIN jobs b ON b.job_id = r.job_id
  WHERE r.ended_at IS NULL) AND (? OR j.type = 'commander_turn')
ORDER BY j.type <> 'commander_turn', j.job_id LIMIT 1
"""


class Run(Record):
    """One run of a job."""

    job_id: int
    attempt: int
    runner: str
    lease_until: str
    budget_usd: float
    process_id: int | None
    process_started: float | None  # Unix seconds
    cancel_requested_at: str | None
    session_id: str | None
    cost_usd: float | None  # None: unknown
    input_tokens: int | None
    output_tokens: int | None
    started_at: str
    ended_at: str | None


class Outcome(Record):
    """How a run ended."""

    status: JobStatus
    result_json: str | None = None
    summary: str = ""  # the result in one line
    error: str = ""
    session_id: str | None = None
    cost_usd: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    # Success is not announced: the changes that it made have events of their own.
    quiet: bool = False
    is_answered: bool = False  # the model has answered at least once
    refusal: str = ""  # why the model's service refuses every job now, "" if it does not
    refused_until: float | None = None  # Unix seconds, where the service says it


class JobRunRepo:
    """Uses the caller's connection and transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._jobs = JobRepo(connection)

    # --- claiming ---

    def next_job(self, *, only_commander: bool = False) -> Job | None:
        """The job to run next: a Commander turn first, because a person is waiting for it, else the
        oldest job whose lane is free. A busy project does not delay the others."""
        row = self._connection.execute(_NEXT_SQL, (not only_commander,)).fetchone()
        return self._jobs.get(row["job_id"]) if row else None

    def claim(self, job: Job, runner: str, budget_usd: float) -> Run | None:
        """queued → running under this runner's lease. None if another runner was faster."""
        if not self._jobs.update_status(job.job_id, "running"):
            return None
        self._connection.execute(
            "INSERT INTO job_runs (job_id, attempt, runner, lease_until, budget_usd, started_at)"
            " SELECT ?1, ifnull(max(attempt), 0) + 1, ?2, ?3, ?4, ?5 FROM job_runs WHERE job_id = ?1",
            (job.job_id, runner, clock.ahead(LEASE_SECONDS), budget_usd, clock.now()),
        )
        return self.latest(job.job_id)

    def renew(self, runner: str) -> None:
        self._connection.execute(
            "UPDATE job_runs SET lease_until = ? WHERE runner = ? AND ended_at IS NULL",
            (clock.ahead(LEASE_SECONDS), runner),
        )

    def note_process(self, run: Run, process_id: int, started: float) -> bool:
        """Store which process runs the job. False if the run is no longer this runner's."""
        cursor = self._connection.execute(
            "UPDATE job_runs SET process_id = ?, process_started = ?"
            " WHERE job_id = ? AND attempt = ? AND runner = ? AND ended_at IS NULL",
            (process_id, started, run.job_id, run.attempt, run.runner),
        )
        return cursor.rowcount == 1

    def request_cancel(self, job_id: int) -> bool:
        """Ask the job's runner to end it. False if no runner of ours has it."""
        cursor = self._connection.execute(
            "UPDATE job_runs SET cancel_requested_at = ifnull(cancel_requested_at, ?)"
            " WHERE job_id = ? AND ended_at IS NULL",
            (clock.now(), job_id),
        )
        return cursor.rowcount == 1

    # --- reading ---

    def active(self) -> list[Run]:
        """The runs that have not ended, whether their runner is alive or not."""
        rows = self._connection.execute(
            "SELECT * FROM job_runs WHERE ended_at IS NULL ORDER BY job_id"
        )
        return [_from_row(row) for row in rows]

    def is_queue_done(self) -> bool:
        """Whether no job is queued and no run is active."""
        row = self._connection.execute(
            "SELECT 1 FROM jobs j WHERE status = 'queued' OR EXISTS (SELECT 1 FROM job_runs r"
            " WHERE r.job_id = j.job_id AND r.ended_at IS NULL) LIMIT 1"
        )
        return row.fetchone() is None

    def latest(self, job_id: int) -> Run | None:
        row = self._connection.execute(
            "SELECT * FROM job_runs WHERE job_id = ? ORDER BY attempt DESC LIMIT 1", (job_id,)
        ).fetchone()
        return _from_row(row) if row else None

    def cost_of(self, job_id: int) -> tuple[float | None, float]:
        """(the cost of all runs of a job, None if one's is unknown or it never ran; what counts
        towards the daily budget, where an unknown cost is the run's whole budget)."""
        known, counted = self._connection.execute(
            "SELECT CASE WHEN count(*) = count(cost_usd) THEN sum(cost_usd) END,"
            " total(ifnull(cost_usd, budget_usd)) FROM job_runs WHERE job_id = ?",
            (job_id,),
        ).fetchone()
        return known, counted

    def spent_since(self, moment: str) -> float:
        """US dollars of the runs started since an ISO time. A run of unknown cost (still running,
        or killed) counts as its whole budget, so that the daily budget is never exceeded."""
        row = self._connection.execute(
            "SELECT total(ifnull(cost_usd, budget_usd)) FROM job_runs WHERE started_at >= ?",
            (moment,),
        ).fetchone()
        return float(row[0])

    # --- ending ---

    def put_back(self, run: Run) -> bool:
        """running → queued for a job that the model never answered, as if it had not been claimed.
        False if the run does not belong to this runner any more."""
        cursor = self._connection.execute(
            "DELETE FROM job_runs WHERE job_id = ? AND attempt = ? AND runner = ?"
            " AND ended_at IS NULL",
            (run.job_id, run.attempt, run.runner),
        )
        return cursor.rowcount == 1 and self._jobs.requeue(run.job_id)

    def finish(self, run: Run, outcome: Outcome) -> bool:
        """End a run and its job, and add the job's event. False if the run does not belong to this
        runner any more. If another program has ended the job meanwhile, only the run ends."""
        if not self._close(run, outcome):
            return False
        self._end_job(run.job_id, outcome)
        return True

    def refuse(self, job: Job, reason: str) -> None:
        """queued → failed, and add its event."""
        self._end_job(job.job_id, Outcome("failed", error=reason))

    def cancel_unclaimed(self, job_id: int) -> bool:
        """Cancel a job that no runner of ours has, with its event. False if it has ended."""
        return self._end_job(job_id, Outcome("canceled"))

    def settle_lost(self, run: Run) -> str:
        """End a run whose runner died and whose process is gone; the job's status then.

        Claude Code gets its prompt only after its process was stored. Without a stored process
        nothing was done yet, and the job is queued again. Otherwise files may have changed and
        money was spent: the job fails, and a person decides what to do.
        """
        has_started = run.process_id is not None
        if run.cancel_requested_at:
            outcome = Outcome("canceled")
        elif has_started or run.attempt >= ATTEMPTS:
            error = f"the runner died {ATTEMPTS} times before the job started"
            if has_started:
                error = (
                    "the runner died while the job was running; check what it has changed so far"
                )
            outcome = Outcome("failed", error=error)
        elif self._close(run, Outcome("queued", cost_usd=0.0)):
            return "queued" if self._jobs.requeue(run.job_id) else "ended"
        else:
            return "ended"
        return outcome.status if self.finish(run, outcome) else "ended"

    def _close(self, run: Run, outcome: Outcome) -> bool:
        cursor = self._connection.execute(
            "UPDATE job_runs SET ended_at = ?, session_id = ?, cost_usd = ?, input_tokens = ?,"
            " output_tokens = ? WHERE job_id = ? AND attempt = ? AND runner = ? AND ended_at IS NULL",
            (
                clock.now(),
                outcome.session_id,
                outcome.cost_usd,
                outcome.input_tokens,
                outcome.output_tokens,
                run.job_id,
                run.attempt,
                run.runner,
            ),
        )
        return cursor.rowcount == 1

    def _end_job(self, job_id: int, outcome: Outcome) -> bool:
        if outcome.status == "completed":
            moved = self._jobs.complete(job_id, outcome.result_json or "null")
        elif outcome.status == "canceled":
            moved = self._jobs.cancel(job_id)
        else:
            error = _harmless(outcome.error, 2000)
            moved = self._jobs.fail(job_id, error, outcome.result_json)
        job = self._jobs.get(job_id)
        if moved and job:
            self._announce(job, outcome)
        return moved

    def _announce(self, job: Job, outcome: Outcome) -> None:
        fields: dict[str, Any] = {"jobId": job.job_id, "type": job.type, "status": job.status}
        for name, text in (("summary", outcome.summary), ("error", outcome.error)):
            if text:
                fields[name] = _harmless(text, _SUMMARY_LIMIT)
        if outcome.cost_usd is not None:
            fields["costUsd"] = round(outcome.cost_usd, 6)
        payload: dict[str, Any] = {"job": fields}
        if outcome.session_id:
            payload["sessionId"] = outcome.session_id
        level = "highlight" if job.status == "failed" else "mention"
        if job.type == "commander_turn" or (outcome.quiet and job.status == "completed"):
            level = "silent"  # the Commander has seen its own turns
        OutboxRepo(self._connection).add(
            type="job_completed",
            project_id=job.project_id,
            broadcast_level=level,
            payload=payload,
        )


def _harmless(text: str, limit: int) -> str:
    from fleet_lib.redact import redact  # most commands only look up jobs

    return clean(redact(text), limit)


def runner_name() -> str:
    """This process as the holder of a lease."""
    me = processes.name_of(os.getpid())
    return f"{os.uname().nodename} {os.getpid()} {me.started if me else 0:.2f}"


def is_gone(runner: str) -> bool:
    """Whether the holder of a lease was a process of this machine that has ended."""
    process = _process_here(runner)
    return process is not None and not processes.is_alive(process)


def _process_here(runner: str) -> ProcessName | None:
    """The process that holds a lease, if it is one of this machine."""
    host, _, rest = runner.partition(" ")
    pid, _, started = rest.partition(" ")
    try:
        return ProcessName(int(pid), float(started)) if host == os.uname().nodename else None
    except ValueError:
        return None


def is_lost(run: Run) -> bool:
    """Whether a run has lost its runner: the process has ended or, if it is not one of this
    machine, its lease has run out. (On this machine the lease says nothing: it also runs out while
    the machine sleeps.)"""
    if _process_here(run.runner):
        return is_gone(run.runner)
    return run.lease_until < clock.now()


def start_of_day() -> str:
    """Today's local midnight, in the database's form."""
    midnight = datetime.now().replace(hour=0, minute=0, second=0, microsecond=0).astimezone()
    return clock.iso(int(midnight.timestamp()) * 1_000_000_000)


def _from_row(row: sqlite3.Row) -> Run:
    return Run(*(row[name] for name in Run.__annotations__))
