"""One claimed job from the start of its `claude` to its stored end."""

import asyncio
import contextlib
import sqlite3
import tempfile
import uuid
from pathlib import Path
from typing import Any

from fleet_lib import log
from fleet_lib.drain.foreground import drain_now
from fleet_lib.errors import BadInput, FleetError
from fleet_lib.jobs import semantics
from fleet_lib.jobs.child import Child
from fleet_lib.jobs.claim import Notice, Work, folder_of
from fleet_lib.jobs.command import command, environment
from fleet_lib.jobs.database import Database
from fleet_lib.jobs.open_commander import commander_is_open
from fleet_lib.jobs.program import claude_program, last_conversation
from fleet_lib.jobs.stream import StreamCollector
from fleet_lib.jobs.usage import count_usage
from fleet_lib.json_text import json_object
from fleet_lib.processes import ProcessName
from fleet_lib.records import replace
from fleet_lib.redact import redact
from fleet_lib.store import db
from fleet_lib.store.conversations import ConversationRepo
from fleet_lib.store.job_hold import JobHoldRepo
from fleet_lib.store.job_runs import JobRunRepo, Outcome
from fleet_lib.store.jobs import JobRepo

_LINES_WAITING = 1000
_DRAIN_SECONDS = 20.0


async def run_job(work: Work, home: str, database: Database) -> Notice:
    """Run a claimed job and store how it ended; what there is to report. Raises only if the end
    cannot be stored: the next runner then settles the job."""
    job_id = work.job.job_id
    try:
        outcome = await _run(work, home, database)
    except (FleetError, OSError) as error:
        outcome = Outcome("failed", error=str(error), cost_usd=0.0)
    except Exception as error:
        _log(home, work, error)
        outcome = Outcome(
            "failed", error=f"error in the job runner: {type(error).__name__}: {error}"
        )
    status = await database.call(_store_end, work, outcome, home)
    await database.call(count_usage, home, outcome.session_id)
    if status == "queued" and outcome.refusal:
        text = f"job {job_id} is queued again: {outcome.refusal}"
        return Notice(text, job_id, status, 0.0, outcome.refusal)
    cost = f", ${outcome.cost_usd:.4f}" if outcome.cost_usd is not None else ""
    reason = f": {outcome.error}" if outcome.error and status == "failed" else ""
    text = f"job {job_id} {status}{cost}{reason}"
    return Notice(text, job_id, status, outcome.cost_usd, outcome.error or None)


async def _run(work: Work, home: str, database: Database) -> Outcome:
    job, request = work.job, work.request
    with tempfile.TemporaryDirectory(prefix="fleet-job-") as scratch:
        resume = beside = None
        if job.type == "commander_turn":
            # So that the Commander hears what other sessions have just done.
            with contextlib.suppress(FleetError, OSError):
                await asyncio.to_thread(drain_now, home, timeout=_DRAIN_SECONDS)
            resume = await database.call(last_conversation)
            if await asyncio.to_thread(commander_is_open, home):
                beside = str(uuid.uuid4())
                await database.transact(_ask_beside, home, beside, resume)
        folder = await database.call(folder_of, home, job, request)
        empty = Path(scratch) / "empty"
        empty.mkdir()
        words = await asyncio.to_thread(
            command,
            job,
            request,
            work.settings,
            home=home,
            program=claude_program(home),
            budget_usd=work.run.budget_usd,
            resume=resume,
            scratch=Path(scratch),
            beside=beside,
        )
        child = await Child.start(words, folder or empty, environment(job, home))
        try:
            # The process is recorded, durably, before it gets its prompt and does anything: what is
            # unrecorded when a runner dies has done nothing and can be queued again.
            if not await database.transact(_note_process, work, child.name):
                return Outcome(
                    "failed", error="another runner has taken over the job", cost_usd=0.0
                )
            return await _attend(work, child, database)
        finally:
            await child.stop(0.0)
            child.close()


def _ask_beside(
    connection: sqlite3.Connection, home: str, session_id: str, resume: str | None
) -> None:
    conversations = ConversationRepo(connection)
    conversations.ask_beside(conversations.get_or_create_commander(home), session_id, resume)


def _note_process(connection: sqlite3.Connection, work: Work, name: ProcessName) -> bool:
    return JobRunRepo(connection).note_process(work.run, name.pid, name.started)


