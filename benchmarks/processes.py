"""Whole processes: every hook, the commands that a person waits for over histories of 1,000 to
1,000,000 events, and the two halves of a captured turn. They run interleaved (A B C A B C …), so
that a machine that slows down slows all of them. Ratios are of medians, to `python -I -c pass` of
the same interpreter.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks import history
from benchmarks.report import Plot, Section, table
from fleet_lib import paths, spool

ROOT = Path(__file__).resolve().parent.parent
SESSION = "df866e89-d7cd-49d6-9846-d8df06c54c4e"
SIZES = (1_000, 10_000, 100_000, 1_000_000)
MESSAGE = "Changed hello() to return 2 and wrote the API page. " * 20

HOOK, HISTORY, TURN = "hook", "history", "turn"


@dataclass
class Command:
    """One row of a table, and the times of its runs."""

    table: str
    name: str
    arguments: Sequence[str]
    payload: dict[str, str] | None = None  # on stdin
    environment: dict[str, str] = field(default_factory=dict)
    limit: float | None = None  # DESIGN section 11, as a ratio
    events: int | None = None  # in its history
    prepare: Callable[[], object] = lambda: None
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def measure(folder: Path, python: str, rounds: int, largest: int) -> list[Section]:
    sizes = [size for size in SIZES if size <= largest]
    commands = _commands(folder, python, sizes)
    _run(commands, rounds, warmup=2, folder=folder)
    base = commands[0]
    shown = f"python -m benchmarks processes --rounds {rounds}"
    return [
        _hooks(base, commands, shown, sizes),
        _turn(base, commands, shown),
        _growth(base, commands, shown),
    ]


# --- the commands ---


@dataclass(frozen=True)
class _Maker:
    """Makes commands with the environment of a session in `project`."""

    folder: Path
    python: str  # runs the hooks
    project: Path

    def environment(self, home: Path, where: Path) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "FLEET_HOME": str(home),
            "CLAUDE_PROJECT_DIR": str(where),
            "CLAUDE_CODE_SESSION_ID": SESSION,
        }

    def hook(
        self, event: str, home: Path, limit: float, where: Path | None = None, **payload: str
    ) -> Command:
        """The hook `event` in the folder `where`, which is the project's if none is given."""
        where = where or self.project
        call = {"session_id": SESSION, "cwd": str(where), "hook_event_name": event, **payload}
        command = [self.python, "-I", "-S", str(ROOT / "hooks" / f"{event}.py")]
        return Command(HOOK, event, command, call, self.environment(home, where), limit)

    def fleet(self, name: str, interpreter: str, home: Path, *arguments: str) -> Command:
        # As bin/fleet starts it, except for the folder of the packages.
        path = f"import sys; sys.path.insert(0, {str(ROOT)!r})"
        start = f"{path}\nfrom commander.__main__ import main; main()"
        command = [interpreter, "-I", "-c", start, *arguments]
        return Command(HISTORY, name, command, environment=self.environment(home, self.project))


def _commands(folder: Path, python: str, sizes: Sequence[int]) -> list[Command]:
    maker = _Maker(folder, python, history.repositories(folder)[0])
    capture, whole = folder / "capture", folder / "turn"
    for home in (capture, whole):
        spool.make_folders(str(home))
    homes = {size: folder / f"history-{size}" for size in sizes}
    for size, home in homes.items():
        history.fill(home, size)
    largest = homes[sizes[-1]]

    drainer = Command(
        TURN,
        "the drainer, from its start to its end",
        [sys.executable, "-I", paths.DRAINER, str(whole), "--once"],
        environment=maker.environment(whole, maker.project),
        prepare=_Turns(whole, maker.project),
    )
    worker = maker.hook("user_prompt_submit", largest, 1.3, prompt="hello")
    worker.name = "a worker's prompt"
    line = maker.fleet("fleet statusline", python, largest, "statusline")
    line.table, line.limit = HOOK, 2.0
    commands = [
        Command(HOOK, "python -I -c pass", [python, "-I", "-c", "pass"]),
        Command(HOOK, "python -I -S -c pass", [python, "-I", "-S", "-c", "pass"]),
        maker.hook("stop", capture, 1.3, prompt_id="p", last_assistant_message=MESSAGE),
        maker.hook("stop_failure", capture, 1.3, prompt_id="p", error="unknown"),
        maker.hook("permission_request", capture, 1.3, tool_name="Bash"),
        maker.hook("notification", capture, 1.3, notification_type="permission_prompt"),
        maker.hook("session_end", capture, 1.3, reason="other"),
        maker.hook("session_start", largest, 2.0, source="startup"),
        maker.hook("user_prompt_submit", largest, 2.0, largest, prompt="hello"),
        worker,
        line,
        drainer,
    ]
    for size, home in homes.items():
        commands += _of_history(maker, home, size)
    return commands


