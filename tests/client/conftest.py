"""Fixtures with the real clients. Without them the tests fail in CI and are skipped elsewhere.

Every test that uses the client runs once with each version: every version that has a folder in
tests/payloads, or the ones that `--client VERSION` names. Two markers change that:

- `one_client`: the claim is about Fleet and does not depend on the version of the client, so the
  newest one is enough. This keeps the slow lane short.
- `fails_with(version, reason=…)`: a known fault of Fleet with that version; the test is expected
  to fail there (strict).
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
    """The version of Claude Code that the test runs with."""
    return str(request.param)


@pytest.fixture(scope="session")
def program(client_version: str) -> Path:
    """The Claude Code client of that version."""
    found = claude_program(client_version)
    if found is None:
        _missing(f"no Claude Code {client_version}: run make setup CLAUDE_VERSION={client_version}")
    assert found is not None
    answer = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
    assert answer.stdout.split()[0] == client_version
    return found


@pytest.fixture(scope="session")
def terminal() -> None:
    """Skip or fail the test if interactive sessions are not possible."""
    if not shutil.which("tmux"):
        _missing("tmux is not installed; interactive sessions need it")


@pytest.fixture
def fleet(tmp_path: Path, program: Path) -> Iterator[Fleet]:
    """A machine with Fleet's hooks registered and a scripted model.

    After the test the quarantine and the log must be empty: every hook and drainer succeeded."""
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
    """Headless jobs on that machine, in a project named alpha."""
    created = Jobs(fleet, tmp_path)
    fleet.add_project("alpha")
    yield created
    created.kill_all()


def _missing(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
