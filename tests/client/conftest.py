"""The real client's fixtures. In CI what they need must be there; elsewhere a test is skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from claude_client import claude_program
from fleet_world import Fleet
from scripted_model import ScriptedModel


@pytest.fixture(scope="session")
def program() -> Path:
    """The pinned Claude Code client."""
    found = claude_program()
    if found is None:
        _missing("no Claude Code client: set FLEET_TEST_CLAUDE or run make setup")
    assert found is not None
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


def _missing(what: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
