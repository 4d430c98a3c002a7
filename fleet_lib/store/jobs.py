"""The table of jobs: its guarded status changes, and the stream of a running job. Who runs a job is
in job_runs.py."""

import sqlite3
from typing import Any, Literal, get_args

from fleet_lib import clock
from fleet_lib.errors import BadInput, NotFound
from fleet_lib.json_text import dumps, json_array_or_none
from fleet_lib.records import Record
from fleet_lib.store.narrowest import narrowest

JobType = Literal["worker_task", "skill_patch", "doc_patch", "commander_turn"]
JobStatus = Literal["queued", "running", "completed", "failed", "canceled"]
JobModel = Literal["opus", "sonnet", "haiku"]

FINISHED: tuple[JobStatus, ...] = ("completed", "failed", "canceled")
PROMPT_LIMIT = 1_000_000  # characters; about as much as the largest context holds

# {filter: the index that answers it}
_INDEXES = {"project_id": "jobs_by_project", "status": "jobs_by_status", "since": "jobs_by_time"}
# {status: the statuses that a job may have before it}
_BEFORE: dict[str, tuple[str, ...]] = {
    "running": ("queued",),
    "completed": ("running",),
    "failed": ("queued", "running"),
    "canceled": ("queued", "running"),
    "queued": (),
}


class Job(Record):
    job_id: int
    ts_created: str
    ts_started: str | None
    ts_finished: str | None
    type: str
    project_id: str | None
    repo_root: str | None
    model: str
    status: str
    request_json: str
    stream_chunks_json: str | None
    result_json: str | None
    error: str | None


