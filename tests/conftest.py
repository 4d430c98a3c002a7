"""Fixtures and options of every test: above all, a home folder of its own."""

import glob
import importlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from support import Fleet

from fleet_lib import wake
from fleet_lib.store import db
from fleet_lib.turn import git

if TYPE_CHECKING:
    from gateway_world import Gateway

CLIENT = Path(__file__).resolve().parent / "client"

# A shell ignores Ctrl-C for tests in the background, and their child processes inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The time of one example depends more on the machine than on the code. Tests of their own check
# what has to be fast. In CI the examples are the same each time: what chance finds elsewhere gets a
# test, and refuses no one's change that has nothing to do with it.
settings.register_profile(
    "fleet",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("fleet")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start a real Claude Code client are slow."""
    for item in items:
        if CLIENT in item.path.parents:
            item.add_marker(pytest.mark.slow)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Each worker begins to import all tests at another place: to compile them takes as long as to
    run some hundred of them, and what one worker has compiled, the others find."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    if not worker or session.config.args_source != pytest.Config.ArgsSource.TESTPATHS:
        return
    names = sorted(path.stem for path in CLIENT.parent.glob("test_*.py"))
    first = int(worker) * len(names) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    for name in names[first:] + names[:first]:
        importlib.import_module(name)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--client",
        action="append",
        metavar="VERSION",
        help="version of Claude Code to run tests/client with; may be repeated"
        " (default: every version that has a folder in tests/payloads)",
    )


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path / "user" / "fleet home", tmp_path)
    fleet.home.parent.mkdir()
    yield fleet
    if fleet.is_being_drained():
        subprocess.run(["pkill", "-9", "-f", f"drain.py {fleet.home}"], check=False)


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep every test away from the real home folder, and let no drainer linger in its own."""
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("FLEET_HOME", str(tmp_path / "user" / "fleet home"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setattr(git, "TIMEOUT_SECONDS", 60.0)  # on a busy machine a git may take its time
    yield
    for depth in range(5):
        # Not Path.glob, which fails on a folder that a client removes meanwhile.
        pattern = "*/" * depth + "spool/wake"
        for fifo in glob.glob(pattern, root_dir=tmp_path, include_hidden=True):
            wake.ring(str((tmp_path / fifo).parent.parent), wake.LEAVE)


@pytest.fixture
def gateway(fleet: Fleet) -> "Iterator[Gateway]":
    """A running gateway of the test's home."""
    from gateway_world import Gateway  # its clients' libraries cost half a second

    db.connect(fleet.home / "fleet.db").close()
    started = Gateway(fleet)
    started.start()
    yield started
    started.stop()
