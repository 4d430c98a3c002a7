"""What a person waits for: every command that reads, over histories of 1,000 to 1,000,000 events,
whole processes in one interleaved run."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import history
from benchmarks.report import Plot, Section, held, ratio_cells, table
from benchmarks.running import (
    Command,
    bare,
    interleaved,
    median,
    ratios,
    without_site,
    yardstick_warning,
)
from benchmarks.world import World

SIZES = (1_000, 10_000, 100_000, 1_000_000)
LIMIT, HELP_LIMIT, PROMPT_LIMIT, GROWTH = 12.0, 8.0, 2.0, 1.5  # DESIGN section 11, as ratios
MANY_PROJECTS, MANY_EVENTS = 500, 200_000  # with 10,000 sessions

_SEARCH = ("briefings", "search")
_LIST = ("briefings", "list")
# {what a person asks for: the command}
_COMMANDS: dict[str, tuple[str, ...]] = {
    "status": ("status",),
    "projects list": ("projects", "list"),
    "briefings list": _LIST,
    "briefings list --status failed (none)": (*_LIST, "--status", "failed"),
    "briefings list --impact major (rare)": (*_LIST, "--impact", "major"),
    "briefings list --project": (*_LIST, "--project", "repo-3"),
    "sessions list": ("sessions", "list"),
    "sessions list --state failed (none)": ("sessions", "list", "--state", "failed"),
    "briefings show": ("briefings", "show", "100"),
    "search: a common word": (*_SEARCH, history.COMMON),
    "search: a common word, one status": (*_SEARCH, history.COMMON, "--status", "blocked"),
    "search: words of one in a hundred": (*_SEARCH, *history.RARE.split()),
    "search: a word of one briefing": (*_SEARCH, history.ONLY),
    "search: no hit": (*_SEARCH, "zebra"),
    "events list": ("events", "list"),
    "usage --since 7d": ("usage", "--since", "7d"),
    "usage": ("usage",),
    "usage --by project": ("usage", "--by", "project"),
    "usage --by session": ("usage", "--by", "session"),
    "digest": ("digest",),
    "jobs list": ("jobs", "list"),
    "prelude": ("prelude",),
}


@dataclass
class _Row:
    name: str
    limit: float
    what: str  # wall or cpu
    sizes: list[Command]


def measure(folder: Path, rounds: int, sizes: Sequence[int]) -> list[Section]:
    worlds = []
    for size in sizes:
        world = World(folder / str(size), sys.executable)
        history.fill(world.home, size)
        worlds.append(world)
    crowd = World(folder / "crowd", sys.executable)
    history.fill(crowd.home, min(MANY_EVENTS, 10 * sizes[-1]), MANY_PROJECTS)
    base, without = bare(sys.executable), without_site(sys.executable)
    rows = [
        _Row("fleet --help", HELP_LIMIT, "cpu", [world.fleet("", "--help") for world in worlds])
    ]
    rows += [
        _Row(f"fleet {name}", LIMIT, "cpu", [world.fleet("", *command) for world in worlds])
        for name, command in _COMMANDS.items()
    ]
    rows.append(_Row("the Commander's prompt", PROMPT_LIMIT, "cpu", [_prompt(w) for w in worlds]))
    status = crowd.fleet("", "status")
    everything = [base, without, status, *(command for row in rows for command in row.sizes)]
    homes = [world.home for world in worlds]
    interleaved(everything, rounds, homes)
    shown = f"python -m benchmarks commands --rounds {rounds}"
    return [_section(base, rows, sizes, status, shown, yardstick_warning(base, without))]


def _prompt(world: World) -> Command:
    return world.hook("UserPromptSubmit", PROMPT_LIMIT, world.home, prompt="hello")


def _section(
    base: Command,
    rows: Sequence[_Row],
    sizes: Sequence[int],
    status: Command,
    shown: str,
    warning: str,
) -> Section:
    cells = []
    for row in rows:
        largest = row.sizes[-1]
        ratio = ratios(largest, base, row.what)
        growth = median(largest, row.what) / median(row.sizes[0], row.what)
        cells.append(
            (
                row.name,
                *(f"{1000 * median(command, 'wall'):.0f}" for command in row.sizes),
                *ratio_cells(ratio),
                f"{row.limit:.0f}",
                f"{growth:.2f}",
                held(max(ratio[0] / row.limit, growth / GROWTH), 1.0),
            )
        )

    def draw(axes: Any) -> None:
        for row in rows:
            axes.plot(
                sizes,
                [1000 * median(command, "cpu") for command in row.sizes],
                marker="o",
                markersize=3,
                linewidth=1,
                label=row.name.removeprefix("fleet "),
            )
        axes.axhline(1000 * LIMIT * median(base, "cpu"), color="#c92a2a", linestyle="--")
        axes.set(xscale="log", xlabel="events; red: limit", ylabel="CPU ms, median")
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, fontsize=6, ncols=2, loc="center left", bbox_to_anchor=(1, 0.5))

    events = min(MANY_EVENTS, 10 * sizes[-1])
    return Section(
        "What a command costs over a growing history",
        shown,
        "Every second event has a briefing of 40 words, every twentieth a session, every tenth a"
        " job. The milliseconds are those that a person waits; ratio and growth are of CPU time,"
        " with the largest history. A command holds its limits if its ratio is below the one given"
        f" and it takes at most {GROWTH} times what it takes with the smallest history."
        " The digest's answer grows, too, from 500 turns to the 5,000 that it reads at most."
        f" {warning}".strip(),
        [
            table(
                (
                    *("command", *(f"{size:,} events, ms" for size in sizes)),
                    *("times bare", "quartiles", "limit", "growth", "holds"),
                ),
                cells,
            )
        ],
        [Plot("commands", "CPU milliseconds of each command over a growing history", draw, (9, 4))],
        f"`fleet status` with {MANY_PROJECTS} projects and"
        f" {events // history.EVENTS_OF_A_SESSION:,} sessions takes"
        f" {1000 * median(status, 'wall'):.0f} ms, {ratios(status, base, 'cpu')[0]:.1f} times a"
        " bare interpreter's CPU.",
    )
