"""Whole processes: every hook, the commands that a person waits for over histories of 1,000 to 1,000,000 events, and the
two halves of a captured turn. One interleaved run (A B C A B C …), so that a machine that slows down slows
all of them; ratios of medians against `python -I -c pass` of the same interpreter.
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
    """One row, and what its runs took."""

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


# --- what is run ---


def _commands(folder: Path, python: str, sizes: Sequence[int]) -> list[Command]:
    project = history.repositories(folder)[0]
    capture, whole = folder / "capture", folder / "turn"
    for home in (capture, whole):
        spool.make_folders(str(home))
    homes = {size: folder / f"history-{size}" for size in sizes}
    for size, home in homes.items():
        history.fill(home, size)
    largest = homes[sizes[-1]]

    def environment(home: Path, where: Path) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "FLEET_HOME": str(home),
            "CLAUDE_PROJECT_DIR": str(where),
            "CLAUDE_CODE_SESSION_ID": SESSION,
        }

    def hook(name: str, home: Path, where: Path, limit: float, **payload: str) -> Command:
        call = {"session_id": SESSION, "cwd": str(where), "hook_event_name": name, **payload}
        script = ROOT / "hooks" / f"{name}.py"
        return Command(
            HOOK, name, [python, "-I", "-S", str(script)], call, environment(home, where), limit
        )

    # As bin/fleet starts it, but for where the packages are.
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom commander.__main__ import main; main()"

    def fleet(name: str, interpreter: str, home: Path, *arguments: str, **more: Any) -> Command:
        command = [interpreter, "-I", "-c", start, *arguments]
        return Command(HISTORY, name, command, environment=environment(home, project), **more)

    drainer = Command(
        TURN,
        "the drainer, from its start to its end",
        [sys.executable, "-I", str(ROOT / "fleet_lib" / "drain" / "drain.py"), str(whole)],
        environment=environment(whole, project),
        prepare=_Turns(whole, project),
    )
    worker = hook("user_prompt_submit", largest, project, 1.3, prompt="hello")
    worker.name = "a worker's prompt"
    line = fleet("fleet statusline", python, largest, "statusline", limit=2.0)
    line.table = HOOK
    stop = hook("stop", capture, project, 1.3, prompt_id="p", last_assistant_message=MESSAGE)
    commands = [
        Command(HOOK, "python -I -c pass", [python, "-I", "-c", "pass"]),
        Command(HOOK, "python -I -S -c pass", [python, "-I", "-S", "-c", "pass"]),
        stop,
        hook("stop_failure", capture, project, 1.3, prompt_id="p", error="unknown"),
        hook("notification", capture, project, 1.3, notification_type="permission_prompt"),
        hook("session_end", capture, project, 1.3, reason="other"),
        hook("session_start", largest, project, 2.0, source="startup"),
        hook("user_prompt_submit", largest, largest, 2.0, prompt="hello"),
        worker,
        line,
        drainer,
    ]
    for size, home in homes.items():
        prompt = hook("user_prompt_submit", home, home, 2.0, prompt="hello")
        prompt.table, prompt.name, prompt.events = HISTORY, "the Commander's prompt", size
        search = ["briefings", "search", "refund", "parser"]
        commands += [
            prompt,
            fleet("fleet status", sys.executable, home, "status", events=size),
            fleet("fleet briefings search", sys.executable, home, *search, events=size),
        ]
    return commands


class _Turns:
    """Each call puts one more turn into the spool, with a transcript behind it."""

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
    """No drainer of the command before may run beside this one, nor anything wait in a spool."""
    for home in homes:
        for place in ("new", "tmp"):
            for path in Path(paths.spool(home, place)).iterdir():
                path.unlink(missing_ok=True)
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or ())
        if "drain.py" in command and str(folder) in command:
            with contextlib.suppress(psutil.Error):
                process.kill()
                # Whoever is its parent now may take its time to reap it.
                while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    time.sleep(0.002)


def _timed(command: Command) -> tuple[float, float]:
    """(wall seconds, CPU seconds) of one run, with what it waited for and without what it left running."""
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


# --- what is told ---


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
        "Each hook runs as `python3 -I -S hooks/<event>.py` and starts the drainer, which is ended before"
        " the next measurement. Hooks that read the database find"
        f" {sizes[-1]:,} events of {history.PROJECTS} projects, a tenth of them unseen. *A worker's prompt* is"
        " the UserPromptSubmit hook in a session that is not the Commander: a plugin registers it for every"
        " session, the settings only for the Commander's folder. Ratios are to `python -I -c pass`, which"
        " only starts and ends the interpreter.",
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
        "CPU time (user and system) of a turn that comes alone. The session waits only for the hook; the"
        " drainer runs in the background.",
        [table(("part", "CPU ms, median", "quartiles", "ratio"), rows)],
        note=f"Together {1000 * both:.0f} ms of CPU. Nearly all of it is the drainer's imports (pydantic, YAML,"
        " markdown-it) and git. If several turns wait, the others cost only what a drain costs per entry"
        " (below).",
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
        "Every second event has a briefing of 80 words, and a tenth of the events is unseen. The search"
        " finds one briefing in a hundred.",
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
