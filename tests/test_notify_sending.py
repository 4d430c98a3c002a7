"""Messages by real processes to real servers on this machine: hooks, drainer, sender, Apprise. What
is sent and when is in test_notify.py."""

import contextlib
import email
import http.server
import json
import os
import re
import signal
import socketserver
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from gateway_world import Gateway
from support import Fleet, make_repository, payload
from test_notify import QUESTION

from commander.doctor.findings import Installation
from commander.doctor.notifications import notifications
from fleet_lib import paths
from fleet_lib.extras import command_to_add
from fleet_lib.notify import send, targets
from fleet_lib.notify.due import is_running
from fleet_lib.notify.message import Message
from fleet_lib.notify.sending import send as send_all
from fleet_lib.notify.targets import Target
from fleet_lib.store import db

TEXT = Message("api asks you", "Is *this* _it_ [x](http://y) & `z`, @\u2060everyone?\nOn box.")


class Server:
    """An HTTP server that keeps what it is sent. It answers with `status`, or not at all."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self.status = 200
        self.holds = threading.Event()  # until this is set, if `is_hanging`
        self.is_hanging = False
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
                server.requests.append((self.path, body))
                if server.is_hanging:
                    server.holds.wait(60)
                with contextlib.suppress(OSError):
                    self.send_response(server.status)
                    self.end_headers()
                    self.wfile.write(b'{"id": "1"}')

            def log_message(self, *_: object) -> None:
                pass

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.place = f"127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.holds.set()
        self._http.shutdown()
        self._http.server_close()

    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.requests]


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def api(fleet: Fleet) -> Iterator[Path]:
    folder = make_repository(fleet.folder / "api")
    fleet.home.mkdir(exist_ok=True)
    fleet.console("config", "set", "notify.grace_seconds", "1")
    yield folder
    for process in senders(fleet):
        process.kill()


def senders(fleet: Fleet) -> list[psutil.Process]:
    """The processes that send messages of this home."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            command = process.cmdline()
            if paths.NOTIFIER in command and str(fleet.home) in command:
                found.append(process)
    return found


