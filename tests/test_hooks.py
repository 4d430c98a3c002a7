"""The hooks run as Claude Code runs them: as processes with a payload on stdin, on several
interpreters, with usable and unusable homes and streams. A hook exits 0, prints one JSON object or
nothing, and loses no turn."""

import ast
import contextlib
import json
import os
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import HOOKS, PAYLOADS, ROOT, Fleet, captured_payloads, event_of, is_fast, payload

from fleet_lib import paths, spool

ALL = list(HOOKS.values())
# Outside the Commander's folder, a prompt is not spooled.
SPOOLING = [hook for hook in ALL if hook != "user_prompt_submit"]
CAPTURED = captured_payloads(*HOOKS)
FEW_CAPTURED = ("SessionStart-startup", "UserPromptSubmit", "Stop")
BLOCKED = "```briefing\n---\nstatus: blocked\nsummary: no staging password\n---\n```"
FAILED = "Fleet could not keep this turn"


# --- interpreters ------------------------------------------------------------------------------


def _interpreters() -> dict[str, str]:
    """{version: program} of those interpreters that are installed here and that users may have."""
    root = ""
    if shutil.which("pyenv"):
        root = subprocess.run(["pyenv", "root"], capture_output=True, text=True).stdout.strip()
    found = {}
    for version in ("3.9", "3.11", "3.12", "3.13", "3.14"):
        candidates = [str(p) for p in Path(root or "/-").glob(f"versions/{version}.*/bin/python")]
        candidates += filter(None, [shutil.which(f"python{version}")])
        if sys.version_info[:2] == tuple(map(int, version.split("."))):
            candidates.append(sys.executable)
        for program in candidates:
            script = "import sqlite3, sys; print('%d.%d' % sys.version_info[:2])"
            done = subprocess.run([program, "-I", "-c", script], capture_output=True, text=True)
            if done.stdout.strip() == version:
                found[version] = program
                break
    return found


INTERPRETERS = _interpreters()
_VERSIONS = list(INTERPRETERS)
_OWN = "{}.{}".format(*sys.version_info[:2])


def slow_unless(is_fast: bool) -> "tuple[pytest.MarkDecorator, ...]":
    """The marks of one cell of a matrix. The fast lane covers every row and every column once, the
    slow lane the rest."""
    return () if is_fast else (pytest.mark.slow,)


every_interpreter = pytest.mark.parametrize(
    "python",
    [
        pytest.param(
            program, id=version, marks=slow_unless(version in (_OWN, _VERSIONS[0], _VERSIONS[-1]))
        )
        for version, program in INTERPRETERS.items()
    ],
)


@pytest.mark.skipif("CI" not in os.environ, reason="a developer's machine may lack interpreters")
def test_ci_has_the_oldest_interpreter_and_a_new_one() -> None:
    assert "3.9" in INTERPRETERS
    assert any(int(version[2:]) >= 12 for version in INTERPRETERS)


# --- helpers -----------------------------------------------------------------------------------


def command(hook: str, python: str = sys.executable) -> list[str]:
    return [python, "-I", "-S", str(ROOT / "hooks" / f"{hook}.py")]


