"""The runner with a `claude` that says what no client should, or ends as none should."""

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
    """A home whose `claude` does what its prompt says, in Python."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(parents=True)
        program = home / "claude"
        program.write_text(CLIENT.format(python=sys.executable))
        program.chmod(0o755)
        config.put(str(home), "claude.program", str(program))
        self.connection = db.connect(home / "fleet.db")

    def add(self, script: str, folder: str | None = None, **asked: Any) -> int:
        """Each in a folder of its own, so that all of them run at once."""
        if folder is None:
            folder = str(self.home / f"folder {time.monotonic_ns()}")
            Path(folder).mkdir()
        return JobRepo(self.connection).create(
            type="worker_task",
            model="haiku",
            request_json=json.dumps({"prompt": script} | asked),
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
    made = Queue(tmp_path / "user" / "fleet home")
    with contextlib.closing(made.connection):
        yield made


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
def test_whatever_a_result_holds_its_job_and_the_others_complete(
    queue: Queue, script: str, cost: float | None
) -> None:
    odd, other = queue.add(script), queue.add("time.sleep(0.5); result()")
    queue.run()
    job = queue.job(odd)
    assert (job.status, queue.job(other).status) == ("completed", "completed"), job.error
    assert queue.run_of(odd).cost_usd == cost
    kept = json.loads(job.result_json or "", parse_constant=pytest.fail)
    assert kept["result"] in ("done", "a?b")
    for chunk in JobRepo(queue.connection).get_stream_chunks(odd):
        list(stream.readable_parts(json_object(chunk)))


def test_an_end_that_cannot_be_put_down_fails_its_job_and_no_other(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd, other = queue.add("result(result='odd')"), queue.add("time.sleep(0.5); result()")
    complete = JobRepo.complete

    def stumble(repo: JobRepo, job_id: int, result_json: str) -> bool:
        if job_id == odd:
            raise OverflowError("too large")
        return complete(repo, job_id, result_json)

    monkeypatch.setattr(JobRepo, "complete", stumble)
    queue.run()
    assert queue.job(odd).error == "the result could not be stored: OverflowError"
    assert queue.run_of(odd).cost_usd == 0.25
    assert queue.job(other).status == "completed"


def test_a_client_that_closes_its_output_and_lives_on_is_ended_at_its_time_limit(
    queue: Queue,
) -> None:
    silent = queue.add("os.close(1); time.sleep(60)", timeoutSeconds=1)
    answered = queue.add("result(); os.close(1); time.sleep(60)", timeoutSeconds=1)
    began = time.monotonic()
    queue.run()
    assert time.monotonic() - began < 20
    assert queue.job(silent).error == "timed out after 1 s"
    assert queue.job(answered).status == "completed"


def test_a_client_that_closes_its_output_and_lives_on_can_be_canceled(queue: Queue) -> None:
    job_id = queue.add("os.close(1); time.sleep(60)")

    def cancel(notice: Notice) -> None:
        if notice.status == "running":
            JobRunRepo(queue.connection).request_cancel(job_id)

    began = time.monotonic()
    runner.run(str(queue.home), "once", cancel)
    assert time.monotonic() - began < 20
    assert queue.job(job_id).status == "canceled"


def test_an_answer_counts_though_its_client_hangs_after_it(queue: Queue) -> None:
    hung = queue.add("result(); time.sleep(60)", timeoutSeconds=1)
    broke = queue.add("result(); sys.exit(7)")
    queue.run()
    assert (queue.job(hung).status, queue.job(hung).error) == ("completed", None)
    assert stream.answer_of(queue.job(hung)) == "done"
    assert queue.job(broke).error == "claude exited with code 7 after its result"


def test_a_job_whose_runner_died_is_told_with_its_reason(queue: Queue) -> None:
    job_id = queue.add("result()")
    runs = JobRunRepo(queue.connection)
    run = runs.claim(queue.job(job_id), f"{socket.gethostname()} 999999 1.00", 1.0)
    assert run and runs.note_process(run, 999999, 1.0)
    (notice,) = queue.run()
    assert (notice.job_id, notice.status) == (job_id, "failed")
    assert notice.error == queue.job(job_id).error and "the runner died" in notice.error


def test_what_is_unknown_or_null_in_a_row_of_another_program_is_ignored(queue: Queue) -> None:
    job_id = queue.add("result()", purpose="anything", allowedTools=None, more={"a": 1})
    queue.run()
    assert (queue.job(job_id).status, queue.job(job_id).error) == ("completed", None)


def test_a_folder_that_depends_on_where_the_runner_is_is_refused(queue: Queue) -> None:
    job_id = queue.add("result()", folder=".")
    queue.run()
    assert queue.job(job_id).error == "the job's folder . is not an absolute path"


def test_a_job_that_does_not_end_in_time_is_said_to_be_still_at_work(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = queue.add("result()")
    JobRunRepo(queue.connection).claim(queue.job(job_id), "another-host 7 1.00", 1.0)
    monkeypatch.setattr(submit, "GRACE_SECONDS", 0.1)
    done = CliRunner().invoke(main, ["jobs", "cancel", str(job_id)])
    assert (done.exit_code, done.output) == (1, f"job {job_id} is still ending\n")


def test_a_stream_whose_last_lines_fill_what_may_wait_comes_to_its_end(queue: Queue) -> None:
    lines = 'sys.stdout.write(\'{"type":"x"}\\n\' * 1999); result()'
    job_id = queue.add(lines, timeoutSeconds=20)
    queue.run()
    job = queue.job(job_id)
    assert (job.status, len(json.loads(job.stream_chunks_json or ""))) == ("completed", 2000)
