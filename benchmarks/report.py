"""A measurement as a section of docs/benchmarks.md: words, markdown tables and SVG plots."""

import datetime
import os
import platform
import sqlite3
import subprocess
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Text stays text in the SVG, and the same figures give the same file.
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fleet",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "figure.constrained_layout.use": True,
}

_ABOUT = (
    "What Fleet costs, with the limits that it has to hold. Times depend on the machine, so limits"
    " are multiples of a *bare* interpreter, `python3 -I -c pass`, measured in the same interleaved"
    " run. `make bench` measures all of this and writes this page."
)


@dataclass
class Plot:
    name: str  # of the file, without its ending
    says: str  # its alternative text
    draw: Callable[[Any], None]  # onto these axes
    size: tuple[float, float] = (7.5, 3.2)  # inches


@dataclass
class Section:
    title: str
    command: str  # measures only this section, and prints it
    says: str
    tables: list[str] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    note: str = ""

    def markdown(self, plots: str) -> str:
        parts = [f"## {self.title}", wrapped(self.says), f"    {self.command}"]
        parts += [f"![{plot.says}]({plots}/{plot.name}.svg)" for plot in self.plots]
        parts += self.tables
        return "\n\n".join([*parts, wrapped(self.note)] if self.note else parts) + "\n"


def wrapped(prose: str) -> str:
    return textwrap.fill(prose, 100, break_long_words=False, break_on_hyphens=False)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def ratio_cells(found: tuple[float, float, float]) -> tuple[str, str]:
    """A ratio and its quartiles, for a table."""
    digits = 2 if found[0] < 10 else 1
    return f"{found[0]:.{digits}f}", f"{found[1]:.{digits}f} to {found[2]:.{digits}f}"


def held(value: float, limit: float | None) -> str:
    """Whether a figure holds its limit, for a table."""
    if limit is None:
        return ""
    return "yes" if value <= limit else "**no**"


def write(sections: Sequence[Section], path: Path, beside: str) -> None:
    """The page, and its plots in a folder of the same name beside it. `beside` says what else the
    machine did meanwhile."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    folder = path.with_suffix("")
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    for section in sections:
        for plot in section.plots:
            with pyplot.rc_context(STYLE):
                figure, axes = pyplot.subplots(figsize=plot.size)
                plot.draw(axes)
                figure.savefig(folder / f"{plot.name}.svg", metadata={"Date": None})
                pyplot.close(figure)
    head = wrapped(f"{_ABOUT} {machine()} {beside}".strip())
    path.write_text(
        "\n".join(
            [f"# Benchmarks\n\n{head}\n", *(section.markdown(folder.name) for section in sections)]
        )
    )


def machine() -> str:
    """The machine, and the day of the measurement."""
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    commit = subprocess.run(
        ["git", "rev-parse", "--short=10", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**30
    return (
        f"Measured on {day} at commit {commit or 'unknown'}, on a machine with {os.cpu_count()}"
        f" cores ({_processor()}), {memory} GB of memory, {platform.system()}"
        f" {platform.release().split('-')[0]}, Python {platform.python_version()} and SQLite"
        f" {sqlite3.sqlite_version}."
    )


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
