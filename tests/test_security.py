"""Every claim in docs/security.md names tests that exist. Tests of claims that have no better place
are here too."""

import os
import re
import stat
from pathlib import Path

import pytest
from support import ROOT, Fleet

from fleet_lib import log

TESTS = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
PAGE = (ROOT / "docs" / "security.md").read_text()


def test_every_claim_names_a_test_that_exists() -> None:
    claims = re.split(r"\n- ", PAGE.partition("## Known limits")[0])[1:]
    assert len(claims) > 25
    for claim in claims:
        names = re.findall(r"`(test_\w+)`", claim)
        # The one claim without a test says what is not protected.
        assert names or "unmasked" in claim, f"no test for the claim: {claim[:80]}"
        for name in names:
            assert f"def {name}(" in TESTS, f"no such test: {name}"


def test_log_entry_is_one_line_whatever_the_message_holds(fleet: Fleet) -> None:
    fleet.home.mkdir()
    message = (
        "one\n2026-11-24T08:00:00Z drain all is well\r\x1b[2J\x1b]0;title\x07\u2028\u202e"
        + "x" * 5000
    )
    log.write(str(fleet.home), "hook", message)
    text = (fleet.home / "log" / "fleet.log").read_text()
    assert text.count("\n") == 1 and len(text) < 1100
    assert text.rstrip("\n").isprintable()
    assert stat.S_IMODE((fleet.home / "log" / "fleet.log").stat().st_mode) == 0o600


def test_scratch_files_of_a_job_are_private_and_deleted_with_it(
    fleet: Fleet, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    program = tmp_path / "claude"
    program.write_text(
        "#!/bin/sh\ncat > /dev/null\n"
        f'for word; do case "$word" in */system) stat -c "%a %n" "$word" "$(dirname "$word")" > {seen};; esac; done\n'
        """echo '{"type":"result","is_error":false,"result":"ok"}'\n"""
    )
    program.chmod(0o755)
    fleet.rows(
        "INSERT INTO jobs (ts_created, type, repo_root, model, status, request_json)"
        " VALUES ('x', 'worker_task', ?, 'haiku', 'queued', ?)",
        str(tmp_path),
        '{"prompt": "x", "systemPrompt": "a secret instruction"}',
    )
    fleet.console("config", "set", "claude.program", str(program))
    before = os.umask(0)
    try:
        fleet.console_process("jobs", "run", "--once")
    finally:
        os.umask(before)
    assert fleet.rows("SELECT status FROM jobs") == [("completed",)]
    (file, folder) = seen.read_text().splitlines()
    assert file.split()[0] in ("600", "666") and folder.split()[0] == "700"
    assert not Path(folder.split()[1]).exists()


@pytest.mark.parametrize("name", ["spool/new", "spool/tmp", "log", "backups"])
def test_folders_of_the_home_are_private(fleet: Fleet, name: str) -> None:
    fleet.hook("stop", {"session_id": "s", "cwd": str(fleet.folder)})
    fleet.drain()
    fleet.console("db", "backup")
    log.write(str(fleet.home), "x", "y")
    folder = fleet.home / name
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
