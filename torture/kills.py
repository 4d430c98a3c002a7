"""Kills at random instants, while sessions work, jobs run and a client reads."""

import contextlib
import json
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

from torture.ground import PYTHON, ROOT, Broken, Ground

# Stands in for Claude Code: it speaks stream-json, and logs when it began and ended.
STAND_IN = """#!{python} -I
import json, os, sys, time
prompt = sys.stdin.read()
if not prompt:
    sys.exit("no prompt")
log = open({log!r}, "a")
def note(what):
    entry = [what, int(os.environ["FLEET_JOB_ID"]), os.getcwd(), time.monotonic()]
    log.write(json.dumps(entry) + "\\n"); log.flush()
note("begin")
print(json.dumps({{"type": "system", "subtype": "init", "session_id": "s"}}), flush=True)
time.sleep(float(prompt))
result = {{"type": "result", "is_error": False, "result": "ok", "session_id": "s"}}
print(json.dumps(result | {{"total_cost_usd": 0.001}}), flush=True)
note("end")
"""


def kills(ground: Ground, size: int) -> str:
    """SIGKILL `size` hooks, drainers, job runners and gateways, while 20 sessions work, jobs run
    and a gateway is restarted again and again."""
    log = ground.folder / "jobs.jsonl"
    program = ground.folder / "stand_in"
    program.write_text(STAND_IN.format(python=PYTHON, log=str(log)))
    program.chmod(0o755)
    for number in range(4):
        ground.turn("first", number, ground.project(f"p{number}"))
    ground.drain()
    for key, value in (("claude.program", str(program)), ("jobs.max_usd_per_day", "100000")):
        ground.console("config", "set", key, value)
    load = _Load(ground)
    with load:
        deadline = time.monotonic() + 3 * size + 60
        while sum(ground.killed.values()) < size and time.monotonic() < deadline:
            # Drainers run most of the time; a job and its runner live longer.
            marks = ("drain.py", "drain.py", "jobs/run.py", "jobs/run.py", "gateway")
            ground.kill(ground.random.choice(marks))
            time.sleep(ground.random.random() * 0.05)
    done = ground.console("jobs", "run", "--once")
    if done.returncode:
        raise Broken(f"fleet jobs run: {done.stderr}")
    ground.check()
    jobs = _check_jobs(ground, log)
    counts = ", ".join(f"{count} {name}" for name, count in sorted(ground.killed.items()))
    return f"killed {counts}; {len(ground.kept)} turns kept of {len(ground.sent)}, {jobs} jobs"


class _Load:
    """A context in which sessions, jobs and a gateway keep Fleet busy."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._stop = threading.Event()
        # Chosen beforehand: threads would draw from the seed in an order of their own.
        self._delays = [ground.random.random() for _ in range(5000)]
        sessions = [threading.Thread(target=self._session, args=(n,)) for n in range(20)]
        others = [threading.Thread(target=run) for run in (self._submit, self._serve)]
        self._threads = [*sessions, *others]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        while any(thread.is_alive() for thread in self._threads):
            for process in self._ground.processes("gateway"):
                process.kill()
            for thread in self._threads:
                thread.join(0.1)

    def _session(self, number: int) -> None:
        name, folder, turn = f"s{number}", self._ground.project(f"p{number % 7}"), 0
        while not self._stop.is_set():
            turn += 1
            choice = self._delays[(number * 251 + turn * 17) % len(self._delays)]
            # A hook takes about 20 ms: half of those that are killed have not written yet.
            kill_after = choice * 0.3 if choice < 0.1 else None
            self._ground.turn(name, turn, folder, kill_after=kill_after)
            if choice > 0.9:
                self._ground.turn(name, turn, folder)  # as if the hook were registered twice

    def _submit(self) -> None:
        """Insert jobs as another program would, and start a runner for each."""
        projects = self._projects()
        database = self._ground.home / "fleet.db"
        number = 0
        while not self._stop.is_set():
            number += 1
            seconds = f"{self._delays[number % 97] * 0.3:.2f}"
            with contextlib.closing(sqlite3.connect(database, timeout=60)) as connection:
                connection.execute(
                    "INSERT INTO jobs (ts_created, type, project_id, model, status, request_json)"
                    " VALUES ('x', 'worker_task', ?, 'haiku', 'queued', ?)",
                    (projects[number % len(projects)], json.dumps({"prompt": seconds})),
                )
                connection.commit()
            subprocess.Popen(
                [PYTHON, "-I", str(ROOT / "fleet_lib/jobs/run.py"), str(self._ground.home)],
                env=self._ground.environment(),
                start_new_session=True,
            )
            time.sleep(0.15)

    def _projects(self) -> list[str]:
        database = self._ground.home / "fleet.db"
        with contextlib.closing(sqlite3.connect(database, timeout=60)) as connection:
            return [row[0] for row in connection.execute("SELECT project_id FROM projects")]

    def _serve(self) -> None:
        while not self._stop.is_set():
            gateway = subprocess.Popen(
                [PYTHON, "-m", "commander", "gateway", "--port", "0", "--no-browser"],
                cwd=ROOT,
                env=self._ground.environment(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            gateway.wait()


def _check_jobs(ground: Ground, log: Path) -> int:
    """Check that every job has ended once, with one event; that none ran twice, and that no two ran
    in one project at the same time. Returns their number."""
    with contextlib.closing(sqlite3.connect(ground.home / "fleet.db")) as connection:
        open_jobs = connection.execute(
            "SELECT count(*) FROM jobs WHERE status IN ('queued', 'running')"
        ).fetchone()[0]
        events = connection.execute(
            "SELECT count(*), count(DISTINCT json_extract(payload_json, '$.job.jobId'))"
            " FROM outbox_events WHERE type = 'job_completed'"
        ).fetchone()
        total = int(connection.execute("SELECT count(*) FROM jobs").fetchone()[0])
        rows = connection.execute("SELECT job_id FROM jobs WHERE status = 'completed'")
        completed = {row[0] for row in rows}
    if open_jobs or events != (total, total):
        raise Broken(f"{open_jobs} jobs are open; {events} events of {total} jobs")
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    began: Counter[int] = Counter()
    ended: set[int] = set()
    running: dict[str, int] = {}  # {folder: job}
    for what, job_id, folder, _ in lines:
        if what == "begin":
            began[job_id] += 1
            running[folder] = job_id  # a job that was killed logs no end; its folder is free again
        else:
            ended.add(job_id)
            if running.get(folder) != job_id:
                raise Broken(f"job {job_id} ran beside job {running.get(folder)} in {folder}")
    again = [job_id for job_id, count in began.items() if count > 1]
    if again:
        raise Broken(f"jobs {again[:5]} began more than once")
    if not completed <= ended:
        raise Broken(f"jobs {sorted(completed - ended)[:5]} are completed but never ended")
    return total
