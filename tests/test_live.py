"""Live state: a stored state is corrected by Claude Code's own session files when it is read."""

import contextlib
import json
import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import Fleet, payload
from test_statusline import statusline

from fleet_lib import live
from fleet_lib.live import ClientFile, Stored, corrected

NOW_MS = 1_800_000_000_000
LONG_AGO, JUST_NOW = live.iso(NOW_MS - 60_000), live.iso(NOW_MS - 400)
DIALOG = {"status": "waiting", "waitingFor": "permission prompt"}
QUESTION = {"status": "waiting", "waitingFor": "input needed"}
SETTINGS = {"status": "waiting", "waitingFor": "dialog open"}
BUSY, IDLE = {"status": "busy"}, {"status": "idle"}
HEADLESS = {"entrypoint": "sdk-cli"}
PERMISSION, ASKS = "waiting_for_permission", "waiting_for_input"


@pytest.fixture
def process() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that lives until the test's end."""
    with subprocess.Popen(["sleep", "600"]) as child:
        try:
            yield child
        finally:
            child.kill()


def start_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def domain() -> str:
    machine = Path("/etc/machine-id")
    name = machine.read_text().strip() if machine.exists() else ""
    return f"linux:{name}:{os.readlink('/proc/self/ns/pid')}"


def fields(pid: int, **more: object) -> dict[str, Any]:
    """A session file's content, of a client that has had its state for half a minute."""
    return {
        "pid": pid,
        "procStart": start_of(pid) if Path(f"/proc/{pid}").exists() else "1",
        "pidDomain": domain(),
        "sessionId": "s1",
        "kind": "interactive",
        "entrypoint": "cli",
        "statusUpdatedAt": NOW_MS - 30_000,
    } | more


def client(pid: int, **more: object) -> ClientFile:
    values = fields(pid, **more)
    return ClientFile(tuple(values.get(name) for name in live.FIELDS))


def state(stored: str, at: str, files: list[ClientFile], ended_at: str | None = None) -> str:
    is_dialog = stored == PERMISSION
    return corrected(Stored(stored, at, ended_at, is_dialog), files, NOW_MS)[0]


@pytest.mark.parametrize(
    ("stored", "said", "expected"),
    [
        (PERMISSION, BUSY, "working"),
        ("blocked", BUSY, "working"),
        ("completed", BUSY, "working"),
        ("completed", DIALOG, PERMISSION),
        ("working", DIALOG, PERMISSION),
        ("working", QUESTION, ASKS),
        (PERMISSION, QUESTION, ASKS),
        ("working", SETTINGS, "working"),
        ("blocked", SETTINGS, "blocked"),
        (PERMISSION, IDLE, "completed"),
        ("working", IDLE, "completed"),
        ("blocked", IDLE, "blocked"),
        ("failed", IDLE, "failed"),
        (ASKS, IDLE, ASKS),
        ("completed", IDLE, "completed"),
        (PERMISSION, {}, PERMISSION),
        ("blocked", {"status": 7, "waitingFor": None}, "blocked"),
        ("blocked", {"status": "new in 3.0"}, "blocked"),
        (PERMISSION, HEADLESS, "working"),
        (PERMISSION, HEADLESS | DIALOG, "working"),
        ("blocked", HEADLESS | IDLE, "blocked"),
    ],
)
def test_the_clients_file_corrects_a_stored_state(
    process: "subprocess.Popen[bytes]", stored: str, said: dict[str, Any], expected: str
) -> None:
    assert state(stored, LONG_AGO, [client(process.pid, **said)]) == expected


def test_a_file_wins_over_a_stored_state_of_a_second_ago_whatever_its_own_time(
    process: "subprocess.Popen[bytes]",
) -> None:
    old = client(process.pid, **BUSY, statusUpdatedAt=NOW_MS - 3_600_000)

    assert state("completed", live.iso(NOW_MS - 1000), [old]) == "working"


