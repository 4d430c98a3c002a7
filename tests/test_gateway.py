"""The gateway: no client misses an event, only the user gets in, and no message can break it."""

import asyncio
import contextlib
import errno
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_world import Gateway, insert_events, receive, send, stop_turn, until_live
from starlette.websockets import WebSocket
from support import ROOT, Fleet, is_fast, make_repository, payload
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from fleet_lib import paths, spool
from fleet_lib.store import db, migrate
from fleet_lib.views import tailer


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway for all tests that only read."""
    folder = tmp_path_factory.mktemp("shared")
    fleet = Fleet(folder / "user" / "fleet home", folder)
    fleet.home.parent.mkdir()
    db.connect(fleet.home / "fleet.db").close()
    started = Gateway(fleet)
    started.start()
    yield started
    started.stop()


def delivered(fleet: Fleet) -> list[int]:
    return [row[0] for row in fleet.rows("SELECT delivered FROM outbox_events ORDER BY event_id")]


# --- events ------------------------------------------------------------------------------------


def test_client_receives_events_after_its_cursor_then_live_ones(
    gateway: Gateway, fleet: Fleet, tmp_path: Path
) -> None:
    insert_events(fleet, 1200)
    with gateway.client() as client:
        send(client, type="fleet.subscribe", from_event_id=10)
        assert until_live(client) == list(range(11, 1201))
        began = time.monotonic()
        stop_turn(fleet, make_repository(tmp_path / "alpha"), 1, "The parser is fixed.")
        message = receive(client)
        assert time.monotonic() - began < 30
    assert (message["type"], message["event_id"]) == ("fleet.event", 1201)
    event = message["event"]
    assert (event["type"], event["briefing_id"], event["job_id"]) == ("briefing_added", 1, None)
    assert event["project_id"].startswith("alpha__")
    assert event["data"]["briefing"]["summary"] == "The parser is fixed."


def test_client_sees_no_gap_and_no_repeat_during_heavy_writing(
    gateway: Gateway, fleet: Fleet
) -> None:
    writing = threading.Thread(
        target=lambda: [insert_events(fleet, 7, str(number)) for number in range(150)]
    )
    writing.start()
    found: list[list[int]] = []
    for number in range(6):  # each connects during the writing
        with gateway.client() as client:
            send(client, type="fleet.subscribe", from_event_id=0)
            ids: list[int] = []
            while len(ids) < 60 + 60 * number:
                message = receive(client)
                if message["type"] == "fleet.event":
                    ids.append(message["event_id"])
            found.append(ids)
    with gateway.client() as client:
        send(client, type="fleet.subscribe", from_event_id=found[-1][-1])
        rest: list[int] = []
        while not rest or rest[-1] < 1050:
            message = receive(client)
            if message["type"] == "fleet.event":
                rest.append(message["event_id"])
    writing.join()
    for ids in (*found, found[-1] + rest):
        assert ids == list(range(1, len(ids) + 1))


def test_event_is_delivered_only_after_a_subscriber_received_it(
    gateway: Gateway, fleet: Fleet
) -> None:
    insert_events(fleet, 3)
    with gateway.client() as client:
        send(client, type="ping", id=7)
        assert receive(client) == {"type": "pong", "id": 7}
        time.sleep(0.6)
        assert delivered(fleet) == [0, 0, 0], "no client has subscribed"
        send(client, type="fleet.subscribe", from_event_id=1)
        assert until_live(client) == [2, 3]
        _until(lambda: delivered(fleet) == [0, 1, 1])


def test_events_during_downtime_are_delivered_at_the_next_start(
    gateway: Gateway, fleet: Fleet
) -> None:
    insert_events(fleet, 2)
    with gateway.client() as client:
        send(client, type="fleet.subscribe")
        assert until_live(client) == [1, 2]
    _until(lambda: delivered(fleet) == [1, 1])
    gateway.stop()
    insert_events(fleet, 3)
    gateway.start()
    assert delivered(fleet) == [1, 1, 0, 0, 0]
    with gateway.client() as client:
        send(client, type="fleet.subscribe")
        assert until_live(client) == [3, 4, 5]


def test_malformed_outbox_rows_of_other_programs_are_handled(
    gateway: Gateway, fleet: Fleet
) -> None:
    payloads = [
        "not json",
        "[1]",
        '{"a": "\\ud800"}',
        "[" * 900,
        '{"job": {"jobId": 5}}',
        b"\xff",
        7,
    ]
    for one in payloads:
        fleet.rows(
            "INSERT INTO outbox_events (ts, type, payload_json) VALUES ('x', 'mystery', ?)", one
        )
    with gateway.client() as client:
        send(client, type="fleet.subscribe", from_event_id=0)
        messages = [receive(client) for _ in payloads]
    assert [message["event_id"] for message in messages] == list(range(1, 8))
    assert messages[4]["event"]["job_id"] == 5
    assert len(gateway.get("/api/v1/events").json()["events"]) == len(payloads)


MALFORMED_ROWS = [
    {"project_id": b"\xff\x00"},
    {"project_id": 7, "broadcast_level": 3.5},
    {"type": b"\xff", "ts": b"\xfe", "broadcast_level": b"high"},
    {"briefing_id": "seven", "delivered": "maybe"},
    {"briefing_id": b"\x01", "payload_json": b"\xff"},
]


def test_malformed_row_reaches_live_clients_and_ends_no_connection(
    gateway: Gateway, fleet: Fleet
) -> None:
    with gateway.client() as client:
        send(client, type="fleet.subscribe", from_event_id=0)
        until_live(client)
        for columns in MALFORMED_ROWS:
            row = {
                "ts": "2026-11-24T08:00:00.000Z",
                "type": "error",
                "payload_json": "{}",
            } | columns
            fleet.rows(
                f"INSERT INTO outbox_events ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
                *row.values(),
            )
        insert_events(fleet, 1)
        found = [receive(client) for _ in range(len(MALFORMED_ROWS) + 1)]
    assert [message["event_id"] for message in found] == list(range(1, len(MALFORMED_ROWS) + 2))
    assert found[0]["event"]["project_id"] == "\ufffd\0"
    assert (found[1]["event"]["project_id"], found[1]["event"]["broadcast_level"]) == ("7", "3.5")
    assert found[3]["event"]["briefing_id"] is None


def test_events_and_watches_survive_a_temporarily_unreadable_database(
    gateway: Gateway, fleet: Fleet
) -> None:
    """The client is disconnected so that it reconnects, instead of waiting without events."""
    insert_events(fleet, 2)
    job = _insert_job(fleet, "running")
    with gateway.client() as subscriber, gateway.client() as watcher:
        with sqlite3.connect(fleet.home / "fleet.db") as connection:
            connection.execute("PRAGMA user_version = 99")
        send(watcher, type="job.watch", job_id=job)
        send(subscriber, type="fleet.subscribe", from_event_id=2)
        for client in (watcher, subscriber):
            error = receive(client)
            assert (error["type"], error["code"]) == ("error", "unavailable")
            assert "99" in error["message"]
        with pytest.raises(ConnectionClosed) as closed:
            receive(subscriber)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1013
        send(watcher, type="ping")
        assert receive(watcher)["type"] == "pong", "a failed message must not end the connection"
        with sqlite3.connect(fleet.home / "fleet.db") as connection:
            connection.execute(f"PRAGMA user_version = {migrate.latest_version()}")
        send(watcher, type="job.watch", job_id=job)
        assert receive(watcher)["type"] == "job.started"
        # The same happens while a job is being watched.
        with sqlite3.connect(fleet.home / "fleet.db") as connection:
            connection.execute("PRAGMA user_version = 99")
        assert receive(watcher)["code"] == "unavailable"
        with pytest.raises(ConnectionClosed):
            receive(watcher)
        with sqlite3.connect(fleet.home / "fleet.db") as connection:
            connection.execute(f"PRAGMA user_version = {migrate.latest_version()}")
    with gateway.client() as client:
        send(client, type="fleet.subscribe", from_event_id=0)
        assert until_live(client) == [1, 2]


def test_failed_delivery_mark_is_retried(gateway: Gateway, fleet: Fleet) -> None:
    assert gateway.process is not None
    with gateway.client() as client:
        send(client, type="fleet.subscribe", from_event_id=0)
        until_live(client)
        # An event that needs no mark shows that the gateway follows the outbox; nothing is
        # marked yet.
        with sqlite3.connect(fleet.home / "fleet.db") as connection:
            connection.execute(
                "INSERT INTO outbox_events (ts, type, payload_json, delivered) VALUES ('t', 'x', '{}', 1)"
            )
        assert receive(client)["event_id"] == 1
        # The schema becomes a newer one between reading an event and marking it.
        with sqlite3.connect(fleet.home / "fleet.db") as connection:
            connection.execute("PRAGMA user_version = 99")
        insert_events(fleet, 2)
        assert [receive(client)["event_id"] for _ in range(2)] == [2, 3]
        _until(lambda: "cannot mark events as delivered" in _log(fleet))
        with sqlite3.connect(fleet.home / "fleet.db") as connection:
            connection.execute(f"PRAGMA user_version = {migrate.latest_version()}")
        insert_events(fleet, 1)
        assert receive(client)["event_id"] == 4
        _until(lambda: delivered(fleet) == [1, 1, 1, 1])
        with sqlite3.connect(fleet.home / "fleet.db") as connection:
            connection.execute("PRAGMA user_version = 99")
        insert_events(fleet, 1)
        assert receive(client)["event_id"] == 5
    gateway.process.send_signal(signal.SIGTERM)
    assert gateway.process.communicate(timeout=60) == ("", ""), "it must end without output"
    assert gateway.process.returncode in (0, -signal.SIGTERM)
    gateway.process = None


def test_watching_a_job_again_replays_it_from_the_beginning(gateway: Gateway, fleet: Fleet) -> None:
    job = _insert_job(fleet, "running")
    fleet.rows("INSERT INTO job_stream_chunks VALUES (?, 0, ?)", job, '{"type": "assistant"}')
    with gateway.client() as client:
        for _ in range(2):
            send(client, type="job.watch", job_id=job)
            assert receive(client) == {"type": "job.started", "job_id": job}
            assert receive(client)["chunk"] == {"type": "assistant"}
        # A connection can watch many jobs in a row, up to the last one.
        for _ in range(25):
            other = _insert_job(fleet, "running")
            send(client, type="job.watch", job_id=other)
            assert receive(client) == {"type": "job.started", "job_id": other}


@pytest.mark.parametrize("how", ["another file", "set back in place"])
def test_restored_database_is_followed_and_clients_are_notified(
    gateway: Gateway, fleet: Fleet, tmp_path: Path, how: str
) -> None:
    path = fleet.home / "fleet.db"
    insert_events(fleet, 3, "old")
    with (
        contextlib.closing(sqlite3.connect(path)) as source,
        contextlib.closing(sqlite3.connect(tmp_path / "backup.db")) as backup,
    ):
        source.backup(backup)
        backup.execute("PRAGMA journal_mode = DELETE")
    insert_events(fleet, 5, "lost")
    with gateway.client() as client, gateway.client() as behind:
        send(client, type="fleet.subscribe", from_event_id=0)
        assert until_live(client) == list(range(1, 9))
        _until(lambda: delivered(fleet) == [1] * 8)
        if how == "another file":
            for name in ("fleet.db-wal", "fleet.db-shm"):
                (fleet.home / name).unlink(missing_ok=True)
            (tmp_path / "backup.db").replace(path)
        else:
            with (
                contextlib.closing(sqlite3.connect(path)) as target,
                contextlib.closing(sqlite3.connect(tmp_path / "backup.db")) as backup,
            ):
                backup.backup(target)
        assert receive(client) == {"type": "fleet.live", "cursor": 3}
        insert_events(fleet, 1, "new")
        event = receive(client)
        assert event["event_id"] == 4 and event["event"]["data"]["summary"] == "new 0"
        # A client that returns with a cursor beyond the restored events gets the same message.
        send(behind, type="fleet.subscribe", from_event_id=8)
        assert receive(behind) == {"type": "fleet.live", "cursor": 4}
        insert_events(fleet, 1, "newer")
        assert receive(behind)["event_id"] == 5
        _until(lambda: delivered(fleet)[3:] == [1, 1])
    assert fleet.rows("PRAGMA integrity_check") == [("ok",)]


def test_memory_buffer_is_bounded_in_bytes(fleet: Fleet) -> None:
    from commander.gateway.hub import Frame, Hub

    hub = Hub(str(fleet.home))
    for first in range(1, 2001, 50):
        hub._take([Frame(number, "x" * 100_000, False) for number in range(first, first + 50)])
        assert sum(len(frame.text) for frame in hub._frames) <= 32_000_000
        assert [frame.event_id for frame in hub._frames] == hub._ids
        assert hub._ids == list(range(hub._start + 1, first + 50))
    hub._take([Frame(2001, "x" * 50_000_000, False)])
    assert (hub._frames, hub._start, hub._end) == ([], 2001, 2001)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("hello", "not_json"),
        ("[]", "bad_message"),
        ("{}", "unknown_type"),
        ('{"type": "fleet.destroy"}', "unknown_type"),
        ('{"type": "fleet.subscribe", "from_event_id": -1}', "bad_message"),
        ('{"type": "fleet.subscribe", "from_event_id": "x"}', "bad_message"),
        ('{"type": "job.create", "job": {"project_id": "p", "prompt": "x", "command": "rm"}}', "bad_message"),
        ('{"type": "job.create", "job": {"project_id": "no__such", "prompt": "x"}}', "refused"),
        ('{"type": "job.cancel", "job_id": 99}', "refused"),
        ('{"type": "job.watch", "job_id": 99}', "refused"),
        ("[" * 100_000, "not_json"),
    ],
)  # fmt: skip
def test_invalid_message_gets_an_error_and_keeps_the_connection(
    shared: Gateway, text: str, code: str
) -> None:
    with shared.client() as client:
        client.send(text)
        error = receive(client)
        assert (error["type"], error["code"]) == ("error", code), error
        assert error["message"] and "\n" not in error["message"]
        send(client, type="ping")
        assert receive(client)["type"] == "pong"


def test_oversized_message_ends_only_its_own_connection(gateway: Gateway) -> None:
    with gateway.client() as other, gateway.client() as client:
        with pytest.raises(ConnectionClosed) as closed:
            client.send("x" * 3_000_000)
            client.recv(timeout=60)
        # The gateway closes while the message still comes in, and the system may then drop its close
        # frame together with what was not read.
        assert closed.value.rcvd is None or closed.value.rcvd.code == 1009
        send(other, type="ping")
        assert receive(other)["type"] == "pong"


def test_slow_client_is_dropped_with_a_reason_and_can_reconnect(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    from commander.gateway import address, app, logins, socket

    monkeypatch.setattr(socket, "SEND_SECONDS", 1.0)
    db.connect(fleet.home / "fleet.db").close()
    insert_events(fleet, 4000, "y" * 4000)
    closing = threading.Event()
    close = WebSocket.close

    async def recording_close(self: WebSocket, code: int = 1000, reason: str | None = None) -> None:
        closing.set()
        await close(self, code, reason)

    monkeypatch.setattr(WebSocket, "close", recording_close)
    listening = app.bind("127.0.0.1", 0)
    port, token = listening[0].getsockname()[1], logins.token_of(str(fleet.home))
    place = address.make("127.0.0.1", port, (), is_plain=False)
    application = app.make(str(fleet.home), place, logins.Logins(token))
    threading.Thread(
        target=lambda: asyncio.run(app.serve(application, listening)), daemon=True
    ).start()
    server, headers = f"ws://127.0.0.1:{port}/ws", {"Authorization": f"Bearer {token}"}

    received: list[int] = []
    plain = {"additional_headers": headers, "compression": None, "open_timeout": 60}
    with connect(server, max_queue=1, **plain) as client:
        send(client, type="fleet.subscribe", from_event_id=0)
        assert closing.wait(60)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                received.append(receive(client)["event_id"])
    assert closed.value.rcvd is not None, closed.value
    assert closed.value.rcvd.code == 1013 and "continue from event" in closed.value.rcvd.reason
    assert received == list(range(1, len(received) + 1)) and len(received) < 4000
    with connect(server, **plain) as client:
        send(client, type="fleet.subscribe", from_event_id=received[-1])
        assert until_live(client) == list(range(received[-1] + 1, 4001))


@pytest.mark.slow
def test_hundred_clients_receive_all_ten_thousand_events(gateway: Gateway, fleet: Fleet) -> None:
    clients, events = 100, 10_000
    writer = """
