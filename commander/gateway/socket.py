"""The WebSocket: receives a client's messages and sends it events and job streams."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Coroutine
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from commander.gateway import messages
from commander.gateway.hub import Hub
from commander.gateway.jobs import JobQueue
from commander.gateway.live_watch import LiveWatch
from fleet_lib import log
from fleet_lib.errors import BadInput, FleetError, NotFound
from fleet_lib.jobs.stream import answer_of
from fleet_lib.json_text import json_object
from fleet_lib.redact import redact
from fleet_lib.store.jobs import FINISHED, JobRepo, is_partial

# For a message or a batch of events. A slower client is disconnected; its cursor lets it resume.
SEND_SECONDS = 20.0
WATCHES = 20  # job streams that one client can watch at the same time
_POLL_SECONDS = 0.1
_TRY_AGAIN_LATER, _INTERNAL_ERROR = 1013, 1011
# Before a connection is closed because of the database: the client reconnects immediately.
_UNAVAILABLE_SECONDS = 1.0
_DATABASE_ERRORS = (FleetError, sqlite3.Error, OSError)


class Client:
    """The connection of one client."""

    def __init__(self, socket: WebSocket, hub: Hub, queue: JobQueue, live_watch: LiveWatch) -> None:
        self._socket = socket
        self._live_watch = live_watch
        self._hub = hub
        self._queue = queue
        self._subscription: asyncio.Task[None] | None = None
        self._states: asyncio.Task[None] | None = None
        self._watches: dict[int, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        """Serve until the client disconnects or is disconnected."""
        await self._socket.accept()
        try:
            while True:
                await self._handle(await self._receive())
        except (WebSocketDisconnect, RuntimeError, OSError):
            pass  # the connection is closed
        finally:
            for task in (self._subscription, self._states, *self._watches.values()):
                await _cancel(task)

    async def _receive(self) -> str:
        received = await self._socket.receive()
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(received.get("code", 1000))
        return received.get("text") or (received.get("bytes") or b"").decode("utf-8", "replace")

    async def _handle(self, text: str) -> None:
        try:
            message = messages.client_message.validate_json(text)
        except ValidationError as error:
            await self._send(error_for(text, error))
            return
        try:
            await self._execute(message)
        except (WebSocketDisconnect, TimeoutError):
            raise
        except (BadInput, NotFound) as error:
            await self._send(messages.Error(code="refused", message=str(error)))
        except _DATABASE_ERRORS as error:
            await self._send(messages.Error(code="unavailable", message=str(error)))
        except Exception as error:
            if not self._is_our_fault(error):
                raise
            await self._send(messages.Error(code="internal", message=messages.INTERNAL_ERROR))

    async def _execute(self, message: Any) -> None:
        if isinstance(message, messages.Login):
            return  # the guard has judged it, or has let the client in by its header
        if isinstance(message, messages.Ping):
            await self._send(messages.Pong(id=message.id))
        elif isinstance(message, messages.Subscribe):
            await self._subscribe(message)
        elif isinstance(message, messages.JobCreate):
            job_id = await run_in_threadpool(self._queue.submit, message.job)
            await self._send(messages.JobQueued(job_id=job_id))
            await self._watch(job_id)
        elif isinstance(message, messages.JobCancel):
            await run_in_threadpool(self._queue.cancel, message.job_id)
            if message.job_id not in self._watches:
                await self._watch(message.job_id)
        elif isinstance(message, messages.JobWatch):
            await run_in_threadpool(self._queue.get, message.job_id)
            await self._watch(message.job_id)

    async def _guarded(self, task: Coroutine[Any, Any, None]) -> None:
        """Run a task that sends. If it fails the connection is closed, so that the client
        reconnects and resumes from its cursor; otherwise it would silently get nothing any more."""
        try:
            await task
        except WebSocketDisconnect:
            pass
        except TimeoutError:
            await self._close(_TRY_AGAIN_LATER, "too slow")
        except _DATABASE_ERRORS as error:
            reply = messages.Error(code="unavailable", message=str(error))
            with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
                await self._send(reply)
            await asyncio.sleep(_UNAVAILABLE_SECONDS)
            await self._close(_TRY_AGAIN_LATER, "the database cannot be read now")
        except Exception as error:
            if self._is_our_fault(error):
                await self._close(_INTERNAL_ERROR, messages.INTERNAL_ERROR)

    def _is_our_fault(self, error: Exception) -> bool:
        """Whether this is more than a client that disconnected. If so it is logged."""
        if self._socket.application_state is not WebSocketState.CONNECTED:
            return False
        reason = f"{type(error).__name__}: {error}"
        log.write(self._hub.home, "gateway", redact(f"a connection failed: {reason}"))
        return True

    async def _close(self, code: int, reason: str) -> None:
        """A client that does not read never gets this; the keepalive then ends its connection."""
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
            await self._socket.close(code, reason)

    async def _send(self, message: BaseModel) -> None:
        async with asyncio.timeout(SEND_SECONDS):
            await self._socket.send_text(message.model_dump_json())

    # --- events ---

    async def _subscribe(self, message: messages.Subscribe) -> None:
        await _cancel(self._subscription)
        self._subscription = asyncio.create_task(self._guarded(self._stream(message.from_event_id)))
        if self._states is None:
            self._states = asyncio.create_task(self._guarded(self._send_state_changes()))

    async def _send_state_changes(self) -> None:
        """Say that a session's live state has changed, each time it has."""
        changes = self._live_watch.changes
        while True:
            changes = await self._live_watch.wait(changes)
            await self._send(messages.SessionsChanged())

    async def _stream(self, cursor: int | None) -> None:
        """Send the events after a cursor, then Live, then new events, without a gap or a repeat."""
        if cursor is None:
            cursor = await run_in_threadpool(self._hub.first_cursor)
        is_live, resets = False, self._hub.resets
        while True:
            if resets != self._hub.resets:
                is_live, resets = False, self._hub.resets
            frames = await self._hub.after(cursor)
            if not frames and not is_live:
                # Only the database knows where the replay ends; the memory may be behind it.
                frames, newest = await self._hub.read(cursor)
                if not frames:
                    is_live, cursor = True, min(cursor, newest)
                    await self._send(messages.Live(cursor=cursor))
                    continue
            if not frames:
                await self._hub.wait(cursor, resets)
                continue
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    for frame in frames:
                        await self._socket.send_text(frame.text)
                        cursor = frame.event_id
            except TimeoutError:
                await self._close(_TRY_AGAIN_LATER, f"too slow; continue from event {cursor}")
                return
            self._hub.mark_sent(frames)

    # --- jobs ---

    async def _watch(self, job_id: int) -> None:
        """Send a job's stream from its beginning, also if it is being watched. Of too many watches
        the oldest ends."""
        self._watches = {key: task for key, task in self._watches.items() if not task.done()}
        oldest = next(iter(self._watches)) if len(self._watches) >= WATCHES else job_id
        await _cancel(self._watches.pop(job_id if job_id in self._watches else oldest, None))
        self._watches[job_id] = asyncio.create_task(self._guarded(self._stream_job(job_id)))

    async def _stream_job(self, job_id: int) -> None:
        is_announced, after, stored = False, -1, 0
        while True:
            job, chunks, rest = await run_in_threadpool(self._read_job, job_id, after, stored)
            if job is None:
                return
            if not is_announced and (job.status == "running" or job.status in FINISHED):
                is_announced = True
                await self._send(messages.JobStarted(job_id=job_id))
            for number, chunk in chunks:
                after = number
                stored += not is_partial(chunk)
                await self._send_chunk(job_id, chunk)
            if job.status in FINISHED:
                for chunk in rest:
                    await self._send_chunk(job_id, chunk)
                await self._send(
                    messages.JobCompleted(
                        job_id=job_id,
                        status=job.status,
                        answer=answer_of(job),
                        error=job.error,
                    )
                )
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _send_chunk(self, job_id: int, chunk: str) -> None:
        if value := json_object(chunk):
            await self._send(messages.JobStream(job_id=job_id, chunk=value))

    def _read_job(self, job_id: int, after: int, stored: int) -> Any:
        """(job, its running chunks after a number, the rest of a finished job's stored chunks)."""
        with self._hub.reading() as connection:
            jobs = JobRepo(connection)
            connection.execute("BEGIN")  # one snapshot for all three
            job = jobs.get(job_id)
            chunks = jobs.get_running_chunks(job_id, after)
            is_over = job is not None and job.status in FINISHED
            return job, chunks, jobs.get_stream_chunks(job_id)[stored:] if is_over else []


async def _cancel(task: "asyncio.Task[None] | None") -> None:
    if task:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def error_for(text: str, error: ValidationError) -> messages.Error:
    """What was wrong with a client's message, for its author."""
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return messages.Error(code="not_json", message="the message is not JSON")
    if first["type"].startswith("union_tag"):
        with contextlib.suppress(ValueError, AttributeError, RecursionError):
            kind = json.loads(text).get("type")
            reason = f"there is no message type {str(kind)[:60]!r}"
            return messages.Error(code="unknown_type", message=reason)
        return messages.Error(code="unknown_type", message="the message has no type")
    place = ".".join(str(part) for part in first["loc"][1:])
    reason = f"{place}: {first['msg']}" if place else first["msg"]
    return messages.Error(code="bad_message", message=reason[:500])
