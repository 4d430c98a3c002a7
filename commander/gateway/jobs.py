"""The jobs that the gateway's clients submit, read and cancel. What a submitted job may do is
bounded by the setting gateway.jobs: a caller of the gateway need not be the person at the
console."""

import contextlib
import re
import sqlite3
from typing import Literal

from commander.gateway.messages import JobWish
from fleet_lib import config, paths
from fleet_lib.errors import BadInput, FleetError, NotFound
from fleet_lib.jobs import submit as queue
from fleet_lib.jobs.request import JobRequest, make, permission_mode
from fleet_lib.store import db
from fleet_lib.store.jobs import Job, JobRepo
from fleet_lib.store.projects import ProjectRepo

Most = Literal["off", "read", "edit"]
_READING = ("Read", "Glob", "Grep", "LS", "NotebookRead", "TodoWrite")
_EDITING = ("Edit", "MultiEdit", "Write", "NotebookEdit")
_TOOLS: dict[Most, tuple[str, ...]] = {"off": (), "read": _READING, "edit": (*_READING, *_EDITING)}
_RULE = re.compile(r"(?P<tool>\w+)(?:\((?P<path>[^(),]*)\))?")


class JobQueue:
    """Opens the database for each call. The calls block: make them from a thread."""

    def __init__(self, home: str) -> None:
        self._home = home

    def most(self) -> Most:
        """What a submitted job may do at most."""
        try:
            return config.load(self._home).gateway.jobs
        except FleetError:
            return "off"  # the settings cannot be read, so no job can run

    def submit(self, wish: JobWish) -> int:
        """The id of the queued job. Raises FleetError."""
        request = bounded(wish, config.load(self._home))
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
        """Ask for a job's end without waiting for it. Raises NotFound, and BadInput if the setting
        does not allow it."""
        if self.most() == "off":
            raise BadInput(_not_allowed("off", "cancelling a job"))
        with self._database() as connection:
            queue.request_cancel(connection, job_id)
            return JobRepo(connection).require(job_id)

    def _database(self) -> "contextlib.closing[sqlite3.Connection]":
        return contextlib.closing(db.connect(paths.database(self._home)))


def bounded(wish: JobWish, settings: config.Config) -> JobRequest:
    """The request of a job that can do no more than gateway.jobs allows: it has only the tools that
    the setting names, whatever the user's own settings allow in addition. Raises BadInput for a
    wish that asks for more."""
    most = settings.gateway.jobs
    if most == "off":
        raise BadInput(_not_allowed(most, "submitting a job"))
    request = make(
        prompt=wish.prompt,
        allowed_tools=tuple(wish.allowed_tools),
        permission_mode=wish.permission_mode,
        timeout_seconds=wish.timeout_seconds,
        max_usd=wish.max_usd,
        only_tools=_TOOLS[most],
    )
    if request.permission_mode == "bypassPermissions":
        raise BadInput(_not_allowed(most, "the permission mode bypassPermissions"))
    mode = permission_mode(wish.type, request, settings)
    if mode == "acceptEdits" and most == "read":
        raise BadInput(_not_allowed(most, f"a {wish.type} job with the permission mode {mode}"))
    for rule in request.allowed_tools:
        if not _is_within(rule, most):
            raise BadInput(_not_allowed(most, f"the permission rule {rule[:80]}"))
    return _within_project(request)


def _within_project(request: JobRequest) -> JobRequest:
    """A bare `Edit` would allow any file of the user's. What accepts edits in the project's folder
    only is a permission mode."""
    bare = {f"{tool}{path}" for tool in _EDITING for path in ("", "()", "(*)", "(**)")}
    rules = tuple(rule for rule in request.allowed_tools if rule.strip() not in bare)
    if rules == request.allowed_tools:
        return request
    mode = "plan" if request.permission_mode == "plan" else "acceptEdits"
    return request.model_copy(update={"allowed_tools": rules, "permission_mode": mode})


def _is_within(rule: str, most: Most) -> bool:
    """Whether a permission rule names an allowed tool and, for one that writes, nothing outside of
    the project's folder."""
    found = _RULE.fullmatch(rule.strip())
    if found is None or found["tool"] not in _TOOLS[most]:
        return False
    path = found["path"] or ""
    leads_out = path.startswith(("/", "~")) or ".." in path.split("/")
    return found["tool"] in _READING or not leads_out


def _not_allowed(most: Most, what: str) -> str:
    return (
        f"the setting gateway.jobs = {most} does not allow {what} through the gateway; use"
        " `fleet jobs` at the console"
    )
