"""A job's stream for a reader: following it while the job runs, and what its lines say."""

import json
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

from fleet_lib.store.job_runs import JobRunRepo
from fleet_lib.store.jobs import FINISHED, Job, JobRepo, is_partial
from fleet_lib.text import clean

_POLL_SECONDS = 0.1
_TOOL_LIMIT = 160  # characters of a tool's input
_RESULT_LIMIT = 240
# What of a tool's input says most.
_TOOL_FIELDS = ("command", "file_path", "pattern", "path", "url", "query", "description", "prompt")


def follow(connection: sqlite3.Connection, job_id: int, *, partials: bool = False) -> Iterator[str]:
    """The chunks of a job's stream as they come, until the job has ended; with `partials` also the parts
    of a message that is being written."""
    jobs = JobRepo(connection)
    after, kept = -1, 0
    while True:
        job = jobs.get(job_id)
        for number, chunk in jobs.get_running_chunks(job_id, after):
            after = number
            is_part = is_partial(chunk)
            kept += not is_part
            if partials or not is_part:
                yield chunk
        if job is None or job.status in FINISHED:
            # Between the two looks it may have ended: then the rest stands in the job's own row.
            yield from jobs.get_stream_chunks(job_id)[kept:]
            return
        time.sleep(_POLL_SECONDS)


def describe(connection: sqlite3.Connection, job: Job) -> dict[str, Any]:
    """A job as programs see it: what it was asked, how it ended, what it cost."""
    runs = JobRunRepo(connection)
    run = runs.latest(job.job_id)
    request = value_of(job.request_json)
    return {
        "job_id": job.job_id,
        "type": job.type,
        "project_id": job.project_id,
        "model": job.model,
        "status": job.status,
        "ts_created": job.ts_created,
        "ts_started": job.ts_started,
        "ts_finished": job.ts_finished,
        "prompt": str(request.get("prompt") or ""),
        "answer": answer_of(job),
        "error": job.error,
        "cost_usd": runs.cost_of(job.job_id),
        "input_tokens": run.input_tokens if run else None,
        "output_tokens": run.output_tokens if run else None,
        "session_id": run.session_id if run else None,
        "attempts": run.attempt if run else 0,
    }


def answer_of(job: Job) -> str | None:
    """What its session said in the end."""
    answer = value_of(job.result_json or "").get("result")
    return answer if isinstance(answer, str) else None


def value_of(chunk: str) -> dict[str, Any]:
    """A chunk as an object; {} where another program kept something else."""
    try:
        value = json.loads(chunk)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def words_of(value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(kind, text) of what a line of the stream says to a person. Kinds: text, tool, result, error, note."""
    kind = value.get("type")
    if kind == "system" and value.get("subtype") == "init":
        yield "note", f"session {value.get('session_id')}, {value.get('model')}"
    elif kind in ("assistant", "user"):
        message = value.get("message")
        content = message.get("content") if isinstance(message, dict) else None
        for block in content if isinstance(content, list) else ():
            if isinstance(block, dict):
                yield from _words_of_block(block)
    elif kind == "result":
        cost = value.get("total_cost_usd")
        told = f"{value.get('num_turns')} turns"
        if isinstance(cost, int | float) and abs(cost) < 1e6:  # and no NaN
            told += f", ${cost:.4f}"
        yield ("error" if value.get("is_error") else "note"), told
    elif kind in ("fleet_cut", "fleet_unreadable"):
        yield "note", str(value.get("text") or "an unreadable line")


def delta_of(value: dict[str, Any]) -> str:
    """The text that a partial chunk adds to the message that is being written."""
    event = value.get("event")
    delta = event.get("delta") if isinstance(event, dict) else None
    text = delta.get("text") if isinstance(delta, dict) else None
    return text if isinstance(text, str) else ""


def _words_of_block(block: dict[str, Any]) -> Iterator[tuple[str, str]]:
    kind = block.get("type")
    if kind == "text" and isinstance(block.get("text"), str):
        yield "text", block["text"]
    elif kind == "tool_use":
        given = block.get("input")
        given = given if isinstance(given, dict) else {}
        said = next((given[name] for name in _TOOL_FIELDS if given.get(name)), given or "")
        yield "tool", f"{block.get('name')} {clean(said, _TOOL_LIMIT)}".strip()
    elif kind == "tool_result":
        content = block.get("content")
        if isinstance(content, list):
            content = " ".join(
                str(part.get("text", "")) for part in content if isinstance(part, dict)
            )
        yield ("error" if block.get("is_error") else "result"), clean(content, _RESULT_LIMIT)