def wait_for(happened: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def ask(fleet: Fleet, folder: Path, session: str) -> None:
    """A turn that asks, with the real drainer and what it starts."""
    given = payload("Stop") | {"session_id": session, "prompt_id": session, "cwd": str(folder)}
    done = fleet.hook("stop", given | {"last_assistant_message": QUESTION}, folder, background=True)
    assert (done.returncode, done.stdout) == (0, b"")


def add(fleet: Fleet, url: str, name: str | None = None) -> Target:
    return targets.add(str(fleet.home), url, name)


def states(fleet: Fleet) -> list[str]:
    if not (fleet.home / "fleet.db").exists():
        return []
    return [row[0] for row in fleet.rows("SELECT state FROM notifications")]


@pytest.mark.slow
def test_an_alert_reaches_every_target_once_and_nothing_is_left_running(
    fleet: Fleet, api: Path, server: Server
) -> None:
    said = fleet.console("notify", "add", f"http://{server.place}/hook?key=s3cr3t").stdout
    assert said == f"Added webhook: json://{server.place}/…\n"
    add(fleet, f"ntfy://{server.place}/topic")
    add(fleet, "json://127.0.0.1:9/refused", "broken")
    fleet.console("notify", "test", "webhook")
    fleet.console("config", "set", "notify.grace_seconds", "600")
    for name in ("config.toml", "notify.json"):  # as settings are that were written long ago
        os.utime(fleet.home / name, (0, 0))
    ask(fleet, api, "s-1")
    wait_for(lambda: senders(fleet))  # the hook has not waited for it
    (sender,) = senders(fleet)
    held = {paths.notify_lock(str(fleet.home))}
    wait_for(lambda: {file.path for file in sender.open_files()} == held)
    time.sleep(0.5)  # were it not waiting, it would have read its modules and the database by now
    assert {file.path for file in sender.open_files()} == held
    assert sender.memory_info().rss < 16_000_000  # what waits is small
    fleet.console("config", "set", "notify.grace_seconds", "1")
    wait_for(lambda: not senders(fleet))
    fleet.hook("session_start", payload("SessionStart-startup"), api, background=True)
    fleet.wait_for_drainers()
    time.sleep(0.3)
    assert sorted(states(fleet)) == ["failed", "sent", "sent"] and not senders(fleet)
    paths_asked = sorted(path for path, _ in server.requests)
    assert paths_asked == ["/", "/hook?key=s3cr3t", "/hook?key=s3cr3t"]
    by_topic = [one for one in server.messages() if one.get("topic") == "topic"]
    assert by_topic[0]["message"] == f"{QUESTION}\nOn {os.uname().nodename}."
    assert "broken" in fleet.log() and "s3cr3t" not in fleet.log()


@pytest.mark.slow
def test_a_sender_that_is_killed_while_it_sends_has_sent_its_only_message(
    fleet: Fleet, api: Path, server: Server
) -> None:
    server.is_hanging = True
    add(fleet, f"json://{server.place}/")
    ask(fleet, api, "s-1")
    wait_for(lambda: server.requests)
    assert states(fleet) == ["noted"]
    for process in senders(fleet):
        process.send_signal(signal.SIGKILL)
    server.holds.set()
    server.is_hanging = False
    ask(fleet, api, "s-2")
    wait_for(lambda: len(server.requests) == 2)
    wait_for(lambda: not senders(fleet))
    assert states(fleet) == ["noted", "sent"]
    assert "noted" in fleet.console("notify", "log").stdout


@pytest.mark.slow
def test_senders_at_once_and_many_hooks_send_one_message(
    fleet: Fleet, api: Path, server: Server
) -> None:
    fleet.console("config", "set", "notify.grace_seconds", "600")
    add(fleet, f"json://{server.place}/")
    for number in range(4):
        ask(fleet, api, f"s-{number}")
    fleet.wait_for_drainers()
    fleet.console("config", "set", "notify.grace_seconds", "1")
    for _ in range(4):
        subprocess.Popen([sys.executable, "-I", paths.NOTIFIER, str(fleet.home), "0"])
    wait_for(lambda: len(states(fleet)) == 4 and "noted" not in states(fleet))
    wait_for(lambda: not senders(fleet))
    listed = sum(message["message"].count(QUESTION) for message in server.messages())
    assert listed == 4 and len(server.requests) <= 2


@pytest.mark.slow
def test_a_sender_does_not_outlive_its_home(fleet: Fleet, api: Path, server: Server) -> None:
    fleet.console("config", "set", "notify.grace_seconds", "600")
    add(fleet, f"json://{server.place}/")
    ask(fleet, api, "s-1")
    wait_for(lambda: senders(fleet))
    fleet.wait_for_drainers()
    fleet.console("config", "set", "notify.grace_seconds", "500")  # it looks again, and waits on
    time.sleep(2.5)
    assert senders(fleet) and states(fleet) == []
    fleet.home.rename(fleet.folder / "removed")
    wait_for(lambda: not senders(fleet))
    assert not fleet.home.exists() and server.requests == []


@pytest.mark.slow
def test_a_grace_that_is_made_shorter_counts_at_once(
    fleet: Fleet, api: Path, server: Server
) -> None:
    fleet.console("config", "set", "notify.grace_seconds", "600")
    add(fleet, f"json://{server.place}/")
    ask(fleet, api, "s-1")
    lock = Path(paths.notify_lock(str(fleet.home)))
    wait_for(lambda: lock.exists() and lock.read_text())
    time.sleep(0.3)
    fleet.console("config", "set", "notify.grace_seconds", "1")
    wait_for(lambda: states(fleet) == ["sent"])


@pytest.mark.slow
def test_the_gateway_sends_while_it_runs(fleet: Fleet, api: Path, server: Server) -> None:
    db.connect(fleet.home / "fleet.db").close()
    add(fleet, f"json://{server.place}/")
    gateway = Gateway(fleet)
    gateway.start()
    try:
        wait_for(lambda: is_running(str(fleet.home)))
        ask(fleet, api, "s-1")
        fleet.wait_for_drainers()
        assert not senders(fleet)
        wait_for(lambda: states(fleet) == ["sent"])
    finally:
        gateway.stop()
    assert len(server.requests) == 1


@pytest.mark.slow
def test_an_alert_in_its_grace_is_sent_after_the_gateway_has_ended(
    fleet: Fleet, api: Path, server: Server
) -> None:
    fleet.console("config", "set", "notify.grace_seconds", "600")
    db.connect(fleet.home / "fleet.db").close()
    add(fleet, f"json://{server.place}/")
    gateway = Gateway(fleet)
    gateway.start()
    wait_for(lambda: is_running(str(fleet.home)))
    ask(fleet, api, "s-1")
    fleet.wait_for_drainers()
    assert states(fleet) == [] and not senders(fleet)
    gateway.stop()
    wait_for(lambda: senders(fleet))
    fleet.console("config", "set", "notify.grace_seconds", "1")
    wait_for(lambda: states(fleet) == ["sent"])


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_given_up_and_the_others_get_theirs(
    server: Server,
) -> None:
    hanging = Server()
    hanging.is_hanging = True
    try:
        slow = Target("1", "slow", f"json://{hanging.place}/?rto=60")
        fine = Target("2", "fine", f"json://{server.place}/")
        wrong = Target("3", "wrong", "json://127.0.0.1:9/")
        started = time.monotonic()
        errors = send_all(dict.fromkeys((slow, fine, wrong), TEXT), 8.0)
        assert time.monotonic() - started < 50
    finally:
        hanging.close()
    assert (errors[slow], errors[fine]) == ("no answer within 8 s", "")
    assert "onnect" in errors[wrong], errors
    assert server.messages()[0]["message"] == TEXT.body


class Mail(socketserver.StreamRequestHandler):
    """As much of SMTP as a client needs to hand over a message."""

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            word = line.strip().upper()[:4]
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                text = b""
                while (line := self.rfile.readline()) != b".\r\n":
                    text += line
                self.server.mails.append(text)  # type: ignore[attr-defined]
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
            if word == b"QUIT":
                return


@pytest.mark.slow
def test_a_mail_is_plain_text() -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail) as mail:
        mail.mails = []  # type: ignore[attr-defined]
        threading.Thread(target=mail.serve_forever, daemon=True).start()
        place = f"127.0.0.1:{mail.server_address[1]}"
        url = f"mailto://{place}?from=fleet@example.org&to=me@example.org&mode=insecure&format=html"
        target = Target("1", "mail", url)
        assert send_all({target: TEXT}) == {target: ""}
        mail.shutdown()
        (text,) = mail.mails  # type: ignore[attr-defined]
    message = email.message_from_bytes(text)
    assert message["Subject"] == TEXT.title
    assert [part.get_content_type() for part in message.walk()] == ["text/plain"]
    body = message.get_payload(decode=True)
    assert isinstance(body, bytes) and body.decode().strip().splitlines() == TEXT.body.splitlines()


