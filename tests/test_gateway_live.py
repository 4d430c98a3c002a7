"""The gateway says within a second that a session's live state has changed."""

import json
import subprocess
import time
from collections.abc import Iterator

import pytest
from gateway_world import Gateway, receive, send, until_live
from support import Fleet
from test_live import BUSY, DIALOG, REQUEST, STOP, Sessions

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
        assert json.loads(client.recv(timeout=10)) == {"type": "pong", "id": 1}
        worker.kill()
