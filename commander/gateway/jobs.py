"""The jobs that the gateway's clients submit, read and cancel."""

import contextlib
import sqlite3

from commander.gateway.messages import JobWish
from fleet_lib import paths
from fleet_lib.errors import NotFound
from fleet_lib.jobs import submit as queue
from fleet_lib.jobs.request import make
from fleet_lib.store import db
from fleet_lib.store.jobs import Job, JobRepo
from fleet_lib.store.projects import ProjectRepo


class JobQueue:
    """Opens the database for each call. The calls block: make them from a thread."""

    def __init__(self, home: str) -> None:
        self._home = home

    def submit(self, wish: JobWish) -> int:
        """The id of the queued job. Raises FleetError."""
        request = make(
            prompt=wish.prompt,
            allowed_tools=tuple(wish.allowed_tools),
            permission_mode=wish.permission_mode,
            timeout_seconds=wish.timeout_seconds,
            max_usd=wish.max_usd,
        )
        with self._database() as connection:
            project = ProjectRepo(connection).get(wish.project_id)
            if project is None:
                raise NotFound(f"there is no project {wish.project_id!r}")
            return queue.submit(
                connection,
                self._home,
                type=wish.type,
                model=wish.model,
                request=request,
                project=project,
            )

    def get(self, job_id: int) -> Job:
        """Raises NotFound."""
        with self._database() as connection:
            return JobRepo(connection).require(job_id)

    def cancel(self, job_id: int) -> Job:
        """Ask for a job's end without waiting for it. Raises NotFound."""
        with self._database() as connection:
            queue.request_cancel(connection, job_id)
            return JobRepo(connection).require(job_id)

    def _database(self) -> "contextlib.closing[sqlite3.Connection]":
        return contextlib.closing(db.connect(paths.database(self._home)))
