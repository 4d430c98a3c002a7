"""Messages when something needs you: what is sent to which target, when, and that it is sent once.
The processes and the services are in test_notify_sending.py."""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from support import Fleet, make_repository, payload
from test_live import fields
from test_runner import Queue

from commander.doctor.findings import Installation
from commander.doctor.notifications import notifications
from fleet_lib import clock, wake
from fleet_lib.notify import deliver, settings, targets
from fleet_lib.notify.alerts import Alert
from fleet_lib.notify.message import Message, message_of
from fleet_lib.notify.send import shown, webhook_of
from fleet_lib.notify.targets import Target, masked
from fleet_lib.store import db
from fleet_lib.store.notifications import MOST_ATTEMPTS, NotificationRepo

QUESTION = "Which of the two ports do you want?"
BLOCKED = "```briefing\n---\nstatus: blocked\nblockers: [the staging key]\n---\n```"
DONE = "It is done."
LATER = 3600.0


class Post:
    """What stands for the services: it keeps what it is sent, and fails if it is asked to."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Message]] = []
        self.errors: dict[str, str] = {}  # {target: what it answers}

    def __call__(self, messages: Mapping[Target, Message]) -> dict[Target, str]:
        self.sent += [(target.name, message) for target, message in messages.items()]
        return {target: self.errors.get(target.name, "") for target in messages}

    def bodies(self) -> list[str]:
        return [f"{message.title}: {message.body}" for _, message in self.sent]


@pytest.fixture
def post(monkeypatch: pytest.MonkeyPatch) -> Post:
    post = Post()
    monkeypatch.setattr(deliver, "send", post)
    return post


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The delays with which the sender was started; it is not."""
    delays: list[float] = []
    monkeypatch.setattr(wake, "start_notifier", lambda home, seconds: delays.append(seconds))
    return delays


@pytest.fixture
def api(fleet: Fleet, started: list[float]) -> Path:
    """A repository, and a home with one target."""
    monkeypatched = make_repository(fleet.folder / "api")
    add(fleet, "one")
    return monkeypatched


def add(fleet: Fleet, name: str) -> Target:
    fleet.home.mkdir(exist_ok=True)
    return targets.add(str(fleet.home), f"json://127.0.0.1:9/{name}", name)


def stop(fleet: Fleet, folder: Path, session: str, message: str, prompt: str = "p-1") -> None:
    given = payload("Stop") | {"session_id": session, "prompt_id": prompt, "cwd": str(folder)}
    fleet.hook("stop", given | {"last_assistant_message": message}, folder)
    fleet.drain()


def ask_permission(fleet: Fleet, folder: Path, session: str) -> None:
    for name in ("2.1.332/PermissionRequest-Bash", "2.1.332/Notification-permission_prompt"):
        hook = "permission_request" if "Request" in name else "notification"
        fleet.hook(hook, payload(name) | {"session_id": session}, folder)
    fleet.drain()


def newest_event(fleet: Fleet) -> float:
    """The time of the newest event. What is counted from there does not depend on the machine."""
    ((newest,),) = fleet.rows("SELECT max(ts) FROM outbox_events WHERE ts LIKE '2%'")
    return float(clock.nanoseconds(newest) / 1e9)


def look(fleet: Fleet, seconds_later: float = LATER) -> float:
    """Let the sender look, as it does so many seconds after the newest event."""
    with at(newest_event(fleet) + seconds_later + 0.001):  # times have milliseconds
        return deliver.look(str(fleet.home))