def _of_history(maker: _Maker, home: Path, events: int) -> list[Command]:
    """What a person waits for with a history of that many events."""
    prompt = maker.hook("user_prompt_submit", home, 2.0, home, prompt="hello")
    prompt.table, prompt.name = HISTORY, "the Commander's prompt"
    search = ["briefings", "search"]
    commands = [
        prompt,
        maker.fleet("fleet status", sys.executable, home, "status"),
        maker.fleet("a search for rare words", sys.executable, home, *search, "refund", "parser"),
        maker.fleet("a search for a common word", sys.executable, home, *search, "other"),
    ]
    for command in commands:
        command.events = events
    return commands


class _Turns:
    """Each call puts one more turn, with its transcript, into the spool."""

    def __init__(self, home: Path, project: Path) -> None:
        self._home, self._project, self._number = home, project, 0

    def __call__(self) -> None:
        self._number += 1
        payload = history.turn(self._project, self._number)
        transcript = self._project.parent / "transcript.jsonl"
        lines = (ROOT / "tests" / "payloads" / "2.1.197" / "transcript.jsonl").read_text()
        transcript.write_text(
            lines
            + json.dumps(
                {
                    "type": "assistant",
                    "promptId": payload["prompt_id"],
                    "message": {
                        "content": [{"type": "text", "text": payload["last_assistant_message"]}]
                    },
                }
            )
            + "\n"
        )
        payload["transcript_path"] = str(transcript)
        session, cwd = payload["session_id"], payload["cwd"]
        spool.put(str(self._home), "Stop", json.dumps(payload).encode(), session, cwd)


# --- running ---


def _run(commands: Sequence[Command], rounds: int, warmup: int, folder: Path) -> None:
    homes = {command.environment.get("FLEET_HOME", "") for command in commands} - {""}
    for number in range(rounds + warmup):
        for command in commands:
            _quiet(folder, homes)
            command.prepare()
            wall, cpu = _timed(command)
            if number >= warmup:
                command.wall.append(wall)
                command.cpu.append(cpu)


def _quiet(folder: Path, homes: set[str]) -> None:
    """End the drainers of the previous command, and empty the spools."""
    for home in homes:
        for place in ("new", "tmp"):
            for path in Path(paths.spool(home, place)).iterdir():
                path.unlink(missing_ok=True)
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or ())
        if "drain.py" in command and str(folder) in command:
            with contextlib.suppress(psutil.Error):
                process.kill()
                # Its parent, which may be init, reaps it later.
                while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    time.sleep(0.002)


def _timed(command: Command) -> tuple[float, float]:
    """(wall seconds, CPU seconds) of one run: with children that it waited for, without others."""
    given = json.dumps(command.payload).encode() if command.payload else b""
    began = time.perf_counter()
    process = subprocess.Popen(
        command.arguments,
        stdin=subprocess.PIPE if given else subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=command.environment,
    )
    if process.stdin:
        process.stdin.write(given)
        process.stdin.close()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command.arguments)
    return wall, usage.ru_utime + usage.ru_stime


# --- the tables ---


