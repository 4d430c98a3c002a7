"""The scenarios. Each takes a Ground and a size, does its worst, and checks the promise; what it returns is what it
did, for the report."""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from torture.ground import PYTHON, ROOT, Broken, Ground
from torture.recording import MODES, disk, record

Scenario = Callable[[Ground, int], str]

# What stands in for Claude Code where a model's words do not matter: it speaks stream-json, and says when it began
# and ended.
STAND_IN = """#!{python} -I
import json, os, sys, time
prompt = sys.stdin.read()
if not prompt:
    sys.exit("no prompt")
log = open({log!r}, "a")
def say(what):
    log.write(json.dumps([what, int(os.environ["FLEET_JOB_ID"]), os.getcwd(), time.monotonic()]) + "\\n"); log.flush()
say("begin")
print(json.dumps({{"type": "system", "subtype": "init", "session_id": "s"}}), flush=True)
time.sleep(float(prompt))
print(json.dumps({{"type": "result", "is_error": False, "result": "ok", "session_id": "s", "total_cost_usd": 0.001}}), flush=True)
say("end")
"""


def kills(ground: Ground, size: int) -> str:
    """`size` times SIGKILL to hooks, drainers, the runner and the gateway at random instants, while 20 sessions
    work, jobs run and a client reads."""
    random = ground.random
    stop = threading.Event()
    log = ground.folder / "jobs.jsonl"
    program = ground.folder / "stand_in"
    program.write_text(STAND_IN.format(python=PYTHON, log=str(log)))
    program.chmod(0o755)
    for number in range(4):
        ground.turn("first", number, ground.project(f"p{number}"))
    ground.drain()
    for key, value in (("claude.program", str(program)), ("jobs.max_usd_per_day", "100000")):
        ground.console("config", "set", key, value)
    delays = [random.random() for _ in range(5000)]

    def session(number: int) -> None:
        name, folder, turn = f"s{number}", ground.project(f"p{number % 7}"), 0
        while not stop.is_set():
            turn += 1
            choice = delays[(number * 251 + turn * 17) % len(delays)]
            # A hook takes about 20 ms: half of those that are killed have not written yet.
            ground.turn(name, turn, folder, kill_after=choice * 0.3 if choice < 0.1 else None)
            if choice > 0.9:
                ground.turn(name, turn, folder)  # as a hook that is registered twice

    def submit() -> None:
        """Rows as another program queues them, and a runner started as whoever submits starts one."""
        projects = _projects(ground)
        number = 0
        while not stop.is_set():
            number += 1
            seconds = f"{delays[number % 97] * 0.3:.2f}"
            with contextlib.closing(
                sqlite3.connect(ground.home / "fleet.db", timeout=60)
            ) as connection:
                connection.execute(
                    "INSERT INTO jobs (ts_created, type, project_id, model, status, request_json)"
                    " VALUES ('x', 'worker_task', ?, 'haiku', 'queued', ?)",
                    (projects[number % len(projects)], json.dumps({"prompt": seconds})),
                )
                connection.commit()
            runner = [PYTHON, "-I", str(ROOT / "fleet_lib" / "jobs" / "run.py"), str(ground.home)]
            subprocess.Popen(runner, env=ground.environment(), start_new_session=True)
            time.sleep(0.15)

    def serve() -> None:
        while not stop.is_set():
            gateway = subprocess.Popen(
                [PYTHON, "-m", "commander", "gateway", "--port", "0", "--no-browser"],
                cwd=ROOT,
                env=ground.environment(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            gateway.wait()

    threads = [threading.Thread(target=session, args=(number,)) for number in range(20)]
    threads += [threading.Thread(target=submit), threading.Thread(target=serve)]
    for thread in threads:
        thread.start()
    try:
        deadline = time.monotonic() + 3 * size + 60
        while sum(ground.killed.values()) < size and time.monotonic() < deadline:
            # Drainers are what is there most of the time; a job and its runner last longer.
            ground.kill(
                random.choice(("drain.py", "drain.py", "jobs/run.py", "jobs/run.py", "gateway"))
            )
            time.sleep(random.random() * 0.05)
    finally:
        stop.set()
        while any(thread.is_alive() for thread in threads):
            for process in ground.processes("gateway"):
                process.kill()
            for thread in threads:
                thread.join(0.1)
    done = ground.console("jobs", "run", "--once")
    if done.returncode:
        raise Broken(f"fleet jobs run: {done.stderr}")
    ground.check()
    jobs = _check_jobs(ground, log)
    counts = ", ".join(f"{count} {name}" for name, count in sorted(ground.killed.items()))
    return f"killed {counts}; {len(ground.kept)} turns kept of {len(ground.sent)}, {jobs} jobs"


def _projects(ground: Ground) -> list[str]:
    with contextlib.closing(sqlite3.connect(ground.home / "fleet.db", timeout=60)) as connection:
        return [row[0] for row in connection.execute("SELECT project_id FROM projects")]


def _check_jobs(ground: Ground, log: Path) -> int:
    """Every job has ended once, with one event; none ran twice at once, none beside another of its project."""
    with contextlib.closing(sqlite3.connect(ground.home / "fleet.db")) as connection:
        open_jobs = connection.execute(
            "SELECT count(*) FROM jobs WHERE status IN ('queued', 'running')"
        ).fetchone()[0]
        told = connection.execute(
            "SELECT count(*), count(DISTINCT json_extract(payload_json, '$.job.jobId'))"
            " FROM outbox_events WHERE type = 'job_completed'"
        ).fetchone()
        total = connection.execute("SELECT count(*) FROM jobs").fetchone()[0]
        completed = {
            row[0]
            for row in connection.execute("SELECT job_id FROM jobs WHERE status = 'completed'")
        }
    if open_jobs or told != (total, total):
        raise Broken(f"{open_jobs} jobs are open; {told} events of {total} jobs")
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    began: dict[int, int] = {}
    ended: set[int] = set()
    at_work: dict[str, int] = {}
    for what, job_id, folder, _ in lines:
        if what == "begin":
            began[job_id] = began.get(job_id, 0) + 1
            at_work[folder] = job_id  # one that was killed says no end; its lane is free again
        else:
            ended.add(job_id)
            if at_work.get(folder) != job_id:
                raise Broken(f"job {job_id} ran beside job {at_work.get(folder)} in {folder}")
    again = [job_id for job_id, count in began.items() if count > 1]
    if again:
        raise Broken(f"jobs {again[:5]} began more than once")
    if not completed <= ended:
        raise Broken(f"jobs {sorted(completed - ended)[:5]} are completed and never ended")
    return int(total)


def crowd(ground: Ground, size: int) -> str:
    """64 hooks at once, `size` rounds; two drainers beside them, and a console that reads all the while."""
    reading = threading.Event()
    faults: list[str] = []

    def read() -> None:
        while not reading.is_set():
            for command in (
                ("status", "--json"),
                ("briefings", "list", "--json"),
                ("events", "list"),
            ):
                done = ground.console(*command)
                if done.returncode and "nothing was captured" not in done.stderr:
                    faults.append(f"fleet {' '.join(command)}: {done.stderr.strip()[-300:]}")

    def drain() -> None:
        while not reading.is_set():
            subprocess.run(
                [PYTHON, "-I", str(ROOT / "fleet_lib" / "drain" / "drain.py"), str(ground.home)],
                env=ground.environment(),
                check=False,
                capture_output=True,
            )

    threads = [
        threading.Thread(target=read),
        threading.Thread(target=drain),
        threading.Thread(target=drain),
    ]
    for thread in threads:
        thread.start()
    try:
        for round_ in range(size):
            with ThreadPoolExecutor(64) as pool:
                list(
                    pool.map(
                        lambda n, r=round_: ground.turn(f"c{n}", r, ground.project(f"p{n % 9}")),
                        range(64),
                    )
                )
    finally:
        reading.set()
        for thread in threads:
            thread.join()
    if faults:
        raise Broken("; ".join(faults[:3]))
    if set(ground.exits) != {0}:
        raise Broken(f"hooks exited with {dict(ground.exits)}")
    ground.check()
    return f"{64 * size} hooks"


def migrations(ground: Ground, size: int) -> str:
    """`size` times: 8 processes open a database of the original system at once; each comes to the newest schema and
    all rows are there."""
    for _ in range(size):
        shutil.rmtree(ground.home, ignore_errors=True)
        ground.home.mkdir(parents=True)
        reference = (ROOT / "fleet_lib" / "store" / "migrations" / "0001_reference.sql").read_text()
        with contextlib.closing(sqlite3.connect(ground.home / "fleet.db")) as connection:
            connection.executescript(reference)
            connection.execute(
                "INSERT INTO projects (project_id, repo_name, repo_root, created_at, updated_at)"
                " VALUES ('p__1', 'p', '/p', 'x', 'x')"
            )
            connection.commit()
        racing = [
            subprocess.Popen(
                [PYTHON, "-m", "commander", "db", "migrate"],
                cwd=ROOT,
                env=ground.environment(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(8)
        ]
        for process in racing:
            _, said = process.communicate()
            if process.returncode:
                raise Broken(f"a migration failed: {said}")
        with contextlib.closing(sqlite3.connect(ground.home / "fleet.db")) as connection:
            if connection.execute("SELECT count(*) FROM projects").fetchone() != (1,):
                raise Broken("a row was lost")
        if len(list((ground.home / "backups").glob("*.db"))) != 1:
            raise Broken("not one backup was made")
    return f"{size} races of 8"


def disk_full(ground: Ground, size: int) -> str:
    """No file may grow over a few bytes, as on a full disk: every hook still exits 0, says so once, and whatever is kept is
    whole. Then there is room again."""
    script = "import resource,sys,os; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2); os.execv(sys.argv[2], sys.argv[2:])"
    folder = ground.project("p")
    told = 0
    for number in range(size):
        prompt = f"full-p{number}"
        payload = {
            "session_id": "full",
            "prompt_id": prompt,
            "cwd": str(folder),
            "last_assistant_message": "x" * 3000,
        }
        ground.sent.add(("full", prompt))
        limit = ground.random.choice((0, 1, 100, 2000, 3200))
        command = [PYTHON, "-I", "-S", str(ROOT / "hooks" / "stop.py")]
        done = subprocess.run(
            [PYTHON, "-c", script, str(limit), *command],
            input=json.dumps(payload).encode(),
            env=ground.environment(CLAUDE_PROJECT_DIR=str(folder)),
            capture_output=True,
            check=False,
        )
        if done.returncode or done.stderr:
            raise Broken(f"on a full disk the hook exits {done.returncode}: {done.stderr!r}")
        told += b"systemMessage" in done.stdout
        new = ground.home / "spool" / "new"
        ground.end_all()
        if new.is_dir() and any(path.stat().st_size < 3000 for path in new.iterdir()):
            raise Broken("half an entry was moved in")
    lock = _hold(ground)
    ground.turn("after", 0, folder)
    ground.end_all()
    os.close(lock)
    waiting = {path.name for path in (ground.home / "spool" / "new").iterdir()}
    drainer = [PYTHON, "-I", str(ROOT / "fleet_lib" / "drain" / "drain.py"), str(ground.home)]
    # A database cannot grow either.
    subprocess.run([PYTHON, "-c", script, "4096", *drainer], env=ground.environment(), check=False)
    if {path.name for path in (ground.home / "spool" / "new").iterdir()} != waiting or not waiting:
        raise Broken("a drainer that could write nothing let go of what waits")
    ground.check()
    if told != 1:
        raise Broken(f"the user was told {told} times")
    return f"{size} hooks, the user told once"


def locked(ground: Ground, size: int) -> str:
    """Another program holds the database for `size` seconds: hooks go on at their speed, nothing is lost."""
    folder = ground.project("p")
    ground.turn("before", 0, folder)
    ground.drain()
    holder = sqlite3.connect(ground.home / "fleet.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    slowest, began, number = 0.0, time.monotonic(), 0
    while time.monotonic() - began < size:
        number += 1
        start = time.monotonic()
        ground.turn("locked", number, folder)
        slowest = max(slowest, time.monotonic() - start)
        time.sleep(0.05)
    holder.execute("ROLLBACK")
    holder.close()
    if slowest > 3:
        raise Broken(f"a hook waited {slowest:.1f} s for the database")
    ground.check()
    return f"{number} turns meanwhile, the slowest hook {1000 * slowest:.0f} ms"


def corrupt(ground: Ground, size: int) -> str:
    """Bytes of the database are overwritten, `size` times anew: nothing that is captured from then on is lost, and a backup
    put in its place takes it up."""
    folder = ground.project("p")
    for number in range(size):
        ground.turn("good", number, folder)
        ground.drain()
        ground.console("db", "backup")
        backup = max((ground.home / "backups").glob("*.db"))
        database = ground.home / "fleet.db"
        with contextlib.closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        is_unreadable = number % 2 == 0
        with database.open("r+b") as file:
            if is_unreadable:
                file.write(ground.random.randbytes(64))
            for _ in range(200):
                file.seek(ground.random.randrange(100, database.stat().st_size - 64))
                file.write(ground.random.randbytes(64))
        if not ground.turn("after", number, folder):
            raise Broken("a hook failed on a corrupt database")
        ground.console("drain")  # it may or may not notice; it must not lose
        ground.end_all()
        waits = any((ground.home / "spool" / "new").iterdir())
        if not waits and is_unreadable:
            raise Broken("a turn is gone, and no database can have it")
        said = ground.console("doctor")
        if said.returncode == 0 and "database" not in said.stdout:
            raise Broken("doctor says nothing of it")
        for path in ground.home.glob("fleet.db*"):
            path.unlink()
        shutil.copy(backup, database)
        # What was applied to the corrupt file is gone with it, as its backup's age says; what waits is not.
        if not waits:
            ground.kept.discard(("after", f"after-p{number}"))
    ground.check()
    return f"{size} times"


def spool_removed(ground: Ground, size: int) -> str:
    """Somebody removes the spool's folders again and again while hooks run: each one makes them anew, or says that it could
    not keep the turn."""
    folder = ground.project("p")
    stop = threading.Event()
    removed = 0

    def remove() -> None:
        nonlocal removed
        while not stop.is_set():
            shutil.rmtree(ground.home / "spool", ignore_errors=True)
            removed += 1
            time.sleep(0.05)

    remover = threading.Thread(target=remove)
    remover.start()
    for number in range(size):
        if not ground.turn("spoolless", number, folder):
            raise Broken("a hook did not exit 0")
    stop.set()
    remover.join()
    ground.kept.clear()  # whoever removes the spool removes what was in it
    ground.turn("after", 0, folder)
    ground.check()
    return f"{size} turns, {removed} times removed"


def read_only(ground: Ground, size: int) -> str:
    """The home cannot be written: every hook exits 0 and leaves no trace; afterwards all is as before."""
    folder = ground.project("p")
    ground.turn("before", 0, folder)
    ground.drain()
    ground.end_all()
    # root may write anywhere; without this capability it may not.
    setpriv = ("setpriv", "--bounding-set", "-dac_override")
    prefix = setpriv if os.geteuid() == 0 else ()
    folders = [ground.home, *(path for path in ground.home.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o500)
    try:
        for number in range(size):
            payload = {"session_id": "ro", "prompt_id": f"ro-{number}", "cwd": str(folder)}
            if ground.hook("stop", payload, prefix=prefix):
                raise Broken("a hook did not exit 0")
            if list((ground.home / "spool" / "new").iterdir()):
                raise Broken("the home could be written after all")
    finally:
        for path in folders:
            path.chmod(0o700)
    ground.turn("after", 0, folder)
    ground.check()
    return f"{size} hooks"


def clock_back(ground: Ground, size: int) -> str:
    """The clock jumps, an hour at a time, either way: entries from the future and the past are all applied."""
    folder = ground.project("p")
    for number in range(size):
        session = f"clock{number}"
        lock = _hold(ground)
        ground.turn(session, 0, folder)
        new = ground.home / "spool" / "new"
        for path in new.iterdir():
            stamp, rest = path.name.split(".", 1)
            moved = int(stamp) + ground.random.choice((-1, 1)) * 3600 * 10**9
            text = path.read_bytes().replace(
                f"received {int(stamp)}".encode(), f"received {moved}".encode()
            )
            (new / f"{moved:020d}.{rest}").write_bytes(text)
            path.unlink()
        os.close(lock)
        if number % 3 == 0:
            ground.drain()
    ground.check()
    return f"{size} jumps"


def power_loss(ground: Ground, size: int) -> str:
    """Some turns are recorded, each write, sync and rename. The disks that a power loss could leave at `size` random
    instants of it, of each four (see recording.py), can be read, drained, and have all that was acknowledged before."""
    if not shutil.which("strace"):
        return "not done: strace is not there"
    turns = 12
    folder = ground.project("p")
    payloads = {}
    for number in range(turns):
        prompt = f"power-p{number}"
        ground.sent.add(("power", prompt))
        payloads[prompt] = {
            "hook_event_name": "Stop",
            "session_id": "power",
            "prompt_id": prompt,
            "cwd": str(folder),
            "last_assistant_message": f"Turn {number} is done. " + "word " * 2000,
        }
    load = ground.folder / "load.py"
    load.write_text(_LOAD.format(python=PYTHON, hook=str(ROOT / "hooks" / "stop.py")))
    environment = ground.environment(CLAUDE_PROJECT_DIR=str(folder))
    given = json.dumps(payloads)
    steps = record([PYTHON, str(load), given], ground.home, environment)
    ends = {  # step number: the prompt whose hook had exited 0 by then
        at: step.path.split()[-1]
        for at, step in enumerate(steps)
        if step.what == "exit" and "stop.py" in step.path
    }
    if len(ends) != turns:
        raise Broken(f"{len(ends)} of {turns} hooks were recorded")
    instants = sorted(ground.random.sample(range(1, len(steps) + 1), min(size, len(steps))))
    disks = 0
    for instant in instants:
        kept = {("power", prompt) for at, prompt in ends.items() if at < instant}
        for mode in MODES:
            after = Ground(ground.folder / f"disk-{disks}", ground.seed)
            after.sent, after.kept = set(ground.sent), kept
            files, folders = disk(steps[:instant], ground.home, mode, ground.random)
            for name in sorted(folders):
                (after.home / name).mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                (after.home / name).write_bytes(content)
            disks += 1
            try:
                after.drain()
                if kept or (after.home / "fleet.db").exists():
                    after.check()
            except Broken as error:
                raise Broken(f"after step {instant} of {len(steps)}, {mode}: {error}") from None
            shutil.rmtree(after.folder)
    return f"{disks} disks of {len(steps)} steps, {turns} turns"


# Runs the hooks one after the other, with a pause now and then in which the drainer gets done. The prompt goes along as an
# argument, which no hook reads, so that the recording knows whose end it sees.
_LOAD = """
import json, os, subprocess, sys, time
for number, (prompt, payload) in enumerate(json.loads(sys.argv[1]).items()):
    command = [{python!r}, "-I", "-S", {hook!r}, prompt]
    subprocess.run(command, input=json.dumps(payload).encode(), stdout=subprocess.DEVNULL, check=True)
    if number % 4 == 3:
        time.sleep(1)
new = os.path.join(os.environ["FLEET_HOME"], "spool", "new")
for _ in range(300):
    if not os.listdir(new):
        break
    time.sleep(0.1)
"""


def _hold(ground: Ground) -> int:
    """The drainer's lock, so that what is captured stays in the spool."""
    import fcntl

    (ground.home / "spool").mkdir(parents=True, exist_ok=True)
    lock = os.open(ground.home / "spool" / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


# {name: (scenario, size of the short form, size of the long form)}.
SCENARIOS: dict[str, tuple[Scenario, int, int]] = {
    "kills": (kills, 60, 1000),
    "crowd": (crowd, 2, 10),
    "migrations": (migrations, 2, 20),
    "disk-full": (disk_full, 12, 200),
    "locked": (locked, 4, 60),
    "corrupt": (corrupt, 2, 20),
    "spool-removed": (spool_removed, 30, 500),
    "read-only": (read_only, 5, 50),
    "clock-back": (clock_back, 8, 100),
    "power-loss": (power_loss, 4, 300),
}