def test_before_a_second_has_passed_the_newer_of_the_two_wins(
    process: "subprocess.Popen[bytes]",
) -> None:
    older = client(process.pid, **BUSY, statusUpdatedAt=NOW_MS - 500)
    newer = client(process.pid, **BUSY, statusUpdatedAt=NOW_MS - 300)

    assert state("completed", JUST_NOW, [older]) == "completed"
    assert state("completed", JUST_NOW, [newer]) == "working"


def test_a_stored_time_in_the_future_holds_nothing_up(process: "subprocess.Popen[bytes]") -> None:
    assert state(PERMISSION, live.iso(NOW_MS + 86_400_000), [client(process.pid, **BUSY)]) == (
        "working"
    )


@pytest.mark.parametrize("said", [DIALOG, QUESTION, IDLE])
def test_a_session_whose_process_is_gone_has_ended(said: dict[str, Any]) -> None:
    with subprocess.Popen(["true"]) as child:
        child.wait()
    gone = client(child.pid, **said)

    assert state("blocked", LONG_AGO, [gone]) == "ended"


def test_a_process_that_got_the_number_of_a_dead_client_is_not_the_client(
    process: "subprocess.Popen[bytes]",
) -> None:
    assert state("working", LONG_AGO, [client(process.pid, **DIALOG, procStart="1")]) == "ended"


@pytest.mark.parametrize(
    "other", ["linux:another-machine:pid:[4026531836]", "linux:x:pid:[1]", "darwin:x"]
)
def test_a_process_of_another_machine_or_namespace_is_unknown_and_never_gone(other: str) -> None:
    elsewhere = client(2**22 + 1, **DIALOG, pidDomain=other)

    assert state("working", LONG_AGO, [elsewhere]) == PERMISSION


def test_an_older_client_names_no_namespace(process: "subprocess.Popen[bytes]") -> None:
    assert client(process.pid, pidDomain=None).is_alive() is True
    assert client(process.pid, pidDomain=None, procStart="1").is_alive() is False


def test_of_several_clients_of_a_session_the_one_that_needs_most_counts(
    process: "subprocess.Popen[bytes]",
) -> None:
    files = [client(process.pid, **said) for said in (IDLE, DIALOG, BUSY, QUESTION)]
    assert state("completed", LONG_AGO, files) == PERMISSION

    files[1] = client(process.pid, **DIALOG, procStart="1")  # this one has gone
    assert state("completed", LONG_AGO, files) == ASKS


def test_a_session_that_ended_in_one_terminal_goes_on_in_another(
    process: "subprocess.Popen[bytes]",
) -> None:
    assert state("completed", LONG_AGO, [client(process.pid, **BUSY)], LONG_AGO) == "working"
    assert state("blocked", LONG_AGO, [client(process.pid, **IDLE)], LONG_AGO) == "blocked"
    assert state("blocked", LONG_AGO, [], LONG_AGO) == "ended"
    # The client that has just ended is still there for a moment.
    assert state("blocked", LONG_AGO, [client(process.pid, **IDLE)], JUST_NOW) == "ended"


def test_processes_are_looked_at_only_where_a_person_would_be_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(ClientFile, "is_alive", lambda file: asked.append(file.pid))
    for pid, said in enumerate((BUSY, IDLE, SETTINGS, DIALOG, QUESTION), 1):
        state("completed", LONG_AGO, [client(pid, **said)])

    assert asked == [4, 5]


# --- files and folders ---------------------------------------------------------------------------


