"""A damaged or unusable environment: full disks, locks, corrupt files, removed folders, clock
jumps."""

import contextlib
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import threading
import time

from torture.ground import DRAINER, PYTHON, ROOT, Broken, Ground

# Runs a program that may write no file longer than so many bytes.
_LIMITED = """\
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""


def disk_full(ground: Ground, size: int) -> str:
    """No file may be longer than a few bytes, as on a full disk: every hook still exits 0, the user
    sees one message, and what is kept is whole. Then there is room again."""
    folder = ground.project("p")
    messages = 0
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
            [PYTHON, "-c", _LIMITED, str(limit), *command],
            input=json.dumps(payload).encode(),
            env=ground.environment(CLAUDE_PROJECT_DIR=str(folder)),
            capture_output=True,
            check=False,
        )
        if done.returncode or done.stderr:
            raise Broken(f"on a full disk the hook exits {done.returncode}: {done.stderr!r}")
        messages += b"systemMessage" in done.stdout
        new = ground.home / "spool" / "new"
        ground.end_all()
        if new.is_dir() and any(path.stat().st_size < 3000 for path in new.iterdir()):
            raise Broken("half an entry was moved in")
    with ground.drainer_lock():
        ground.turn("after", 0, folder)
        ground.end_all()
    waiting = {path.name for path in (ground.home / "spool" / "new").iterdir()}
    drainer = [PYTHON, "-I", DRAINER, str(ground.home), "--once"]
    # With this limit the database cannot grow either.
    subprocess.run(
        [PYTHON, "-c", _LIMITED, "4096", *drainer], env=ground.environment(), check=False
    )
    if {path.name for path in (ground.home / "spool" / "new").iterdir()} != waiting or not waiting:
        raise Broken("a drainer that could write nothing removed entries")
    ground.check()
    if messages != 1:
        raise Broken(f"the user got {messages} messages")
    return f"{size} hooks, one message to the user"


def locked(ground: Ground, size: int) -> str:
    """Another program holds the database for `size` seconds: no hook waits, nothing is lost."""
    folder = ground.project("p")
    ground.turn("before", 0, folder)
    ground.drain()
    holder = sqlite3.connect(ground.home / "fleet.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    took: list[float] = []
    began, number = time.monotonic(), 0
    while time.monotonic() - began < size:
        number += 1
        start = time.monotonic()
        ground.turn("locked", number, folder)
        took.append(time.monotonic() - start)
        time.sleep(0.05)
    holder.execute("ROLLBACK")
    holder.close()
    if statistics.median(took) > 3:  # a single one may be slow because the machine is
        raise Broken(f"most hooks waited {statistics.median(took):.1f} s for the database")
    ground.check()
    return f"{number} turns meanwhile, the slowest hook {1000 * max(took):.0f} ms"


def corrupt(ground: Ground, size: int) -> str:
    """Bytes of the database are overwritten, `size` times: nothing that is captured afterwards is
    lost, and a backup put in its place gets it."""
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
        ground.console("drain")  # it may fail or not, but must not lose anything
        ground.end_all()
        waits = any((ground.home / "spool" / "new").iterdir())
        if not waits and is_unreadable:
            raise Broken("a turn left the spool, but the database cannot be read")
        report = ground.console("doctor")
        if report.returncode == 0 and "database" not in report.stdout:
            raise Broken("doctor does not mention the database")
        for path in ground.home.glob("fleet.db*"):
            path.unlink()
        shutil.copy(backup, database)
        # What was applied to the corrupt file is gone with it; what is still in the spool is not.
        if not waits:
            ground.kept.discard(("after", f"after-p{number}"))
    ground.check()
    return f"{size} times"


def spool_removed(ground: Ground, size: int) -> str:
    """The spool's folders are removed again and again while hooks run: each hook creates them anew,
    or says that it could not keep the turn."""
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
    ground.kept.clear()  # the entries were removed with the spool
    ground.turn("after", 0, folder)
    ground.check()
    return f"{size} turns, spool removed {removed} times"


def read_only(ground: Ground, size: int) -> str:
    """The home is read-only: every hook exits 0 and writes nothing; afterwards all works as
    before."""
    folder = ground.project("p")
    ground.turn("before", 0, folder)
    ground.drain()
    ground.end_all()
    # Without this capability root cannot write everywhere either.
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
                raise Broken("the home was not read-only")
    finally:
        for path in folders:
            path.chmod(0o700)
    ground.turn("after", 0, folder)
    ground.check()
    return f"{size} hooks"


def clock_back(ground: Ground, size: int) -> str:
    """The clock jumps by an hour, forwards or back: entries of the future and the past are
    applied."""
    folder = ground.project("p")
    for number in range(size):
        session = f"clock{number}"
        with ground.drainer_lock():
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
        if number % 3 == 0:
            ground.drain()
    ground.check()
    return f"{size} jumps"