@pytest.mark.parametrize(
    "url",
    [
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general",
        "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        "tgram://123456789:abcdefg_hijklmnop-abcdefghijklmnopq/12315544/?format=markdown",
        "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js?format=markdown",
        "ntfy://localhost/topic?format=markdown",
    ],
)
@pytest.mark.slow
def test_a_services_markup_in_the_text_stays_text(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    posted: list[Any] = []

    class Answer:
        status_code = 200
        content = b"ok"
        text = "ok"
        headers: dict[str, str] = {}

    def post(self: Any, method: str, url: str, data: Any = None, **more: Any) -> Answer:
        posted.append((data, more.get("json")))
        return Answer()

    monkeypatch.setattr(requests.Session, "request", post)
    assert send.send(url, TEXT.title, TEXT.body) == ""
    ((data, as_json),) = posted
    sent = json.loads(data) if data else as_json
    words = json.dumps(sent, ensure_ascii=False)
    assert sent.get("mrkdwn") in (None, False), "Slack reads no markup"
    assert "markdown" not in words.lower() and "@everyone" not in words
    if "tgram" in url:
        assert sent["parse_mode"] == "HTML" and "&amp; `z`" in sent["text"]
        words = words.replace("<b>api asks you</b>", "")
    if "discord" in url:
        assert r"Is \*this\* \_it\_ \[x\](http://y) & \`z\`" in sent["content"]
    assert "<" not in words


def test_the_desktop_is_notify_send_with_nothing_of_the_text_as_an_option_or_markup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "notify-send"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/said\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(sys, "platform", "linux")
    assert send.send("desktop", "--help", "a & b\nOn box.") == ""
    said = (tmp_path / "said").read_text().splitlines()
    assert said == ["--app-name=Fleet", "--", "--help", "a &amp; b", "On box."]
    program.write_text("#!/bin/sh\necho no display >&2; exit 1\n")
    assert send.send("desktop", "a", "b") == "notify-send: no display"
    for words in (  # as notify-send says it without a bus, and without a server on it
        "Cannot autolaunch D-Bus without X11 $DISPLAY",
        "Could not connect: No such file or directory",
        "GDBus.Error:org.freedesktop.DBus.Error.ServiceUnknown: The name is not provided",
    ):
        program.write_text(f"#!/bin/sh\necho '{words}' >&2; exit 1\n")
        error = send.send("desktop", "a", "b")
        assert error == f"{send.NO_DESKTOP} (notify-send: {words})"
    monkeypatch.setattr(send, "_DESKTOP_SECONDS", 0.2)
    program.write_text("#!/bin/sh\nexec sleep 30\n")
    assert send.send("desktop", "a", "b") == "notify-send did not end within 0.2 s"
    monkeypatch.setattr(send, "_DESKTOP_SECONDS", 10)
    program.rename(tmp_path / "osascript")
    (tmp_path / "osascript").write_text(
        f"#!/bin/sh\ncat > {tmp_path}/script; echo $* >> {tmp_path}/script\n"
    )
    monkeypatch.setattr(sys, "platform", "darwin")
    assert send.send("desktop", 'a "quoted" \\ title', 'b" & do shell script "x') == ""
    assert (tmp_path / "script").read_text() == (
        'display notification "b\\" & do shell script \\"x" with title "a \\"quoted\\" \\\\ title"-\n'
    )


def test_without_apprise_one_line_says_how_to_install_it(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    done = fleet.console("notify", "add", "ntfy://topic", check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert f"run `{command_to_add('notify')}`" in done.stderr
    assert not (fleet.home / "notify.json").exists()


def test_the_desktop_is_added_with_a_warning_where_none_runs(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "notify-send"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(send, "_desktop_environment", dict)
    done = fleet.console("notify", "add", "desktop")
    assert "No message will be seen: no desktop" in done.stderr
    checks = notifications(Installation.here())
    assert [(one.level, one.fix) for one in checks] == [("warning", "fleet notify remove desktop")]
    monkeypatch.setattr(send, "_desktop_environment", lambda: {"DBUS_SESSION_BUS_ADDRESS": "x"})
    assert [one.level for one in notifications(Installation.here())] == ["ok"]


def test_a_missing_extra_is_added_by_what_made_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = command_to_add("notify")
    assert re.fullmatch(r".* install .*apprise", command)
    assert "fleet" not in command.rpartition("install")[2], "that name is another program's"
    monkeypatch.setattr(paths, "PROGRAM", str(tmp_path))
    (tmp_path / "fleet-home.txt").write_text("/home")
    assert command_to_add("notify") == "./install.sh --with notify"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("slak://Secret/Words", "Apprise cannot use this address"),
        ("dbus://", "for this machine's desktop use `fleet notify add desktop`"),
        ("Secret", "this is no address"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_and_not_repeated(
    fleet: Fleet, url: str, message: str
) -> None:
    done = fleet.console("notify", "add", url, check=False)
    assert done.returncode == 1 and message in done.stderr and "Secret" not in done.stderr
