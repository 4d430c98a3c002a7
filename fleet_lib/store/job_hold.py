"""The hold on the queue of jobs: while the model's service refuses every job alike, no job is
charged with it. One event announces a hold; the first answer of the model ends it."""

import sqlite3
import time

from fleet_lib import clock
from fleet_lib.records import Record
from fleet_lib.store.jobs import JobRepo
from fleet_lib.store.outbox import OutboxRepo
from fleet_lib.text import clean

# How long to wait where the client does not say until when: doubled with each refusal.
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 60, 1800
_LATER_SECONDS = 2
_LONGEST_HOLD_SECONDS = 8 * 86400  # a weekly limit; a time beyond it is a mistake
_REASON_LIMIT = 300  # characters


class Hold(Record):
    reason: str
    since: str
    held_until: str
    refusals: int

    def __str__(self) -> str:
        return f"Jobs wait until {clock.local(self.held_until)}: {self.reason}."

    @property
    def is_active(self) -> bool:
        return self.held_until > clock.now()


class JobHoldRepo:
    """Uses the caller's connection and transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def get(self) -> Hold | None:
        """The hold, also when its time is over: then one job is tried."""
        row = self._connection.execute("SELECT * FROM job_hold").fetchone()
        return Hold(*(row[name] for name in Hold.__annotations__)) if row else None

    def of_waiting_jobs(self) -> Hold | None:
        """The hold that keeps queued jobs waiting now."""
        hold = self.get()
        return hold if hold and hold.is_active and JobRepo(self._connection).has_queued() else None

    def extend(self, reason: str, until: float | None) -> Hold:
        """Hold the queue after a refusal, until a Unix time in seconds if the client named one. An
        event announces the first of several refusals in a row."""
        from fleet_lib.redact import redact  # those who only look at the queue need none of it

        before = self.get()
        refusals = before.refusals + 1 if before else 1
        pause = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(refusals - 1, 10), _LONGEST_PAUSE_SECONDS)
        if until is not None:
            # A moment later: the service's clock may be a little behind ours.
            pause = min(max(until - time.time(), 0.0) + _LATER_SECONDS, _LONGEST_HOLD_SECONDS)
        hold = Hold(
            clean(redact(reason), _REASON_LIMIT),
            before.since if before else clock.now(),
            clock.ahead(pause),
            refusals,
        )
        self._connection.execute(
            "INSERT OR REPLACE INTO job_hold VALUES (1, ?, ?, ?, ?)",
            (hold.reason, hold.since, hold.held_until, hold.refusals),
        )
        if before is None:
            message = f"Jobs wait and are tried again: {hold.reason}"
            OutboxRepo(self._connection).add(
                type="error",
                broadcast_level="highlight",
                payload={"error": {"message": message, "code": "jobs_held"}},
            )
        return hold

    def try_now(self) -> None:
        """Let one job be tried at once."""
        self._connection.execute("UPDATE job_hold SET held_until = ?", (clock.now(),))

    def release(self) -> None:
        """The model has answered: nothing is held any more."""
        self._connection.execute("DELETE FROM job_hold")
