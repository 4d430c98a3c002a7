"""The WebSocket: a client's messages in, its events and job streams out."""

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
from fleet_lib import log
from fleet_lib.errors import BadInput, FleetError, NotFound
from fleet_lib.jobs.stream import answer_of
from fleet_lib.json_text import json_object
from fleet_lib.store.jobs import FINISHED, JobRepo, is_partial

SEND_SECONDS = (
    20.0  # for a batch of events; who takes longer is dropped, and goes on from its cursor
)
WATCHES = 20  # job streams of one client at once
_POLL_SECONDS = 0.1
_TRY_AGAIN_LATER, _INTERNAL_ERROR = 1013, 1011
_FAILED = "the gateway failed at this; its log says how"
# Before a connection is ended for the database's sake: a client comes back at once.
_UNAVAILABLE_SECONDS = 1.0
# What the database, and Fleet with it, may have to say at any time.
_TROUBLE = (FleetError, sqlite3.Error, OSError)


class Client:
    """One connection."""

    def __init__(self, socket: WebSocket, hub: Hub, desk: JobQueue) -> None:
        self._socket = socket
        self._hub = hub
        self._desk = desk
        self._subscription: asyncio.Task[None] | None = None
        self._watches: dict[int, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        """Until the client has gone, or was dropped."""
        await self._socket.accept()
        try:
            while True:
                await self._hear(await self._receive())
        except (WebSocketDisconnect, RuntimeError, OSError):
            pass  # it hung up, or was dropped
        finally:
            for task in (self._subscription, *self._watches.values()):
                await _cancel(task)

    async def _receive(self) -> str:
        received = await self._socket.receive()
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(received.get("code", 1000))
        return received.get("text") or (received.get("bytes") or b"").decode("utf-8", "replace")

    async def _hear(self, text: str) -> None:
        try:
            message = messages.client_message.validate_json(text)
        except ValidationError as error:
            await self._send(_complaint(text, error))
            return
        try:
            await self._do(message)
        except (WebSocketDisconnect, TimeoutError):
            raise
        except (BadInput, NotFound) as error:
            await self._send(messages.Error(code="refused", message=str(error)))
        except _TROUBLE as error:
            await self._send(messages.Error(code="unavailable", message=str(error)))
        except Exception as error:
            if not self._is_our_fault(error):
                raise
            await self._send(messages.Error(code="internal", message=_FAILED))

    async def _do(self, message: Any) -> None:
        if isinstance(message, messages.Ping):
            await self._send(messages.Pong(id=message.id))
        elif isinstance(message, messages.Subscribe):
            await self._subscribe(message)
        elif isinstance(message, messages.JobCreate):
            job_id = await run_in_threadpool(self._desk.submit, message.job)
            await self._send(messages.JobQueued(job_id=job_id))
            await self._watch(job_id)
        elif isinstance(message, messages.JobCancel):
            await run_in_threadpool(self._desk.cancel, message.job_id)
            if message.job_id not in self._watches:
                await self._watch(message.job_id)
        elif isinstance(message, messages.JobWatch):
            await run_in_threadpool(self._desk.get, message.job_id)
            await self._watch(message.job_id)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """A part of the connection. Where it cannot go on the connection ends, so that the client comes back
        and goes on from its cursor: what is silently gone nobody asks for again."""
        try:
            await work
        except WebSocketDisconnect:
            pass
        except TimeoutError:
            await self._close(_TRY_AGAIN_LATER, "too slow")
        except _TROUBLE as error:
            told = messages.Error(code="unavailable", message=str(error))
            with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
                await self._send(told)
            await asyncio.sleep(_UNAVAILABLE_SECONDS)
            await self._close(_TRY_AGAIN_LATER, "the database cannot be read now")
        except Exception as error:
            if self._is_our_fault(error):
                await self._close(_INTERNAL_ERROR, _FAILED)

    def _is_our_fault(self, error: Exception) -> bool:
        """Whether it is not just that the client hung up; then it is in the log."""
        if self._socket.application_state is not WebSocketState.CONNECTED:
            return False
        said = f"{type(error).__name__}: {error}"
        log.write(self._hub.home, "gateway", f"a connection failed: {said}")
        return True

    async def _close(self, code: int, reason: str) -> None:
        """It hears this once it reads on; if it never does, the keepalive ends the connection."""
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
            await self._socket.close(code, reason)

    async def _send(self, message: BaseModel) -> None:
        async with asyncio.timeout(SEND_SECONDS):
            await self._socket.send_text(message.model_dump_json())

    # --- events ---

    async def _subscribe(self, message: messages.Subscribe) -> None:
        await _cancel(self._subscription)
        self._subscription = asyncio.create_task(self._guarded(self._stream(message.from_event_id)))

    async def _stream(self, cursor: int | None) -> None:
        """The replay, the line where it ends, and what happens from then on, from one cursor: no gap and no
        repeat between them."""
        if cursor is None:
            cursor = await run_in_threadpool(self._hub.first_cursor)
        is_live, resets = False, self._hub.resets
        while True:
            if resets != self._hub.resets:
                is_live, resets = False, self._hub.resets
            frames = await self._hub.after(cursor)
            if not frames and not is_live:
                # Where the replay ends is for the database to say, not for what was read of it so far.
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
                await self._close(_TRY_AGAIN_LATER, f"too slow; go on from event {cursor}")
                return
            self._hub.took(frames)

    # --- jobs ---

    async def _watch(self, job_id: int) -> None:
        """Send a job's stream from its beginning, again where it is being sent; of too many, the oldest ends."""
        self._watches = {key: task for key, task in self._watches.items() if not task.done()}
        oldest = next(iter(self._watches)) if len(self._watches) >= WATCHES else job_id
        await _cancel(self._watches.pop(job_id if job_id in self._watches else oldest, None))
        self._watches[job_id] = asyncio.create_task(self._guarded(self._stream_job(job_id)))

    async def _stream_job(self, job_id: int) -> None:
        is_told, after, kept = False, -1, 0
        while True:
            job, chunks, rest = await run_in_threadpool(self._look, job_id, after, kept)
            if job is None:
                return
            if not is_told and (job.status == "running" or job.status in FINISHED):
                is_told = True
                await self._send(messages.JobStarted(job_id=job_id))
            for number, chunk in chunks:
                after = number
                kept += not is_partial(chunk)
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

    def _look(self, job_id: int, after: int, kept: int) -> Any:
        """(job, its running chunks after a number, what of an ended job's stream was not sent yet)."""
        with self._hub.reading() as connection:
            jobs = JobRepo(connection)
            connection.execute("BEGIN")  # one moment for all three
            job = jobs.get(job_id)
            chunks = jobs.get_running_chunks(job_id, after)
            is_over = job is not None and job.status in FINISHED
            return job, chunks, jobs.get_stream_chunks(job_id)[kept:] if is_over else []


async def _cancel(task: "asyncio.Task[None] | None") -> None:
    if task:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _complaint(text: str, error: ValidationError) -> messages.Error:
    """What was wrong with a message, for whoever writes a client."""
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return messages.Error(code="not_json", message="the message is not JSON")
    if first["type"].startswith("union_tag"):
        with contextlib.suppress(ValueError, AttributeError, RecursionError):
            kind = json.loads(text).get("type")
            told = f"there is no message {str(kind)[:60]!r}"
            return messages.Error(code="unknown_type", message=told)
        return messages.Error(code="unknown_type", message="the message has no type")
    place = ".".join(str(part) for part in first["loc"][1:])
    told = f"{place}: {first['msg']}" if place else first["msg"]
    return messages.Error(code="bad_message", message=told[:500])
