"""What a hook costs: whole processes against `python -I -c pass` of the same interpreter, interleaved.

    python benchmarks/hot_path.py [--rounds 40] [--python PATH] [--events 1000000]

The printing hooks run over an outbox of a million events, a hundred thousand of them unseen.
"""

import argparse
import dataclasses
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from _interleaved import Command, run, table

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fleet_lib import db, paths, spool  # noqa: E402

SESSION = "df866e89-d7cd-49d6-9846-d8df06c54c4e"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=40)
    options.add_argument("--python", default=sys.executable)
    options.add_argument("--events", type=int, default=1_000_000)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        commands = _commands(Path(folder), given.python, given.events)
        run(commands, given.rounds)
        print(f"{given.python}, {given.rounds} rounds, {given.events:,} events\n")
        print(table(commands))


def _commands(folder: Path, python: str, events: int) -> list[Command]:
    capture, big, project = folder / "capture", folder / "big", folder / "project"
    project.mkdir()
    spool.make_folders(str(capture))
    _make_big_outbox(big, events)

    def quiet() -> None:
        """No drainer of the call before may run beside this one, nor anything wait in a spool."""
        _reset(capture)
        _reset(big)

    def hook(name: str, home: Path, where: Path, limit: float, **payload: str) -> Command:
        call = {"session_id": SESSION, "cwd": str(where), "hook_event_name": name, **payload}
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "FLEET_HOME": str(home),
            "CLAUDE_PROJECT_DIR": str(where),
            "CLAUDE_CODE_SESSION_ID": SESSION,
        }
        script = ROOT / "hooks" / f"{name}.py"
        return Command(
            name,
            [python, "-I", "-S", str(script)],
            json.dumps(call).encode(),
            environment,
            quiet,
            limit,
        )

    # As bin/fleet starts it, but for where the packages are.
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    start += "from commander.__main__ import main; main()"
    message = "Changed hello() to return 2 and wrote the API page. " * 20
    return [
        Command("python -I -c pass", [python, "-I", "-c", "pass"], before_each=quiet),
        Command("python -I -S -c pass", [python, "-I", "-S", "-c", "pass"], before_each=quiet),
        hook("stop", capture, project, 1.3, prompt_id="p", last_assistant_message=message),
        hook("stop_failure", capture, project, 1.3, prompt_id="p", error="unknown"),
        hook("notification", capture, project, 1.3, notification_type="permission_prompt"),
        hook("session_end", capture, project, 1.3, reason="other"),
        hook("session_start", big, project, 2.0, source="startup"),
        hook("user_prompt_submit", big, big, 2.0, prompt="hello"),
        _named("a worker's prompt", hook("user_prompt_submit", big, project, 1.3, prompt="hello")),
        Command(
            "fleet statusline",
            [python, "-I", "-c", start, "statusline"],
            environment={"PATH": os.environ["PATH"], "HOME": str(folder), "FLEET_HOME": str(big)},
            before_each=quiet,
            limit=2.0,
        ),
    ]


def _named(name: str, command: Command) -> Command:
    """Of the same hook in another place."""
    return dataclasses.replace(command, name=name)


def _reset(home: Path) -> None:
    """Let the drainer of the call before end, and empty the spool: every call finds the same."""
    deadline = time.monotonic() + 2
    new = Path(paths.spool(str(home), "new"))
    for path in new.iterdir():
        path.unlink(missing_ok=True)
    for path in Path(paths.spool(str(home), "tmp")).iterdir():
        path.unlink(missing_ok=True)
    while _drainers(home) and time.monotonic() < deadline:
        time.sleep(0.005)


def _drainers(home: Path) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if b"drain.py" in command and str(home).encode() in command:
            found.append(int(process.name))
            os.kill(int(process.name), signal.SIGKILL)
    return found


def _make_big_outbox(home: Path, events: int) -> None:
    """Events of thirty projects: 2% alerts, 3% highlights, 45% mentions, the rest silent; the last
    tenth unseen."""
    spool.make_folders(str(home))
    connection = db.connect(paths.database(str(home)))
    now = "2026-11-23T00:00:00.000Z"
    with db.transaction(connection):
        connection.executemany(
            "INSERT INTO projects VALUES (?, ?, ?, NULL, 'active', ?, ?)",
            [(f"repo-{n}__00000000", f"repo-{n}", f"/code/repo-{n}", now, now) for n in range(30)],
        )

        def rows() -> object:
            for number in range(events):
                part = number % 100
                kind = "session_blocked" if part < 2 else "briefing_added"
                level = "highlight" if part < 5 else "mention" if part < 50 else "silent"
                status = "blocked" if part < 2 else "completed"
                payload = (
                    f'{{"briefing":{{"briefingId":null,"status":"{status}","summary":'
                    f'"Turn {number} changed a few files and said so in one line"}},'
                    f'"sessionId":"session-{number // 20}"}}'
                )
                yield now, kind, f"repo-{number % 30}__00000000", level, payload

        connection.executemany(
            "INSERT INTO outbox_events (ts, type, project_id, broadcast_level, payload_json)"
            " VALUES (?, ?, ?, ?, ?)",
            rows(),
        )
        connection.execute(
            "INSERT INTO conversations VALUES ('c', 'commander', ?, 'opus', NULL, ?, ?, ?)",
            (str(home), events - events // 10, now, now),
        )
    connection.close()


if __name__ == "__main__":
    if not shutil.which("git"):
        sys.exit("git is needed")
    main()