@contextlib.contextmanager
def at(now: float) -> Iterator[None]:
    """Within the block, the clock on the wall stands there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: int(now * 1e9))
        patch.setattr(time, "time", lambda: now)
        yield


def states(fleet: Fleet) -> list[tuple[str, str]]:
    return fleet.rows(  # type: ignore[return-value]
        "SELECT target_name, state FROM notifications ORDER BY event_id, target_name"
    )


def client_file(fleet: Fleet, session: str, **said: object) -> None:
    """A session file of a client that lives as long as this test."""
    folder = fleet.home.parent / ".claude" / "sessions"
    folder.mkdir(parents=True, exist_ok=True)
    content = fields(os.getpid(), sessionId=session) | said
    (folder / f"{os.getpid()}.json").write_text(json.dumps(content))


# --- what is sent, and when -------------------------------------------------------------------


def test_one_message_after_the_grace_says_project_reason_text_and_machine(
    fleet: Fleet, api: Path, post: Post, started: list[float]
) -> None:
    stop(fleet, api, "s-1", f"I read it.\n\n{QUESTION}")
    assert len(started) == 1 and 0 < started[0] <= 30
    assert 24 < look(fleet, 5) <= 25 and post.sent == []
    assert look(fleet, 31) == deliver.math.inf
    assert post.bodies() == [f"api asks you: {QUESTION}\nOn {os.uname().nodename}."]
    look(fleet)
    stop(fleet, api, "s-2", DONE)
    assert len(post.sent) == len(started) == 1 and states(fleet) == [("one", "sent")]


@pytest.mark.parametrize(
    ("arrange", "expected"),
    [
        (lambda fleet, api: stop(fleet, api, "s-1", BLOCKED), "api is blocked: the staging key"),
        (lambda fleet, api: ask_permission(fleet, api, "s-1"), "api needs permission: Bash: "),
        (
            lambda fleet, api: (
                fleet.hook("stop_failure", payload("2.1.332/StopFailure-unknown"), api),
                fleet.drain(),
            ),
            "api failed: API Error",
        ),
    ],
)
def test_every_reason_is_a_message(
    fleet: Fleet, api: Path, post: Post, arrange: Callable[[Fleet, Path], None], expected: str
) -> None:
    arrange(fleet, api)
    look(fleet)
    assert [body.startswith(expected) for body in post.bodies()] == [True], post.bodies()


def test_what_is_answered_dismissed_or_over_within_the_grace_is_not_sent(
    fleet: Fleet, api: Path, post: Post
) -> None:
    for number in range(5):
        stop(fleet, api, f"s-{number}", QUESTION)
    stop(fleet, api, "s-0", DONE, "p-2")
    fleet.console("dismiss", "s-1")
    fleet.console("snooze", "s-2", "2h")
    fleet.hook("session_end", payload("SessionEnd-other") | {"session_id": "s-3"}, api)
    fleet.drain()
    client_file(fleet, "s-4", status="busy")
    look(fleet, 60)
    assert post.sent == [] and ("one", "over") in states(fleet)
    client_file(fleet, "s-4", status="idle")
    look(fleet, 60)
    assert post.sent == [], "it was answered: that is final"
    look(fleet, 7300)  # the snooze is over
    assert len(post.sent) == 1 and QUESTION in post.bodies()[0]


def test_a_session_that_is_resumed_does_not_send_what_it_waited_for_before(
    fleet: Fleet, api: Path, post: Post
) -> None:
    stop(fleet, api, "s-1", QUESTION)
    fleet.hook("session_end", payload("SessionEnd-other") | {"session_id": "s-1"}, api)
    fleet.drain()
    assert look(fleet, 60) == deliver.math.inf
    resumed = payload("SessionStart-resume") | {"session_id": "s-1"}
    fleet.hook("session_start", resumed, api)
    fleet.drain()
    assert json.loads(fleet.console("status", "--json").stdout)["needs_you"]
    look(fleet, 120)
    assert post.sent == []


def test_a_refused_prompt_is_over_and_the_next_one_is_a_message_of_its_own(
    fleet: Fleet, api: Path, post: Post
) -> None:
    ask_permission(fleet, api, "s-1")
    client_file(fleet, "s-1", status="idle")
    look(fleet, 60)
    assert post.sent == []
    ask_permission(fleet, api, "s-1")
    opened = int(newest_event(fleet) * 1000)
    waiting = {"status": "waiting", "waitingFor": "permission prompt"}
    client_file(fleet, "s-1", **waiting, statusUpdatedAt=opened + 30_000)
    assert 19 < look(fleet, 40) <= 20
    assert post.sent == [], "a third prompt, which has no alert yet"
    ask_permission(fleet, api, "s-1")
    client_file(fleet, "s-1", **waiting, statusUpdatedAt=opened)
    look(fleet, 200)
    look(fleet, 300)
    assert len(post.sent) == 1 and "needs permission: Bash" in post.bodies()[0]


def test_a_headless_session_and_an_imported_turn_send_nothing(
    fleet: Fleet, api: Path, post: Post, started: list[float]
) -> None:
    client_file(fleet, "s-1", entrypoint="sdk-cli", status="idle")
    stop(fleet, api, "s-1", QUESTION)
    look(fleet)
    assert post.sent == [] and states(fleet) == [("one", "over")]


def test_a_session_whose_client_is_about_to_say_that_it_ended_sends_nothing(
    fleet: Fleet, api: Path, post: Post, started: list[float]
) -> None:
    """A client, `claude -p` above all, removes its file a moment before its SessionEnd."""
    fleet.console("config", "set", "notify.grace_seconds", "0")
    stop(fleet, api, "s-1", QUESTION)
    assert 0 < look(fleet, 0) <= 5 and post.sent == []
    fleet.hook("session_end", payload("SessionEnd-other") | {"session_id": "s-1"}, api)
    fleet.drain()
    look(fleet, 6)
    assert post.sent == [] and states(fleet) == [("one", "over")]
    stop(fleet, api, "s-2", QUESTION)
    client_file(fleet, "s-2", status="idle")
    look(fleet, 0)
    assert len(post.sent) == 1, "this one lives"


def test_several_become_one_message(fleet: Fleet, api: Path, post: Post) -> None:
    for number in range(12):
        stop(fleet, api, f"s-{number:02}", f"Shall I delete table {number}?")
    look(fleet, 60)
    ((_, message),) = post.sent
    assert message.title == "12 sessions need you"
    lines = message.body.splitlines()
    assert lines[0] == "api asks you: Shall I delete table 0?"
    assert lines[10] == "and 2 more; `fleet status` shows them." and len(lines) == 12


def test_alerts_that_follow_closely_wait_for_each_other(
    fleet: Fleet, api: Path, post: Post
) -> None:
    stop(fleet, api, "s-1", QUESTION)
    stop(fleet, api, "s-2", QUESTION)
    stop(fleet, api, "s-3", QUESTION)
    for session, seconds in (("s-1", 31), ("s-2", 28), ("s-3", 10)):
        at = clock.of_seconds(newest_event(fleet) - seconds)
        fleet.rows("UPDATE sessions SET state_at = ? WHERE session_id = ?", at, session)
    assert 1.9 < look(fleet, 0) <= 2 and post.sent == []
    assert 17 < look(fleet, 2.1) <= 18
    assert [message.title for _, message in post.sent] == ["2 sessions need you"]
    assert look(fleet, 30) == deliver.math.inf and len(post.sent) == 2


def test_what_waited_before_the_target_was_added_is_not_sent_to_it(
    fleet: Fleet, api: Path, post: Post
) -> None:
    stop(fleet, api, "s-1", QUESTION)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fleet_lib.notify.send.require_usable", lambda url: None)
        fleet.console("notify", "add", "ntfy://a-topic")
    stop(fleet, api, "s-2", BLOCKED)
    look(fleet)
    assert [(name, message.title) for name, message in post.sent] == [
        ("one", "2 sessions need you"),
        ("ntfy", "api is blocked"),
    ]


def test_a_title_is_in_the_message_only_if_it_is_wanted(
    fleet: Fleet, api: Path, post: Post
) -> None:
    for number, wanted in enumerate(("false", "true")):
        fleet.console("config", "set", "notify.titles", wanted)
        stop(fleet, api, f"s-{number}", QUESTION)
        fleet.rows("UPDATE turns SET title = 'The secret plan'")
        look(fleet)
    assert ["The secret plan" in body for body in post.bodies()] == [False, True]


def finish_job(fleet: Fleet, type: str, status: str, **more: str) -> None:
    connection = db.connect(fleet.home / "fleet.db")
    payload = {
        "job": {"jobId": 3, "type": type, "status": status, "error": "the model refused"}
    } | more
    with contextlib.closing(connection), db.transaction(connection):
        connection.execute(
            "INSERT INTO outbox_events (ts, type, broadcast_level, payload_json)"
            " VALUES (?, 'job_completed', 'highlight', ?)",
            (clock.now(), json.dumps(payload)),
        )


def test_a_failed_job_is_a_message_and_a_commander_turn_or_a_finished_one_is_none(
    fleet: Fleet, api: Path, post: Post
) -> None:
    for type, status in (
        *(("worker_task", "completed"), ("commander_turn", "failed")),
        *(("worker_task", "canceled"), ("worker_task", "failed")),
    ):
        finish_job(fleet, type, status)
    fleet.rows(
        "INSERT INTO outbox_events (ts, type, payload_json) VALUES ('x', 'job_completed', '{')"
    )
    look(fleet, 60)
    (body,) = post.bodies()
    assert body.startswith("Fleet has a failed job (job3): the model refused\nOn ")


def test_a_job_that_fails_starts_the_sender(fleet: Fleet, started: list[float]) -> None:
    queue = Queue(fleet.home)
    targets.add(str(queue.home), "json://127.0.0.1:9/", "one")
    queue.add("result()")
    queue.run()
    assert started == []
    queue.add("sys.exit(3)")
    queue.run()
    queue.connection.close()
    assert len(started) == 1


def test_what_came_from_another_machine_is_sent_there(fleet: Fleet, api: Path, post: Post) -> None:
    stop(fleet, api, "s-1@relay/laptop", QUESTION)
    finish_job(fleet, "worker_task", "failed", machine="laptop")
    assert [
        row["session_id"]
        for row in json.loads(fleet.console("status", "--json").stdout)["needs_you"]
    ]
    assert look(fleet) == deliver.math.inf and post.sent == []


# --- once ------------------------------------------------------------------------------------


def test_one_failing_target_does_not_stop_the_others_and_is_tried_again_within_bounds(
    fleet: Fleet, api: Path, post: Post
) -> None:
    add(fleet, "two")
    post.errors["one"] = "the server said no"
    stop(fleet, api, "s-1", QUESTION)
    look(fleet, 60)
    look(fleet, 70)
    assert [name for name, _ in post.sent] == ["one", "two"], "not again at once"
    assert "tried again after" in fleet.console("notify", "log").stdout
    for number in range(2 * MOST_ATTEMPTS):
        look(fleet, 60 + 3700 * (number + 1))
    names = [name for name, _ in post.sent]
    assert (names.count("one"), names.count("two")) == (MOST_ATTEMPTS, 1)
    assert states(fleet) == [("one", "failed"), ("two", "sent")]
    assert (
        "one: the server said no (5 attempts, given up)." in fleet.console("notify", "log").stdout
    )
    assert f"{fleet.home}" not in fleet.log() and "one: the server said no" in fleet.log()
    records = json.loads(fleet.console("notify", "log", "--json").stdout)
    assert {one["target"]: (one["state"], one["attempts"]) for one in records} == {
        "one": ("failed", 5),
        "two": ("sent", 1),
    }
    found = list(notifications(Installation(fleet.home, fleet.home.parent / ".claude")))
    assert [(one.level, "the server said no" in one.found) for one in found] == [("failed", True)]


def test_a_failed_message_is_not_tried_after_a_day_or_once_it_is_answered(
    fleet: Fleet, api: Path, post: Post
) -> None:
    post.errors["one"] = "no"
    stop(fleet, api, "s-1", QUESTION)
    stop(fleet, api, "s-2", QUESTION)
    look(fleet, 60)
    stop(fleet, api, "s-2", DONE, "p-2")
    post.errors.clear()
    look(fleet, 87_000)
    assert len(post.sent) == 1
    look(fleet, 300)
    assert [message.title for _, message in post.sent] == ["2 sessions need you", "api asks you"]


def test_what_was_noted_by_a_killed_sender_is_never_sent_again(
    fleet: Fleet, api: Path, post: Post, started: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    stop(fleet, api, "s-1", QUESTION)
    monkeypatch.setattr(deliver, "send", lambda messages: pytest.fail("killed"))
    with pytest.raises(pytest.fail.Exception):
        look(fleet)
    assert states(fleet) == [("one", "noted")], "noted before it was sent"
    monkeypatch.setattr(deliver, "send", post)
    started.clear()
    stop(fleet, api, "s-2", DONE)
    look(fleet)
    assert post.sent == [] and started == []


def test_of_two_senders_one_claims_an_alert(fleet: Fleet, api: Path) -> None:
    stop(fleet, api, "s-1", QUESTION)
    path = fleet.home / "fleet.db"
    with contextlib.closing(db.connect(path)) as one, contextlib.closing(db.connect(path)) as two:
        claimed = [NotificationRepo(each).note("t", "t", [1]) for each in (one, two)]
        assert claimed == [[1], []]
        NotificationRepo(one).settle("t", [1], "no")
        assert [NotificationRepo(each).note("t", "t", [1]) for each in (two, one)] == [[1], []]


# --- quiet hours and clocks ------------------------------------------------------------------


def minutes(text: str, zone: str) -> Callable[[str], bool]:
    wanted = settings.NotifySettings(30, settings.span_of(text), False)

    def is_quiet(moment: str) -> bool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TZ", zone)
            time.tzset()
            now = clock.parse(moment).timestamp()
            quiet = wanted.is_quiet(now)
            if quiet:
                until = wanted.quiet_until(now)
                assert until > now and not wanted.is_quiet(until), moment
                assert wanted.is_quiet(until - 61), moment
        time.tzset()
        return quiet

    return is_quiet


@pytest.mark.parametrize(
    ("span", "zone", "quiet", "not_quiet"),
    [
        ("22:00-07:00", "UTC", ("2026-01-01T22:00Z", "2026-01-01T06:59Z"), ("2026-01-01T07:00Z",)),
        ("12:30-13:30", "UTC", ("2026-01-01T12:30Z",), ("2026-01-01T12:29Z", "2026-01-01T13:30Z")),
        ("0:00-6:00", "UTC", ("2026-01-01T00:00Z",), ("2026-01-01T23:59Z", "2026-01-01T06:00Z")),
        ("22:00-00:00", "UTC", ("2026-01-01T23:59Z",), ("2026-01-01T00:00Z",)),
        # The clock goes forward at 01:00 UTC and back at 01:00 UTC: the morning is an hour earlier.
        *(
            ("22:00-07:00", "Europe/Berlin", (f"2026-{day}T{last}Z",), (f"2026-{day}T{first}Z",))
            for day, last, first in (
                ("03-28", "05:59", "06:00"),
                ("03-29", "04:59", "05:00"),
                ("10-25", "05:59", "06:00"),
            )
        ),
        ("02:15-02:45", "Europe/Berlin", ("2026-10-25T00:20Z", "2026-10-25T01:20Z"), ()),
        ("22:00-22:00", "UTC", (), ("2026-01-01T22:00Z",)),
        ("", "UTC", (), ("2026-01-01T03:00Z",)),
    ],
)
def test_quiet_hours_are_those_of_the_clock_on_the_wall(
    span: str, zone: str, quiet: tuple[str, ...], not_quiet: tuple[str, ...]
) -> None:
    is_quiet = minutes(span, zone)
    assert [is_quiet(moment) for moment in quiet] == [True] * len(quiet)
    assert [is_quiet(moment) for moment in not_quiet] == [False] * len(not_quiet)


def test_what_quiet_hours_held_back_is_sent_afterwards_in_one_message(
    fleet: Fleet, api: Path, post: Post, started: list[float]
) -> None:
    here = time.localtime()
    later = time.localtime(time.time() + 7200)
    fleet.console(
        *("config", "set", "notify.quiet_hours"),
        f"{here.tm_hour:02}:00-{later.tm_hour:02}:{later.tm_min:02}",
    )
    stop(fleet, api, "s-1", QUESTION)
    stop(fleet, api, "s-2", BLOCKED)
    stop(fleet, api, "s-3", QUESTION)
    look(fleet, 600)
    stop(fleet, api, "s-3", DONE, "p-2")
    assert post.sent == [] and started == []
    assert "Quiet hours until" in fleet.console("notify", "list").stderr
    with at(time.time() + 7300):
        fleet.console("status")
    assert started == [0.0], "a look starts the sender"
    look(fleet, 7300)
    assert [message.title for _, message in post.sent] == ["2 sessions need you"]


def test_a_clock_that_jumps_loses_and_doubles_no_message(
    fleet: Fleet, api: Path, post: Post, started: list[float]
) -> None:
    stop(fleet, api, "s-1", QUESTION)
    assert look(fleet, -7200) == deliver.math.inf, "set back by two hours after the alert"
    assert len(post.sent) == 1
    look(fleet, 0)
    look(fleet, 3 * 86400)
    assert len(post.sent) == 1
    stop(fleet, api, "s-2", QUESTION)
    look(fleet, 3 * 86400)  # the machine slept for days
    assert len(post.sent) == 2


def test_a_wrong_value_in_the_settings_is_its_default(fleet: Fleet) -> None:
    fleet.home.mkdir()
    (fleet.home / "config.toml").write_text(
        '[notify]\ngrace_seconds = -4\nquiet_hours = "25:00-1"\ntitles = 1\n'
    )
    assert settings.read(str(fleet.home)) == settings.NotifySettings(30, None, False)
    fleet.console("config", "unset", "notify")
    done = fleet.console("config", "set", "notify.quiet_hours", "25:00-07:00", check=False)
    assert done.returncode == 1 and "such as 22:00-07:00" in done.stderr
    fleet.console("config", "set", "notify.quiet_hours", "22:00-07:00")
    assert settings.read(str(fleet.home)).quiet == (1320, 420)


# --- what the drainer pays --------------------------------------------------------------------


def test_without_a_target_nothing_is_started_and_nothing_is_read(
    fleet: Fleet, started: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_repository(fleet.folder / "api")
    monkeypatch.setattr(targets, "read", lambda home: pytest.fail("read"))
    stop(fleet, folder, "s-1", QUESTION)
    fleet.console("status")
    assert started == []


def test_a_sender_that_runs_is_not_started_again(
    fleet: Fleet, api: Path, started: list[float]
) -> None:
    from fleet_lib import held, paths

    descriptor = held.hold(Path(paths.notify_lock(str(fleet.home))))
    assert descriptor is not None
    stop(fleet, api, "s-1", QUESTION)
    assert started == []
    os.close(descriptor)
    stop(fleet, api, "s-2", DONE)
    assert len(started) == 1


def test_trouble_with_notifications_is_no_trouble_of_the_drainer(
    fleet: Fleet, api: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fleet.home / "notify.json").write_text("{")
    done = fleet.console("notify", "add", "desktop", check=False)
    assert done.returncode == 1, "a damaged file is not overwritten"
    stop(fleet, api, "s-1", QUESTION)
    monkeypatch.setattr(targets, "read", lambda home: 1 / 0)
    stop(fleet, api, "s-2", QUESTION)
    assert "notify not looked for alerts: ZeroDivisionError" in fleet.log()
    assert fleet.rows("SELECT count(*) FROM briefings") == [(2,)]


# --- targets ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("desktop", "desktop"),
        ("slack://TokenA1234/TokenB1234/TokenC1234ABCD/#general", "slack://…"),
        ("https://hooks.slack.com/services/T1/B2/s3cr3t", "https://hooks.slack.com/…"),
        ("tgram://123456789:AAbbCC/12315544/", "tgram://…"),
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", "discord://…"),
        ("ntfy://a-secret-topic", "ntfy://…"),
        ("ntfy://a-secret-topic/another?priority=high", "ntfy://…"),
        ("ntfys://user:pass@ntfy.example.org/topic", "ntfys://…@ntfy.example.org/…"),
        ("ntfy://tk_secret@host:8080/a?x=secret", "ntfy://…@host:8080/…"),
        ("mailto://me:pass@gmail.com?to=you@example.org", "mailto://…@gmail.com/…"),
        ("json://host/path?token=secret", "json://host/…"),
        ("jsons://host:8443", "jsons://host:8443"),
        ("json://[::1]:80/secret", "json://[::1]:80/…"),
        ("json://a:b@c@host/x", "json://…@host/…"),
        ("pover://user@token", "pover://…"),
        ("no address at all: secret", "…"),
        ("json://sec ret/x", "json://…"),
    ],
)
def test_an_address_is_shown_without_what_may_be_secret(url: str, expected: str) -> None:
    assert masked(url) == expected


def test_an_error_does_not_repeat_the_secrets_of_an_address() -> None:
    url = "json://user:p%40ssw0rd@host.example.org:80/services/T0KEN?key=s3cr3tvalue"
    said = shown(f"no answer of {url} (p@ssw0rd, T0KEN, s3cr3tvalue)\x1b[31m", url)
    assert "host.example.org" in said and "no answer of json" in said
    for secret in ("p@ssw0rd", "p%40ssw0rd", "T0KEN", "s3cr3tvalue", "\x1b"):
        assert secret not in said


def test_the_targets_are_in_a_private_file_and_never_printed_whole(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleet_lib.notify.send.require_usable", lambda url: None)
    said = [
        fleet.console("notify", *arguments, check=False)
        for arguments in (
            ("add", "json://me:hunter22@host/s3cr3t-path"),
            ("add", "json://me:hunter22@host/s3cr3t-path"),
            ("add", "ntfy://hunter22", "--name", "phone"),
            ("add", "ntfy://hunter23", "--name", "phone"),
            ("add", "ntfy://hunter24", "--name", "../x"),
            ("list",),
            ("list", "--json"),
            ("remove", "laptop"),
            ("remove", "phone"),
        )
    ]
    assert [done.returncode for done in said] == [0, 1, 0, 1, 1, 0, 0, 1, 0]
    everything = "".join(done.stdout + done.stderr for done in said)
    assert "hunter" not in everything and "s3cr3t" not in everything
    assert "there is no target 'laptop'; the targets are webhook, phone" in everything
    assert (fleet.home / "notify.json").stat().st_mode & 0o777 == 0o600
    report = fleet.folder / "report.zip"
    fleet.console("doctor", "--report", "--output", str(report), check=False)
    fleet.console("notify", "remove", "webhook")
    assert not (fleet.home / "notify.json").exists()
    assert "No targets: nothing is sent." in fleet.console("notify", "list").stdout


def test_a_web_address_becomes_a_post_of_json_with_its_query() -> None:
    assert webhook_of("https://u:p@example.com:8443/a/b?token=x&y=1") == (
        "jsons://u:p@example.com:8443/a/b?-token=x&-y=1"
    )
    assert webhook_of("http://host/hook") == "json://host/hook"
    assert webhook_of("slack://x") is None


@pytest.mark.parametrize("text", ["@everyone <!channel> <b>&lt;", "a\x1b[31m\u202eb\nc @here"])
def test_the_words_of_a_session_are_one_harmless_line(text: str) -> None:
    alert = Alert(1, "api", "asks you", text, "", "")
    message = message_of([alert], has_titles=False)
    body = message.body.splitlines()
    assert len(body) == 2 and "@e" not in body[0] and "@h" not in body[0]
    assert not set("<>\x1b\u202e") & set(message.body) and "&lt;" not in message.body
    long = message_of([Alert(1, "p" * 200, "asks you", "w" * 5000, "", "")] * 40, has_titles=True)
    assert len(long.body) < 3000
