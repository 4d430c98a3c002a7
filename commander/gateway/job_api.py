"""The API's endpoints about jobs."""

import sqlite3
from typing import Any

from starlette.requests import Request

from commander.gateway import messages
from commander.gateway.context import Context, number_of
from commander.gateway.markdown import to_html
from commander.gateway.openapi import Endpoint
from commander.gateway.queries import JobQuery, NoQuery
from fleet_lib.errors import NotFound
from fleet_lib.jobs.stream import describe
from fleet_lib.store.jobs import Job, JobRepo
from fleet_lib.views.projects import NamesOnDemand


def jobs(context: Context, request: Request, query: JobQuery) -> list[dict[str, Any]]:
    with context.reading() as connection:
        found = JobRepo(connection).query(**query.model_dump())
        names = NamesOnDemand(connection)
        return [_record(connection, job, names) for job in found]


def job(context: Context, request: Request, query: NoQuery) -> dict[str, Any]:
    """As `fleet jobs show --json`, with the answer rendered."""
    number = number_of(request, "job")
    with context.reading() as connection:
        found = JobRepo(connection).get(number)
        if found is None:
            raise NotFound(f"there is no job {number}")
        record = _record(connection, found, NamesOnDemand(connection))
        return record | {"answer_html": to_html(record["answer"] or "")}


def _record(connection: sqlite3.Connection, job: Job, names: dict[str, str]) -> dict[str, Any]:
    name = names.get(job.project_id, job.project_id) if job.project_id else None
    return describe(connection, job) | {"project": name}


def submit(context: Context, request: Request, wish: messages.JobWish) -> messages.JobQueued:
    return messages.JobQueued(job_id=context.queue.submit(wish))


def cancel(context: Context, request: Request, query: NoQuery) -> dict[str, Any]:
    context.queue.cancel(number_of(request, "job"))
    return job(context, request, query)


ENDPOINTS = [
    Endpoint("/jobs", "Jobs, newest first", JobQuery, list[dict[str, Any]], jobs),
    Endpoint(
        "/jobs", "Submit a job", NoQuery, messages.JobQueued, submit, "POST", messages.JobWish
    ),
    Endpoint("/jobs/{job_id}", "One job", NoQuery, dict[str, Any], job),
    Endpoint("/jobs/{job_id}/cancel", "Cancel a job", NoQuery, dict[str, Any], cancel, "POST"),
]
