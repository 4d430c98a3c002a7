"""Claims, lanes, leases and costs of headless jobs; ending a process with all that it started."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support import ROOT

from fleet_lib import clock, processes
from fleet_lib.jobs.recover import recover
from fleet_lib.processes import ProcessName
from fleet_lib.store import db
from fleet_lib.store.job_runs import JobRunRepo, Outcome, Run, is_gone, runner_name, start_of_day
from fleet_lib.store.jobs import JobRepo
from fleet_lib.store.outbox import OutboxRepo

ME = runner_name()
DEAD = f"{socket.gethostname()} 999999 1.00"
ELSEWHERE = "another-host 7 1.00"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    made = db.connect(tmp_path / "fleet.db")
    yield made
    made.close()


def queue(connection: sqlite3.Connection, **fields: Any) -> int:
    given = {"type": "worker_task", "model": "haiku", "request_json": "{}"} | fields
    return JobRepo(connection).create(**given)


def claim(connection: sqlite3.Connection, runner: str = ME, budget: float = 1.0) -> Run:
    runs = JobRunRepo(connection)
    job = runs.next_job()
    assert job is not None
    run = runs.claim(job, runner, budget)
    assert run is not None
    return run


def status(connection: sqlite3.Connection, job_id: int) -> str:
    job = JobRepo(connection).get(job_id)
    assert job is not None
    return job.status


def test_the_next_job_is_the_oldest_whose_lane_is_free(connection: sqlite3.Connection) -> None:
    first = queue(connection, project_id="p")
    queue(connection, project_id="p")
    other = queue(connection, project_id="q")
    folder = queue(connection, repo_root="/r")
    queue(connection, repo_root="/r")
    alone = queue(connection)
    assert [claim(connection).job_id for _ in range(4)] == [first, other, folder, alone]
    assert JobRunRepo(connection).next_job() is None


def test_the_commanders_turn_goes_first_and_one_at_a_time(connection: sqlite3.Connection) -> None:
    queue(connection, project_id="p")
    turn = queue(connection, type="commander_turn", project_id="p")
    queue(connection, type="commander_turn", project_id="q")
    assert claim(connection).job_id == turn
    assert claim(connection).job_id != turn
    assert JobRunRepo(connection).next_job() is None


def test_a_claimed_job_cannot_be_claimed_again(connection: sqlite3.Connection) -> None:
    queue(connection)
    runs = JobRunRepo(connection)
    job = runs.next_job()
    assert job is not None
    assert runs.claim(job, ME, 1.0) is not None
    assert runs.claim(job, ELSEWHERE, 1.0) is None


def test_a_run_that_is_over_cannot_end_again(connection: sqlite3.Connection) -> None:
    queue(connection)
    run = claim(connection)
    runs = JobRunRepo(connection)
    assert runs.finish(run, Outcome("completed", "{}"))
    assert not runs.finish(run, Outcome("failed", error="late"))
    assert status(connection, run.job_id) == "completed"
    assert len(OutboxRepo(connection).get_after(0)) == 1


def test_the_days_cost_counts_what_is_not_known_as_what_it_may_be(
    connection: sqlite3.Connection,
) -> None:
    runs = JobRunRepo(connection)
    for cost in (0.25, None):
        queue(connection)
        runs.finish(claim(connection, budget=2.0), Outcome("completed", "{}", cost_usd=cost))
    queue(connection)
    claim(connection, budget=0.5)
    assert runs.spent_since(start_of_day()) == 0.25 + 2.0 + 0.5
    assert runs.spent_since("9999-01-01T00:00:00.000Z") == 0


def test_an_event_says_how_a_job_ended(connection: sqlite3.Connection) -> None:
    runs = JobRunRepo(connection)
    for kind, outcome, level in (
        ("worker_task", Outcome("completed", "{}", summary="It <is>\ndone."), "mention"),
        ("worker_task", Outcome("failed", error="no luck"), "highlight"),
        ("worker_task", Outcome("canceled"), "mention"),
        ("worker_task", Outcome("completed", "{}", quiet=True), "silent"),
        ("commander_turn", Outcome("failed", error="no luck"), "silent"),
    ):
        job_id = queue(connection, type=kind)
        runs.finish(claim(connection), outcome)
        event = OutboxRepo(connection).get_latest(1)[0]
        assert event.payload is not None
        told = event.payload["job"]
        assert (event.type, event.broadcast_level) == ("job_completed", level)
        assert (told["jobId"], told["type"], told["status"]) == (job_id, kind, outcome.status)
        assert told.get("error", "") == outcome.error
        assert "<" not in told.get("summary", "") and "\n" not in told.get("summary", "")


@pytest.mark.parametrize(
    ("runner", "lease", "settled"),
    [
        (DEAD, "9999-01-01T00:00:00.000Z", True),
        (ELSEWHERE, "9999-01-01T00:00:00.000Z", False),
        (ELSEWHERE, "2026-01-01T00:00:00.000Z", True),
        (f"{socket.gethostname()} {os.getpid()} 1.00", "9999-01-01T00:00:00.000Z", True),
        (ME, "2026-01-01T00:00:00.000Z", False),
    ],
    ids=["dead", "elsewhere", "not renewed", "another process's number", "our own"],
)
def test_only_what_nobody_has_any_more_is_settled(
    connection: sqlite3.Connection, runner: str, lease: str, settled: bool
) -> None:
    job_id = queue(connection)
    claim(connection, runner)
    connection.execute("UPDATE job_runs SET lease_until = ?", (lease,))
    assert recover(connection, ME) == ([(job_id, "queued")] if settled else [])
    assert status(connection, job_id) == ("queued" if settled else "running")
    assert JobRunRepo(connection).next_job() is not None or not settled


def test_a_lease_that_is_renewed_holds(connection: sqlite3.Connection) -> None:
    queue(connection)
    run = claim(connection, ELSEWHERE)
    connection.execute("UPDATE job_runs SET lease_until = '2026-01-01T00:00:00.000Z'")
    JobRunRepo(connection).renew(ELSEWHERE)
    assert recover(connection, ME) == []
    renewed = JobRunRepo(connection).latest(run.job_id)
    assert renewed and renewed.lease_until > clock.now()


def test_a_lost_job_is_queued_again_failed_or_canceled_by_one_rule(
    connection: sqlite3.Connection,
) -> None:
    jobs, runs = JobRepo(connection), JobRunRepo(connection)
    fresh, begun, unwanted = (queue(connection) for _ in range(3))
    for _ in range(3):
        run = claim(connection, DEAD)
        if run.job_id == begun:
            assert runs.note_process(run, 999999, 1.0)
            jobs.append_stream_chunk(begun, '{"type":"system"}')
    runs.request_cancel(unwanted)
    told = dict(recover(connection, ME))
    assert told == {fresh: "queued", begun: "failed", unwanted: "canceled"}
    assert jobs.get_stream_chunks(begun) == ['{"type":"system"}'], "what it did is kept"
    assert recover(connection, ME) == []
    # One that never begins is not tried for ever.
    for _ in range(2):
        claim(connection, DEAD)
        recover(connection, ME)
    assert status(connection, fresh) == "failed"
    spent = runs.spent_since(start_of_day())
    assert spent == 3.0, "a run that never began costs nothing"


def test_another_programs_running_job_is_left_alone_and_can_be_canceled(
    connection: sqlite3.Connection,
) -> None:
    foreign = queue(connection, project_id="p", status="running")
    ours = queue(connection, project_id="p")
    assert recover(connection, ME) == []
    assert claim(connection).job_id == ours
    runs = JobRunRepo(connection)
    assert not runs.request_cancel(foreign)
    assert runs.cancel_unclaimed(foreign)
    assert status(connection, foreign) == "canceled"


def test_the_parts_of_a_message_are_for_whoever_watches(connection: sqlite3.Connection) -> None:
    jobs = JobRepo(connection)
    job_id = queue(connection)
    claim(connection)
    part, whole = '{"type":"stream_event","event":{}}', '{"type":"assistant"}'
    for chunk in (part, part, whole):
        jobs.append_stream_chunk(job_id, chunk)
    assert jobs.get_running_chunks(job_id, after=0) == [(1, part), (2, whole)]
    jobs.complete(job_id, "{}")
    job = jobs.get(job_id)
    assert job and json.loads(job.stream_chunks_json or "") == [whole]
    assert jobs.get_running_chunks(job_id) == []


# --- processes -----------------------------------------------------------------------------------

STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""


def start(text: str) -> "tuple[subprocess.Popen[str], ProcessName]":
    process = subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    name = processes.name_of(process.pid)
    assert name is not None
    return process, name


def test_what_ignores_sigterm_is_killed_with_what_it_started() -> None:
    process, name = start(STUBBORN)
    assert process.stdout is not None
    child = processes.name_of(int(process.stdout.readline()))
    assert child is not None
    began = time.monotonic()
    processes.end(name, 0.5)
    assert process.wait(5) == -signal.SIGKILL
    assert 0.5 <= time.monotonic() - began < 5
    assert not processes.is_alive(child)
    process.stdout.close()


def test_what_heeds_sigterm_is_not_waited_for() -> None:
    process, name = start("import time; time.sleep(60)")
    began = time.monotonic()
    processes.end(name, 30)
    assert process.wait(5) == -signal.SIGTERM and time.monotonic() - began < 5
    assert process.stdout is not None
    process.stdout.close()


def test_a_stranger_with_the_same_number_is_left_alone() -> None:
    process, name = start("import time; time.sleep(60)")
    processes.end(ProcessName(name.pid, name.started - 100), 0.1)
    assert process.poll() is None
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    assert processes.name_of(name.pid) is None and not processes.is_alive(name)


def test_a_runner_is_known_by_its_name() -> None:
    assert not is_gone(ME)
    assert is_gone(DEAD) and not is_gone(ELSEWHERE) and not is_gone("nonsense")


def test_setting_the_clock_makes_no_stranger_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system counts starts from the boot, and moves the boot's time with the clock."""
    process, name = start("import time; time.sleep(60)")
    boot, created = psutil.boot_time, psutil.Process.create_time
    monkeypatch.setattr(psutil, "boot_time", lambda: boot() + 3600)
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: created(self) + 3600)
    assert processes.is_alive(name)
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_the_days_costs_are_counted_from_the_local_midnight_when_the_clocks_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = "from fleet_lib.store import job_runs; from datetime import datetime as d\n"
    program += "class D(d):\n  now = classmethod(lambda c: c(2026, 10, 25, 15))\n"
    program += "job_runs.datetime = D; print(job_runs.start_of_day())"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "TZ": "Europe/Berlin"},
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout.strip() == "2026-10-24T22:00:00.000Z"


def test_a_runners_name_that_nobody_can_read_is_judged_by_its_lease(
    connection: sqlite3.Connection,
) -> None:
    queue(connection)
    claim(connection, f"{socket.gethostname()} 1 nonsense")
    assert recover(connection, ME) == []
    connection.execute("UPDATE job_runs SET lease_until = '2026-01-01T00:00:00.000Z'")
    assert len(recover(connection, ME)) == 1


def test_a_start_that_was_put_down_by_the_clock_is_still_known() -> None:
    """As Fleet did before it counted from the boot."""
    me = psutil.Process()
    assert processes.is_alive(ProcessName(me.pid, me.create_time()))
    assert not processes.is_alive(ProcessName(me.pid, me.create_time() - 100))
