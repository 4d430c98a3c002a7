"""The runner with a `claude` that prints invalid results or ends abnormally."""

import contextlib
import json
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from commander.cli import main
from fleet_lib import config
from fleet_lib.jobs import runner, stream, submit
from fleet_lib.jobs.claim import Notice
from fleet_lib.json_text import json_object
from fleet_lib.store import db
from fleet_lib.store.job_runs import JobRunRepo, Run
from fleet_lib.store.jobs import Job, JobRepo

CLIENT = """\
#!{python} -I
import json, os, signal, subprocess, sys, time
def out(text): print(text, flush=True)
def result(**fields):
    out(json.dumps({{"type": "result", "is_error": False, "result": "done", "session_id": "s",
        "total_cost_usd": 0.25, "usage": {{"input_tokens": 3, "output_tokens": 4}}}} | fields))
exec(sys.stdin.read())
"""


class Queue:
    """A home whose `claude` runs its prompt as Python code."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(parents=True)
        program = home / "claude"
        program.write_text(CLIENT.format(python=sys.executable))
        program.chmod(0o755)
        config.put(str(home), "claude.program", str(program))
        self.connection = db.connect(home / "fleet.db")

    def add(self, script: str, folder: str | None = None, **options: Any) -> int:
        """Each job gets its own folder, so that all of them run at once."""
        if folder is None:
            folder = str(self.home / f"folder {time.monotonic_ns()}")
            Path(folder).mkdir()
        return JobRepo(self.connection).create(
            type="worker_task",
            model="haiku",
            request_json=json.dumps({"prompt": script} | options),
            repo_root=folder,
        )

    def run(self) -> list[Notice]:
        notices: list[Notice] = []
        runner.run(str(self.home), "once", notices.append)
        return notices

    def job(self, job_id: int) -> Job:
        job = JobRepo(self.connection).get(job_id)
        assert job is not None
        return job

    def run_of(self, job_id: int) -> Run:
        run = JobRunRepo(self.connection).latest(job_id)
        assert run is not None
        return run


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    opened = Queue(tmp_path / "user" / "fleet home")
    with contextlib.closing(opened.connection):
        yield opened


@pytest.mark.parametrize(
    ("script", "cost"),
    [
        (r"""result(result="a\ud800b", session_id="\ud800", **{"\ud800": "\udfff"})""", 0.25),
        ("result(total_cost_usd=10**400)", None),
        ("result(total_cost_usd=float('nan'), extra=float('inf'))", None),
        ("result(total_cost_usd=-5)", None),
        ("""result(usage={"input_tokens": 10**40, "output_tokens": -1})""", 0.25),
        ("""out('{"a":' * 600 + "1" + "}" * 600); out("[" * 200_000); result()""", 0.25),
        ("""out('{"type":"result","result":"done","x":' + "[" * 600 + "]" * 600 + "}")""", None),
    ],
    ids=["surrogate", "huge", "not finite", "negative", "tokens", "deep line", "deep result"],
)
def test_any_result_completes_its_job_and_the_others(
    queue: Queue, script: str, cost: float | None
) -> None:
    malformed, other = queue.add(script), queue.add("time.sleep(0.5); result()")
    queue.run()
    job = queue.job(malformed)
    assert (job.status, queue.job(other).status) == ("completed", "completed"), job.error
    assert queue.run_of(malformed).cost_usd == cost
    stored = json.loads(job.result_json or "", parse_constant=pytest.fail)
    assert stored["result"] in ("done", "a?b")
    for chunk in JobRepo(queue.connection).get_stream_chunks(malformed):
        list(stream.readable_parts(json_object(chunk)))


def test_unrecordable_end_fails_only_its_own_job(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    malformed, other = queue.add("result(result='odd')"), queue.add("time.sleep(0.5); result()")
    complete = JobRepo.complete

    def fail_to_store(repo: JobRepo, job_id: int, result_json: str) -> bool:
        if job_id == malformed:
            raise OverflowError("too large")
        return complete(repo, job_id, result_json)

    monkeypatch.setattr(JobRepo, "complete", fail_to_store)
    queue.run()
    assert queue.job(malformed).error == "the result could not be stored: OverflowError"
    assert queue.run_of(malformed).cost_usd == 0.25
    assert queue.job(other).status == "completed"


def test_client_that_closed_its_output_is_ended_at_its_time_limit(
    queue: Queue,
) -> None:
    unanswered = queue.add("os.close(1); time.sleep(60)", timeoutSeconds=1)
    answered = queue.add("result(); os.close(1); time.sleep(60)", timeoutSeconds=1)
    began = time.monotonic()
    queue.run()
    assert time.monotonic() - began < 50
    assert queue.job(unanswered).error == "timed out after 1 s"
    assert queue.job(answered).status == "completed"


def test_client_that_closed_its_output_can_be_canceled(queue: Queue) -> None:
    job_id = queue.add("os.close(1); time.sleep(60)")

    def cancel(notice: Notice) -> None:
        if notice.status == "running":
            JobRunRepo(queue.connection).request_cancel(job_id)

    began = time.monotonic()
    runner.run(str(queue.home), "once", cancel)
    assert time.monotonic() - began < 50
    assert queue.job(job_id).status == "canceled"


def test_answer_counts_even_if_the_client_hangs_afterwards(queue: Queue) -> None:
    hanging = queue.add("result(); time.sleep(60)", timeoutSeconds=1)
    failing = queue.add("result(); sys.exit(7)")
    queue.run()
    assert (queue.job(hanging).status, queue.job(hanging).error) == ("completed", None)
    assert stream.answer_of(queue.job(hanging)) == "done"
    assert queue.job(failing).error == "claude exited with code 7 after its result"


def test_job_whose_runner_died_is_reported_with_its_reason(queue: Queue) -> None:
    job_id = queue.add("result()")
    runs = JobRunRepo(queue.connection)
    run = runs.claim(queue.job(job_id), f"{socket.gethostname()} 999999 1.00", 1.0)
    assert run and runs.note_process(run, 999999, 1.0)
    (notice,) = queue.run()
    assert (notice.job_id, notice.status) == (job_id, "failed")
    assert notice.error == queue.job(job_id).error and "the runner died" in notice.error


def test_unknown_or_null_values_in_foreign_rows_are_ignored(queue: Queue) -> None:
    job_id = queue.add("result()", purpose="anything", allowedTools=None, more={"a": 1})
    queue.run()
    assert (queue.job(job_id).status, queue.job(job_id).error) == ("completed", None)


def test_relative_job_folder_is_refused(queue: Queue) -> None:
    job_id = queue.add("result()", folder=".")
    queue.run()
    assert queue.job(job_id).error == "the job's folder . is not an absolute path"


def test_job_that_outlasts_the_wait_is_reported_as_still_running(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = queue.add("result()")
    JobRunRepo(queue.connection).claim(queue.job(job_id), "another-host 7 1.00", 1.0)
    monkeypatch.setattr(submit, "GRACE_SECONDS", 0.1)
    done = CliRunner().invoke(main, ["jobs", "cancel", str(job_id)])
    assert (done.exit_code, done.output) == (1, f"job {job_id} is still ending\n")


def test_stream_that_fills_the_buffer_at_its_end_is_read_completely(queue: Queue) -> None:
    lines = 'sys.stdout.write(\'{"type":"x"}\\n\' * 1999); result()'
    job_id = queue.add(lines, timeoutSeconds=20)
    queue.run()
    job = queue.job(job_id)
    assert (job.status, len(json.loads(job.stream_chunks_json or ""))) == ("completed", 2000)
