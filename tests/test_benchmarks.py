"""The benchmarks run on a small sample, so that they stay usable."""

import re
import subprocess
import sys

import pytest
from support import ROOT

from benchmarks.load import QUIET_SHARE, Load
from benchmarks.running import Command, Cost, ratios, yardstick_warning

SECTIONS = ("hooks", "turns", "commands", "drain", "gateway", "footprint")


@pytest.mark.slow
def test_every_section_is_measured_and_says_whether_its_limits_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", *SECTIONS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in (
        *("Stop", "UserPromptSubmit", "fleet statusline", "a commit, 50 files", "an edit"),
        *("the dashboard, in a busy fleet", "fleet --help", "fleet search: no hit", "median"),
    ):
        row = rf"^\| {re.escape(name)} \|.*\d.*\| (yes|\*\*no\*\*) \|"
        assert re.search(row, done.stdout, re.MULTILINE), f"{name}\n{done.stdout}"
    assert re.search(r"^\| 200 \| 1 \|", done.stdout, re.MULTILINE), done.stdout
    assert "| disk for 40 turns |" in done.stdout


def test_a_page_measured_beside_other_work_says_so() -> None:
    load = Load.__new__(Load)
    load.during = lambda: QUIET_SHARE / 2  # type: ignore[method-assign]
    load.before = QUIET_SHARE * 2
    assert load.words().startswith("**Measured beside other work**")
    load.before = 0.0
    assert load.words() == "The machine was otherwise idle: other programs used 2% of its cores."


def test_an_interpreter_whose_site_imports_something_is_no_yardstick() -> None:
    def command(milliseconds: float) -> Command:
        costs = [Cost(milliseconds / 1000, milliseconds / 1000)] * 4
        return Command("", [], costs=costs)

    assert yardstick_warning(command(10), command(7)) == ""
    assert "no yardstick" in yardstick_warning(command(40), command(7))
    assert ratios(command(30), command(10), "cpu") == pytest.approx((3, 3, 3))


def test_benchmark_page_names_its_commands_and_every_plot_exists() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    plots = re.findall(r"\]\((benchmarks/\w+\.svg)\)", page)
    assert len(plots) >= 4
    assert all((ROOT / "docs" / plot).read_text().startswith("<?xml") for plot in plots)
    for name in (*SECTIONS, "tokens"):
        assert f"    python -m benchmarks {name}" in page
