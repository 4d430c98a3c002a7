"""What a session waits for: every hook as Claude Code's settings register it, with its shell, its
launcher and the drainer's start; and what can be run beside it of other ways to do the same."""

import fcntl
import http.server
import os
import shlex
import shutil
import subprocess
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import history
from benchmarks.report import Plot, Section, held, ratio_cells, table
from benchmarks.running import (
    BARE,
    ROOT,
    Command,
    bare,
    empty_spool,
    end_orphans,
    interleaved,
    median,
    ratios,
    without_site,
    yardstick_warning,
)
from benchmarks.work import repository
from benchmarks.world import MESSAGE, World
from fleet_lib import paths, spool

_POSTING = """
import json, sys, urllib.request
data = json.dumps(json.load(sys.stdin)).encode()
request = urllib.request.Request(sys.argv[1], data, {"Content-Type": "application/json"})
urllib.request.urlopen(request, timeout=5).read()
"""


def measure(folder: Path, python: str, rounds: int, largest: int) -> list[Section]:
    world = World(folder, python)
    history.fill(world.home, largest)
    project = repository(folder / "project", 2)
    server = _Sink()
    base, without = bare(python), without_site(python)
    ours = _ours(world, project)
    for command in ours[:-1]:  # the last one is the status line
        _require_entry(command, world)
    others = [without, *_others(folder, world, project, server.address)]
    try:
        interleaved([base, *ours, *others], rounds, [world.home])
    finally:
        server.close()
    return [
        _section(base, ours, yardstick_warning(base, without), rounds, largest),
        _beside(base, ours[0], others, rounds),
    ]


def _ours(world: World, project: Path) -> list[Command]:
    line = world.fleet("fleet statusline", "statusline")
    line.limit = 2.0
    line.arguments = ["/bin/sh", "-c", shlex.join(line.arguments)]  # as Claude Code runs it
    return [
        world.hook("Stop", 1.3, project, last_assistant_message=MESSAGE),
        world.hook("StopFailure", 1.3, project, error="unknown"),
        world.hook("PermissionRequest", 1.3, project, tool_name="Bash"),
        world.hook("Notification", 1.3, project, notification_type="permission_prompt"),
        world.hook("SessionEnd", 1.3, project, reason="other"),
        world.hook("SessionStart", 2.0, project, source="startup"),
        world.hook("UserPromptSubmit", 2.0, world.home, prompt="hello"),
        line,
    ]


def _others(folder: Path, world: World, project: Path, address: str) -> list[Command]:
    """Other ways, as far as this machine has them."""
    environment = world.environment(project)
    stop = world.hook("Stop", 0, project, last_assistant_message=MESSAGE).payload
    posting = folder / "posting.py"
    posting.write_text(_POSTING)
    found = [
        Command(
            "a plain python3 hook that posts JSON to a local server",
            [world.python, str(posting), address],
            stop,
            environment,
        )
    ]
    if node := shutil.which("node"):
        # A whole start, and not one that fails because the home is no real one.
        name = "node -e 0, the least of a Node hook"
        found.append(Command(name, [node, "-e", "0"], None, environment))
    if compiler := shutil.which("cc"):
        program = folder / "capture"
        source = ROOT / "benchmarks" / "capture.c"
        subprocess.run([compiler, "-O2", "-o", str(program), str(source)], check=True)
        name = "the same capture, compiled: the physical limit"
        found.append(Command(name, [str(program), str(world.home), "Stop"], stop, environment))
        _require_entry(found[-1], world)
    return found


def _require_entry(command: Command, world: World) -> None:
    """The command leaves an entry that the drainer reads. No drainer may take it meanwhile."""
    lock = os.open(paths.lock(str(world.home)), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    command.run()
    (name,) = spool.pending(str(world.home))
    entry = spool.read_pending(str(world.home), name)
    assert entry.event in (command.name, "Stop") and entry.payload, name
    assert uuid.UUID(spool.name_parts(name)[2])
    os.close(lock)
    end_orphans()
    empty_spool(world.home)


def _section(
    base: Command, ours: Sequence[Command], warning: str, rounds: int, largest: int
) -> Section:
    rows = [
        (
            command.name,
            f"{1000 * median(command, 'wall'):.1f}",
            *ratio_cells(ratios(command, base, "wall")),
            f"{command.limit:.1f}",
            held(ratios(command, base, "wall")[0], command.limit),
        )
        for command in ours
    ]

    def draw(axes: Any) -> None:
        for at, command in enumerate(reversed(ours)):
            ratio, low, high = ratios(command, base, "wall")
            axes.barh(at, ratio, color="#4c6ef5", alpha=0.75)
            axes.plot([low, high], [at, at], color="#1b1f27", linewidth=1.5)
            axes.plot([command.limit] * 2, [at - 0.4, at + 0.4], color="#c92a2a", linewidth=2)
        axes.set_yticks(range(len(ours)), [command.name for command in reversed(ours)])
        axes.set_xlabel(f"times {BARE}; line: quartiles; red: limit")

    return Section(
        "What a hook costs",
        f"python -m benchmarks hooks --rounds {rounds}",
        "The time that a session waits. Each hook runs as it is registered: `/bin/sh -c` with the"
        " text of the settings, which finds the home, sources `bin/hook.sh` and runs the hook. It"
        " starts the drainer, which is ended before the next measurement. SessionStart is that of a"
        " worker, UserPromptSubmit that of the Commander; they and the status line read a database"
        f" with {largest:,} events, a tenth of them unseen. {warning}".strip(),
        [table(("hook", "ms", "times bare", "quartiles", "limit", "holds"), rows)],
        [Plot("hooks", "What each hook takes, as a multiple of a bare interpreter", draw)],
        f"*Bare* is `{BARE}`, which only starts and ends the interpreter:"
        f" {1000 * median(base, 'wall'):.1f} ms in this run.",
    )


def _beside(base: Command, stop: Command, others: Sequence[Command], rounds: int) -> Section:
    rows = [
        (
            command.name,
            f"{1000 * median(command, 'wall'):.1f}",
            f"{1000 * median(command, 'cpu'):.1f}",
            *ratio_cells(ratios(command, base, "wall")),
        )
        for command in (base, stop, *others)
    ]
    return Section(
        "What other ways cost",
        f"python -m benchmarks hooks --rounds {rounds}",
        "Measured in the same run. The plain hook imports what such hooks import, and what it posts"
        " is held in the memory of a server, if one is there. The compiled one writes the same entry"
        " with the same durable steps, and starts no drainer.",
        [table(("what", "ms", "CPU ms", "times bare", "quartiles"), rows)],
    )


class _Sink:
    """A server on loopback that takes everything, in a thread."""

    def __init__(self) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
