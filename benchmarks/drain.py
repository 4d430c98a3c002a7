"""What a drain costs: 10,000 Stop entries of ten repositories against a loop that only reads each
entry, parses its JSON and inserts one row, with one commit a hundred.

    python benchmarks/drain.py [--entries 10000] [--rounds 3]
"""

import argparse
import json
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fleet_lib import paths, spool  # noqa: E402

REPOSITORIES = 10


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--entries", type=int, default=10_000)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    drains, loops = [], []
    with tempfile.TemporaryDirectory() as folder:
        repositories = [_make_repository(Path(folder) / f"repo-{n}") for n in range(REPOSITORIES)]
        for number in range(given.rounds):
            home = Path(folder) / f"home-{number}"
            _fill(home, repositories, given.entries)
            loops.append(_plain_loop(home, Path(folder) / f"plain-{number}.db"))
            drains.append(_drain(home))
    ratio = statistics.median(d / p for d, p in zip(drains, loops, strict=True))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{given.entries:,} Stop entries of {REPOSITORIES} repositories, {given.rounds} rounds\n")
    print("| what | seconds, median | ms an entry |\n|---|---|---|")
    for name, seconds in (("read, parse, insert", loops), ("fleet drain", drains)):
        middle = statistics.median(seconds)
        print(f"| {name} | {middle:.2f} | {1000 * middle / given.entries:.3f} |")
    print(f"\nratio {ratio:.1f} (limit 20), peak memory of the drainer {peak:.0f} MB")


def _make_repository(path: Path) -> Path:
    path.mkdir()
    (path / "app.py").write_text("print('hello')\n")
    (path / "README.md").write_text("See app.py\n")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        identity = ["-c", "user.name=b", "-c", "user.email=b@example.org"]
        subprocess.run(["git", "-C", str(path), *identity, *command], check=True)
    return path


def _fill(home: Path, repositories: list[Path], entries: int) -> None:
    spool.make_folders(str(home))
    os.fsync, real = lambda _descriptor: None, os.fsync  # filling is not what is measured
    try:
        for number in range(entries):
            repository = repositories[number % len(repositories)]
            session = str(uuid.uuid5(uuid.NAMESPACE_URL, str(number // 20)))
            payload = {
                "session_id": session,
                "transcript_path": str(repository / "no-such-transcript.jsonl"),
                "cwd": str(repository),
                "prompt_id": str(uuid.uuid5(uuid.NAMESPACE_OID, str(number))),
                "hook_event_name": "Stop",
                "last_assistant_message": f"Turn {number}: changed a few things.\n\n"
                "```briefing\n---\nstatus: completed\n"
                f"summary: Turn {number} is done\nfiles_touched: [app.py]\n---\n```\n"
                if number % 5 == 0
                else f"Turn {number}: changed a few things and ran the tests, all green.",
            }
            spool.put(str(home), "Stop", json.dumps(payload).encode(), session, str(repository))
    finally:
        os.fsync = real


def _plain_loop(home: Path, database: Path) -> float:
    names = spool.pending(str(home))
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("CREATE TABLE entries (id INTEGER PRIMARY KEY, payload TEXT)")
    begun = time.perf_counter()
    for start in range(0, len(names), 100):
        connection.execute("BEGIN IMMEDIATE")
        for name in names[start : start + 100]:
            payload = json.loads(spool.read_pending(str(home), name).payload)
            connection.execute("INSERT INTO entries (payload) VALUES (?)", (json.dumps(payload),))
        connection.execute("COMMIT")
    seconds = time.perf_counter() - begun
    connection.close()
    return seconds


def _drain(home: Path) -> float:
    script = ROOT / "fleet_lib" / "drain.py"
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-I", str(script), str(home)], check=True)
    seconds = time.perf_counter() - begun
    left = len(spool.pending(str(home)))
    with sqlite3.connect(paths.database(str(home))) as connection:
        stored = connection.execute("SELECT count(*) FROM briefings").fetchone()[0]
    assert left == 0 and stored > 0, (left, stored)
    return seconds


if __name__ == "__main__":
    main()
