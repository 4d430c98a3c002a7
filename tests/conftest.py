"""What every test has: a home of its own."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from support import Fleet

CLIENT = Path(__file__).resolve().parent / "client"

# Whoever starts the tests in the background has Ctrl-C ignored, and so would all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long one example takes says more about the machine than about the code. What must be quick
# has a test of its own.
settings.register_profile("fleet", settings(), deadline=None)
settings.load_profile("fleet")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that a real Claude Code client is started for is in the slow lane."""
    for item in items:
        if CLIENT in item.path.parents:
            item.add_marker(pytest.mark.slow)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--client",
        action="append",
        metavar="VERSION",
        help="version of Claude Code that the tests in tests/client run with; may be repeated"
        " (default: every version that tests/payloads has a folder of)",
    )


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path / "user" / "fleet home", tmp_path)
    fleet.home.parent.mkdir()
    yield fleet
    if fleet.is_being_drained():
        subprocess.run(["pkill", "-9", "-f", f"drain.py {fleet.home}"], check=False)


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a test may reach the real home."""
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("FLEET_HOME", str(tmp_path / "user" / "fleet home"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
