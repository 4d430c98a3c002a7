"""How the cost grows with history: what the Commander's prompt, `fleet status` and `fleet briefings search` take over
1,000 to 1,000,000 events, and ingest with 1,000 to 100,000 entries waiting.

    python benchmarks/growth.py [--rounds 7] [--largest 1000000] [--entries 100000]

Reading: whole processes in one interleaved run over all sizes, medians with quartiles, ratios against
`python -I -c pass`. Every second event has a briefing of 80 words; a tenth is unseen.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from _interleaved import Command, run

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks"))

import drain as drain_benchmark  # noqa: E402

from fleet_lib import db, paths, spool  # noqa: E402

WORDS = (
    "refund client staging parser deploy review token login page tests branch merge cache".split()
)


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--largest", type=int, default=1_000_000)
    options.add_argument("--entries", type=int, default=100_000)
    given = options.parse_args()
    sizes = [size for size in (1000, 10_000, 100_000, 1_000_000) if size <= given.largest]
    with tempfile.TemporaryDirectory() as folder:
        commands = [Command("python -I -c pass", [sys.executable, "-I", "-c", "pass"])]
        for size in sizes:
            home = Path(folder) / f"home-{size}"
            _fill(home, size)
            commands += _commands(home, size)
        run(commands, given.rounds, warmup=1)
        base = statistics.median(commands[0].seconds)
        print("| what | events | median ms | quartiles | ratio |\n|---|---|---|---|---|")
        for command in commands:
            name, _, size = command.name.partition("@")
            low, middle, high = statistics.quantiles(command.seconds, n=4)
            count = f"{int(size):,}" if size else ""
            print(
                f"| {name} | {count} | {1000 * middle:.1f} | {1000 * low:.1f} to {1000 * high:.1f} | {middle / base:.1f} |"
            )
        print(
            "\n| entries waiting | read, parse, insert, s | fleet drain, s | ms an entry | ratio | peak memory, MB |\n|---|---|---|---|---|---|"
        )
        repositories = [
            drain_benchmark._make_repository(Path(folder) / f"repo-{n}") for n in range(10)
        ]
        for entries in [count for count in (1000, 10_000, 100_000) if count <= given.entries]:
            home = Path(folder) / f"drain-{entries}"
            drain_benchmark._fill(home, repositories, entries)
            plain = drain_benchmark._plain_loop(home, Path(folder) / f"plain-{entries}.db")
            seconds, peak = _drain(home)
            print(
                f"| {entries:,} | {plain:.2f} | {seconds:.2f} | {1000 * seconds / entries:.3f} | {seconds / plain:.1f} | {peak:.0f} |",
                flush=True,
            )


def _commands(home: Path, size: int) -> list[Command]:
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(home.parent),
        "FLEET_HOME": str(home),
        "FLEET_HOOKS": "on",
    }
    prompt = {
        "hook_event_name": "UserPromptSubmit",
        "session_id": "s",
        "prompt_id": "p",
        "cwd": str(home),
    }
    fleet = [
        sys.executable,
        "-I",
        "-c",
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from commander.__main__ import main; main()",
    ]
    new = Path(paths.spool(str(home), "new"))

    def quiet() -> None:
        for path in new.iterdir():
            path.unlink(missing_ok=True)

    hook = [sys.executable, "-I", "-S", str(ROOT / "hooks" / "user_prompt_submit.py")]
    return [
        Command(
            f"the Commander's prompt@{size}",
            hook,
            json.dumps(prompt).encode(),
            env | {"CLAUDE_PROJECT_DIR": str(home)},
            quiet,
        ),
        Command(f"fleet status@{size}", [*fleet, "status"], environment=env, before_each=quiet),
        Command(
            f"fleet briefings search@{size}",
            [*fleet, "briefings", "search", "refund", "parser"],
            environment=env,
            before_each=quiet,
        ),
    ]


def _fill(home: Path, events: int) -> None:
    spool.make_folders(str(home))
    connection = db.connect(paths.database(str(home)))
    connection.execute("PRAGMA synchronous = OFF")
    now = "2026-11-23T00:00:00.000Z"
    with db.transaction(connection):
        connection.executemany(
            "INSERT INTO projects VALUES (?, ?, ?, NULL, 'active', ?, ?)",
            [(f"repo-{n}__00000000", f"repo-{n}", f"/code/repo-{n}", now, now) for n in range(30)],
        )
        connection.executemany(
            "INSERT INTO briefings (briefing_id, project_id, session_id, task_id, status, raw_markdown, created_at, ended_at)"
            " VALUES (?, ?, ?, ?, 'completed', ?, ?, ?)",
            (
                (n, f"repo-{n % 30}__00000000", f"s-{n // 10}", f"t-{n}", _text(n), now, now)
                for n in range(1, events // 2 + 1)
            ),
        )
        connection.executemany(
            "INSERT INTO outbox_events (ts, type, project_id, briefing_id, broadcast_level, payload_json) VALUES (?, ?, ?, ?, ?, ?)",
            (_event(n, now) for n in range(events)),
        )
        connection.execute(
            "INSERT INTO conversations VALUES ('c', 'commander', ?, 'opus', NULL, ?, ?, ?)",
            (str(home), events - events // 10, now, now),
        )
    connection.close()


def _text(number: int) -> str:
    """80 words; those that are searched for stand in one of a hundred."""
    common = [
        WORDS[(number * 7 + place * 3) % len(WORDS)] + str((number + place) % 50)
        for place in range(78)
    ]
    return " ".join([*common, *(("refund", "parser") if number % 100 == 0 else ("other", "words"))])


def _event(number: int, now: str) -> tuple[object, ...]:
    part = number % 100
    kind = "session_blocked" if part < 2 else "briefing_added"
    level = "highlight" if part < 5 else "mention" if part < 50 else "silent"
    payload = {
        "briefing": {
            "status": "blocked" if part < 2 else "completed",
            "summary": f"Turn {number} changed a few files",
        },
        "sessionId": f"s-{number // 20}",
    }
    briefing = number // 2 + 1 if number % 2 else None
    return now, kind, f"repo-{number % 30}__00000000", briefing, level, json.dumps(payload)


def _drain(home: Path) -> tuple[float, float]:
    """(seconds, peak memory in MB) of a drain in a process of its own."""
    import subprocess
    import time

    script = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024); sys.exit(done.returncode)"
    )
    command = [sys.executable, "-I", str(ROOT / "fleet_lib" / "drain.py"), str(home)]
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", script, *command], capture_output=True, text=True, check=True
    )
    return time.perf_counter() - began, float(done.stdout)


if __name__ == "__main__":
    main()
