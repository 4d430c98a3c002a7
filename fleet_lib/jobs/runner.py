"""The runner's loop: it claims jobs, starts each and watches them until the queue is empty. One
runs per home (run.py and `fleet jobs run` hold the lock). It learns of a cancellation from the
database, so that a program that cancels a job need not be able to reach the runner."""

import asyncio
import contextlib
import math
import signal
import sqlite3
import time
from collections.abc import Callable
from typing import Literal

from fleet_lib import clock, config, log
from fleet_lib.config import Config
from fleet_lib.drain.foreground import drain_forgotten
from fleet_lib.errors import BadInput
from fleet_lib.jobs import recover, semantics
from fleet_lib.jobs.claim import Notice, Work, claim_next
from fleet_lib.jobs.database import Database
from fleet_lib.jobs.one_job import run_job
from fleet_lib.notify.due import start_if_due
from fleet_lib.redact import redact
from fleet_lib.store.job_hold import JobHoldRepo
from fleet_lib.store.job_runs import LEASE_SECONDS, runner_name
from fleet_lib.store.jobs import JobRepo

Mode = Literal["once", "forever", "background"]
Report = Callable[[Notice], None]

_POLL_SECONDS = 0.2
_IDLE_SECONDS = 0.5
_RENEW_SECONDS = LEASE_SECONDS / 3


def run(home: str, mode: Mode, report: Report = lambda notice: None) -> float:
    """Run jobs until nothing is left to do now, or until a signal; the caller holds the lock.
    Returns the seconds until there is more to do: 0.0 if a job was queued just now, inf for
    nothing. `report` is called with every job that starts and ends.

    Raises FleetError, sqlite3.Error or OSError if the work cannot go on."""
    return asyncio.run(Runner(home, mode, report).work())


class Runner:
    def __init__(self, home: str, mode: Mode, report: Report) -> None:
        self._home = home
        self._mode = mode
        self._report = report
        self._name = runner_name()
        self._database = Database(home)
        self._running: dict[int, tuple[Work, asyncio.Task[None]]] = {}
        self._is_closing = False
        self._failure: BaseException | None = None
        self._settings: tuple[float, Config] | None = None  # (the file's time, what it says)
        self._renew_at = 0.0
        self._draining: asyncio.Task[None] | None = None
        self._semantics_in = math.inf  # seconds until a batch of briefings is due

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
                while not self._is_closing and await self._start_next():
                    pass
                if not self._running and (self._is_closing or await self._is_done()):
                    break
                await self._pause()
            if self._is_closing:
                return math.inf
            return min(await self._database.call(_seconds_to_work), self._semantics_in)
        finally:
            self._stop_all()
            if self._running:
                await asyncio.wait([task for _, task in self._running.values()])
            await self._database.close()

    async def _start_next(self) -> bool:
        """Claim the next job and start it. False if there is none to start now."""
        settings = self._current_settings()
        wait = 0 if self._mode == "once" else 60 * settings.semantics.wait_minutes
        self._semantics_in = await self._database.call(semantics.queue_question, settings, wait)
        work, refused = await self._database.call(claim_next, self._home, self._name, settings)
        for notice in refused:
            self._report(notice)
        if work is None:
            return False
        job = work.job
        text = f"job {job.job_id} started ({job.type}, {job.model})"
        self._report(Notice(text, job.job_id, "running"))
        task = asyncio.create_task(self._run(work))
        self._running[job.job_id] = (work, task)
        task.add_done_callback(lambda done: self._ended(job.job_id, done))
        return True

    async def _run(self, work: Work) -> None:
        self._report(await run_job(work, self._home, self._database))
        await self._database.call(start_if_due, self._home)  # a failed job is an alert

    def _ended(self, job_id: int, task: "asyncio.Task[None]") -> None:
        del self._running[job_id]
        # Its end could not be stored: this runner ends, and the next one settles the job.
        self._failure = self._failure or task.exception()

    async def _look_after(self) -> None:
        """Renew the leases, settle the jobs of dead runners, and stop the jobs that must stop."""
        if time.monotonic() >= self._renew_at:
            self._renew_at = time.monotonic() + _RENEW_SECONDS
            for notice in await self._database.call(recover.renew_and_recover, self._name):
                self._report(notice)
            if self._draining is None or self._draining.done():
                self._draining = asyncio.create_task(asyncio.to_thread(drain_forgotten, self._home))
        if self._running:
            reasons = await self._database.call(
                recover.stop_reasons, self._name, list(self._running)
            )
            for job_id, reason in reasons.items():
                if job_id in self._running:
                    self._running[job_id][0].stop(reason)

    async def _is_done(self) -> bool:
        return self._mode != "forever" and await self._database.call(_seconds_to_work) > 0

    async def _pause(self) -> None:
        """Wait until a job has ended, or it is time to look again."""
        tasks = [task for _, task in self._running.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(_IDLE_SECONDS)

    def _close(self, number: int) -> None:
        """The first Ctrl-C lets running jobs finish; a second one, or another signal, stops
        them."""
        if number == signal.SIGINT and not self._is_closing and self._running:
            self._is_closing = True
            jobs = (
                "1 running job" if len(self._running) == 1 else f"{len(self._running)} running jobs"
            )
            self._report(Notice(f"waiting for {jobs} to finish; press Ctrl-C again to stop now"))
            return
        self._is_closing = True
        self._stop_all()

    def _stop_all(self) -> None:
        for work, _ in self._running.values():
            work.stop("shutdown")

    def _current_settings(self) -> Config:
        """The settings, read again when the file has changed."""
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
                # A mistake in an editor must not end running jobs.
                self._settings = (changed, self._settings[1])
                # It may quote a setting, such as an address with a key in it.
                log.write(self._home, "jobs", redact(f"the changed settings are not used: {error}"))
        return self._settings[1]


def _seconds_to_work(connection: sqlite3.Connection) -> float:
    """Seconds until a queued job may run: 0.0 for now, inf if none is queued."""
    jobs, hold = JobRepo(connection), JobHoldRepo(connection).get()
    if not jobs.has_queued():
        return math.inf
    if hold is None or jobs.has_queued("commander_turn"):
        return 0.0
    return max(0.0, -clock.seconds_since(hold.held_until))
