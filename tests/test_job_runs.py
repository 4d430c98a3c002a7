"""Claims, lanes, leases and costs of headless jobs; ending a process with its children."""

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
from fleet_lib.store.job_hold import JobHoldRepo
from fleet_lib.store.job_runs import JobRunRepo, Outcome, Run, is_gone, runner_name, start_of_day
from fleet_lib.store.jobs import JobRepo
from fleet_lib.store.outbox import OutboxRepo

ME = runner_name()
DEAD = f"{socket.gethostname()} 999999 1.00"
OTHER_HOST = "another-host 7 1.00"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = db.connect(tmp_path / "fleet.db")
    yield opened
    opened.close()


def queue(connection: sqlite3.Connection, **fields: Any) -> int:
    columns = {"type": "worker_task", "model": "haiku", "request_json": "{}"} | fields
    return JobRepo(connection).create(**columns)


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


def test_next_job_is_the_oldest_in_a_free_lane(connection: sqlite3.Connection) -> None:
    first = queue(connection, project_id="p")
    queue(connection, project_id="p")
    other = queue(connection, project_id="q")
    folder = queue(connection, repo_root="/r")
    queue(connection, repo_root="/r")
    unassigned = queue(connection)
    assert [claim(connection).job_id for _ in range(4)] == [first, other, folder, unassigned]
    assert JobRunRepo(connection).next_job() is None


def test_commander_turns_run_first_and_one_at_a_time(connection: sqlite3.Connection) -> None:
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
    assert runs.claim(job, OTHER_HOST, 1.0) is None


def test_finished_run_cannot_end_again(connection: sqlite3.Connection) -> None:
    queue(connection)
    run = claim(connection)
    runs = JobRunRepo(connection)
    assert runs.finish(run, Outcome("completed", "{}"))
    assert not runs.finish(run, Outcome("failed", error="late"))
    assert status(connection, run.job_id) == "completed"
    assert len(OutboxRepo(connection).get_after(0)) == 1


