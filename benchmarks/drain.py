"""What a drain costs: Stop entries of ten repositories, compared with a loop that only reads each
entry, parses its JSON and inserts one row, with one commit per hundred entries. Both work in turn
on the same entries.
"""

import json
import os
import sqlite3
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import history
from benchmarks.report import Plot, Section, table
from fleet_lib import paths, spool

ROOT = Path(__file__).resolve().parent.parent
SIZES = (1_000, 10_000, 100_000)
LIMIT = 20  # DESIGN section 11, at 10,000 entries


def measure(folder: Path, rounds: int, largest: int) -> list[Section]:
    projects = history.repositories(folder)
    rows, counts, costs, plain = [], [], [], []
    for entries in [size for size in SIZES if size <= largest]:
        # The largest takes minutes; once is enough to see whether the cost of an entry grows.
        times = 1 if entries > 10_000 else rounds
        loops, drains, peak = [], [], 0.0
        for number in range(times):
            home = folder / f"drain-{entries}-{number}"
            history.fill_spool(home, projects, entries)
            loops.append(_plain_loop(home, folder / f"plain-{entries}-{number}.db"))
            seconds, memory = _drain(home)
            drains.append(seconds)
            peak = max(peak, memory)
        ratio = statistics.median(d / p for d, p in zip(drains, loops, strict=True))
        loop, drain = statistics.median(loops), statistics.median(drains)
        spread = f"{min(drains):.2f} to {max(drains):.2f}" if times > 1 else ""
        rows.append(
            (
                f"{entries:,}", str(times), f"{loop:.2f}", f"{drain:.2f}", spread,
                f"{1000 * drain / entries:.3f}", f"{ratio:.1f}",
                str(LIMIT) if entries == 10_000 else "", f"{peak:.0f}",
            )
        )  # fmt: skip
        counts.append(entries)
        costs.append(1000 * drain / entries)
        plain.append(1000 * loop / entries)

    def draw(axes: Any) -> None:
        axes.plot(counts, costs, marker="o", label="fleet drain")
        axes.plot(counts, plain, marker="o", label="read, parse, insert")
        axes.set(xscale="log", xlabel="entries waiting", ylabel="ms an entry")
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False)

    header = (
        "entries waiting", "rounds", "read, parse, insert, s", "drain, s", "least to most",
        "ms an entry", "ratio", "limit", "peak memory, MB",
    )  # fmt: skip
    return [
        Section(
            "What a drain costs",
            f"python -m benchmarks drain --drains {rounds}",
            f"The drainer applies Stop entries of {history.REPOSITORIES} repositories; every fifth"
            " has a briefing block. It is compared with a loop that only reads each entry, parses"
            " its JSON and inserts one row, with one commit per hundred entries. The drainer's time"
            " includes its start and its end.",
            [table(header, rows)],
            [Plot("drain", "Milliseconds an entry, over the number of entries that wait", draw)],
        )
    ]


def _plain_loop(home: Path, database: Path) -> float:
    names = spool.pending(str(home))
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("CREATE TABLE entries (id INTEGER PRIMARY KEY, payload TEXT)")
    began = time.perf_counter()
    for start in range(0, len(names), 100):
        connection.execute("BEGIN IMMEDIATE")
        for name in names[start : start + 100]:
            payload = json.loads(spool.read_pending(str(home), name).payload)
            connection.execute("INSERT INTO entries (payload) VALUES (?)", (json.dumps(payload),))
        connection.execute("COMMIT")
    seconds = time.perf_counter() - began
    connection.close()
    return seconds


def _drain(home: Path) -> tuple[float, float]:
    """(seconds, peak memory in MB) of the drainer."""
    script = ROOT / "fleet_lib" / "drain" / "drain.py"
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-I", str(script), str(home), "--once"])
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    left = len(spool.pending(str(home)))
    with sqlite3.connect(paths.database(str(home))) as connection:
        stored = connection.execute("SELECT count(*) FROM briefings").fetchone()[0]
    assert process.returncode == 0 and left == 0 and stored > 0, (process.returncode, left, stored)
    unit = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes
    return seconds, usage.ru_maxrss / unit