def _hooks(base: Command, commands: Sequence[Command], shown: str, sizes: Sequence[int]) -> Section:
    found = [command for command in commands if command.table == HOOK]
    header = ("what", "median ms", "quartiles", "ratio", "limit")
    rows = [
        (c.name, *_spread(c.wall), f"{_ratio(c, base):.2f}", f"{c.limit:.1f}" if c.limit else "")
        for c in found
    ]

    def draw(axes: Any) -> None:
        middle = statistics.median(base.wall)
        names = [command.name for command in reversed(found)]
        for at, command in enumerate(reversed(found)):
            low, ratio, high = (q / middle for q in statistics.quantiles(command.wall, n=4))
            axes.barh(at, ratio, color="#4c6ef5", alpha=0.75)
            axes.plot([low, high], [at, at], color="#1b1f27", linewidth=1.5)
            if command.limit:
                axes.plot([command.limit] * 2, [at - 0.4, at + 0.4], color="#c92a2a", linewidth=2)
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("times python -I -c pass; line: quartiles; red: limit")

    return Section(
        "What a hook costs",
        shown,
        "Each hook runs as `python3 -I -S hooks/<event>.py` and starts the drainer, which is ended"
        " before the next measurement. Hooks that read the database find"
        f" {sizes[-1]:,} events of {history.PROJECTS} projects, a tenth of them unseen. *A worker's"
        " prompt* is the UserPromptSubmit hook in a session that is not the Commander: a plugin"
        " registers it for every session, the settings only for the Commander's folder. Ratios are"
        " to `python -I -c pass`, which only starts and ends the interpreter.",
        [table(header, rows)],
        [Plot("hooks", "What each hook takes, as a multiple of a bare interpreter", draw)],
    )


def _turn(base: Command, commands: Sequence[Command], shown: str) -> Section:
    stop = next(command for command in commands if command.name == "stop")
    drainer = next(command for command in commands if command.table == TURN)
    rows = [
        (name, *_spread(command.cpu), f"{_ratio(command, base, cpu=True):.1f}")
        for name, command in (
            ("python -I -c pass", base),
            ("the Stop hook", stop),
            (drainer.name, drainer),
        )
    ]
    both = statistics.median(stop.cpu) + statistics.median(drainer.cpu)
    return Section(
        "What one captured turn costs",
        shown,
        "CPU time (user and system) of a turn that comes alone. The session waits only for the"
        " hook; the drainer runs in the background.",
        [table(("part", "CPU ms, median", "quartiles", "ratio"), rows)],
        note=f"Together {1000 * both:.0f} ms of CPU. Most of it is the drainer's imports and"
        " git; a message with markdown needs a parser besides. If several turns wait, the others"
        " cost only what a drain costs per entry (below).",
    )


def _growth(base: Command, commands: Sequence[Command], shown: str) -> Section:
    found = [command for command in commands if command.table == HISTORY]
    rows = [(c.name, f"{c.events:,}", *_spread(c.wall), f"{_ratio(c, base):.1f}") for c in found]

    def draw(axes: Any) -> None:
        for name in dict.fromkeys(command.name for command in found):
            line = [command for command in found if command.name == name]
            axes.plot(
                [command.events for command in line],
                [1000 * statistics.median(command.wall) for command in line],
                marker="o",
                label=name,
            )
        axes.set(xscale="log", yscale="log", xlabel="events in the outbox", ylabel="ms, median")
        axes.legend(frameon=False)

    return Section(
        "How the cost grows with history",
        shown,
        "Every second event has a briefing of 80 words, and a tenth of the events is unseen. One"
        " briefing in a hundred has the rare words, all others have the common one.",
        [table(("what", "events", "median ms", "quartiles", "ratio"), rows)],
        [
            Plot(
                "growth",
                "Milliseconds of a prompt, a status and a search over a growing history",
                draw,
            )
        ],
    )


def _ratio(command: Command, base: Command, *, cpu: bool = False) -> float:
    if cpu:
        return statistics.median(command.cpu) / statistics.median(base.cpu)
    return statistics.median(command.wall) / statistics.median(base.wall)


def _spread(seconds: Sequence[float]) -> tuple[str, str]:
    low, middle, high = (1000 * q for q in statistics.quantiles(seconds, n=4))
    return f"{middle:.1f}", f"{low:.1f} to {high:.1f}"
