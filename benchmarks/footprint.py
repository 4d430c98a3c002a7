"""What Fleet takes: disk for what it keeps, memory of its processes, and the installed program."""

import importlib.metadata
import json
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import psutil

from benchmarks.gateway import running_gateway
from benchmarks.report import Section, held, table
from benchmarks.running import ROOT, orphans, reap, until_idle
from benchmarks.work import EDIT, Session, repository
from benchmarks.world import World
from fleet_lib import paths, spool
from fleet_lib.store import db

_TURNS, _SESSIONS = 1_000, 20
_WAITING_LIMIT_MB = 45.0  # a drainer that waits for the next turn
_PROGRAM = ("bin", "commander", "fleet_lib", "hooks", "skills")


def measure(folder: Path, turns: int = _TURNS) -> list[Section]:
    world = World(folder, sys.executable)
    project = repository(folder / "project", 20)
    rows = [_disk(world, project, turns), *_waiting_drainer(world, project), _gateway(world)]
    rows += [
        ("the program with its libraries and the gateway's", f"{_installed() / 2**20:.0f}", "", "")
    ]
    return [
        Section(
            "What Fleet takes",
            "python -m benchmarks footprint",
            "Disk and memory. A turn here has an edit and a text of 200 characters; a longer text is"
            " kept whole, and the search index takes about as much as the texts. Memory is the"
            " share that the process has for itself (PSS).",
            [table(("what", "MB", "limit", "holds"), rows)],
        )
    ]


def _disk(world: World, project: Path, turns: int) -> tuple[str, str, str, str]:
    """What so many turns add to the database."""
    db.connect(paths.database(str(world.home))).close()
    before = _database_bytes(world.home)
    sessions = [Session(world.folder, project) for _ in range(_SESSIONS)]
    for number in range(turns):
        payload = sessions[number % _SESSIONS].turn(EDIT)
        spool.put(
            str(world.home),
            "Stop",
            json.dumps(payload).encode(),
            str(payload["session_id"]),
            str(project),
        )
    drainer = subprocess.Popen([sys.executable, "-I", paths.DRAINER, str(world.home)])
    until_idle(drainer.pid, world.home)
    drainer.terminate()
    drainer.wait()
    with sqlite3.connect(paths.database(str(world.home))) as connection:
        assert connection.execute("SELECT count(*) FROM turns").fetchone()[0] == turns
    more = _database_bytes(world.home) - before
    return f"disk for {turns:,} turns", f"{more / 2**20:.1f}", "", ""


def _database_bytes(home: Path) -> int:
    """Without free pages, and with what is still in the log."""
    with sqlite3.connect(paths.database(str(home))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
    return int((pages - free) * size)


def _waiting_drainer(world: World, project: Path) -> list[tuple[str, str, str, str]]:
    """The memory of a drainer that waits for the next turn, if one does."""
    world.hook("Stop", 0, project, payload=Session(world.folder, project).turn).run()
    rows = []
    for pid in orphans():
        until_idle(pid, world.home)
        try:
            process = psutil.Process(pid)
            megabytes = sum(_memory(each) for each in (process, *process.children()))
        except psutil.Error:
            megabytes = 0.0  # it has ended
        if megabytes:
            limit = f"{_WAITING_LIMIT_MB:.0f}"
            holds = held(megabytes, _WAITING_LIMIT_MB)
            rows.append(("memory of a waiting drainer", f"{megabytes:.0f}", limit, holds))
        reap(pid, signal.SIGTERM)
    return rows


def _memory(process: psutil.Process) -> float:
    """MB."""
    if process.status() == psutil.STATUS_ZOMBIE:
        return 0.0
    return float(process.memory_full_info().pss) / 2**20


def _gateway(world: World) -> tuple[str, str, str, str]:
    with running_gateway(world.home):
        (gateway,) = (
            child
            for child in psutil.Process().children()
            if child.status() != psutil.STATUS_ZOMBIE and "gateway" in child.cmdline()
        )
        return "memory of the gateway", f"{_memory(gateway):.0f}", "", ""


def _installed() -> int:
    """Bytes of the program and of the libraries that it needs."""
    own = sum(
        path.stat().st_size
        for name in _PROGRAM
        for path in (ROOT / name).rglob("*")
        if path.is_file()
    )
    return own + sum(_size_of(name) for name in _needed("fleet", set()))


def _needed(name: str, found: set[str]) -> set[str]:
    """The distributions that this one requires, with those of the gateway, and theirs."""
    for requirement in importlib.metadata.distribution(name).requires or ():
        required = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        is_left_out = "extra ==" in requirement and "gateway" not in requirement.partition(";")[2]
        if is_left_out or required in found:
            continue
        try:
            importlib.metadata.distribution(required)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another platform
        found.add(required)
        _needed(required, found)
    return found


def _size_of(name: str) -> int:
    files = importlib.metadata.files(name) or ()
    located = (Path(str(file.locate())) for file in files)
    return sum(path.stat().st_size for path in located if path.is_file())
