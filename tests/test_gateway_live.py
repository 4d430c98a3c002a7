"""The gateway says within a second that a session's live state has changed."""

import errno
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_world import Gateway, receive, send, until_live
from support import Fleet
from test_live import BUSY, DIALOG, REQUEST, STOP, Sessions

from fleet_lib.views.tailer import watching

pytestmark = pytest.mark.slow


@pytest.fixture
def sessions(fleet: Fleet) -> Sessions:
    return Sessions(fleet)


@pytest.fixture
def gateway(fleet: Fleet, sessions: Sessions) -> Iterator[Gateway]:
    sessions.hook("stop", STOP)
    sessions.age()
    running = Gateway(fleet)
    running.start()
    yield running
    running.stop()


def test_a_client_hears_of_a_prompt_of_its_answer_and_of_a_killed_client(
    gateway: Gateway, sessions: Sessions
) -> None:
    def needs() -> list[str]:
        return [one["text"] for one in gateway.get("/api/v1/overview").json()["needs_you"]]

    with gateway.client() as client, subprocess.Popen(["sleep", "600"]) as worker:
        send(client, type="fleet.subscribe", from_event_id=0)
        until_live(client)
        sessions.hook("permission_request", REQUEST, prompt_id="p2")
        for said, expected in ((DIALOG, ["Bash: touch made.txt"]), (BUSY, []), (DIALOG, None)):
            begun = time.monotonic()
            sessions.file(worker.pid, **said)
            assert receive(client) == {"type": "fleet.sessions"}
            assert time.monotonic() - begun < 20
            assert expected is None or needs() == expected
        begun = time.monotonic()
        worker.kill()
        worker.wait()
        assert receive(client) == {"type": "fleet.sessions"}
        assert time.monotonic() - begun < 20
        assert needs() == []


def test_a_client_that_reads_no_states_hears_nothing(gateway: Gateway, sessions: Sessions) -> None:
    with gateway.client() as client, subprocess.Popen(["sleep", "600"]) as worker:
        sessions.file(worker.pid, **BUSY)
        time.sleep(1.5)
        send(client, type="ping", id=1)
        assert json.loads(client.recv(timeout=60)) == {"type": "pong", "id": 1}
        worker.kill()


def test_a_folder_that_cannot_be_watched_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway asks again each minute, and a user has only 128 watching instances."""
    before = threading.active_count()
    for _ in range(3):
        with watching(tmp_path / "none", str.isascii, lambda: None) as is_watched:
            assert not is_watched
    deadline = time.monotonic() + 30
    while threading.active_count() > before:
        assert time.monotonic() < deadline, threading.enumerate()
        time.sleep(0.01)

    def refuse() -> None:
        raise OSError(errno.EMFILE, "inotify instance limit reached")

    monkeypatch.setattr("watchdog.observers.Observer", refuse)
    with watching(tmp_path, str.isascii, lambda: None) as is_watched:
        assert not is_watched