import json, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=60)
for batch in range(500):
    with connection:
        connection.executemany("INSERT INTO outbox_events (ts, type, payload_json)"
            " VALUES ('2026-11-24T08:00:00.000Z', 'briefing_added', ?)", [("{}",)] * 20)
"""

    async def follow(number: int) -> list[int]:
        """Half of the clients connect before the first event; the others later, from a cursor."""
        await asyncio.sleep(0 if number % 2 else number / 50)
        ids: list[int] = []
        headers = {"Authorization": f"Bearer {gateway.token}"}
        address = f"ws://127.0.0.1:{gateway.port}/ws"
        # On two cores a handshake can be slow during a million messages.
        async with connect_async(
            address, additional_headers=headers, compression=None, open_timeout=90, ping_timeout=90
        ) as client:
            await client.send(json.dumps({"type": "fleet.subscribe", "from_event_id": 0}))
            while not ids or ids[-1] < events:
                message = str(await client.recv())
                if message.startswith('{"type":"fleet.event","event_id":'):
                    ids.append(int(message[33:].partition(",")[0]))
        return ids

    async def all_of_them() -> list[list[int]]:
        writing = await asyncio.create_subprocess_exec(
            sys.executable, "-c", writer, str(fleet.home / "fleet.db")
        )
        found = await asyncio.gather(*(follow(number) for number in range(clients)))
        assert await writing.wait() == 0
        return found

    for ids in asyncio.run(all_of_them()):
        assert ids == list(range(1, events + 1))
    _until(lambda: fleet.rows("SELECT min(delivered) FROM outbox_events") == [(1,)])


# --- the API and the command ----------------------------------------------------------------


def test_oversized_request_is_not_read(gateway: Gateway) -> None:
    oversized = {"project_id": "p", "prompt": "x" * 3_000_000}
    assert gateway.post("/api/v1/jobs", oversized).status_code == 413

    def parts() -> Iterator[bytes]:
        for _ in range(400):
            yield b"x" * 10_000

    answer = httpx.post(
        gateway.base + "/api/v1/jobs",
        headers={"Authorization": f"Bearer {gateway.token}"},
        content=parts(),
        timeout=60,
    )
    assert answer.status_code == 413
    assert gateway.get("/api/v1/health").status_code == 200


def test_every_endpoint_answers_and_is_described(
    gateway: Gateway, fleet: Fleet, tmp_path: Path
) -> None:
    stop_turn(fleet, make_repository(tmp_path / "alpha"), 1, "The **parser** is fixed.")
    _until(lambda: fleet.rows("SELECT 1 FROM briefings"))
    described = gateway.get("/api/v1/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    for path, methods in described["paths"].items():
        if "get" in methods:
            ((project_id, session_id),) = fleet.rows("SELECT project_id, session_id FROM sessions")
            filled = path.format(
                briefing_id=1, job_id=1, project_id=project_id, session_id=session_id
            )
            queries = {"search": "?q=parser", "days": "?since=2026-01-01"}
            query = queries.get(path.rpartition("/")[2], "")
            answer = gateway.get(filled + query)
            assert answer.status_code == (404 if "{job_id}" in path else 200), (path, answer.text)
    (found,) = gateway.get("/api/v1/briefings/search?q=pars").json()
    assert found["briefing_id"] == 1
    assert "<strong>parser</strong>" in gateway.get("/api/v1/briefings/1").json()["html"]
    page = gateway.get("/api/v1/events?limit=1").json()
    assert len(page["events"]) == 1 and page["has_more"] is False
    assert "parser" in gateway.get("/api/v1/prelude?recap=true").json()["text"]
    assert gateway.get("/api/v1/overview").json()["projects"][0]["project"] == "alpha"
    for path in (
        "/api/v1/briefings?limit=0",
        "/api/v1/briefings?status=sad",
        "/api/v1/events?after=x",
    ):
        answer = gateway.get(path)
        assert answer.status_code == 422 and answer.json()["error"]["code"] == "bad_request"
    assert gateway.get("/api/v1/briefings/99").json()["error"]["code"] == "not_found"
    # A briefing's front matter is rendered as code, not as one large heading.
    stop_turn(
        fleet,
        tmp_path / "alpha",
        2,
        "```briefing\n---\nsummary: One\nstatus: blocked\n---\nIt waits.\n```",
    )
    _until(lambda: len(fleet.rows("SELECT 1 FROM briefings")) == 2)
    html = gateway.get("/api/v1/briefings/2").json()["html"]
    assert "summary: One\nstatus: blocked\n</code>" in html and "<p>It waits.</p>" in html
    # The rule is the parser's: it may end with dots, or lack its dashes.
    with_dots = "---\nsummary: One\n...\nIt waits."
    without_dashes = "summary: One\nstatus: blocked\n\nIt waits."
    for number, text in enumerate((with_dots, without_dashes), start=3):
        stop_turn(fleet, tmp_path / "alpha", number, f"```briefing\n{text}\n```")
        _until(lambda wanted=number: len(fleet.rows("SELECT 1 FROM briefings")) == wanted)
        html = gateway.get(f"/api/v1/briefings/{number}").json()["html"]
        assert "summary: One" in html.partition("</code>")[0], html
        assert html.endswith("</code></pre>\n<p>It waits.</p>\n"), html


def test_openapi_document_is_valid(gateway: Gateway) -> None:
    described = gateway.get("/api/v1/openapi.json").json()
    refs = re.findall(r'"\$ref": "([^"]+)"', json.dumps(described))
    assert "#/components/schemas/BriefingLine" in refs
    for ref in refs:
        found = described
        for part in ref.removeprefix("#/").split("/"):
            found = found[part]
        assert found["type"] == "object", ref
    described_methods = {
        (method, path): [one["name"] for one in operation["parameters"]]
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    }
    assert described_methods == {
        ("get", "/api/v1/health"): [],
        ("get", "/api/v1/overview"): [],
        ("get", "/api/v1/roster"): ["machine", "quiet"],
        ("get", "/api/v1/projects"): [],
        ("get", "/api/v1/projects/{project_id}"): ["project_id"],
        ("get", "/api/v1/sessions"): ["project_id", "state", "machine", "since", "before", "before_id", "limit"],
        ("get", "/api/v1/sessions/{session_id}"): ["turns", "session_id"],
        ("post", "/api/v1/sessions/{session_id}/dismiss"): ["session_id"],
        ("post", "/api/v1/sessions/{session_id}/snooze"): ["session_id"],
        ("post", "/api/v1/sessions/{session_id}/show"): ["session_id"],
        ("get", "/api/v1/briefings"): ["project_id", "status", "impact_level", "session_id", "machine", "since", "limit"],
        ("get", "/api/v1/briefings/search"): ["q", "project_id", "status", "machine", "since", "limit"],
        ("get", "/api/v1/briefings/{briefing_id}"): ["front_matter", "briefing_id"],
        ("get", "/api/v1/timeline"): ["before", "until", "project_id", "type", "level", "machine", "limit"],
        ("get", "/api/v1/usage"): ["by", "since", "project_id", "limit"],
        ("get", "/api/v1/usage/days"): ["since", "top"],
        ("get", "/api/v1/events"): ["after", "limit"],
        ("get", "/api/v1/jobs"): ["project_id", "status", "limit"],
        ("post", "/api/v1/jobs"): [],
        ("get", "/api/v1/jobs/{job_id}"): ["job_id"],
        ("post", "/api/v1/jobs/{job_id}/cancel"): ["job_id"],
        ("post", "/api/v1/session"): [],
        ("post", "/api/v1/links"): [],
        ("get", "/api/v1/conversations"): [],
        ("get", "/api/v1/prelude"): ["recap"],
    }  # fmt: skip


def test_unknown_api_path_is_a_json_404(gateway: Gateway) -> None:
    unknown = ("briefings/x", "briefings/-1", "no/such", "briefings/" + "9" * 5000)
    for path in (f"briefings/{'9' * 23}", f"jobs/{'9' * 23}", *unknown):
        answer = gateway.get(f"/api/v1/{path}")
        assert answer.status_code == 404, path
        assert answer.json()["error"]["code"] == "not_found", path
    assert "Traceback" not in _log(fleet=gateway.fleet)


def test_api_handles_malformed_rows_of_other_programs(
    gateway: Gateway, fleet: Fleet, tmp_path: Path
) -> None:
    stop_turn(fleet, make_repository(tmp_path / "alpha"), 1, "The parser is fixed.")
    _until(lambda: fleet.rows("SELECT 1 FROM briefings"))
    fleet.rows(
        "INSERT INTO conversations (conversation_id, kind, cwd, model, last_outbox_event_id_seen,"
        " created_at, updated_at) VALUES ('c', 'commander', '/', 'opus', NULL, '', '')"
    )
    assert gateway.get("/api/v1/conversations").json()[0]["last_outbox_event_id_seen"] == 0
    connection = sqlite3.connect(fleet.home / "fleet.db")
    with contextlib.closing(connection), connection:
        for table, columns in {
            "projects": ("repo_root", "git_remote", "created_at"),
            "briefings": ("session_id", "branch", "created_at", "raw_markdown"),
            "conversations": ("cwd", "claude_session_id"),
            "sessions": ("detail",),
        }.items():
            for column in columns:
                connection.execute(f"UPDATE {table} SET {column} = x'FF00'")
    for path in (
        *("overview", "roster", "projects", "briefings", "briefings/1", "conversations", "prelude"),
        *("timeline", "sessions", "sessions/s-1"),
    ):
        answer = gateway.get("/api/v1/" + path)
        assert answer.status_code == 200, (path, answer.text, _log(fleet))
        answer.json()


def _insert_job(fleet: Fleet, status: str) -> int:
    with sqlite3.connect(fleet.home / "fleet.db") as connection:
        number = connection.execute(
            "INSERT INTO jobs (ts_created, ts_started, type, model, status, request_json) VALUES"
            " ('2026-11-24T08:00:00.000Z', '2026-11-24T08:00:00.000Z', 'worker_task', 'haiku', ?, '{}')",
            (status,),
        ).lastrowid
    assert number is not None
    return number


def _log(fleet: Fleet) -> str:
    path = Path(paths.log_file(str(fleet.home)))
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize(
    ("text", "forbidden"),
    [
        ("<script>alert(1)</script>", "<script"),
        ("<img src=x onerror=alert(1)>", "<img"),
        ("[x](javascript:alert(1))", "href=\"javascript"),
        ("[x](JaVaScRiPt&colon;alert(1))", "href=\"java"),
        ("[x](data:text/html,<script>alert(1)</script>)", "href=\"data"),
        ("![x](http://evil.example/pixel.png)", "<img"),
        ('<a href="http://x" onclick="alert(1)">x</a>', "<a href=\"http://x\" onclick"),
        ("```html\"><script>alert(1)</script>\nx\n```", "<script"),
        ("<svg/onload=alert(1)>", "<svg"),
    ],
)  # fmt: skip
def test_markdown_is_rendered_without_active_content(text: str, forbidden: str) -> None:
    from commander.gateway.markdown import to_html

    assert forbidden.lower() not in to_html(text).lower()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--host", "0.0.0.0"), "--allow-remote"),
        (("--host", "192.0.2.1", "--allow-remote"), "cannot listen on 192.0.2.1:8737: "),
        (("--port", "99999"), "is not in the range"),
    ],
)
def test_unusable_listen_address_prints_one_line(
    fleet: Fleet, arguments: tuple[str, ...], message: str
) -> None:
    done = fleet.console("gateway", "--no-browser", *arguments, check=False)
    assert done.returncode in (1, 2) and done.stdout == ""
    assert message in done.stderr and done.stderr.count("\n") == 1


def test_ctrl_c_ends_the_gateway_quietly(gateway: Gateway) -> None:
    assert gateway.process is not None
    with gateway.client() as client:
        send(client, type="fleet.subscribe", from_event_id=0)
        until_live(client)
        gateway.process.send_signal(signal.SIGINT)
        out, err = gateway.process.communicate(timeout=60)
    assert (gateway.process.returncode, out, err) == (0, "", "")
    gateway.process = None


def test_port_in_use_prints_one_line(gateway: Gateway, fleet: Fleet) -> None:
    done = fleet.console("gateway", "--no-browser", "--port", str(gateway.port), check=False)
    assert done.returncode == 1 and "use --port 0 for a free port" in done.stderr


def test_documented_client_works_and_resumes_after_an_interruption(
    gateway: Gateway, fleet: Fleet
) -> None:
    page = (ROOT / "docs" / "gateway.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    insert_events(fleet, 2, "first")
    client = subprocess.Popen(
        [sys.executable, "-c", code],
        env=fleet.env(FLEET_PORT=str(gateway.port)),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert client.stdout is not None
        lines = [client.stdout.readline() for _ in range(2)]
        gateway.stop()
        insert_events(fleet, 2, "second")
        gateway.start()
        lines += [client.stdout.readline() for _ in range(2)]
        assert [line.split()[0] for line in lines] == ["1", "2", "3", "4"]
        assert "second 1" in lines[3]
    finally:
        client.kill()
        client.communicate()


@pytest.mark.parametrize("is_watched", [True, False], ids=["watched", "without watchdog"])
def test_events_tail_follows_without_a_gateway(
    fleet: Fleet, tmp_path: Path, is_watched: bool
) -> None:
    db.connect(fleet.home / "fleet.db").close()
    hidden = tmp_path / "hidden"
    (hidden / "watchdog").mkdir(parents=True)
    (hidden / "watchdog" / "__init__.py").write_text("raise ImportError")
    path = {} if is_watched else {"PYTHONPATH": str(hidden)}
    tail = subprocess.Popen(
        [sys.executable, "-m", "commander.cli", "events", "tail", "--after", "0", "--json"],
        cwd=ROOT,
        env=fleet.env(**path),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert tail.stdout is not None
        insert_events(fleet, 600)
        assert [json.loads(tail.stdout.readline())["event_id"] for _ in range(600)] == list(
            range(1, 601)
        )
        began = time.monotonic()
        insert_events(fleet, 1)
        assert json.loads(tail.stdout.readline())["event_id"] == 601
        assert time.monotonic() - began < 30
    finally:
        tail.kill()
        tail.communicate()


def test_idle_gateway_uses_no_cpu_time(gateway: Gateway) -> None:
    assert gateway.process is not None
    ticks = os.sysconf("SC_CLK_TCK")

    def used() -> float:
        fields = Path(f"/proc/{gateway.process.pid}/stat").read_text().rpartition(")")[2].split()  # type: ignore[union-attr]
        return (int(fields[11]) + int(fields[12])) / ticks

    with gateway.client() as client:
        send(client, type="fleet.subscribe", from_event_id=0)
        until_live(client)

        def is_idle() -> bool:
            before, began = used(), time.monotonic()
            time.sleep(2.5)
            return used() - before < (time.monotonic() - began) / 10

        # On a slow machine it may still be at what it does once after its start.
        assert is_fast(is_idle)


def _until(happened: Any, timeout: float = 60) -> None:
    deadline = time.monotonic() + timeout
    while not happened():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.05)


def test_gateway_only_writes_delivery_marks(gateway: Gateway, fleet: Fleet) -> None:
    insert_events(fleet, 5)
    columns = "event_id, ts, type, project_id, briefing_id, broadcast_level, payload_json"
    before = fleet.rows(f"SELECT {columns} FROM outbox_events")
    with gateway.client() as client:
        send(client, type="fleet.subscribe", from_event_id=0)
        until_live(client)
    _until(lambda: delivered(fleet) == [1] * 5)
    assert fleet.rows(f"SELECT {columns} FROM outbox_events") == before
    with sqlite3.connect(fleet.home / "fleet.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_oversized_event_does_not_block_common_clients(gateway: Gateway, fleet: Fleet) -> None:
    with sqlite3.connect(fleet.home / "fleet.db") as connection:
        connection.executemany(
            "INSERT INTO outbox_events (ts, type, payload_json) VALUES ('t', 'briefing_added', ?)",
            [(json.dumps({"summary": "é" * 1_200_000}),), ('{"summary": "small"}',)],
        )
    with gateway.client() as client:
        send(client, type="fleet.subscribe", from_event_id=0)
        first, second = receive(client), receive(client)
    assert first["event"]["data"]["cut"] is True
    assert second["event"]["data"] == {"summary": "small"}
    full_data = gateway.get("/api/v1/events").json()["events"][0]["event"]["data"]
    assert len(full_data["summary"]) == 1_200_000


@pytest.mark.slow
def test_running_gateway_applies_an_entry_whose_drainer_was_killed(
    gateway: Gateway, tmp_path: Path
) -> None:
    gateway.fleet.hook("stop", payload("Stop"), tmp_path)
    assert len(spool.pending(str(gateway.fleet.home))) == 1, "no drainer was started"
    deadline = time.monotonic() + 60
    while spool.pending(str(gateway.fleet.home)):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert len(gateway.fleet.rows("SELECT * FROM turns")) == 1


def test_events_are_followed_where_the_system_allows_no_more_watches(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> None:
        raise OSError(errno.EMFILE, "inotify instance limit reached")

    monkeypatch.setattr("watchdog.observers.Observer", refused)
    db.connect(fleet.home / "fleet.db").close()
    followed = tailer.Tailer(fleet.home / "fleet.db")
    insert_events(fleet, 1, "first")
    pages = followed.follow(0)
    assert [event.event_id for event in next(pages)] == [1]
    later = threading.Timer(0.3, insert_events, (fleet, 1, "second"))
    later.start()
    assert [event.event_id for event in next(pages)] == [2]
    followed.stop()
    pages.close()  # type: ignore[attr-defined]
    later.join()


def test_a_commit_that_can_be_read_long_after_the_file_changed_does_not_wait_for_the_next_look(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def changed_once(folder: Path, is_wanted: Any, changed: Any) -> Iterator[bool]:
        changed()
        yield True

    monkeypatch.setattr(tailer, "watching", changed_once)
    monkeypatch.setattr(tailer, "_SLOW_POLL_SECONDS", 600.0)
    db.connect(fleet.home / "fleet.db").close()
    followed = tailer.Tailer(fleet.home / "fleet.db")
    insert_events(fleet, 1, "first")
    pages = followed.follow(0)
    assert [event.event_id for event in next(pages)] == [1]
    later = threading.Timer(0.5, insert_events, (fleet, 1, "second"))
    later.start()
    given_up = threading.Timer(60, followed.stop)
    given_up.start()
    assert [event.event_id for event in next(pages, [])] == [2]
    given_up.cancel()
    followed.stop()
    pages.close()  # type: ignore[attr-defined]
    later.join()