class Sessions:
    """A configuration folder with session files."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.folder = fleet.folder / "claude"
        self.place = self.folder / "sessions"
        self.place.mkdir(parents=True)
        self.transcript = str(self.folder / "projects" / "p" / "s1.jsonl")

    def hook(self, event: str, given: dict[str, Any], **more: object) -> None:
        project = self.fleet.folder / "p"
        project.mkdir(exist_ok=True)
        ours = {"session_id": "s1", "transcript_path": self.transcript, "cwd": str(project)}
        self.fleet.hook(event, given | ours | more, project)
        self.fleet.drain()

    def file(self, pid: int, **more: object) -> None:
        now_ms = time.time_ns() // 1_000_000
        values = fields(pid, statusUpdatedAt=now_ms) | more
        whole = self.folder / "whole"  # a gateway that watches must not see half of it
        whole.write_text(json.dumps(values))
        whole.replace(self.place / f"{pid}.json")

    def status(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.fleet.console("status", "--json").stdout)
        return report

    def needs_you(self) -> list[tuple[str, str]]:
        return [(one["reason"], one["text"]) for one in self.status()["needs_you"]]

    def age(self, seconds: int = 5) -> None:
        """What is stored is not of this moment."""
        moment = live.iso(time.time_ns() // 1_000_000 - seconds * 1000)
        with contextlib.closing(sqlite3.connect(self.fleet.home / "fleet.db")) as connection:
            connection.execute("UPDATE sessions SET state_at = ?, last_seen_at = ?", (moment,) * 2)
            connection.commit()


@pytest.fixture
def sessions(fleet: Fleet) -> Sessions:
    return Sessions(fleet)


REQUEST = payload("2.1.332/PermissionRequest-Bash")
NOTIFICATION = payload("2.1.332/Notification-permission_prompt")
STOP = payload("2.1.332/Stop")


def test_a_prompt_is_shown_with_its_words_and_gone_once_it_is_answered(
    sessions: Sessions, process: "subprocess.Popen[bytes]"
) -> None:
    sessions.hook("permission_request", REQUEST)
    sessions.file(process.pid, **DIALOG)
    sessions.age()
    assert sessions.needs_you() == [("permission", "Bash: touch made.txt")]
    assert statusline(sessions.fleet) == "fleet: 1 needs you\n"
    assert sessions.fleet.events() == []

    sessions.file(process.pid, **BUSY)
    report = sessions.status()
    assert report["needs_you"] == []
    assert [one["session_id"] for one in report["working"]] == ["s1"]
    assert statusline(sessions.fleet) == "fleet: nothing new\n"


def test_a_prompt_can_be_dismissed_before_its_notification_and_stays_so(
    sessions: Sessions, process: "subprocess.Popen[bytes]"
) -> None:
    fleet = sessions.fleet
    sessions.hook("permission_request", REQUEST)
    sessions.file(process.pid, **DIALOG)
    sessions.age()
    assert "needs permission: Bash: touch made.txt" in fleet.console("dismiss", "p").stdout
    assert sessions.needs_you() == []
    assert sessions.status()["hidden"]["dismissed"] == 1

    sessions.hook("notification", NOTIFICATION)
    assert sessions.needs_you() == []
    fleet.console("dismiss", "--undo", "s1")
    assert sessions.needs_you() == [("permission", "Bash: touch made.txt")]

    fleet.console("dismiss", "s1")
    sessions.hook("permission_request", REQUEST)  # the next prompt, in the same words
    sessions.file(process.pid, **DIALOG)
    sessions.hook("notification", NOTIFICATION)
    assert sessions.needs_you() == [("permission", "Bash: touch made.txt")]


@pytest.mark.parametrize("said", [BUSY, IDLE])
def test_an_answered_alert_is_no_alert_any_more(
    sessions: Sessions, process: "subprocess.Popen[bytes]", said: dict[str, Any]
) -> None:
    sessions.hook("permission_request", REQUEST)
    sessions.hook("notification", NOTIFICATION)
    assert sessions.needs_you() == [("permission", "Bash: touch made.txt")]
    assert statusline(sessions.fleet) == "fleet: 1 needs you\n"
    prelude = sessions.fleet.console("prelude", "--after", "0").stdout
    assert "needs permission: Bash: touch made.txt" in prelude
    assert "resolved" not in prelude

    sessions.file(process.pid, **said)
    sessions.age()
    assert sessions.needs_you() == []
    assert statusline(sessions.fleet) == "fleet: nothing new\n"
    assert "resolved · " in sessions.fleet.console("prelude", "--after", "0").stdout


def test_a_killed_client_needs_no_person(sessions: Sessions) -> None:
    sessions.hook("permission_request", REQUEST)
    sessions.hook("notification", NOTIFICATION)
    with subprocess.Popen(["sleep", "600"]) as child:
        sessions.file(child.pid, **DIALOG)
        sessions.age()
        assert len(sessions.needs_you()) == 1
        child.kill()
    report = sessions.status()
    assert (report["needs_you"], report["left_open"], report["working"]) == ([], [], [])
    assert statusline(sessions.fleet) == "fleet: nothing new\n"
    assert "resolved · " in sessions.fleet.console("prelude", "--after", "0").stdout


def test_what_a_killed_client_was_blocked_on_is_left_open(sessions: Sessions) -> None:
    message = "```briefing\nstatus: blocked\nsummary: Waits for a key\n```"
    sessions.hook("stop", STOP, last_assistant_message=message)
    with subprocess.Popen(["sleep", "600"]) as child:
        sessions.file(child.pid, **IDLE)
        sessions.age()
        assert sessions.needs_you() == [("blocked", "Waits for a key")]
        child.kill()
    report = sessions.status()
    assert report["needs_you"] == []
    assert [one["text"] for one in report["left_open"]] == ["Waits for a key"]


def test_an_answered_block_is_work(sessions: Sessions, process: "subprocess.Popen[bytes]") -> None:
    message = "```briefing\nstatus: blocked\nsummary: Waits for a key\n```"
    sessions.hook("stop", STOP, last_assistant_message=message)
    sessions.file(process.pid, **BUSY)
    sessions.age()

    assert sessions.needs_you() == []
    assert [one["session_id"] for one in sessions.status()["working"]] == ["s1"]
    assert "resolved · " in sessions.fleet.console("prelude", "--after", "0").stdout


@pytest.mark.parametrize("said", [QUESTION, DIALOG], ids=["2.1.332", "2.1.197"])
def test_a_question_is_shown_with_its_options(
    sessions: Sessions, process: "subprocess.Popen[bytes]", said: dict[str, Any]
) -> None:
    sessions.hook("permission_request", payload("2.1.332/PermissionRequest-AskUserQuestion"))
    sessions.file(process.pid, **said)
    sessions.age()
    assert sessions.needs_you() == [("question", "Which database? (SQLite, Postgres)")]
    sessions.file(process.pid, **IDLE)  # Esc
    assert sessions.needs_you() == []


def test_the_words_of_an_earlier_prompt_are_not_those_of_this_one(
    sessions: Sessions, process: "subprocess.Popen[bytes]"
) -> None:
    sessions.hook("permission_request", REQUEST)
    sessions.age()
    soon = time.time_ns() // 1_000_000 + 20_000
    sessions.file(process.pid, **DIALOG, statusUpdatedAt=soon)

    assert sessions.needs_you() == [("permission", "")]


def test_odd_files_say_nothing(sessions: Sessions, process: "subprocess.Popen[bytes]") -> None:
    sessions.hook("permission_request", REQUEST)
    sessions.hook("notification", NOTIFICATION)
    sessions.age()
    place = sessions.place
    (place / "1.json").write_text("[" * 5000)
    (place / "2.json").write_text('{"sessionId": "s1\\"]", "status": "busy"}')
    (place / "3.json").write_text("[1]")
    (place / "4.json").write_bytes(b"\xff\x00")
    (place / "5.json").write_text(json.dumps({"sessionId": ["s1"], "pid": "x", "status": {}}))
    (place / "6.json").symlink_to("/dev/zero")
    os.mkfifo(place / "7.json")
    (place / "name.json").write_text(json.dumps(fields(process.pid, **BUSY)))

    assert sessions.needs_you() == [("permission", "Bash: touch made.txt")]
    assert statusline(sessions.fleet) == "fleet: 1 needs you\n"


def test_a_key_beside_the_files_is_never_opened(
    sessions: Sessions, process: "subprocess.Popen[bytes]"
) -> None:
    sessions.hook("permission_request", REQUEST)
    sessions.file(process.pid, **DIALOG)
    key = sessions.place / f"{process.pid}.0123abcd.key"
    os.mkfifo(key)  # opening it would wait for a writer
    os.mkfifo(sessions.place / "8.key")

    assert {path.name for path in sessions.place.iterdir()} > {key.name}
    assert len(live.read_folder(str(sessions.folder))) == 1


def test_a_folder_of_another_device_is_asked_by_a_child(
    sessions: Sessions, process: "subprocess.Popen[bytes]"
) -> None:
    sessions.hook("permission_request", REQUEST)
    sessions.file(process.pid, **DIALOG)
    sessions.age()
    with contextlib.closing(sqlite3.connect(sessions.fleet.home / "fleet.db")) as connection:
        connection.execute("UPDATE client_folders SET device = device + 1")
        connection.commit()

    assert sessions.needs_you() == [("permission", "Bash: touch made.txt")]


def test_a_folder_that_does_not_answer_holds_nothing_up(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions.hook("permission_request", REQUEST)
    sessions.hook("notification", NOTIFICATION)
    with contextlib.closing(sqlite3.connect(sessions.fleet.home / "fleet.db")) as connection:
        connection.execute("UPDATE client_folders SET device = device + 1")
        connection.commit()
        monkeypatch.setattr(live, "_CHILD", "import time; time.sleep(60)")
        begun = time.monotonic()
        assert live.read(connection) == {}
        assert live.read(connection) == {}  # the second time it is not even asked
        assert time.monotonic() - begun < 30


def test_without_a_file_the_hooks_last_word_holds(sessions: Sessions) -> None:
    sessions.hook("permission_request", REQUEST)
    assert sessions.needs_you() == []
    sessions.hook("notification", NOTIFICATION)
    sessions.age()
    assert sessions.needs_you() == [("permission", "Bash: touch made.txt")]
    sessions.hook("stop", STOP)
    assert sessions.needs_you() == []


# --- sessions that end without a word ------------------------------------------------------------


def ended(sessions: Sessions) -> "str | None":
    ((moment,),) = sessions.fleet.rows("SELECT ended_at FROM sessions WHERE session_id = 's1'")
    assert moment is None or isinstance(moment, str)
    return moment


def another_turn(sessions: Sessions) -> None:
    """An event of another session: something for the drainer to do."""
    sessions.hook("stop", STOP, session_id="s2", prompt_id=str(time.time_ns()))


def test_a_session_whose_file_was_seen_and_is_gone_has_ended_at_its_last_event(
    sessions: Sessions,
) -> None:
    with subprocess.Popen(["sleep", "600"]) as child:
        sessions.file(child.pid, **IDLE)
        sessions.hook("stop", STOP)
        another_turn(sessions)
        assert ended(sessions) is None
        (sessions.place / f"{child.pid}.json").unlink()
        another_turn(sessions)
        assert ended(sessions) is None  # it was heard of a moment ago: its client lives
        child.kill()
    sessions.age(90)
    ((last_seen_at,),) = sessions.fleet.rows(
        "SELECT last_seen_at FROM sessions WHERE session_id = 's1'"
    )
    another_turn(sessions)
    assert ended(sessions) == last_seen_at


def test_a_session_whose_process_is_dead_has_ended_at_once(sessions: Sessions) -> None:
    with subprocess.Popen(["sleep", "600"]) as child:
        sessions.file(child.pid, **IDLE)
        sessions.hook("stop", STOP)
        another_turn(sessions)
        child.kill()
    another_turn(sessions)
    assert ended(sessions) is not None


def test_a_folder_that_cannot_be_read_ends_no_session(
    sessions: Sessions, process: "subprocess.Popen[bytes]"
) -> None:
    sessions.file(process.pid, **IDLE)
    sessions.hook("stop", STOP)
    sessions.place.rename(sessions.folder / "elsewhere")
    another_turn(sessions)

    assert ended(sessions) is None


def test_a_session_without_a_file_that_is_silent_for_a_day_has_ended_until_it_speaks(
    sessions: Sessions,
) -> None:
    sessions.hook("stop", STOP)
    sessions.age(80_000)
    another_turn(sessions)
    assert ended(sessions) is None
    sessions.age(90_000)
    another_turn(sessions)
    assert ended(sessions) is not None

    sessions.hook("stop", STOP, prompt_id="later")
    assert ended(sessions) is None
