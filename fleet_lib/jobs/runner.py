"""The runner: claims jobs, has Claude Code do them, and puts down how they ended. One a home (run_jobs.py has
the lock); it is told of a cancel by the database, so that whoever cancels needs no way to reach it.
"""

import asyncio
import contextlib
import json
import math
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from fleet_lib import config, log, paths, processes
from fleet_lib.config import Config
from fleet_lib.drain.foreground import drain
from fleet_lib.errors import BadInput, FleetError
from fleet_lib.jobs import request as requests
from fleet_lib.jobs import semantics
from fleet_lib.jobs.child import Child
from fleet_lib.jobs.claude import claude_program, last_conversation
from fleet_lib.jobs.request import JobRequest
from fleet_lib.processes import ProcessName
from fleet_lib.redact import redact
from fleet_lib.store import db
from fleet_lib.store.conversations import ConversationRepo
from fleet_lib.store.job_runs import (
    LEASE_SECONDS,
    JobRunRepo,
    Outcome,
    Run,
    is_lost,
    runner_name,
    start_of_day,
)
from fleet_lib.store.jobs import Job, JobModel, JobRepo, JobType
from fleet_lib.store.projects import ProjectRepo

Mode = Literal["once", "forever", "background"]
T = TypeVar("T")

LEAST_BUDGET_USD = 0.01  # with less a job is not begun
STREAM_LIMIT = 32_000_000  # characters of one job's stream that are kept
_POLL_SECONDS = 0.2
_IDLE_SECONDS = 0.5
_RENEW_SECONDS = LEASE_SECONDS / 3
_BUSY_SECONDS = 60.0
_LINES_WAITING = 1000


@dataclass(frozen=True, slots=True)
class Notice:
    """What the runner does, for whoever watches it."""

    text: str
    job_id: int | None = None
    status: str | None = None
    cost_usd: float | None = None
    error: str | None = None


Say = Callable[[Notice], None]


def run(home: str, mode: Mode, say: Say = lambda notice: None) -> float:
    """Work as the one runner (the caller has the lock) until nothing is left to do now, or until a signal.
    Returns the seconds until there is something: 0.0 for a job that has just come, inf for nothing. `say`
    is told of every job that begins and ends.

    Raises FleetError, sqlite3.Error or OSError where the work cannot go on."""
    return asyncio.run(Runner(home, mode, say).work())


def recover(
    connection: sqlite3.Connection, me: str, job_id: int | None = None
) -> list[tuple[int, str]]:
    """Settle the runs whose runner died, or one job's: its `claude` is ended first, then the job is queued
    again or has failed. [(job_id, status)]."""
    settled = []
    runs = JobRunRepo(connection)
    for lost in runs.at_work():
        if lost.runner == me or job_id not in (None, lost.job_id) or not is_lost(lost):
            continue
        if lost.process_id is not None and lost.process_started is not None:
            processes.end(ProcessName(lost.process_id, lost.process_started), 5.0)
        with db.transaction(connection):
            run = runs.latest(lost.job_id)
            # Read again under the lock: another may have settled it, or its holder is alive after all.
            if run and run.ended_at is None and is_lost(run):
                settled.append((run.job_id, runs.settle_lost(run)))
    return settled


@dataclass
class Work:
    """A claimed job on its way."""

    job: Job
    run: Run
    request: JobRequest
    config: Config
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    reason: Literal["", "canceled", "lost", "shutdown", "timeout"] = ""

    def end(self, reason: Literal["canceled", "lost", "shutdown", "timeout"]) -> None:
        self.reason = self.reason or reason
        self.stop.set()