def run(
    hook: str,
    data: bytes,
    env: Mapping[str, str],
    wrap: Sequence[str] = (),
    timeout: float = 60,
    **options: Any,
) -> "subprocess.CompletedProcess[bytes]":
    """Run a hook in an environment and with streams that the test chooses."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": "/", **options}
    if "stdin" not in options:
        options["input"] = data
    return subprocess.run(
        [*wrap, *command(hook)], env=dict(env), timeout=timeout, check=False, **options
    )


def answer_of(done: "subprocess.CompletedProcess[bytes]") -> dict[str, Any]:
    """The one JSON object that a hook printed, or {} if it printed nothing."""
    assert done.returncode == 0
    assert done.stderr == b""
    if not done.stdout:
        return {}
    answer = json.loads(done.stdout)  # fails if there is a second object
    assert isinstance(answer, dict)
    return answer


@pytest.fixture
def undrained(fleet: Fleet) -> Fleet:
    """A home that has no spool yet and whose hooks start no real drainer."""
    fleet.replace_drainer()
    return fleet


def entries(fleet: Fleet) -> list[spool.Entry]:
    return [spool.read_pending(str(fleet.home), name) for name in fleet.waiting()]


def as_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


STOP = as_bytes({"session_id": "s-1", "cwd": "/", "hook_event_name": "Stop"})


# --- captured payloads -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "python"),
    [
        pytest.param(
            name,
            program,
            id=f"{name}-{version}",
            marks=slow_unless(
                version == _OWN
                or (version in (_VERSIONS[0], _VERSIONS[-1]) and name in FEW_CAPTURED)
            ),
        )
        for name in CAPTURED
        for version, program in INTERPRETERS.items()
    ],
)
def test_captured_payload_is_spooled_unchanged(undrained: Fleet, name: str, python: str) -> None:
    event = event_of(name)
    data = (PAYLOADS / f"{name}.json").read_bytes()
    environment = undrained.env(CLAUDE_PROJECT_DIR=str(undrained.folder))

    done = subprocess.run(
        command(HOOKS[event], python), input=data, env=environment, capture_output=True
    )

    answer = answer_of(done)
    if event == "SessionStart":
        assert list(answer) == ["hookSpecificOutput"]
        assert answer["hookSpecificOutput"]["hookEventName"] == event
        assert "briefing" in answer["hookSpecificOutput"]["additionalContext"]
    else:
        assert done.stdout == b""
    if event == "UserPromptSubmit":  # a worker's prompts are not recorded
        assert entries(undrained) == []
        return
    [entry] = entries(undrained)
    assert (entry.event, entry.payload) == (event, data)
    assert entry.name.split(".")[2] == json.loads(data)["session_id"]
    assert (entry.project, entry.cwd) == (str(undrained.folder), json.loads(data)["cwd"])
    assert undrained.log() == ""


@every_interpreter
def test_commander_prompt_gets_the_news_and_its_text_is_not_spooled(
    fleet: Fleet, python: str
) -> None:
    fleet.hook("stop", payload("Stop") | {"last_assistant_message": BLOCKED}, fleet.folder)
    fleet.drain()
    prompt = payload("UserPromptSubmit") | {"prompt": "MY OWN WORDS", "session_id": "c-1"}

    started = fleet.hook(
        "session_start", payload("SessionStart-startup"), fleet.home, python=python
    )
    done = fleet.hook("user_prompt_submit", prompt, fleet.home, python=python)

    assert "no staging password" in fleet.context(started)
    assert "no staging password" in fleet.context(done)
    assert answer_of(done)["hookSpecificOutput"]["hookEventName"] == "UserPromptSubmit"
    start, receipt = entries(fleet)
    assert (start.event, receipt.event) == ("SessionStart", "UserPromptSubmit")
    assert start.shown is not None
    assert receipt.shown is not None
    assert json.loads(receipt.payload)["prompt_id"] == prompt["prompt_id"]
    assert b"MY OWN WORDS" not in receipt.payload


@pytest.mark.parametrize("name", captured_payloads())
def test_hook_survives_the_payload_of_another_event(undrained: Fleet, name: str) -> None:
    data = (PAYLOADS / f"{name}.json").read_bytes()
    for hook in ("stop", "session_start"):
        answer_of(run(hook, data, undrained.env()))

    assert [entry.payload for entry in entries(undrained)] == [data, data]


# --- any bytes on stdin ------------------------------------------------------------------------

ANY_BYTES = {
    "empty": b"",
    "not JSON": b"hello",
    "half of an object": b'{"session_id": "s-1", "cwd": "/x", "notification_type": "perm',
    "a list": b"[]",
    "a string": b'"x"',
    "a number": b"5",
    "null": b"null",
    "fields of the wrong type": b'{"session_id":5,"cwd":[],"source":{},"prompt_id":false}',
    "a path for a session": b'{"session_id":"../../etc/passwd","cwd":"/","prompt_id":"../x"}',
    "a newline in the folder": as_bytes({"session_id": "s-1", "cwd": "/x\ny\n\n{}"}),
    "a raw newline in the folder": b'{"session_id":"s-1","cwd":"/x\n\n{}"}',
    "a folder that is not there": b'{"session_id":"s-1","cwd":"/no/such/folder"}',
    "a folder that is a file": b'{"session_id":"s-1","cwd":"/etc/passwd"}',
    "invalid UTF-8": b'{"session_id":"\xff\xfe","cwd":"/\xc3\x28"}',
    "lone surrogates": b'{"session_id":"\\ud800","cwd":"/\\udfff","prompt_id":"\\ud800"}',
    "encoded surrogates": b'{"session_id":"s-1","cwd":"/\xed\xa0\x80"}',
    "escaped NULs": b'{"session_id":"s\\u0000","cwd":"/x\\u0000y","prompt_id":"\\u0000"}',
    "raw NULs": b'{"session_id":"s-1","cwd":"/x\0y"}',
    "only NULs": b"\0" * 1000,
    "UTF-16": '{"session_id":"s-1"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"session_id":"s-1"}',
    "deep nesting": b"[" * 100_000,
    "a key twice": b'{"session_id":"s-1","session_id":"s-2"}',
    "a huge number": b'{"session_id":' + b"9" * 10_000 + b"}",
}


# One capturing hook and one parsing hook get every input. The others get these.
FEW_BYTES = ("empty", "half of an object", "lone surrogates", "deep nesting")


@pytest.mark.parametrize(
    ("hook", "data"),
    [
        pytest.param(
            hook,
            data,
            id=f"{name}-{hook}",
            marks=slow_unless(hook in ("stop", "session_start") or name in FEW_BYTES),
        )
        for hook in ALL
        for name, data in ANY_BYTES.items()
    ],
)
def test_hook_exits_0_and_spools_whatever_is_on_stdin(
    undrained: Fleet, hook: str, data: bytes
) -> None:
    answer = answer_of(run(hook, data, undrained.env()))

    assert "systemMessage" not in answer
    assert [entry.payload for entry in entries(undrained)] == [data] * (hook in SPOOLING)


@pytest.mark.parametrize(
    "hook",
    [pytest.param(hook, marks=slow_unless(hook in ("stop", "session_start"))) for hook in ALL],
)
def test_payload_of_50_mb_is_spooled_whole(undrained: Fleet, hook: str) -> None:
    data = as_bytes({"session_id": "s-1", "cwd": "/", "x": "é" * (25 * 1000 * 1000 // 3)})

    answer_of(run(hook, data, undrained.env()))

    # Compared outside the assert, or pytest would print the bytes.
    assert [entry.payload == data for entry in entries(undrained)] == [True] * (hook in SPOOLING)


def test_oversized_payload_is_drained_then_quarantined(
    fleet: Fleet,
) -> None:
    data = b'{"session_id":"s-1","cwd":"/","x":"' + b"y" * (paths.MAX_PAYLOAD_BYTES + 2**22)

    assert answer_of(fleet.hook("stop", data)) == {}
    [entry] = entries(fleet)
    assert paths.MAX_PAYLOAD_BYTES < len(entry.payload) < len(data)
    fleet.drain()

    [reason] = fleet.quarantine().values()
    assert "64 MB" in reason
    assert [kind for kind, _ in fleet.events()] == ["error"]


def test_stdin_in_pieces_is_read_to_the_end(undrained: Fleet) -> None:
    with subprocess.Popen(
        command("stop"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=undrained.env()
    ) as hook:
        assert hook.stdin is not None
        for start in range(0, len(STOP), 20):
            hook.stdin.write(STOP[start : start + 20])
            hook.stdin.flush()
            time.sleep(0.05)

    assert [entry.payload for entry in entries(undrained)] == [STOP]


@pytest.mark.parametrize("hook", ["stop", "session_end"])
def test_a_payload_is_at_its_end_though_the_client_leaves_the_pipe_open(
    undrained: Fleet, hook: str
) -> None:
    given = b'{"session_id": "s-1", "cwd": "/", "message": "one\\ntwo}"}\n'

    def ends_by_itself() -> bool:
        """Before the eight seconds are over after which it takes what is there."""
        with subprocess.Popen(command(hook), stdin=subprocess.PIPE, env=undrained.env()) as process:
            assert process.stdin is not None
            for part in (given[:20], given[20:-1], given[-1:]):
                process.stdin.write(part)
                process.stdin.flush()
                last_at = time.monotonic()
                time.sleep(0.1)
            assert process.wait(60) == 0
            return time.monotonic() - last_at < 7

    assert is_fast(ends_by_itself)
    assert {entry.payload for entry in entries(undrained)} == {given}


@pytest.mark.slow
def test_a_pipe_that_stays_open_ends_when_nothing_came_for_eight_seconds(undrained: Fleet) -> None:
    """Also where the hook ignores the signals that would have ended it."""
    cases = {b"": [], b'{\n  "session_id": "s-1"\n}\n': [b'{\n  "session_id": "s-1"\n}\n']}
    for data, wanted in cases.items():
        with subprocess.Popen(
            command("stop"), stdin=subprocess.PIPE, env=undrained.env()
        ) as process:
            assert process.stdin is not None
            process.stdin.write(data)
            process.stdin.flush()
            started = time.monotonic()
            assert process.wait(60) == 0
            assert time.monotonic() - started > 7
        assert [entry.payload for entry in entries(undrained)] == wanted


def test_nonblocking_stdin_is_waited_for(undrained: Fleet) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with subprocess.Popen(command("stop"), stdin=reader, env=undrained.env()):
        os.close(reader)
        time.sleep(0.3)
        with contextlib.suppress(BrokenPipeError):
            os.write(writer, STOP)
        os.close(writer)

    assert [entry.payload for entry in entries(undrained)] == [STOP]


# --- missing streams ---------------------------------------------------------------------------


def close_descriptors(*descriptors: int) -> Callable[[], None]:
    def close() -> None:
        for descriptor in descriptors:
            os.close(descriptor)

    return close


@pytest.mark.parametrize("hook", ALL)
@pytest.mark.parametrize("closed", [(0,), (0, 1), (0, 1, 2)], ids=str)
def test_hook_without_stdin_exits_0(undrained: Fleet, hook: str, closed: tuple[int, ...]) -> None:
    done = run(hook, b"", undrained.env(), stdin=None, preexec_fn=close_descriptors(*closed))

    answer_of(done)
    assert [entry.payload for entry in entries(undrained)] == [b""] * (hook in SPOOLING)


@pytest.mark.parametrize("hook", ALL)
def test_hook_without_stdout_spools_the_turn(undrained: Fleet, hook: str) -> None:
    done = run(hook, STOP, undrained.env(), preexec_fn=close_descriptors(1))

    assert (done.returncode, done.stderr) == (0, b"")
    assert [entry.payload for entry in entries(undrained)] == [STOP] * (hook in SPOOLING)


@pytest.mark.parametrize("hook", ["session_start", "user_prompt_submit"])
@pytest.mark.parametrize("closed", [(1,), (0, 1), (0, 1, 2)], ids=str)
def test_output_for_a_closed_stdout_goes_into_no_other_file(
    undrained: Fleet, hook: str, closed: tuple[int, ...]
) -> None:
    # The first file that a process opens gets the lowest free descriptor, which is stdout's here.
    data = as_bytes({"session_id": "s-1", "cwd": "/"})
    environment = undrained.env()
    options: dict[str, Any] = {"stdin": None} if 0 in closed else {}
    run(hook, data, environment, preexec_fn=close_descriptors(*closed), **options)

    written = [p for p in undrained.home.rglob("*") if p.is_file() and "new" not in p.parts]
    assert [path for path in written if b"hookSpecificOutput" in path.read_bytes()] == []


@pytest.fixture
def with_news(fleet: Fleet) -> Fleet:
    """A home with news for the Commander."""
    fleet.hook("stop", payload("Stop") | {"last_assistant_message": BLOCKED}, fleet.folder)
    fleet.drain()
    fleet.replace_drainer()
    return fleet


def _broken_pipe() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize("event", ["SessionStart-startup", "UserPromptSubmit"])
@pytest.mark.parametrize("stdout", ["a broken pipe", "closed", "a full disk"])
def test_output_that_claude_code_did_not_get_does_not_count_as_shown(
    with_news: Fleet, event: str, stdout: str
) -> None:
    hook = HOOKS[event.partition("-")[0]]
    environment = with_news.env(CLAUDE_PROJECT_DIR=str(with_news.home))
    data = as_bytes(payload(event))
    options: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        if stdout == "closed":
            options["preexec_fn"] = close_descriptors(1)
        elif stdout == "a full disk":
            options["stdout"] = stack.enter_context(open("/dev/full", "wb"))
        else:
            options["stdout"] = _broken_pipe()
            stack.callback(os.close, options["stdout"])
        done = run(hook, data, environment, **options)

    assert (done.returncode, done.stderr) == (0, b"")
    assert [entry.shown for entry in entries(with_news)] == [None] * (hook in SPOOLING)
    again = run(hook, as_bytes(payload(event) | {"prompt_id": "the next"}), environment)
    assert "additionalContext" in answer_of(again)["hookSpecificOutput"]


def test_only_one_of_two_registered_copies_prints_to_the_commander(with_news: Fleet) -> None:
    environment = with_news.env(CLAUDE_PROJECT_DIR=str(with_news.home))
    for event in ("SessionStart-startup", "UserPromptSubmit"):
        copies = [
            subprocess.Popen(
                command(HOOKS[event.partition("-")[0]]),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
            )
            for _ in range(2)
        ]
        for copy in copies:
            assert copy.stdin is not None
            copy.stdin.write(as_bytes(payload(event) | {"session_id": event}))
            copy.stdin.close()
        printed = [copy.stdout.read() for copy in copies if copy.stdout is not None]
        assert [copy.wait() for copy in copies] == [0, 0]

        assert sorted(map(bool, printed)) == [False, True], event


# --- unusable homes ----------------------------------------------------------------------------


def _can_mount() -> bool:
    if os.getuid() or not shutil.which("unshare"):
        return False
    mount = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(mount, capture_output=True).returncode == 0


CAN_MOUNT = _can_mount()
needs_mount = pytest.mark.skipif(not CAN_MOUNT, reason="only root can mount")


def _home_is_a_file(home: Path) -> None:
    home.write_text("not a folder")


def _parent_is_a_file(home: Path) -> None:
    home.parent.rmdir()
    home.parent.write_text("not a folder")


def _dangling_link(home: Path) -> None:
    home.symlink_to("/no/such/folder/at/all")


def _spool_is_a_file(home: Path) -> None:
    home.mkdir()
    (home / "spool").write_text("")


def _tmp_is_a_file(home: Path) -> None:
    (home / "spool").mkdir(parents=True)
    (home / "spool" / "tmp").write_text("")


BAD_HOMES: list[Callable[[Path], None]] = [
    _home_is_a_file,
    _parent_is_a_file,
    _dangling_link,
    _spool_is_a_file,
    _tmp_is_a_file,
]
bad_homes = pytest.mark.parametrize("spoil", BAD_HOMES, ids=lambda f: f.__name__.strip("_"))


@bad_homes
@pytest.mark.parametrize("hook", ALL)
def test_hook_survives_an_unusable_home_and_reports_a_lost_turn(
    fleet: Fleet, hook: str, spoil: Callable[[Path], None]
) -> None:
    spoil(fleet.home)

    answer = answer_of(run(hook, STOP, fleet.env()))

    if hook in ("stop", "stop_failure"):
        assert FAILED in answer.get("systemMessage", "nothing")


@pytest.mark.parametrize("home", ["/proc/fleet", "/dev/null", "/dev/null/fleet", "/sys/fleet"])
def test_home_where_no_folder_can_be_made_is_reported(fleet: Fleet, home: str) -> None:
    done = run("stop", STOP, fleet.env(FLEET_HOME=home))

    assert FAILED in answer_of(done).get("systemMessage", "nothing")


@needs_mount
@pytest.mark.parametrize("hook", ALL)
def test_hook_survives_a_read_only_home_and_reports_it(undrained: Fleet, hook: str) -> None:
    spool.make_folders(str(undrained.home))
    script = 'mount --bind "$FLEET_HOME" "$FLEET_HOME" && mount -o remount,ro,bind "$FLEET_HOME"'
    wrap = ["unshare", "-m", "sh", "-c", f'{script} && exec "$@"', "-"]

    answer = answer_of(run(hook, STOP, undrained.env(), wrap))

    if hook in ("stop", "stop_failure"):
        assert "file system" in answer.get("systemMessage", "nothing")
    assert entries(undrained) == []


@needs_mount
@pytest.mark.parametrize("hook", ALL)
def test_hook_survives_a_full_disk_and_reports_it(undrained: Fleet, hook: str) -> None:
    left = undrained.folder / "left"
    wrap = [
        *("unshare", "-m", "sh", "-c"),
        'mount -t tmpfs -o size=128k none "$FLEET_HOME" && mkdir -p "$FLEET_HOME/spool/tmp" '
        '"$FLEET_HOME/spool/new" "$FLEET_HOME/log" "$FLEET_HOME/venv/bin" && '
        'ln -s /bin/true "$FLEET_HOME/venv/bin/python" && '
        '(cat /dev/zero > "$FLEET_HOME/full" 2>&-; "$@"; code=$?; '
        f'ls "$FLEET_HOME/spool/tmp" "$FLEET_HOME/spool/new" > \'{left}\'; exit $code)',
        "-",
    ]

    answer = answer_of(run(hook, STOP, undrained.env(), wrap))

    if hook in ("stop", "stop_failure"):
        assert "No space left" in answer.get("systemMessage", "nothing")
    names = [line for line in left.read_text().splitlines() if line.partition(".")[0].isdigit()]
    assert names == []


def _limit_file_size(size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("hook", ALL)
@pytest.mark.parametrize("size", [0, 10_000])
def test_failed_write_leaves_no_partial_entry_and_is_reported(
    undrained: Fleet, hook: str, size: int
) -> None:
    data = as_bytes({"session_id": "s-1", "cwd": "/", "x": "y" * 100_000})

    answer = answer_of(run(hook, data, undrained.env(), preexec_fn=_limit_file_size(size)))

    if hook in ("stop", "stop_failure"):
        assert FAILED in answer.get("systemMessage", "nothing")
    assert entries(undrained) == []
    left = [path.name for path in (undrained.home / "spool" / "tmp").glob("[0-9]*")]
    assert left == []
    assert answer_of(run(hook, STOP, undrained.env())).get("systemMessage") is None
    assert len(entries(undrained)) == (hook in SPOOLING)


def test_failure_is_logged_each_time_and_shown_once_until_it_is_fixed(
    undrained: Fleet,
) -> None:
    _tmp_is_a_file(undrained.home)
    blocked = undrained.home / "spool" / "tmp"
    answers = [answer_of(run("stop", STOP, undrained.env())) for _ in range(3)]

    assert FAILED in answers[0]["systemMessage"]
    assert answers[1:] == [{}, {}]
    lines = undrained.log().splitlines()
    assert len(lines) == 3
    assert all("Stop: the payload could not be spooled" in line for line in lines)

    blocked.unlink()
    assert answer_of(run("stop", STOP, undrained.env())) == {}
    assert len(entries(undrained)) == 1
    shutil.rmtree(blocked)
    blocked.write_text("")
    assert FAILED in answer_of(run("stop", STOP, undrained.env()))["systemMessage"]


@pytest.mark.parametrize("silent", ["notification", "session_end"])
def test_failure_of_a_silent_hook_is_shown_at_the_next_stop(undrained: Fleet, silent: str) -> None:
    _tmp_is_a_file(undrained.home)
    answer_of(run(silent, STOP, undrained.env()))

    assert FAILED in answer_of(run("stop", STOP, undrained.env())).get("systemMessage", "nothing")


@pytest.mark.parametrize("event", ["SessionStart-startup", "UserPromptSubmit"])
def test_printing_hook_that_cannot_spool_still_prints_one_object(
    with_news: Fleet, event: str
) -> None:
    shutil.rmtree(with_news.home / "spool" / "tmp")
    (with_news.home / "spool" / "tmp").write_text("")
    environment = with_news.env(CLAUDE_PROJECT_DIR=str(with_news.home))

    answer_of(run(HOOKS[event.partition("-")[0]], as_bytes(payload(event)), environment))


@pytest.mark.parametrize("missing", [("HOME",), ("HOME", "FLEET_HOME"), ("PATH",)], ids=str)
def test_hook_works_without_the_usual_environment_variables(
    undrained: Fleet, missing: tuple[str, ...], tmp_path: Path
) -> None:
    environment = undrained.env(CLAUDE_CONFIG_DIR=str(undrained.home.parent / "claude"))
    for name in missing:
        del environment[name]
    home = undrained.home
    if "FLEET_HOME" in missing:
        home = undrained.home.parent / "claude" / "commander"
        Fleet(home, tmp_path).replace_drainer()

    for hook in ALL:
        answer_of(run(hook, STOP, environment))

    assert len(spool.pending(str(home))) == len(SPOOLING)


def test_user_without_a_home_gets_no_folder_named_tilde(fleet: Fleet, tmp_path: Path) -> None:
    # A container may run as a user that is not in /etc/passwd.
    if os.getuid():
        pytest.skip("only root can become another user")
    project = tmp_path / "project"
    project.mkdir(mode=0o777)
    project.chmod(0o777)
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); from fleet_lib import paths;"
        "os.setuid(54321); print(paths.home())"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, str(ROOT)],
        env={"PATH": os.environ["PATH"]},
        cwd=project,
        capture_output=True,
        text=True,
    )

    assert "~" not in done.stdout, done.stdout


@pytest.mark.parametrize("hook", SPOOLING)
def test_folder_with_characters_outside_the_locale_is_spooled(
    undrained: Fleet, hook: str, tmp_path: Path
) -> None:
    name = "en_US.ISO-8859-1"
    make_locale = ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(tmp_path / name)]
    if not shutil.which("localedef") or subprocess.run(make_locale, capture_output=True).returncode:
        pytest.skip("no localedef")
    data = '{"session_id":"s-1","cwd":"/home/dev/日本"}'.encode()

    answer_of(run(hook, data, undrained.env(LC_ALL=name, LOCPATH=str(tmp_path))))

    assert [entry.payload for entry in entries(undrained)] == [data]


def test_project_folder_that_is_not_utf_8_is_spooled(undrained: Fleet) -> None:
    project = os.fsencode(undrained.folder) + b"/\xff\xfe"
    os.mkdir(project)
    environment = {os.fsencode(k): os.fsencode(v) for k, v in undrained.env().items()}
    for hook in SPOOLING:
        done = subprocess.run(
            command(hook),
            input=STOP,
            capture_output=True,
            env={**environment, b"CLAUDE_PROJECT_DIR": project},
        )
        answer_of(done)

    assert {os.fsencode(entry.project) for entry in entries(undrained)} == {project}
    assert len(entries(undrained)) == len(SPOOLING)


# --- disabled hooks ----------------------------------------------------------------------------


@pytest.mark.parametrize("hook", ALL)
@pytest.mark.parametrize("off", ["off", "OFF"])
def test_disabled_hooks_do_nothing(fleet: Fleet, hook: str, off: str) -> None:
    data = as_bytes(payload("SessionStart-startup"))

    done = run(hook, data, fleet.env(FLEET_HOOKS=off, CLAUDE_PROJECT_DIR=str(fleet.home)))

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert not fleet.home.exists()


def test_disabled_hooks_still_read_stdin_to_the_end(fleet: Fleet) -> None:
    with subprocess.Popen(
        command("stop"), stdin=subprocess.PIPE, env=fleet.env(FLEET_HOOKS="off")
    ) as hook:
        assert hook.stdin is not None
        hook.stdin.write(b"x" * 5_000_000)  # raises if the pipe is broken
        hook.stdin.close()

    assert hook.returncode == 0


# --- notifications -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        "permission_prompt",
        "worker_permission_prompt",
        "idle_prompt",
        "elicitation_dialog",
        "agent_needs_input",
    ],
)
def test_notification_of_a_waiting_session_is_spooled(undrained: Fleet, kind: str) -> None:
    data = payload("Notification-permission_prompt") | {"notification_type": kind}
    run("notification", as_bytes(data), undrained.env())

    assert [json.loads(entry.payload) for entry in entries(undrained)] == [data]


@pytest.mark.parametrize(
    "kind", ["auth_success", "computer_use_enter", "x_idle", "agent_completed"]
)
def test_other_notifications_are_not_spooled(undrained: Fleet, kind: str) -> None:
    data = payload("Notification-permission_prompt") | {"notification_type": kind}
    run("notification", as_bytes(data), undrained.env())

    assert entries(undrained) == []


def test_notification_of_an_older_client_without_a_type_is_spooled(undrained: Fleet) -> None:
    data = payload("Notification-permission_prompt")
    del data["notification_type"]
    data["message"] = 'say "notification_type": "auth_success"'
    run("notification", as_bytes(data), undrained.env())

    assert len(entries(undrained)) == 1


# --- the status file ---------------------------------------------------------------------------


@pytest.fixture
def project(fleet: Fleet) -> Path:
    folder = fleet.folder / "project"
    (folder / ".claude").mkdir(parents=True)
    return folder


def status_file(project: Path, session_id: str = "s-1") -> Path:
    return project / ".claude" / f"status.v5.{session_id}.md"


def spooled_status(fleet: Fleet, data: bytes, project: "Path | None", hook: str = "stop") -> Any:
    """Run the hook and return the status file in its entry."""
    more = {} if project is None else {"CLAUDE_PROJECT_DIR": str(project)}
    assert answer_of(run(hook, data, fleet.env(**more), timeout=30)) == {}
    [entry] = entries(fleet)
    assert entry.payload == data
    return entry.status


def test_status_file_of_the_session_is_spooled_with_its_stop(
    undrained: Fleet, project: Path
) -> None:
    status_file(project).write_bytes(b"---\nstatus: blocked\n---\n\xff\0\n\n")

    assert spooled_status(undrained, STOP, project) == b"---\nstatus: blocked\n---\n\xff\0\n\n"


def test_status_file_is_found_by_cwd_when_no_project_is_named(
    undrained: Fleet, project: Path
) -> None:
    status_file(project).write_bytes(b"status")

    data = as_bytes({"session_id": "s-1", "cwd": str(project)})
    assert spooled_status(undrained, data, None) == b"status"


def test_status_file_comes_from_the_project_folder_and_not_from_cwd(
    undrained: Fleet, project: Path
) -> None:
    elsewhere = undrained.folder / "elsewhere"
    (elsewhere / ".claude").mkdir(parents=True)
    status_file(project).write_bytes(b"right")
    status_file(elsewhere).write_bytes(b"wrong")

    data = as_bytes({"session_id": "s-1", "cwd": str(elsewhere)})
    assert spooled_status(undrained, data, project) == b"right"


@pytest.mark.parametrize("hook", ["stop_failure", "session_end"])
def test_only_stop_reads_the_status_file(undrained: Fleet, project: Path, hook: str) -> None:
    status_file(project).write_bytes(b"status")

    assert spooled_status(undrained, STOP, project, hook) is None


def test_empty_status_file_is_spooled_as_empty(undrained: Fleet, project: Path) -> None:
    status_file(project).touch()

    assert spooled_status(undrained, STOP, project) == b""


def test_status_file_of_another_session_is_ignored(undrained: Fleet, project: Path) -> None:
    status_file(project, "s-2").write_bytes(b"status")

    assert spooled_status(undrained, STOP, project) is None


@pytest.mark.parametrize("session_id", ["../s-1", "x/../s-1", "s-1.md/../s-1", "", "*", "s-1\0"])
def test_session_id_that_is_a_path_finds_no_status_file(
    undrained: Fleet, project: Path, session_id: str
) -> None:
    status_file(project).write_bytes(b"status")
    (project / ".claude" / "status.v5.").mkdir()
    (project / ".claude" / "s-1.md").write_bytes(b"status")

    data = as_bytes({"session_id": session_id, "cwd": "/"})
    assert spooled_status(undrained, data, project) is None


def _link(path: Path) -> None:
    (path.parent / "secret").write_bytes(b"secret")
    path.symlink_to(path.parent / "secret")


PLANTED: dict[str, Callable[[Path], None]] = {
    "a link": _link,
    "a pipe": lambda path: os.mkfifo(path),
    "a folder": lambda path: path.mkdir(),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("plant", list(PLANTED.values()), ids=list(PLANTED))
def test_status_file_that_is_not_a_regular_file_is_ignored(
    undrained: Fleet, project: Path, plant: Callable[[Path], None]
) -> None:
    plant(status_file(project))

    assert spooled_status(undrained, STOP, project) is None


def test_huge_status_file_is_read_only_up_to_a_limit(undrained: Fleet, project: Path) -> None:
    with open(status_file(project), "wb") as file:
        file.write(b"status")
        file.truncate(200 * 2**30)  # sparse

    status = spooled_status(undrained, STOP, project)

    assert status is None or len(status) <= 2**20 + 1


# --- files on disk -----------------------------------------------------------------------------


def tree(folder: Path, without: Path) -> dict[str, tuple[int, int]]:
    """{path: (mtime, size)} of all files and folders in `folder` but those in `without`."""
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_size)
        for path in [folder, *folder.rglob("*")]
        if without not in (path, *path.parents)
    }


def test_no_hook_writes_outside_fleet_home(undrained: Fleet, project: Path) -> None:
    status_file(project).write_bytes(b"status")
    before = tree(undrained.folder, undrained.home)
    environment = undrained.env(TMPDIR=str(undrained.folder))
    for folder in (project, undrained.home):
        for event, hook in HOOKS.items():
            name = next(name for name in CAPTURED if event_of(name) == event)
            data = as_bytes(payload(name) | {"cwd": str(project), "session_id": "s-1"})
            env = {**environment, "CLAUDE_PROJECT_DIR": str(folder)}
            answer_of(run(hook, data, env, cwd=project))

    assert tree(undrained.folder, undrained.home) == before


# Captured payloads, unchanged, with any value in a field, or cut off.
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30) | st.just("../../etc/passwd"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
_changed = st.builds(
    lambda name, changes, cut: as_bytes(payload(name) | changes)[:cut],
    st.sampled_from(CAPTURED),
    st.dictionaries(
        st.sampled_from(["session_id", "cwd", "prompt_id", "agent_id", "source"]), _values
    ),
    st.none() | st.integers(0, 400),
)


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    hook=st.sampled_from(ALL), is_commander=st.booleans(), data=_changed | st.binary(max_size=400)
)
def test_hook_with_any_input_exits_0_and_writes_only_in_fleet_home(
    fleet: Fleet, hook: str, is_commander: bool, data: bytes
) -> None:
    if not (fleet.home / "venv").exists():
        fleet.replace_drainer()
    before = tree(fleet.folder, fleet.home)
    folder = fleet.home if is_commander else fleet.folder
    environment = fleet.env(TMPDIR=str(fleet.folder), CLAUDE_PROJECT_DIR=str(folder))
    answer_of(run(hook, data, environment, cwd=fleet.folder))
    assert tree(fleet.folder, fleet.home) == before


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_files_of_hooks_and_drainer_are_private_to_the_user(fleet: Fleet, umask: int) -> None:
    before = os.umask(umask)
    try:
        for data in (as_bytes(payload("Stop")), b"not JSON"):
            fleet.hook("stop", data, fleet.folder)
        fleet.hook("session_start", payload("SessionStart-startup"), fleet.folder)
        fleet.hook("session_start", payload("SessionStart-startup"), fleet.home)
        fleet.drain_process()
        fleet.hook("user_prompt_submit", payload("UserPromptSubmit"), fleet.home)
        shutil.rmtree(fleet.home / "spool" / "tmp")
        (fleet.home / "spool" / "tmp").write_text("")
        (fleet.home / "spool" / "tmp").chmod(0o600)
        fleet.hook("stop", payload("Stop"), fleet.folder)
    finally:
        os.umask(before)

    assert fleet.log()
    for path in [fleet.home, *fleet.home.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


# --- the drainer that a hook starts ------------------------------------------------------------


def wait_until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


@pytest.fixture
def busy(fleet: Fleet) -> Iterator[Fleet]:
    """A home whose database another program is writing to, so that a drainer keeps waiting."""
    fleet.hook("stop", payload("Stop"), fleet.folder)
    fleet.drain()
    with contextlib.closing(sqlite3.connect(fleet.home / "fleet.db", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield fleet


def test_turn_is_applied_in_the_background(fleet: Fleet) -> None:
    fleet.hook("stop", payload("Stop"), fleet.folder, background=True)

    wait_until(lambda: (fleet.home / "fleet.db").exists() and not fleet.waiting())
    fleet.wait_for_drainers()
    assert fleet.rows("SELECT session_id FROM briefings") == [(payload("Stop")["session_id"],)]


def test_neither_hook_nor_reader_of_its_output_waits_for_the_drainer(busy: Fleet) -> None:
    started = time.monotonic()
    done = busy.hook("stop", payload("Stop") | {"prompt_id": "p-2"}, busy.folder, background=True)
    took = time.monotonic() - started

    # subprocess.run has read stdout and stderr to the end.
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert len(wait_until(busy.drainers)) == 1
    assert took < 30
    assert len(busy.waiting()) == 1


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads /proc")
def test_drainer_has_its_own_process_session_and_no_git_variables(busy: Fleet) -> None:
    busy.hook(
        "stop",
        payload("Stop") | {"prompt_id": "p-2"},
        busy.folder,
        background=True,
        GIT_DIR="/somewhere/else",
        GIT_INDEX_FILE="/somewhere/else",
        ANTHROPIC_API_KEY="sk-secret",
    )
    [drainer] = wait_until(busy.drainers)
    proc = Path(f"/proc/{drainer}")
    wait_until(lambda: os.readlink(proc / "cwd") == "/")

    assert os.getsid(drainer) == drainer
    assert {os.readlink(proc / "fd" / stream) for stream in "012"} == {"/dev/null"}
    names = {v.partition(b"=")[0] for v in (proc / "environ").read_bytes().split(b"\0")}
    assert not [name for name in names if name.startswith(b"GIT_")]
    # A runner that the drainer starts needs the session's way to reach the model.
    assert {b"HOME", b"PATH", b"ANTHROPIC_API_KEY"} <= names


@pytest.fixture
def ignored_by(fleet: Fleet) -> Callable[[int | str], set[int]]:
    """The signals that a process ignores."""

    def read(pid: "int | str") -> set[int]:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        (mask,) = [line.split()[1] for line in lines if line.startswith("SigIgn")]
        return {number for number in range(1, 65) if int(mask, 16) >> (number - 1) & 1}

    return read


CLIENTS_SIGNALS = {signal.SIGTERM, signal.SIGHUP, signal.SIGINT}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.parametrize("hook", ALL)
def test_a_hook_ignores_the_signals_of_a_client_that_exits(
    undrained: Fleet, hook: str, ignored_by: Callable[[int], set[int]]
) -> None:
    with subprocess.Popen(
        command(hook), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=undrained.env()
    ) as process:
        wait_until(lambda: ignored_by(process.pid) >= CLIENTS_SIGNALS)
        for number in CLIENTS_SIGNALS:
            process.send_signal(number)
        process.communicate(as_bytes({"session_id": "s-1"}), timeout=60)

    assert process.returncode == 0
    assert len(undrained.waiting()) == (hook != "user_prompt_submit")


@pytest.mark.parametrize("hook", ALL)
def test_the_first_statement_of_a_hook_is_that_it_ignores_signals(hook: str) -> None:
    """What the interpreter has imported by itself costs nothing; everything else comes later."""
    tree = ast.parse((ROOT / "hooks" / f"{hook}.py").read_text())
    docstring, imported, loop = tree.body[:3]

    assert isinstance(docstring, ast.Expr)
    assert ast.unparse(imported) == "import _signal"
    assert isinstance(loop, ast.For)
    assert "_signal.SIG_IGN" in ast.unparse(loop)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_what_a_hook_starts_has_the_signals_back(
    busy: Fleet, ignored_by: Callable[[int], set[int]]
) -> None:
    busy.hook("stop", payload("Stop") | {"prompt_id": "p-2"}, busy.folder, background=True)
    [drainer] = wait_until(busy.drainers)

    assert ignored_by(drainer) & CLIENTS_SIGNALS == set()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.parametrize("gives_back", [True, False], ids=["posix_spawn", "an old C library"])
def test_the_drainer_and_git_have_the_signals_back(
    fleet: Fleet, tmp_path: Path, gives_back: bool
) -> None:
    """Also where the drainer was started with the signals ignored."""
    programs, found = tmp_path / "programs", tmp_path / "found"
    programs.mkdir()
    real = shutil.which("git")
    (programs / "git").write_text(
        f'#!/bin/sh\ngrep SigIgn /proc/$$/status >>{found}\nexec {real} "$@"\n'
    )
    (programs / "git").chmod(0o755)
    path = {"PATH": f"{programs}:{os.environ['PATH']}"}
    subprocess.run(["git", "init", "-q", str(fleet.folder)], check=True)
    if gives_back:
        fleet.hook("stop", payload("Stop"), fleet.folder, background=True, **path)
    else:
        fleet.hook("stop", payload("Stop"), fleet.folder)
        drainer = [sys.executable, "-I", paths.DRAINER, str(fleet.home), "--once"]
        ignoring = ["sh", "-c", "trap '' TERM HUP INT; exec \"$@\"", "sh", *drainer]
        subprocess.run(ignoring, env=fleet.env(**path), check=True)
    wait_until(lambda: (fleet.home / "fleet.db").exists() and not fleet.waiting())
    fleet.wait_for_drainers()

    masks = {int(line.split()[1], 16) for line in found.read_text().splitlines()}
    assert masks
    for mask in masks:
        assert not [number for number in CLIENTS_SIGNALS if mask >> (number - 1) & 1]


def test_drainer_outlives_the_process_group_of_its_hook(busy: Fleet) -> None:
    payload_file = busy.folder / "payload"
    payload_file.write_bytes(as_bytes(payload("Stop") | {"prompt_id": "p-2"}))
    shell = subprocess.Popen(
        ["sh", "-c", '"$@" < "$0"; echo done; sleep 60', str(payload_file), *command("stop")],
        env=busy.env(CLAUDE_PROJECT_DIR=str(busy.folder)),
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert shell.stdout is not None
    assert shell.stdout.readline() == b"done\n"
    [drainer] = wait_until(busy.drainers)
    os.killpg(shell.pid, signal.SIGKILL)
    shell.wait()
    time.sleep(0.2)

    assert busy.drainers() == [drainer]


def test_drainer_that_waited_for_the_database_applies_the_turn(fleet: Fleet) -> None:
    fleet.hook("stop", payload("Stop"), fleet.folder)
    fleet.drain()
    with contextlib.closing(sqlite3.connect(fleet.home / "fleet.db", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        fleet.hook("stop", payload("Stop") | {"prompt_id": "p-2"}, fleet.folder, background=True)
        wait_until(fleet.drainers)
        db.execute("ROLLBACK")
    wait_until(lambda: not fleet.waiting())
    fleet.wait_for_drainers()

    assert fleet.rows("SELECT count(*) FROM briefings") == [(2,)]


@pytest.mark.parametrize("hook", ["session_start", "user_prompt_submit", "notification"])
def test_hook_with_nothing_to_spool_still_starts_the_drainer(fleet: Fleet, hook: str) -> None:
    fleet.hook("stop", payload("Stop"), fleet.folder)
    ignored = payload("Notification-permission_prompt") | {"notification_type": "auth_success"}
    fleet.hook(hook, ignored, fleet.folder, background=True)

    wait_until(lambda: not fleet.waiting())


def test_failure_to_start_the_drainer_loses_no_turn(fleet: Fleet) -> None:
    python = fleet.home / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/no/such/interpreter\n")
    python.chmod(0o755)

    done = fleet.hook("stop", payload("Stop"), fleet.folder, background=True)

    assert answer_of(done) == {}
    assert len(fleet.waiting()) == 1


def test_drainer_that_cannot_import_a_library_logs_it(fleet: Fleet) -> None:
    # A plugin without an installed environment, on the system's interpreter.
    plugin = fleet.folder / "plugin"
    for name in ("hooks", "fleet_lib"):
        shutil.copytree(ROOT / name, plugin / name, ignore=shutil.ignore_patterns("__pycache__"))
    (plugin / "fleet_lib" / "drain" / "drainer.py").write_text(
        "import a_library_that_is_not_here\n"
    )

    done = subprocess.run(
        [sys.executable, "-I", "-S", str(plugin / "hooks" / "stop.py")],
        input=STOP,
        env=fleet.env(),
        capture_output=True,
    )

    assert answer_of(done) == {}
    wait_until(lambda: "a_library_that_is_not_here" in fleet.log())
    assert len(fleet.waiting()) == 1
