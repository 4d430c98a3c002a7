"""The benchmarks run on a small sample, so that they stay usable."""

import re
import subprocess
import sys

import pytest
from support import ROOT


@pytest.mark.slow
def test_whole_processes_are_measured_in_one_interleaved_run() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "processes", "--rounds", "2", "--largest", "1000"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in ("stop", "session_start", "user_prompt_submit", "fleet status", "the drainer"):
        assert re.search(rf"^\| {name}[^|]*\|.* \d", done.stdout, re.MULTILINE), done.stdout


def test_benchmark_page_names_its_commands_and_every_plot_exists() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    plots = re.findall(r"\]\((benchmarks/\w+\.svg)\)", page)
    assert len(plots) >= 4
    assert all((ROOT / "docs" / plot).read_text().startswith("<?xml") for plot in plots)
    for name in ("processes", "drain", "gateway", "tokens"):
        assert f"    python -m benchmarks {name}" in page
