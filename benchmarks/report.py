"""A measurement as a section of docs/benchmarks.md: words, markdown tables and SVG plots."""

import datetime
import os
import platform
import sqlite3
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# The text stays text, and the same figures give the same file.
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


@dataclass
class Plot:
    name: str  # of the file, without its ending
    says: str  # what a reader who cannot see it is told
    draw: Callable[[Any], None]  # onto these axes
    size: tuple[float, float] = (7.5, 3.2)  # inches


@dataclass
class Section:
    title: str
    command: str  # that gives these figures
    says: str
    tables: list[str] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    note: str = ""

    def markdown(self, plots: str) -> str:
        parts = [f"## {self.title}", f"`{self.command}`: {self.says}"]
        parts += [f"![{plot.says}]({plots}/{plot.name}.svg)" for plot in self.plots]
        parts += self.tables
        return "\n\n".join([*parts, self.note] if self.note else parts) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(sections: Sequence[Section], path: Path) -> None:
    """The page, and its plots in a folder of the same name beside it."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    folder = path.with_suffix("")
    folder.mkdir(exist_ok=True)
    for section in sections:
        for plot in section.plots:
            with pyplot.rc_context(STYLE):
                figure, axes = pyplot.subplots(figsize=plot.size)
                plot.draw(axes)
                figure.savefig(folder / f"{plot.name}.svg", metadata={"Date": None})
                pyplot.close(figure)
    head = f"# Benchmarks\n\n`make bench` measures all of this and writes this page. {machine()}\n"
    path.write_text("\n".join([head, *(section.markdown(folder.name) for section in sections)]))


def machine() -> str:
    """What was measured on, and when."""
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
        f"Measured {day} at commit {commit or 'unknown'} on a machine with {os.cpu_count()} cores ({_processor()}) and"
        f" {memory} GB, {platform.system()} {platform.release().split('-')[0]}, Python {platform.python_version()},"
        f" SQLite {sqlite3.sqlite_version}. It may have been busy with other things: compare ratios, not milliseconds."
    )


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
