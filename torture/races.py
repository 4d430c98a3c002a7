"""Many processes at once: hooks, drainers, readers and migrations."""

import contextlib
import shutil
import sqlite3
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil

from fleet_lib import spool, wake
from torture.ground import DRAINER, PYTHON, ROOT, Broken, Ground


def crowd(ground: Ground, size: int) -> str:
    """`size` rounds of 64 hooks at once, beside two drainers and a console that reads all the
    time."""
    is_over = threading.Event()
    faults: list[str] = []

    def read() -> None:
        commands = (("status", "--json"), ("briefings", "list", "--json"), ("events", "list"))
        while not is_over.is_set():
            for command in commands:
                has_database = (ground.home / "fleet.db").exists()
                done = ground.console(*command)
                if done.returncode and has_database:
                    faults.append(f"fleet {' '.join(command)}: {done.stderr.strip()[-300:]}")

    def drain() -> None:
        while not is_over.is_set():
            subprocess.run(
                [PYTHON, "-I", DRAINER, str(ground.home), "--once"],
                env=ground.environment(),
                check=False,
                capture_output=True,
            )

    threads = [threading.Thread(target=run) for run in (read, drain, drain)]
    for thread in threads:
        thread.start()
    try:
        for round_ in range(size):
            with ThreadPoolExecutor(64) as pool:
                turns = [
                    pool.submit(ground.turn, f"c{n}", round_, ground.project(f"p{n % 9}"))
                    for n in range(64)
                ]
            for turn in turns:
                turn.result()  # raises what the turn raised
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    if faults:
        raise Broken("; ".join(faults[:3]))
    if set(ground.exits) != {0}:
        raise Broken(f"hooks exited with {dict(ground.exits)}")
    ground.check()
    return f"{64 * size} hooks"


def lingering(ground: Ground, size: int) -> str:
    """`size` turns of four sessions, from none to two seconds apart, with a drainer that lingers. It
    is killed, stopped for a moment, and asked to end, at any instant."""
    spool.make_folders(str(ground.home))
    (ground.home / "config.toml").write_text("[drain]\nlinger_seconds = 1\n")
    is_over = threading.Event()

    def disturb() -> None:
        while not is_over.wait(ground.random.random()):
            for process in ground.processes("drain.py"):
                with contextlib.suppress(psutil.Error):
                    if ground.random.random() < 0.3:
                        process.kill()
                        ground.killed["drain.py"] += 1
                    elif ground.random.random() < 0.5:
                        process.suspend()
                        is_over.wait(0.2)
                        process.resume()
            wake.ring(str(ground.home), wake.LEAVE if ground.random.random() < 0.2 else wake.WAKE)

    def session(number: int) -> None:
        for turn in range(size // 4):
            ground.turn(f"l{number}", turn, ground.project(f"p{number}"))
            is_over.wait(ground.random.choice((0, 0, 0.05, 0.3, 2)))

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(session, number) for number in range(4)]:
                done.result()
    finally:
        is_over.set()
        disturber.join()
    # Nothing disturbs it any more: the next turn is enough for all that waits.
    ground.turn("last", 0, ground.project("p0"))
    deadline = time.monotonic() + 120
    while left := spool.pending(str(ground.home)):
        if time.monotonic() > deadline:
            raise Broken(f"{len(left)} entries were left behind")
        time.sleep(0.05)
    ground.check()
    return f"{size} turns"


def migrations(ground: Ground, size: int) -> str:
    """`size` times, 8 processes open a database of the original system at once: each gets the
    newest schema, all rows are kept, and one backup is made."""
    schema = ROOT / "fleet_lib" / "store" / "migrations" / "0001_reference.sql"
    for _ in range(size):
        shutil.rmtree(ground.home, ignore_errors=True)
        ground.home.mkdir(parents=True)
        with contextlib.closing(sqlite3.connect(ground.home / "fleet.db")) as connection:
            connection.executescript(schema.read_text())
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
            _, error = process.communicate()
            if process.returncode:
                raise Broken(f"a migration failed: {error}")
        with contextlib.closing(sqlite3.connect(ground.home / "fleet.db")) as connection:
            if connection.execute("SELECT count(*) FROM projects").fetchone() != (1,):
                raise Broken("a row was lost")
        backups = len(list((ground.home / "backups").glob("*.db")))
        if backups != 1:
            raise Broken(f"{backups} backups were made instead of one")
    return f"{size} races of 8"
