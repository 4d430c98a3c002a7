"""The WebSocket: a client's messages in, its events and job streams out."""

import asyncio
import contextlib
import json
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from commander.gateway import messages
from commander.gateway.hub import Hub
from commander.gateway.work import JobDesk
from commander.jobs import reading
from fleet_lib.errors import FleetError
from fleet_lib.jobs import FINISHED, JobRepo, is_partial

SEND_SECONDS = (
    20.0  # for a batch of events; who takes longer is dropped, and goes on from its cursor
)
WATCHES = 20  # job streams of one client at once
_POLL_SECONDS = 0.1
_TRY_AGAIN_LATER = 1013


class Client:
    """One connection."""

    def __init__(self, socket: WebSocket, hub: Hub, desk: JobDesk) -> None:
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
            tasks = [task for task in (self._subscription, *self._watches.values()) if task]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

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
        except FleetError as error:
            await self._send(messages.Error(code="refused", message=str(error)))

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
            await self._watch(message.job_id)
        elif isinstance(message, messages.JobWatch):
            await run_in_threadpool(self._desk.get, message.job_id)
            await self._watch(message.job_id)

    async def _send(self, message: BaseModel) -> None:
        async with asyncio.timeout(SEND_SECONDS):
            await self._socket.send_text(message.model_dump_json())

    # --- events ---

    async def _subscribe(self, message: messages.Subscribe) -> None:
        if self._subscription:
            self._subscription.cancel()
            await asyncio.gather(self._subscription, return_exceptions=True)
        cursor = message.from_event_id
        if cursor is None:
            cursor = await run_in_threadpool(self._hub.first_cursor)
        self._subscription = asyncio.create_task(self._stream(cursor))

    async def _stream(self, cursor: int) -> None:
        """The replay, the line where it ends, and what happens from then on, from one cursor: no gap and no
        repeat between them."""
        is_live = False
        try:
            while True:
                frames = await self._hub.after(cursor)
                if not frames and not is_live:
                    # Where the replay ends is for the database to say, not for what was read of it so far.
                    frames = await self._hub.read(cursor)
                if not frames:
                    if not is_live:
                        is_live = True
                        await self._send(messages.Live(cursor=cursor))
                    await self._hub.wait(cursor)
                    continue
                async with asyncio.timeout(SEND_SECONDS):
                    for frame in frames:
                        await self._socket.send_text(frame.text)
                        cursor = frame.event_id
                self._hub.took(frames)
        except TimeoutError:
            # It hears this once it reads on; if it never does, the keepalive ends the connection.
            with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
                await self._socket.close(_TRY_AGAIN_LATER, f"too slow; go on from event {cursor}")
        except (WebSocketDisconnect, RuntimeError, OSError):
            pass  # it hung up

    # --- jobs ---

    async def _watch(self, job_id: int) -> None:
        self._watches = {key: task for key, task in self._watches.items() if not task.done()}
        if job_id in self._watches:
            return
        if len(self._watches) >= WATCHES:
            told = f"{WATCHES} jobs are watched already"
            await self._send(messages.Error(code="too_many", message=told))
            return
        self._watches[job_id] = asyncio.create_task(self._stream_job(job_id))

    async def _stream_job(self, job_id: int) -> None:
        is_told, after, kept = False, -1, 0
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError, TimeoutError):
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
                            answer=reading.answer_of(job),
                            error=job.error,
                        )
                    )
                    return
                await asyncio.sleep(_POLL_SECONDS)

    async def _send_chunk(self, job_id: int, chunk: str) -> None:
        if value := reading.value_of(chunk):
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