def test_daily_cost_counts_an_unknown_cost_at_its_cap(
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


def test_event_reports_how_a_job_ended(connection: sqlite3.Connection) -> None:
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
        job = event.payload["job"]
        assert (event.type, event.broadcast_level) == ("job_completed", level)
        assert (job["jobId"], job["type"], job["status"]) == (job_id, kind, outcome.status)
        assert job.get("error", "") == outcome.error
        assert "<" not in job.get("summary", "") and "\n" not in job.get("summary", "")


@pytest.mark.parametrize(
    ("runner", "lease", "is_recovered"),
    [
        (DEAD, "9999-01-01T00:00:00.000Z", True),
        (OTHER_HOST, "9999-01-01T00:00:00.000Z", False),
        (OTHER_HOST, "2026-01-01T00:00:00.000Z", True),
        (f"{socket.gethostname()} {os.getpid()} 1.00", "9999-01-01T00:00:00.000Z", True),
        (ME, "2026-01-01T00:00:00.000Z", False),
    ],
    ids=["dead", "elsewhere", "not renewed", "reused pid", "own"],
)
def test_only_jobs_of_gone_runners_are_recovered(
    connection: sqlite3.Connection, runner: str, lease: str, is_recovered: bool
) -> None:
    job_id = queue(connection)
    claim(connection, runner)
    connection.execute("UPDATE job_runs SET lease_until = ?", (lease,))
    assert recover(connection, ME) == ([(job_id, "queued")] if is_recovered else [])
    assert status(connection, job_id) == ("queued" if is_recovered else "running")
    assert JobRunRepo(connection).next_job() is not None or not is_recovered


def test_renewed_lease_stays_valid(connection: sqlite3.Connection) -> None:
    queue(connection)
    run = claim(connection, OTHER_HOST)
    connection.execute("UPDATE job_runs SET lease_until = '2026-01-01T00:00:00.000Z'")
    JobRunRepo(connection).renew(OTHER_HOST)
    assert recover(connection, ME) == []
    renewed = JobRunRepo(connection).latest(run.job_id)
    assert renewed and renewed.lease_until > clock.now()


def test_lost_job_is_requeued_failed_or_canceled_by_one_rule(
    connection: sqlite3.Connection,
) -> None:
    jobs, runs = JobRepo(connection), JobRunRepo(connection)
    unstarted, started, canceled = (queue(connection) for _ in range(3))
    for _ in range(3):
        run = claim(connection, DEAD)
        if run.job_id == started:
            assert runs.note_process(run, 999999, 1.0)
            jobs.append_stream_chunk(started, '{"type":"system"}')
    runs.request_cancel(canceled)
    outcomes = dict(recover(connection, ME))
    assert outcomes == {unstarted: "queued", started: "failed", canceled: "canceled"}
    assert jobs.get_stream_chunks(started) == ['{"type":"system"}'], "its stream must be kept"
    assert recover(connection, ME) == []
    # A job that never starts is not retried for ever.
    for _ in range(2):
        claim(connection, DEAD)
        recover(connection, ME)
    assert status(connection, unstarted) == "failed"
    spent = runs.spent_since(start_of_day())
    assert spent == 3.0, "a run that never started costs nothing"


def test_running_job_of_another_program_is_left_alone_but_cancelable(
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


def test_message_parts_are_published_to_watchers(connection: sqlite3.Connection) -> None:
    jobs = JobRepo(connection)
    job_id = queue(connection)
    claim(connection)
    partial, complete = '{"type":"stream_event","event":{}}', '{"type":"assistant"}'
    for chunk in (partial, partial, complete):
        jobs.append_stream_chunk(job_id, chunk)
    assert jobs.get_running_chunks(job_id, after=0) == [(1, partial), (2, complete)]
    jobs.complete(job_id, "{}")
    job = jobs.get(job_id)
    assert job and json.loads(job.stream_chunks_json or "") == [complete]
    assert jobs.get_running_chunks(job_id) == []


# --- processes -----------------------------------------------------------------------------------

IGNORES_SIGTERM = """
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


def test_process_ignoring_sigterm_is_killed_with_its_children() -> None:
    process, name = start(IGNORES_SIGTERM)
    assert process.stdout is not None
    child = processes.name_of(int(process.stdout.readline()))
    assert child is not None
    began = time.monotonic()
    processes.end(name, 0.5)
    assert process.wait(30) == -signal.SIGKILL
    assert 0.5 <= time.monotonic() - began < 30
    assert not processes.is_alive(child)
    process.stdout.close()


def test_process_that_obeys_sigterm_ends_without_the_grace_period() -> None:
    process, name = start("import time; time.sleep(60)")
    began = time.monotonic()
    processes.end(name, 30)
    assert process.wait(50) == -signal.SIGTERM and time.monotonic() - began < 50
    assert process.stdout is not None
    process.stdout.close()


def test_unrelated_process_with_the_same_pid_is_left_alone() -> None:
    process, name = start("import time; time.sleep(60)")
    processes.end(ProcessName(name.pid, name.started - 100), 0.1)
    assert process.poll() is None
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    assert processes.name_of(name.pid) is None and not processes.is_alive(name)


def test_runner_is_identified_by_its_name() -> None:
    assert not is_gone(ME)
    assert is_gone(DEAD) and not is_gone(OTHER_HOST) and not is_gone("nonsense")


def test_clock_change_does_not_affect_process_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system counts start times from the boot, and shifts the boot time with the clock."""
    process, name = start("import time; time.sleep(60)")
    boot, created = psutil.boot_time, psutil.Process.create_time
    monkeypatch.setattr(psutil, "boot_time", lambda: boot() + 3600)
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: created(self) + 3600)
    assert processes.is_alive(name)
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_daily_cost_starts_at_local_midnight_across_dst_changes(
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


def test_runner_with_an_unreadable_name_is_judged_by_its_lease(
    connection: sqlite3.Connection,
) -> None:
    queue(connection)
    claim(connection, f"{socket.gethostname()} 1 nonsense")
    assert recover(connection, ME) == []
    connection.execute("UPDATE job_runs SET lease_until = '2026-01-01T00:00:00.000Z'")
    assert len(recover(connection, ME)) == 1


def test_start_recorded_by_wall_clock_is_still_recognised() -> None:
    """Earlier versions of Fleet stored start times like this."""
    process = psutil.Process()
    assert processes.is_alive(ProcessName(process.pid, process.create_time()))
    assert not processes.is_alive(ProcessName(process.pid, process.create_time() - 100))


def test_hold_without_a_named_end_doubles_its_pause_and_is_announced_once(
    connection: sqlite3.Connection,
) -> None:
    hold = JobHoldRepo(connection)
    pauses = []
    for _ in range(8):
        began = clock.now()
        held = hold.extend("the login is not valid", None)
        pauses.append(round(clock.parse(held.held_until).timestamp() - time.time()))
        assert held.since <= began or held.refusals == 1
    assert [
        abs(pause - expected) <= 1
        for pause, expected in zip(pauses, [60, 120, 240, 480, 960, 1800, 1800, 1800], strict=True)
    ] == [True] * 8
    assert connection.execute("SELECT count(*) FROM outbox_events").fetchone()[0] == 1
    hold.release()
    assert hold.get() is None and hold.extend("again", None).refusals == 1


@pytest.mark.parametrize("until", [-1e12, 0.0, 1e300, float("inf")])
def test_hold_with_an_absurd_end_is_bounded(connection: sqlite3.Connection, until: float) -> None:
    held = JobHoldRepo(connection).extend("the usage limit is reached", until)
    assert clock.now() < held.held_until < clock.ahead(9 * 86400)


def test_held_queue_starts_only_questions_to_the_commander(
    connection: sqlite3.Connection,
) -> None:
    jobs, runs = JobRepo(connection), JobRunRepo(connection)
    jobs.create(type="worker_task", model="haiku", request_json="{}")
    assert runs.next_job(only_commander=True) is None
    question = jobs.create(type="commander_turn", model="haiku", request_json="{}")
    held = runs.next_job(only_commander=True)
    assert held is not None and held.job_id == question


def test_job_that_is_put_back_leaves_no_run_and_no_cost(connection: sqlite3.Connection) -> None:
    runs = JobRunRepo(connection)
    queue(connection)
    run = claim(connection, budget=2.0)
    assert runs.put_back(run) and not runs.put_back(run)
    job = JobRepo(connection).require(run.job_id)
    assert job.status == "queued" and runs.latest(run.job_id) is None
    assert runs.spent_since(start_of_day()) == 0