async def _attend(work: Work, child: Child, database: Database) -> Outcome:
    """Send the prompt and store the output until the child ends, times out or must stop."""
    stream = StreamCollector()
    sending = asyncio.create_task(child.send_prompt(work.request.prompt))
    reading = asyncio.create_task(_read_to_end(work, child, stream, database))
    stopping = asyncio.create_task(work.must_stop.wait())
    seconds = work.request.timeout_seconds or work.settings.jobs.timeout_seconds
    try:
        await asyncio.wait(
            {reading, stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        if not reading.done():
            if not work.must_stop.is_set():
                work.stop("timeout")
            await child.stop()
        code = await reading
    finally:
        for task in (sending, stopping, reading):
            task.cancel()
    if stream.refusals.reason and work.stop_reason in (None, "refused", "timeout"):
        return stream.outcome("failed", error=stream.refusals.reason)
    # A result that came before the time limit counts, though its process did not end in time.
    if work.stop_reason and not (work.stop_reason == "timeout" and stream.result):
        return _stopped(work, stream, seconds)
    return _ended(work, stream, code, await child.stderr_tail())


async def _read_to_end(
    work: Work, child: Child, stream: StreamCollector, database: Database
) -> int:
    """The exit code. The process may live on after it has closed its output."""
    await _store_lines(work, child, stream, database)
    return await child.wait()


async def _store_lines(
    work: Work, child: Child, stream: StreamCollector, database: Database
) -> None:
    """Store each line as it comes; lines that come together share a transaction."""
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(_LINES_WAITING)  # None: the end

    async def read() -> None:
        try:
            async for line in child.lines():
                await queue.put(line)
        except asyncio.CancelledError:
            raise  # the queue has no reader any more
        except BaseException:
            await queue.put(None)
            raise
        await queue.put(None)

    reading = asyncio.create_task(read())
    try:
        is_open = True
        while is_open:
            lines = [await queue.get()]
            while not queue.empty():
                lines.append(queue.get_nowait())
            is_open = None not in lines
            await database.call(
                _store_chunks, work, stream, [line for line in lines if line is not None]
            )
            if stream.refusals.is_hopeless:
                work.stop("refused")
        await reading
    finally:
        reading.cancel()


def _store_chunks(
    connection: sqlite3.Connection, work: Work, stream: StreamCollector, lines: list[bytes]
) -> None:
    chunks = [chunk for line in lines if (chunk := stream.add(line))]
    if chunks:
        with db.transaction(connection):
            for chunk in chunks:
                JobRepo(connection).append_stream_chunk(work.job.job_id, chunk)


# --- how it ended ---


def _stopped(work: Work, stream: StreamCollector, seconds: float) -> Outcome:
    """The outcome of a `claude` that the runner ended."""
    if work.stop_reason == "timeout":
        return stream.outcome("failed", error=f"timed out after {seconds:g} s")
    if work.stop_reason == "canceled":
        return stream.outcome("canceled")
    return stream.outcome("failed", error="the runner was stopped while the job was running")


def _ended(work: Work, stream: StreamCollector, code: int, stderr: str) -> Outcome:
    """The outcome of a `claude` that ended by itself, or that the runner ended after its result."""
    result = stream.result
    if result is None:
        last_line = stderr.splitlines()[-1] if stderr else "no error message"
        return stream.outcome(
            "failed", error=f"claude exited with code {code} and no result: {last_line}"
        )
    if result.get("is_error"):
        return stream.outcome("failed", error=_error_of(result, work, code))
    if code and work.stop_reason != "timeout":
        return stream.outcome("failed", error=f"claude exited with code {code} after its result")
    if work.request.purpose and "structured_output" not in result:
        return stream.outcome("failed", error="the model returned no structured output")
    denied = result.get("permission_denials")
    count = len(denied) if isinstance(denied, list) else 0
    note = f" ({count} tool calls were denied)" if count else ""
    outcome = stream.outcome("completed", summary=f"{result.get('result') or ''}{note}")
    return replace(outcome, quiet=work.request.purpose is not None)


def _error_of(result: dict[str, Any], work: Work, code: int) -> str:
    if result.get("subtype") == "error_max_budget_usd":
        budget = work.run.budget_usd
        return f"the job reached its budget of ${budget:.2f}; the setting jobs.max_usd limits it"
    errors = result.get("errors")
    if isinstance(errors, list) and errors:
        text = "; ".join(map(str, errors))
    else:
        text = str(result.get("result") or "")
    return text or f"claude exited with code {code}"


def _store_end(connection: sqlite3.Connection, work: Work, outcome: Outcome, home: str) -> str:
    """Store the end of the run and the job, the event, and what the answer changes, in one
    transaction. Returns the status for the report."""
    try:
        with db.transaction(connection):
            return _end(connection, work, outcome, home)
    except BadInput as error:
        return _store_end(
            connection, work, replace(outcome, status="failed", error=str(error)), home
        )
    except (sqlite3.Error, FleetError):
        raise
    except Exception as error:
        # An unexpected answer of one job must not end the runner and the other jobs.
        _log(home, work, error)
        reason = f"the result could not be stored: {type(error).__name__}"
        with db.transaction(connection):
            failed = Outcome("failed", error=reason, cost_usd=outcome.cost_usd)
            JobRunRepo(connection).finish(work.run, failed)
        return "failed"


def _end(connection: sqlite3.Connection, work: Work, outcome: Outcome, home: str) -> str:
    runs = JobRunRepo(connection)
    hold = JobHoldRepo(connection)
    if outcome.refusal:
        hold.extend(outcome.refusal, outcome.refused_until)
        # Nothing was done. But a person waits for a Commander turn, and gets the reason at once.
        if not outcome.is_answered and work.job.type != "commander_turn":
            return "queued" if runs.put_back(work.run) else "taken over by another runner"
    elif outcome.is_answered:
        hold.release()
    if work.stop_reason == "shutdown" and outcome.status == "failed":
        return runs.settle_lost(runs.latest(work.job.job_id) or work.run)
    if outcome.status == "completed" and work.request.purpose:
        answer = json_object(outcome.result_json).get("structured_output")
        semantics.apply(connection, work.request.briefing_ids, answer)
    if outcome.status == "completed" and work.job.type == "commander_turn":
        conversations = ConversationRepo(connection)
        conversation = conversations.get_or_create_commander(home)
        if not conversations.is_beside(outcome.session_id):
            conversations.continue_in(conversation, outcome.session_id)
    is_ours = runs.finish(work.run, outcome)
    return outcome.status if is_ours else "taken over by another runner"


def _log(home: str, work: Work, error: Exception) -> None:
    log.write(home, "jobs", redact(f"job {work.job.job_id}: {type(error).__name__}: {error}"))
