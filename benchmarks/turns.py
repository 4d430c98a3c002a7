"""What a whole turn costs: the hook, the drainer that it starts or wakes, and git. In repositories of
several sizes, for turns of several kinds, alone and in a fleet that is busy; and how long it takes
from the end of the hook until the briefing is stored and until the dashboard has it."""

import contextlib
import json
import sqlite3
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from websockets.sync.client import connect

from benchmarks.gateway import running_gateway
from benchmarks.report import Plot, Section, held, ratio_cells, table
from benchmarks.running import (
    Command,
    Cost,
    bare,
    cpu_of_orphans,
    end_orphans,
    median,
    ratios,
    wait_for_quiet,
    without_site,
    yardstick_warning,
)
from benchmarks.work import COMMIT, COMMON_FILE, EDIT, SUBAGENTS, TALK, Session, repository
from benchmarks.world import World
from fleet_lib import paths, spool
from fleet_lib.store import db

FILES = (2, 2_000, 20_000)
ALONE, BUSY, ROW, DASHBOARD, SPREAD = 8.0, 3.0, 8.0, 10.0, 1.2  # DESIGN section 11, as ratios
_SECONDS_APART = 1.2
_WORDS = "The password reset sends a token, and the password is hashed."


def measure(
    folder: Path,
    python: str,
    rounds: int,
    sizes: Sequence[int],
    busy_turns: int,
    most_seconds_apart: float = 20.0,
) -> list[Section]:
    world = World(folder, python)
    db.connect(paths.database(str(world.home))).close()
    repositories = [repository(folder / f"files-{size}", size) for size in sizes]
    base, without = bare(python), without_site(python)
    turns = _turns(folder, world, dict(zip(sizes, repositories, strict=True)))
    empty = _empty_start(world)
    for number in range(rounds + 1):
        for command in (base, without, empty, *turns):
            cost = command.run()
            cost = Cost(cost.wall, cost.cpu + cpu_of_orphans(world.home))
            wait_for_quiet(world.home)
            if number:
                command.costs.append(cost)
    _require_whole(world, turns)
    fleets = (
        *(_Fleet(kind, 5, 1, _SECONDS_APART, busy_turns) for kind in (TALK, EDIT)),
        _Fleet(EDIT, 20, 10, _SECONDS_APART, busy_turns),
        _Fleet(EDIT, 5, 5, most_seconds_apart, max(1, busy_turns // 4)),
    )
    shown = f"python -m benchmarks turns --rounds {rounds}"
    warning = yardstick_warning(base, without)
    return [
        _alone(base, turns, empty, shown, warning),
        _busy(python, world, fleets, rounds, shown),
        _latency(bare(python), world, repositories[0], rounds * 2, shown),
    ]


def _turns(folder: Path, world: World, repositories: dict[int, Path]) -> list[Command]:
    """Turns that come alone. The first one is what the others are compared with."""
    found = []
    for size, project in repositories.items():
        for kind in (TALK, EDIT, COMMIT):
            name = f"{kind}, {size:,} files"
            found.append(_turn(world, Session(folder, project), name, kind))
    common = Session(folder, repository(folder / "common", 2_000), edits=COMMON_FILE)
    found.append(_turn(world, common, f"{EDIT} of a file that 200 documents name", EDIT))
    small = repositories[min(repositories)]
    crowd = Session(folder, small, subagents=SUBAGENTS)
    found.append(_turn(world, crowd, f"{TALK}, after {SUBAGENTS} subagents", TALK))
    secretive = Session(folder, small)
    name = f'{TALK}, a text with "password" and "token"'
    found.append(_turn(world, secretive, name, TALK, _WORDS))
    return found


def _turn(world: World, session: Session, name: str, kind: str, words: str = "") -> Command:
    command = world.hook(
        "Stop", ALONE, session.repository, payload=lambda: session.turn(kind, words)
    )
    command.name = name
    return command


def _require_whole(world: World, turns: Sequence[Command]) -> None:
    """Each turn was stored, its transcript was complete, and its files were found."""
    with sqlite3.connect(paths.database(str(world.home))) as connection:
        stored, partial = connection.execute(
            "SELECT count(*), total(facts_partial) FROM turns"
        ).fetchone()
        touched = connection.execute(
            "SELECT count(*) FROM briefings WHERE files_touched_json LIKE '[\"%'"
        ).fetchone()[0]
    runs = len(turns[0].costs) + 1
    edits = sum(EDIT in command.name or COMMIT in command.name for command in turns)
    assert (stored, partial, touched) == (runs * len(turns), 0, runs * edits), (stored, partial)


def _empty_start(world: World) -> Command:
    """A drainer that finds nothing to do."""
    arguments = [sys.executable, "-I", paths.DRAINER, str(world.home)]
    name = "a drainer that finds an empty spool"
    return Command(name, arguments, environment=world.environment(world.folder))


def _alone(
    base: Command, turns: Sequence[Command], empty: Command, shown: str, warning: str
) -> Section:
    growth = {command.name: _growth(command, turns) for command in turns}
    rows = []
    for command in (*turns, empty):
        ratio = ratios(command, base, "cpu")
        rows.append(
            (
                command.name,
                f"{1000 * median(command, 'cpu'):.0f}",
                *ratio_cells(ratio),
                "" if command.limit is None else f"{command.limit:.0f}",
                held(ratio[0], command.limit),
                "" if command is empty else f"{growth[command.name]:.2f}",
            )
        )

    def draw(axes: Any) -> None:
        for at, command in enumerate(reversed(turns)):
            ratio, low, high = ratios(command, base, "cpu")
            axes.barh(at, ratio, color="#4c6ef5", alpha=0.75)
            axes.plot([low, high], [at, at], color="#1b1f27", linewidth=1.5)
        axes.axvline(ALONE, color="#c92a2a", linewidth=2)
        axes.set_yticks(range(len(turns)), [command.name for command in reversed(turns)])
        axes.set_xlabel("CPU, times a bare interpreter; line: quartiles; red: limit")

    most = max(growth.values())
    return Section(
        "What a turn costs",
        shown,
        "CPU time of one turn that comes alone: the Stop hook as registered, the drainer from its"
        " start until it has nothing to do, and git. A tenth of the files are documents that name"
        " source files. The session waits only for the hook; the rest runs in the background."
        f" {warning}".strip(),
        [
            table(
                ("turn", "CPU ms", "times bare", "quartiles", "limit", "holds", "growth"),
                rows,
            )
        ],
        [Plot("turns", "CPU of a whole turn, as a multiple of a bare interpreter", draw, (7.5, 4))],
        f"A bare interpreter takes {1000 * median(base, 'cpu'):.1f} ms of CPU. *Growth* compares with"
        " the same kind of turn in the smallest repository, in a session without subagents. It is"
        f" {most:.2f} at most; the limit is {SPREAD}: {'held' if most <= SPREAD else '**not held**'}.",
    )


def _growth(command: Command, turns: Sequence[Command]) -> float:
    """How much more a turn costs than the first one of its kind."""
    first = next(turn for turn in turns if command.name.startswith(turn.name.partition(",")[0]))
    return median(command, "cpu") / median(first, "cpu")


class _Fleet(NamedTuple):
    """Sessions whose turns follow each other, in one repository after the other."""

    kind: str
    sessions: int
    repositories: int
    seconds_apart: float
    turns: int  # after the one that starts the drainer


def _busy(python: str, world: World, fleets: Sequence[_Fleet], starts: int, shown: str) -> Section:
    """Turns that follow each other. What the first one costs, which starts the drainer, is measured
    several times and counted apart."""
    rows = []
    firsts = {
        kind: statistics.median(
            _costs_of_turns(bare(python), world, _Fleet(kind, 1, 1, 0, 0)) for _ in range(starts)
        )
        for kind in dict.fromkeys(fleet.kind for fleet in fleets)
    }
    at_once = statistics.median(bare(python).run().cpu for _ in range(2 * starts + 1))
    for fleet in fleets:
        base = bare(python)
        first = firsts[fleet.kind]
        each = (_costs_of_turns(base, world, fleet) - first) / fleet.turns
        ratio = each / median(base, "cpu")
        rows.append(
            (fleet.kind, f"{fleet.sessions}", f"{fleet.repositories}", f"{fleet.seconds_apart:g}",
             f"{1000 * first:.0f}", f"{1000 * each:.1f}", f"{1000 * median(base, 'cpu'):.1f}",
             f"{ratio:.2f}", f"{BUSY:.0f}", held(ratio, BUSY))
        )  # fmt: skip
    return Section(
        "What a turn costs in a busy fleet",
        shown,
        "CPU time of turns that follow each other, of one session after the other. A drainer that"
        " lingers takes the next turn without starting again. The bare interpreter rests, too: it"
        " starts in the middle of each pause. On some machines a rest is dear, since memory that was"
        f" not used for a moment is taken away: without one it takes {1000 * at_once:.1f} ms here.",
        [
            table(
                ("turn", "sessions", "repositories", "seconds apart", "CPU ms of the first",
                 "CPU ms of each that follows", "of a bare interpreter", "times bare", "limit",
                 "holds"),
                rows,
            )
        ],
    )  # fmt: skip


def _costs_of_turns(base: Command, world: World, fleet: _Fleet) -> float:
    """CPU seconds of the first turn and those that follow, with the drainers' from start to end. The
    bare interpreter runs in the middle of each pause."""
    end_orphans()
    total = 0.0
    sessions = []
    for number in range(fleet.sessions):
        path = world.folder / f"busy-{number % fleet.repositories}"
        sessions.append(Session(world.folder, path if path.exists() else repository(path, 2)))
    for turn in range(fleet.turns + 1):
        began = time.monotonic()
        session = sessions[turn % len(sessions)]
        total += _turn(world, session, "", fleet.kind).run().cpu
        _wait_until_empty(world.home)
        time.sleep(fleet.seconds_apart / 2)
        base.costs.append(base.run())
        time.sleep(max(0.0, fleet.seconds_apart - (time.monotonic() - began)))
    return total + cpu_of_orphans(world.home)


def _wait_until_empty(home: Path, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while spool.pending(str(home)) and time.monotonic() < deadline:
        time.sleep(0.02)


# --- how long it takes ---


def _latency(base: Command, world: World, project: Path, number: int, shown: str) -> Section:
    session = Session(world.folder, project)
    found: dict[str, list[tuple[float, float]]] = {}
    with running_gateway(world.home) as (address, headers):
        viewer = _Viewer(f"ws://{address}/ws", headers, world.home)
        try:
            for name, ends in (("alone", True), ("in a busy fleet", False)):
                found[name] = []
                for _ in range(number):
                    found[name].append(_one_latency(world, session, viewer, ends))
                    base.costs.append(base.run())
        finally:
            viewer.close()
    end_orphans()
    rows = []
    for name, delays in found.items():
        for what, place, limit in (("the stored row", 0, ROW), ("the dashboard", 1, DASHBOARD)):
            seconds = statistics.median(delay[place] for delay in delays)
            most = sorted(delay[place] for delay in delays)[int(len(delays) * 0.95)]
            ratio = seconds / median(base, "wall")
            rows.append(
                (f"{what}, {name}", f"{1000 * seconds:.0f}", f"{1000 * most:.0f}", f"{ratio:.2f}",
                 f"{limit:.0f}", held(ratio, limit))
            )  # fmt: skip
    return Section(
        "How soon a turn is seen",
        shown,
        f"From the end of the Stop hook to the committed briefing, and to a WebSocket client as the"
        f" dashboard is one, {number} turns each. *Alone*: no drainer is running.",
        [
            table(
                ("from the hook's end to", "ms, median", "95th percentile", "times bare", "limit",
                 "holds"),
                rows,
            )
        ],
    )  # fmt: skip


def _one_latency(
    world: World, session: Session, viewer: "_Viewer", ends: bool
) -> tuple[float, float]:
    """(seconds to the row, seconds to the client)."""
    if ends:
        cpu_of_orphans(world.home)
        wait_for_quiet(world.home)
    else:
        time.sleep(0.3)
    payload = session.turn()
    hook = world.hook("Stop", 0, session.repository, payload=lambda: payload)
    hook.run()
    ended = time.monotonic()
    stored = viewer.wait_for_row(str(payload["prompt_id"])) - ended
    return max(0.0, stored), max(0.0, viewer.wait_for_event(str(payload["session_id"])) - ended)


class _Viewer:
    """Follows the events as the dashboard does, and looks for rows in the database."""

    def __init__(self, address: str, headers: dict[str, str], home: Path) -> None:
        self._connection = sqlite3.connect(
            paths.uri(paths.database(str(home)), "ro"), uri=True, isolation_level=None
        )
        self._client = connect(address, additional_headers=headers, compression=None)
        newest = self._connection.execute("SELECT max(event_id) FROM outbox_events").fetchone()[0]
        subscription = {"type": "fleet.subscribe", "from_event_id": newest or 0}
        self._client.send(json.dumps(subscription))
        self._arrived: list[float] = []
        self._seen = 0
        self._news = threading.Condition()
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        with contextlib.suppress(Exception):  # the end of the connection
            for message in self._client:
                if '"briefing_added"' in str(message):
                    with self._news:
                        self._arrived.append(time.monotonic())
                        self._news.notify()

    def wait_for_row(self, prompt_id: str) -> float:
        deadline = time.monotonic() + 20
        query = "SELECT 1 FROM turns WHERE turn_key = ?"
        while time.monotonic() < deadline:
            if self._connection.execute(query, (prompt_id,)).fetchone():
                return time.monotonic()
            time.sleep(0.0005)
        raise TimeoutError("the turn was not stored")

    def wait_for_event(self, session_id: str) -> float:
        with self._news:
            if not self._news.wait_for(lambda: len(self._arrived) > self._seen, timeout=20):
                raise TimeoutError(f"no event of {session_id} came")
            self._seen += 1
            return self._arrived[self._seen - 1]

    def close(self) -> None:
        self._client.close()
        self._connection.close()
