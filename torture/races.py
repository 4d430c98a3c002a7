"""Many processes at once: hooks, drainers, readers and migrations."""

import contextlib
import shutil
import sqlite3
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

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
