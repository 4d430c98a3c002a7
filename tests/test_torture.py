"""The short form of `make torture`: each scenario runs real processes and checks its promise."""

import subprocess
import sys

import pytest
from support import ROOT

from torture.scenarios import SCENARIOS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_keeps_its_promise(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "torture", "--short", "--seed", "1", name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nkept " in done.stdout and "not done" not in done.stdout