class Runner:
    def __init__(self, home: str, mode: Mode, say: Say) -> None:
        self._home = home
        self._mode = mode
        self._say = say
        self._me = runner_name()
        self._work: dict[int, tuple[Work, asyncio.Task[None]]] = {}
        # One thread for the database: a write that waits must not keep a child's output waiting.
        self._thread = ThreadPoolExecutor(1)
        self._connection: sqlite3.Connection | None = None
        self._is_closing = False
        self._failure: BaseException | None = None
        self._settings: tuple[float, Config] | None = None
        self._renew_at = 0.0
        self._semantics_in = math.inf  # seconds until there is a batch to ask about

    # --- the loop ---

    async def work(self) -> float:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with contextlib.suppress(ValueError):  # not the main thread
                loop.add_signal_handler(number, self._close, number)
        try:
            while True:
                if self._failure:
                    raise self._failure
                await self._look_after()
                while not self._is_closing:
                    claimed = await self._in_thread(self._claim)
                    if claimed is None:
                        break
                    self._begin(claimed)
                if not self._work and (self._is_closing or await self._in_thread(self._is_done)):
                    break
                await self._pause()
            if self._is_closing:
                return math.inf
            return 0.0 if await self._in_thread(self._has_queued) else self._semantics_in
        finally:
            for work, _ in self._work.values():
                work.end("shutdown")
            if self._work:
                await asyncio.wait([task for _, task in self._work.values()])
            await self._in_thread(self._disconnect)
            self._thread.shutdown()

    async def _pause(self) -> None:
        """Until a job has ended, or it is time to look again."""
        tasks = [task for _, task in self._work.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(_IDLE_SECONDS)

    def _close(self, number: int) -> None:
        """The first Ctrl-C lets what runs come to its end; the second, or any other signal, ends it."""
        if number == signal.SIGINT and not self._is_closing and self._work:
            self._is_closing = True
            self._say(Notice(f"finishing {len(self._work)} at work; Ctrl-C again ends them"))
            return
        self._is_closing = True
        for work, _ in self._work.values():
            work.end("shutdown")

    def _begin(self, work: Work) -> None:
        job = work.job
        text = f"job {job.job_id} begins ({job.type}, {job.model})"
        self._say(Notice(text, job.job_id, "running"))
        task = asyncio.create_task(self._do(work))
        self._work[job.job_id] = (work, task)
        task.add_done_callback(lambda done: self._ended(job.job_id, done))

    def _ended(self, job_id: int, task: "asyncio.Task[None]") -> None:
        del self._work[job_id]
        # How it ended could not be put down: the next runner settles it.
        self._failure = self._failure or task.exception()

    async def _look_after(self) -> None:
        """Renew the leases, settle the jobs of dead runners, and hear of cancels."""
        if time.monotonic() >= self._renew_at:
            self._renew_at = time.monotonic() + _RENEW_SECONDS
            for job_id, status in await self._in_thread(self._renew_and_recover):
                text = f"job {job_id}'s runner had died: {status}"
                self._say(
                    Notice(text, job_id, status, error=await self._in_thread(self._error, job_id))
                )
        if not self._work:
            return
        at_work = {run.job_id: run for run in await self._in_thread(self._at_work)}
        for job_id, (work, _) in list(self._work.items()):
            run = at_work.get(job_id)
            if run is None or run.runner != self._me:
                work.end("lost")
            elif run.cancel_requested_at or not await self._in_thread(self._is_running, job_id):
                work.end("canceled")

    # --- the database's side, in its thread ---

    async def _in_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = db.connect(paths.database(self._home), busy_timeout=_BUSY_SECONDS)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with db.transaction(self._connect()) as connection:
            yield connection

    def _renew_and_recover(self) -> list[tuple[int, str]]:
        with self._writing() as connection:
            JobRunRepo(connection).renew(self._me)
        return recover(self._connect(), self._me)

    def _error(self, job_id: int) -> str | None:
        job = JobRepo(self._connect()).get(job_id)
        return job.error if job else None

    def _at_work(self) -> list[Run]:
        return JobRunRepo(self._connect()).at_work()

    def _is_running(self, job_id: int) -> bool:
        job = JobRepo(self._connect()).get(job_id)
        return job is not None and job.status == "running"

    def _has_queued(self) -> bool:
        row = self._connect().execute("SELECT 1 FROM jobs WHERE status = 'queued' LIMIT 1")
        return row.fetchone() is not None

    def _is_done(self) -> bool:
        return self._mode != "forever" and not self._has_queued()

    def _claim(self) -> Work | None:
        """The next job under our lease, in one transaction; what cannot be run is refused on the way."""
        settings = self._load_settings()
        self._plan_semantics(settings)
        if not self._has_queued():
            return None
        with self._writing() as connection:
            runs = JobRunRepo(connection)
            while (at_work := len(runs.at_work())) < settings.jobs.at_once:
                job = runs.next_job()
                if job is None:
                    return None
                try:
                    request = self._checked(connection, job, settings)
                except FleetError as error:
                    self._refuse(runs, job, str(error))
                    continue
                left = left_today(connection, settings)
                if left < LEAST_BUDGET_USD:
                    if at_work:
                        return None  # it may cost less than it may, and leave some
                    self._refuse(runs, job, day_is_spent(settings))
                    continue
                budget = min(request.max_usd or settings.jobs.max_usd, settings.jobs.max_usd, left)
                run = runs.claim(job, self._me, budget)
                if run:
                    return Work(job, run, request, settings)
        return None

    def _refuse(self, runs: JobRunRepo, job: Job, reason: str) -> None:
        runs.refuse(job, reason)
        text = f"job {job.job_id} failed: {reason}"
        self._say(Notice(text, job.job_id, "failed", 0.0, reason))

    def _load_settings(self) -> Config:
        """The settings as they are now, parsed again where the file has changed."""
        try:
            changed = config.path_of(self._home).stat().st_mtime
        except OSError:
            changed = 0.0
        if self._settings is None:
            self._settings = (changed, config.load(self._home))
        elif self._settings[0] != changed:
            try:
                self._settings = (changed, config.load(self._home))
            except BadInput as error:
                # A slip in an editor is no reason to end what is at work.
                self._settings = (changed, self._settings[1])
                log.write(self._home, "jobs", f"the settings stay as they were: {error}")
        return self._settings[1]

    def _checked(self, connection: sqlite3.Connection, job: Job, settings: Config) -> JobRequest:
        """What a row asks for. Raises FleetError: other programs queue jobs too."""
        for name, value, allowed in (
            ("type", job.type, get_args(JobType)),
            ("model", job.model, get_args(JobModel)),
        ):
            if value not in allowed:
                raise BadInput(f"its {name} {value!r} is none of {', '.join(allowed)}")
        request = requests.read(job)
        requests.permission_mode(job.type, request, settings)
        claude_program(self._home)
        self._folder(connection, job, request)
        return request

    def _folder(self, connection: sqlite3.Connection, job: Job, request: JobRequest) -> Path | None:
        """Where it runs; None for a folder of its own. Raises BadInput."""
        if job.type == "commander_turn":
            return Path(self._home)
        if request.purpose:
            return None
        project = ProjectRepo(connection).get(job.project_id) if job.project_id else None
        root = project.repo_root if project else job.repo_root
        if not root:
            raise BadInput("it names no project that is known, and no folder")
        if not Path(root).is_absolute():
            raise BadInput(f"its folder {root} is not an absolute path")
        if not Path(root).is_dir():
            raise BadInput(f"its folder {root} is not there any more")
        return Path(root)

    def _plan_semantics(self, settings: Config) -> None:
        """Queue a question about the briefings that nobody classified, when a batch is due."""
        self._semantics_in = math.inf
        if not settings.semantics.enabled:
            return
        connection = self._connect()
        wait = 0 if self._mode == "once" else 60 * settings.semantics.wait_minutes
        batch, self._semantics_in = semantics.due(connection, wait)
        if left_today(connection, settings) < LEAST_BUDGET_USD:
            self._semantics_in = math.inf  # tomorrow's, if they are news then
            return
        if not batch:
            return
        with self._writing():
            request = JobRequest(
                prompt=semantics.question(connection, batch),
                system_prompt=semantics.SYSTEM_PROMPT,
                purpose="semantic_fields",
                briefing_ids=tuple(batch),
            )
            job_id = JobRepo(connection).create(
                type="worker_task",
                model=settings.semantics.model,
                request_json=request.to_json(),
            )
            semantics.DerivedRepo(connection).note_asked(batch, job_id)

    # --- one job ---

    async def _do(self, work: Work) -> None:
        """Run a job and put down how it ended, whatever happens."""
        try:
            outcome = await self._outcome(work)
        except (FleetError, OSError) as error:
            outcome = Outcome("failed", error=str(error), cost_usd=0.0)
        except Exception as error:
            log.write(self._home, "jobs", f"job {work.job.job_id}: {type(error).__name__}: {error}")
            outcome = Outcome("failed", error=f"Fleet's runner: {type(error).__name__}: {error}")
        status = await self._in_thread(self._finish, work, outcome)
        cost = f", ${outcome.cost_usd:.4f}" if outcome.cost_usd is not None else ""
        reason = f": {outcome.error}" if outcome.error and status == "failed" else ""
        text = f"job {work.job.job_id} {status}{cost}{reason}"
        self._say(Notice(text, work.job.job_id, status, outcome.cost_usd, outcome.error or None))

    async def _outcome(self, work: Work) -> Outcome:
        job, request = work.job, work.request
        with tempfile.TemporaryDirectory(prefix="fleet-job-") as scratch:
            resume = None
            if job.type == "commander_turn":
                # What other sessions have just done belongs into what the Commander is told.
                with contextlib.suppress(FleetError, OSError):
                    await asyncio.to_thread(drain, self._home, timeout=20.0)
                resume = await self._in_thread(lambda: last_conversation(self._connect()))
            folder = await self._in_thread(lambda: self._folder(self._connect(), job, request))
            empty = Path(scratch) / "empty"
            empty.mkdir()
            command = await asyncio.to_thread(
                requests.command,
                job,
                request,
                work.config,
                home=self._home,
                program=claude_program(self._home),
                budget_usd=work.run.budget_usd,
                resume=resume,
                scratch=Path(scratch),
            )
            child = await Child.start(
                command, folder or empty, requests.environment(job, self._home)
            )
            try:
                # Who it is comes first, and durably: it does nothing before it has its prompt.
                if not await self._in_thread(self._note_process, work, child.name):
                    return Outcome("failed", error="another runner has it", cost_usd=0.0)
                return await self._attend(work, child)
            finally:
                await child.end(0.0)
                child.close()

    async def _attend(self, work: Work, child: Child) -> Outcome:
        """Give it the prompt, keep its lines, and see it to its end."""
        stream = _Stream()
        giving = asyncio.create_task(child.give(work.request.prompt))
        reading = asyncio.create_task(self._to_its_end(work, child, stream))
        stopping = asyncio.create_task(work.stop.wait())
        seconds = work.request.timeout_seconds or work.config.jobs.timeout_seconds
        try:
            await asyncio.wait(
                {reading, stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if not reading.done():
                work.end("timeout")
                await child.end()
            code = await reading
        finally:
            for task in (giving, stopping, reading):
                task.cancel()
        if work.reason and not (work.reason == "timeout" and stream.result):
            return self._ended_by_us(work, stream, seconds)
        return self._judged(work, stream, code, await child.complaint())

    async def _to_its_end(self, work: Work, child: Child, stream: "_Stream") -> int:
        """Its exit code; it may live on after its last line."""
        await self._keep_lines(work, child, stream)
        return await child.wait()

    async def _keep_lines(self, work: Work, child: Child, stream: "_Stream") -> None:
        """Each line a row as it comes; those that come together share a commit."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(_LINES_WAITING)

        async def read() -> None:
            try:
                async for line in child.lines():
                    await queue.put(line)
            except asyncio.CancelledError:
                raise  # nobody takes from the queue any more
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
                await self._in_thread(
                    self._store, work, stream, [line for line in lines if line is not None]
                )
            await reading
        finally:
            reading.cancel()

    def _store(self, work: Work, stream: "_Stream", lines: list[bytes]) -> None:
        chunks = [chunk for line in lines if (chunk := stream.take(line))]
        if chunks:
            with self._writing() as connection:
                for chunk in chunks:
                    JobRepo(connection).append_stream_chunk(work.job.job_id, chunk)

    def _note_process(self, work: Work, name: ProcessName) -> bool:
        with self._writing() as connection:
            return JobRunRepo(connection).note_process(work.run, name.pid, name.started)

    def _ended_by_us(self, work: Work, stream: "_Stream", seconds: float) -> Outcome:
        if work.reason == "timeout":
            return stream.outcome(
                "failed", error=f"it took longer than {seconds:g} s and was ended"
            )
        if work.reason == "canceled":
            return stream.outcome("canceled")
        return stream.outcome("failed", error="its runner was stopped while it was at work")

    def _judged(self, work: Work, stream: "_Stream", code: int, complaint: str) -> Outcome:
        """How a `claude` that ended by itself did."""
        result = stream.result
        if result is None:
            said = complaint.splitlines()[-1] if complaint else "it said nothing"
            return stream.outcome("failed", error=f"claude ended with {code}, no result: {said}")
        ended_by_us = work.reason == "timeout"  # its result was there before
        if code and not result.get("is_error") and not ended_by_us:
            return stream.outcome("failed", error=f"claude ended with {code} after its result")
        if result.get("is_error"):
            errors = result.get("errors")
            said = str(result.get("result") or "")
            if isinstance(errors, list) and errors:
                said = "; ".join(map(str, errors))
            if result.get("subtype") == "error_max_budget_usd":
                said = f"it reached its cap of ${work.run.budget_usd:.2f}: jobs.max_usd raises it"
            return stream.outcome("failed", error=said or f"claude ended with {code}")
        if work.request.purpose and "structured_output" not in result:
            return stream.outcome("failed", error="the model gave no structured answer")
        denied = result.get("permission_denials")
        note = f" ({len(denied)} tool calls were not allowed)" if denied else ""
        outcome = stream.outcome("completed", summary=f"{result.get('result') or ''}{note}")
        return replace(outcome, quiet=work.request.purpose is not None)

    def _finish(self, work: Work, outcome: Outcome) -> str:
        """The run, the job, its event, and what the answer brings about: one transaction."""
        try:
            with self._writing() as connection:
                runs = JobRunRepo(connection)
                if work.reason == "shutdown" and outcome.status == "failed":
                    return runs.settle_lost(runs.latest(work.job.job_id) or work.run)
                if outcome.status == "completed" and work.request.purpose:
                    answer = json.loads(outcome.result_json or "{}").get("structured_output")
                    semantics.apply(connection, work.request.briefing_ids, answer)
                if work.job.type == "commander_turn" and outcome.status == "completed":
                    conversations = ConversationRepo(connection)
                    conversation = conversations.get_or_create_commander(self._home)
                    conversations.continue_in(conversation, outcome.session_id)
                took = runs.finish(work.run, outcome)
                return outcome.status if took else "given to another runner"
        except (sqlite3.Error, FleetError) as error:
            if not isinstance(error, BadInput):
                raise
            return self._finish(work, replace(outcome, status="failed", error=str(error)))
        except Exception as error:
            # One job's odd answer must not be the end of the runner, nor of the other jobs.
            log.write(self._home, "jobs", f"job {work.job.job_id}: {type(error).__name__}: {error}")
            said = f"its end could not be stored: {type(error).__name__}"
            with self._writing() as connection:
                bare = Outcome("failed", error=said, cost_usd=outcome.cost_usd)
                JobRunRepo(connection).finish(work.run, bare)
            return "failed"


def left_today(connection: sqlite3.Connection, settings: Config) -> float:
    """US dollars that jobs begun today may still cost."""
    return settings.jobs.max_usd_per_day - JobRunRepo(connection).spent_since(start_of_day())


def day_is_spent(settings: Config) -> str:
    """Why no job is begun any more today."""
    return (
        f"the day's cap of ${settings.jobs.max_usd_per_day:.2f} for jobs is reached:"
        " jobs.max_usd_per_day raises it (`fleet config set`)"
    )


class _Stream:
    """What Claude Code has said so far."""

    def __init__(self) -> None:
        self.result: dict[str, Any] | None = None
        self._session_id: str | None = None
        self._kept = 0
        self._is_full = False

    def take(self, line: bytes) -> str | None:
        """A line as it is stored, without its secrets; None for one that is not kept."""
        if not line.strip():
            return None
        try:
            # NaN is no JSON.
            value = json.loads(line, parse_constant=lambda _name: None)
        except (ValueError, RecursionError):
            value = {"type": "fleet_unreadable", "text": line[:2000].decode("utf-8", "replace")}
        if not isinstance(value, dict):
            value = {"type": "fleet_unreadable"}
        try:
            value = _redacted(value)
        except RecursionError:  # nested without end: what it says at its surface is enough
            flat = {key: one for key, one in value.items() if not isinstance(one, dict | list)}
            value = _redacted(flat)
        if value.get("type") == "result":
            self.result = value
        if isinstance(value.get("session_id"), str):
            self._session_id = value["session_id"]
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        self._kept += len(text)
        if self._kept <= STREAM_LIMIT or value.get("type") == "result":
            return text
        if self._is_full:
            return None
        self._is_full = True
        return json.dumps({"type": "fleet_cut", "text": "what followed was too much to keep"})

    def outcome(self, status: Any, *, summary: str = "", error: str = "") -> Outcome:
        result = self.result or {}
        usage = result.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        read = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        return Outcome(
            status,
            json.dumps(self.result, ensure_ascii=False) if self.result else None,
            summary=summary,
            error=error,
            session_id=self._session_id,
            cost_usd=_dollars(result.get("total_cost_usd")),
            input_tokens=sum(_number(usage.get(name)) for name in read) if usage else None,
            output_tokens=_number(usage.get("output_tokens")) if usage else None,
        )


def _dollars(value: object) -> float | None:
    """None for what no cost can be: then the run counts as its budget."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
        return None
    return float(value)


def _number(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 2**60 else 0


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value.encode("utf-8", "replace").decode())
    if isinstance(value, list):
        return [_redacted(item) for item in value]
    if isinstance(value, dict):
        return {_redacted(key): _redacted(item) for key, item in value.items()}
    return value
