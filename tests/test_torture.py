"""The short form of `make torture`: each scenario with real processes, and the promise checked after it."""

import subprocess
import sys

import pytest
from support import ROOT

from torture.scenarios import SCENARIOS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_promise_is_kept(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "torture", "--short", "--seed", "1", name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nkept " in done.stdout and "not done" not in done.stdout
