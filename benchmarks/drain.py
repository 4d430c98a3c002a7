"""What a drain costs: Stop entries of ten repositories, compared with a loop that only reads each
entry, parses its JSON and inserts one row, with one commit per hundred entries. Both work in turn
on the same entries.
"""

import contextlib
import json
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import Plot, Section, held, table
from benchmarks.running import Cost, children_of, cpu_of_orphans, until_idle, wait_for_quiet
from benchmarks.work import REPOSITORIES, fill_spool, repository
from fleet_lib import paths, spool

SIZES = (1_000, 10_000, 100_000)
LIMIT = 20  # DESIGN section 11, at 10,000 entries


def measure(folder: Path, rounds: int, sizes: Sequence[int]) -> list[Section]:
    projects = [repository(folder / f"repo-{n}", 2) for n in range(REPOSITORIES)]
    rows, counts, costs, plain = [], [], [], []
    for entries in sizes:
        # The largest takes minutes; once is enough to see whether the cost of an entry grows.
        times = 1 if entries > 10_000 else rounds
        loops, drains, peak = [], [], 0.0
        for number in range(times):
            home = folder / f"drain-{entries}-{number}"
            fill_spool(home, projects, entries)
            wait_for_quiet(home)
            loops.append(_plain_loop(home, folder / f"plain-{entries}-{number}.db"))
            wait_for_quiet(home)
            drained, memory = _drain(home)
            drains.append(drained)
            peak = max(peak, memory)
        ratio = statistics.median(d.cpu / p.cpu for d, p in zip(drains, loops, strict=True))
        loop, drain = (statistics.median(cost.wall for cost in some) for some in (loops, drains))
        waited = statistics.median(d.wall / p.wall for d, p in zip(drains, loops, strict=True))
        rows.append(
            (
                f"{entries:,}", str(times), f"{loop:.2f}", f"{drain:.2f}",
                f"{1000 * drain / entries:.2f}", f"{waited:.1f}", f"{ratio:.1f}",
                str(LIMIT) if entries == 10_000 else "",
                held(waited, LIMIT) if entries == 10_000 else "", f"{peak:.0f}",
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
        "entries waiting", "rounds", "read, parse, insert, s", "drain, s", "ms an entry",
        "times the loop", "in CPU", "limit", "holds", "peak memory, MB",
    )  # fmt: skip
    return [
        Section(
            "What a drain costs",
            "python -m benchmarks drain",
            f"The drainer applies Stop entries of {REPOSITORIES} repositories; every fifth"
            " has a briefing block. It is compared with a loop that only reads each entry, parses"
            " its JSON and inserts one row, with one commit per hundred entries. The drainer's time"
            " includes its start and its end; the limit is one of time. The loop's time is that of the disk, so it has little CPU.",
            [table(header, rows)],
            [Plot("drain", "Milliseconds an entry, over the number of entries that wait", draw)],
        )
    ]


def _plain_loop(home: Path, database: Path) -> Cost:
    names = spool.pending(str(home))
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("CREATE TABLE entries (id INTEGER PRIMARY KEY, payload TEXT)")
    began, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(names), 100):
        connection.execute("BEGIN IMMEDIATE")
        for name in names[start : start + 100]:
            payload = json.loads(spool.read_pending(str(home), name).payload)
            connection.execute("INSERT INTO entries (payload) VALUES (?)", (json.dumps(payload),))
        connection.execute("COMMIT")
    cost = Cost(time.perf_counter() - began, time.process_time() - cpu)
    connection.close()
    return cost


def _drain(home: Path) -> tuple[Cost, float]:
    """(what the drainer takes, the peak memory of its largest process in MB)."""
    peak = 0.0

    def watch(pid: int) -> None:
        nonlocal peak
        peak = max(peak, *(_peak_of(each) for each in (pid, *children_of(pid))))

    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-I", paths.DRAINER, str(home)])
    seconds = until_idle(process.pid, home, watch=watch) - began
    os.kill(process.pid, signal.SIGTERM)  # if it lingers; it is not waited for yet
    usage = os.wait4(process.pid, 0)[2]
    process.returncode = 0
    cpu = usage.ru_utime + usage.ru_stime + cpu_of_orphans(home)
    left = len(spool.pending(str(home)))
    with sqlite3.connect(paths.database(str(home))) as connection:
        stored = connection.execute("SELECT count(*) FROM briefings").fetchone()[0]
    assert left == 0 and stored > 0, (left, stored)
    return Cost(seconds, cpu), peak


def _peak_of(pid: int) -> float:
    """MB; 0 where the process has ended. What the system tells the parent of a process that has
    ended includes the parent's own memory at the start."""
    with contextlib.suppress(OSError, IndexError):
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 2**10
    return 0.0
