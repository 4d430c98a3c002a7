"""A job's stream, which is Claude Code's output: collecting it while the job runs, following it,
and what its lines tell a person. Unreadable lines never end a job."""

import json
import sqlite3
import time
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from fleet_lib.jobs.refusal import Refusals
from fleet_lib.json_text import json_object
from fleet_lib.redact import redact
from fleet_lib.store.job_runs import JobRunRepo, Outcome
from fleet_lib.store.jobs import FINISHED, Job, JobRepo, JobStatus, is_partial
from fleet_lib.text import clean

STREAM_LIMIT = 32_000_000  # characters of one job's stream that are stored
_UNREADABLE_LIMIT = 2000  # characters of a line that is not JSON
_CONTEXT = 400  # characters before a word that may say that it is a secret
_KEY_CONTEXT = 8000  # of a private key, which has many lines
_POLL_SECONDS = 0.1
_TOOL_LIMIT = 160  # characters of a tool's input
_RESULT_LIMIT = 240
# The fields of a tool's input that say most, best first.
_TOOL_FIELDS = ("command", "file_path", "pattern", "path", "url", "query", "description", "prompt")


# --- collecting ---


class StreamCollector:
    """What Claude Code has printed so far, as far as the end of the job depends on it."""

    def __init__(self) -> None:
        self.result: dict[str, Any] | None = None
        self.refusals = Refusals()
        self._session_id: str | None = None
        self._stored = 0  # characters
        self._is_cut = False
        self._held = ""  # the beginning of a word whose end has not come
        self._before = ""  # what came before it in the same block

    def add(self, line: bytes) -> str | None:
        """The line as it is stored, secrets masked; None for a line that is not stored."""
        if not line.strip():
            return None
        value = _redacted_line(self._whole_words(_parse(line)))
        if value.get("type") == "result":
            self.result = value
        self.refusals.note(value)
        if isinstance(value.get("session_id"), str):
            self._session_id = value["session_id"]
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        self._stored += len(text)
        if self._stored <= STREAM_LIMIT or value.get("type") == "result":
            return text
        if self._is_cut:
            return None
        self._is_cut = True
        note = "the rest of the output is too large to be stored"
        return json.dumps({"type": "fleet_cut", "text": note})

    def _whole_words(self, value: dict[str, Any]) -> dict[str, Any]:
        """A part of a message that is being written, up to its last whole word: half a token is not
        recognized. The rest is in the next part, or in the whole message that follows."""
        event = value.get("event")
        if value.get("type") != "stream_event" or not isinstance(event, dict):
            self._held = self._before = ""
            return value
        delta = event.get("delta")
        if not isinstance(delta, dict) or not isinstance(delta.get("text"), str):
            return value
        text = self._held + delta["text"]
        end = max(text.rfind(" "), text.rfind("\n")) + 1
        text, self._held = text[:end], text[end:]
        # What stands before it may be what makes it a secret.
        known, masked = redact(self._before), redact(self._before + text)
        same = sum(
            1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(known, masked, strict=False))
        )
        stored = masked[same:]
        before = self._before + text
        self._before = before[-_KEY_CONTEXT if "PRIVATE KEY" in before else -_CONTEXT :]
        return value | {"event": event | {"delta": delta | {"text": stored}}}

    def outcome(self, status: JobStatus, *, summary: str = "", error: str = "") -> Outcome:
        """How the run ended, with what the result line says of its cost. What the model never
        answered has cost nothing."""
        result = self.result or {}
        usage = result.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        is_answered = self.refusals.is_answered or status == "completed"
        read = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        return Outcome(
            status,
            json.dumps(self.result, ensure_ascii=False) if self.result else None,
            summary=summary,
            error=error,
            session_id=self._session_id,
            cost_usd=_dollars(result.get("total_cost_usd")) if self.result or is_answered else 0.0,
            input_tokens=sum(_number(usage.get(name)) for name in read) if usage else None,
            output_tokens=_number(usage.get("output_tokens")) if usage else None,
            is_answered=is_answered,
            refusal=self.refusals.reason,
            refused_until=self.refusals.until,
        )


def _parse(line: bytes) -> dict[str, Any]:
    try:
        # json.loads accepts NaN and Infinity, which are not JSON and could not be stored as such.
        value = json.loads(line, parse_constant=lambda _name: None)
    except (ValueError, RecursionError):
        text = redact(line.decode("utf-8", "replace"))[:_UNREADABLE_LIMIT]
        return {"type": "fleet_unreadable", "text": text}
    return value if isinstance(value, dict) else {"type": "fleet_unreadable"}


