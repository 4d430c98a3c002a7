"""The real clients' fixtures. In CI what they need must be there; elsewhere a test is skipped.

Every test that uses the client runs once with each version: all that tests/payloads has a folder of, or those that
`--client VERSION` names. Two markers change that:

- `one_client`: the claim is about Fleet and not about what a version of the client does, so that the newest
  one is enough. It keeps the slow lane short.
- `fails_with(version, reason=…)`: a known fault of Fleet with that version, expected to fail there (strict).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from claude_client import claude_program
from fleet_world import Fleet
from job_world import Jobs
from scripted_model import ScriptedModel
from support import CLIENTS, version_key


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "one_client: runs with the newest Claude Code only")
    config.addinivalue_line(
        "markers", "fails_with(version, reason): expected to fail with that Claude Code"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "client_version" not in metafunc.fixturenames:
        return
    versions = sorted(metafunc.config.getoption("client") or CLIENTS, key=version_key)
    if metafunc.definition.get_closest_marker("one_client"):
        versions = versions[-1:]
    metafunc.parametrize("client_version", versions, indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        version = getattr(item, "callspec", None) and item.callspec.params.get("client_version")
        for marker in item.iter_markers("fails_with"):
            if version in marker.args:
                item.add_marker(pytest.mark.xfail(strict=True, **marker.kwargs))


@pytest.fixture(scope="session")
def client_version(request: pytest.FixtureRequest) -> str:
    """The version of Claude Code that a test runs with."""
    return str(request.param)


@pytest.fixture(scope="session")
def program(client_version: str) -> Path:
    """The Claude Code client of that version."""
    found = claude_program(client_version)
    if found is None:
        _missing(f"no Claude Code {client_version}: run make setup CLAUDE_VERSION={client_version}")
    assert found is not None
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
    assert said.stdout.split()[0] == client_version
    return found


@pytest.fixture(scope="session")
def terminal() -> None:
    """What an interactive session needs."""
    if not shutil.which("tmux"):
        _missing("no tmux, which interactive sessions run in")


@pytest.fixture
def fleet(tmp_path: Path, program: Path) -> Iterator[Fleet]:
    """A machine with Fleet's hooks registered and a scripted model. At its end nothing may be in
    quarantine and nothing may have been logged: every hook and drainer did its work."""
    with ScriptedModel({}) as model:
        machine = Fleet(tmp_path, program, model)
        yield machine
        spool, log = machine.home / "spool", machine.home / "log" / "fleet.log"
        if spool.exists():
            machine.drain()
            assert list((spool / "bad").iterdir()) == []
        assert not log.exists() or log.read_text() == ""


@pytest.fixture
def jobs(fleet: Fleet, tmp_path: Path) -> Iterator[Jobs]:
    """What runs jobs on that machine, in a project named alpha."""
    made = Jobs(fleet, tmp_path)
    fleet.know("alpha")
    yield made
    made.kill_all()


def _missing(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