class JobRepo:
    """Uses the caller's connection and transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def create(
        self,
        *,
        type: JobType,
        model: JobModel,
        request_json: str,
        project_id: str | None = None,
        repo_root: str | None = None,
        status: JobStatus = "queued",
    ) -> int:
        """Append a job and return its id. Raises BadInput for a value that is not allowed."""
        for name, value, allowed in (
            ("type", type, get_args(JobType)),
            ("model", model, get_args(JobModel)),
            ("status", status, get_args(JobStatus)),
        ):
            if value not in allowed:
                raise BadInput(f"job {name} {value!r} is not one of {', '.join(allowed)}")
        cursor = self._connection.execute(
            "INSERT INTO jobs (ts_created, type, project_id, repo_root, model, status, request_json)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (clock.now(), type, project_id, repo_root, model, status, request_json),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def update_status(self, job_id: int, status: JobStatus) -> bool:
        """Change a job's status. False, with nothing changed, if its status does not allow that."""
        return self._move(job_id, status)

    def complete(self, job_id: int, result_json: str) -> bool:
        """running → completed."""
        return self._move(job_id, "completed", result_json=result_json)

    def fail(self, job_id: int, error: str, result_json: str | None = None) -> bool:
        """queued or running → failed."""
        return self._move(job_id, "failed", result_json=result_json, error=error)

    def cancel(self, job_id: int) -> bool:
        """queued or running → canceled."""
        return self._move(job_id, "canceled")

    def requeue(self, job_id: int) -> bool:
        """running → queued, for a job whose runner died before it started the job's process."""
        cursor = self._connection.execute(
            "UPDATE jobs SET status = 'queued', ts_started = NULL"
            " WHERE job_id = ? AND status = 'running'",
            (job_id,),
        )
        if cursor.rowcount == 1:
            self._connection.execute("DELETE FROM job_stream_chunks WHERE job_id = ?", (job_id,))
        return cursor.rowcount == 1

    def append_stream_chunk(self, job_id: int, chunk: str | dict[str, Any]) -> bool:
        """Store one chunk of a running job's stream. False if the job is not running."""
        text = chunk if isinstance(chunk, str) else dumps(chunk, ensure_ascii=False)
        cursor = self._connection.execute(
            "INSERT INTO job_stream_chunks (job_id, chunk_number, chunk)"
            " SELECT job_id, (SELECT ifnull(max(chunk_number), -1) + 1 FROM job_stream_chunks c"
            " WHERE c.job_id = j.job_id), ?"
            " FROM jobs j WHERE job_id = ? AND status = 'running'",
            (text, job_id),
        )
        return cursor.rowcount == 1

    def get_stream_chunks(self, job_id: int) -> list[str]:
        """The stream so far, also of a job that is still running."""
        job = self.get(job_id)
        if job and job.stream_chunks_json:
            stored = json_array_or_none(job.stream_chunks_json)
            if stored is None:
                return [job.stream_chunks_json]  # another program's format, unchanged
            return [c if isinstance(c, str) else dumps(c, ensure_ascii=False) for c in stored]
        rows = self._connection.execute(
            "SELECT chunk FROM job_stream_chunks WHERE job_id = ? ORDER BY chunk_number", (job_id,)
        )
        return [row[0] for row in rows]

    def get_running_chunks(self, job_id: int, after: int = -1) -> list[tuple[int, str]]:
        """(number, chunk) of a running job's stream after a number; [] once it has ended."""
        rows = self._connection.execute(
            "SELECT chunk_number, chunk FROM job_stream_chunks WHERE job_id = ?"
            " AND chunk_number > ? ORDER BY chunk_number",
            (job_id, after),
        )
        return [(row[0], row[1]) for row in rows]

    def get(self, job_id: int) -> Job | None:
        row = self._connection.execute("SELECT * FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
        return _from_row(row) if row else None

    def require(self, job_id: int) -> Job:
        """Raises NotFound."""
        job = self.get(job_id)
        if job is None:
            raise NotFound(f"there is no job {job_id}; run `fleet jobs list` to see the latest")
        return job

    def has_queued(self, type: JobType | None = None) -> bool:
        row = self._connection.execute(
            "SELECT 1 FROM jobs WHERE status = 'queued' AND (?1 IS NULL OR type = ?1) LIMIT 1",
            (type,),
        )
        return row.fetchone() is not None

    def get_pending(self) -> list[Job]:
        """The queued jobs, oldest first."""
        rows = self._connection.execute(
            "SELECT * FROM jobs WHERE status = 'queued' ORDER BY job_id"
        )
        return [_from_row(row) for row in rows]

    def get_by_project(self, project_id: str, limit: int = 50) -> list[Job]:
        """Newest first."""
        return self.query(project_id=project_id, limit=limit)

    def query(
        self,
        *,
        project_id: str | None = None,
        status: str | None = None,
        since: str | None = None,
        limit: int = 50,
    ) -> list[Job]:
        """Newest first; a filter that is None does not filter. `since` is an ISO time of creation."""
        # Only the filters that are given: SQLite uses no index for `? IS NULL OR project_id = ?`.
        filters = {"project_id": project_id, "status": status, "since": since}
        values = {name: value for name, value in filters.items() if value is not None}
        conditions = {
            "project_id": "project_id = :project_id",
            "status": "status = :status",
            "since": "ts_created >= :since",
        }
        where = " AND ".join(conditions[name] for name in values) or "1"
        indexes = {_INDEXES[name]: conditions[name] for name in values}
        index = narrowest(self._connection, "jobs", indexes, "1", values) if indexes else ""
        # The newest since a time by that time: in the order of ids all of them would be read.
        order = "ts_created DESC, job_id DESC" if since else "job_id DESC"
        rows = self._connection.execute(
            f"SELECT * FROM jobs {f'INDEXED BY {index}' if index else ''} WHERE {where}"
            f" ORDER BY {order} LIMIT :limit",
            {**values, "limit": limit},
        )
        return sorted(map(_from_row, rows), key=lambda job: job.job_id, reverse=True)

    def _move(
        self, job_id: int, status: str, result_json: str | None = None, error: str | None = None
    ) -> bool:
        if status not in _BEFORE:
            raise BadInput(f"job status {status!r} is not one of {', '.join(_BEFORE)}")
        before = _BEFORE[status]
        stamp = "ts_started" if status == "running" else "ts_finished"
        cursor = self._connection.execute(
            f"UPDATE jobs SET status = ?, {stamp} = ?, result_json = ifnull(?, result_json),"
            f" error = ifnull(?, error) WHERE job_id = ?"
            f" AND status IN ({', '.join('?' * len(before))})",
            (status, clock.now(), result_json, error, job_id, *before),
        )
        if cursor.rowcount != 1:
            return False
        if status != "running":
            self._fold_stream(job_id)
        return True

    def _fold_stream(self, job_id: int) -> None:
        """Move the stream's rows into the job's own column, where the original system has it. While
        a job runs its chunks are rows, because appending to one text would be quadratic."""
        chunks = [
            row[0]
            for row in self._connection.execute(
                "SELECT chunk FROM job_stream_chunks WHERE job_id = ? ORDER BY chunk_number",
                (job_id,),
            )
            if not is_partial(row[0])
        ]
        if chunks:
            self._connection.execute(
                "UPDATE jobs SET stream_chunks_json = ? WHERE job_id = ?",
                (dumps(chunks, ensure_ascii=False), job_id),
            )
        self._connection.execute("DELETE FROM job_stream_chunks WHERE job_id = ?", (job_id,))


def is_partial(chunk: str) -> bool:
    """Whether a chunk is part of a message that is being written; the whole message follows it."""
    return chunk[:40].replace(" ", "").startswith('{"type":"stream_event"')


def _from_row(row: sqlite3.Row) -> Job:
    return Job(*(row[name] for name in Job.__annotations__))