def _redacted_line(value: dict[str, Any]) -> dict[str, Any]:
    try:
        redacted: dict[str, Any] = _redacted(value)
    except RecursionError:  # nested too deeply: keep the top level
        flat = {key: one for key, one in value.items() if not isinstance(one, dict | list)}
        redacted = _redacted(flat)
    return redacted


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact(_encodable(value))
    if isinstance(value, list):
        return [_redacted(item) for item in value]
    if isinstance(value, dict):
        return {_redacted(key): _redacted_item(key, item) for key, item in value.items()}
    return value


def _encodable(text: str) -> str:
    """Without lone surrogates, which UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode()


def _redacted_item(key: str, item: Any) -> Any:
    """The name of a value may be what says that it is a secret."""
    if isinstance(item, str) and len(item) < _CONTEXT and "\n" not in item:
        pair = redact(_encodable(f"{key}: {item}"))
        if pair.startswith(f"{key}: "):
            return pair[len(key) + 2 :]
    return _redacted(item)


def _dollars(value: object) -> float | None:
    """None for what cannot be a cost: the run then counts as its whole budget."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
        return None
    return float(value)


def _number(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 2**60 else 0


# --- reading ---


def follow(connection: sqlite3.Connection, job_id: int, *, partials: bool = False) -> Iterator[str]:
    """The chunks of a job's stream as they come, until the job has ended; with `partials` also the
    parts of messages that are still being written."""
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
            # If it ended between the two queries, the remaining chunks are in the job's own row.
            yield from jobs.get_stream_chunks(job_id)[kept:]
            return
        time.sleep(_POLL_SECONDS)


def describe(connection: sqlite3.Connection, job: Job) -> dict[str, Any]:
    """A job as programs get it: what was asked, how it ended, what it cost."""
    runs = JobRunRepo(connection)
    run = runs.latest(job.job_id)
    request = json_object(job.request_json)
    cost, counted = runs.cost_of(job.job_id)
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
        "cost_usd": cost,
        "counted_usd": counted,
        "input_tokens": run.input_tokens if run else None,
        "output_tokens": run.output_tokens if run else None,
        "session_id": run.session_id if run else None,
        "attempts": run.attempt if run else 0,
    }


def answer_of(job: Job) -> str | None:
    """The final answer of a job's session."""
    answer = json_object(job.result_json).get("result")
    return answer if isinstance(answer, str) else None


def readable_parts(value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What a line of the stream tells a person: (text|tool|result|error|note, text)."""
    kind = value.get("type")
    if kind == "system" and value.get("subtype") == "init":
        yield "note", f"session {value.get('session_id')}, {value.get('model')}"
    elif kind in ("assistant", "user"):
        message = value.get("message")
        content = message.get("content") if isinstance(message, dict) else None
        for block in content if isinstance(content, list) else ():
            if isinstance(block, dict):
                yield from _parts_of_block(block)
    elif kind == "result":
        cost = value.get("total_cost_usd")
        number = value.get("num_turns")
        text = f"{number} turn{'' if number == 1 else 's'}"
        if isinstance(cost, int | float) and abs(cost) < 1e6:  # false for NaN
            text += f", ${cost:.4f}"
        yield ("error" if value.get("is_error") else "note"), text
    elif kind in ("fleet_cut", "fleet_unreadable"):
        yield "note", str(value.get("text") or "an unreadable line")


def partial_text(value: dict[str, Any]) -> str:
    """The text that a partial chunk adds to the message that is being written."""
    event = value.get("event")
    delta = event.get("delta") if isinstance(event, dict) else None
    text = delta.get("text") if isinstance(delta, dict) else None
    return text if isinstance(text, str) else ""


def _parts_of_block(block: dict[str, Any]) -> Iterator[tuple[str, str]]:
    kind = block.get("type")
    if kind == "text" and isinstance(block.get("text"), str):
        yield "text", block["text"]
    elif kind == "tool_use":
        given = block.get("input")
        given = given if isinstance(given, dict) else {}
        shown = next((given[name] for name in _TOOL_FIELDS if given.get(name)), given or "")
        yield "tool", f"{block.get('name')} {clean(shown, _TOOL_LIMIT)}".strip()
    elif kind == "tool_result":
        content = block.get("content")
        if isinstance(content, list):
            content = " ".join(
                str(part.get("text", "")) for part in content if isinstance(part, dict)
            )
        yield ("error" if block.get("is_error") else "result"), clean(content, _RESULT_LIMIT)
