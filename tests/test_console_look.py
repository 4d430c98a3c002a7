"""What a user sees: the console in a pseudo-terminal of 80 columns. Text of a briefing must never
control the terminal."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from support import ROOT, Fleet, make_repository

from commander.cli import _display
from fleet_lib import clock

SGR = re.compile(r"\x1b\[[\d;]*m")
HOSTILE_TEXT = (
    "\x1b[31mred\x1b[0m \x1b]8;;http://evil.example\x07link\x1b]8;;\x07 \x1b]0;title\x07 \x9b2J \x07 \x1bc"
    " \u202egnirts [red]literal[/red] [link=http://evil.example]x[/link] :smile: &#27;[2J"
)
COMMANDS = [
    ("status",),
    ("projects", "list"),
    ("briefings", "list"),
    ("briefings", "search", "literal"),
    ("briefings", "show", "2"),
    ("events", "list"),
    ("prelude",),
]


class Terminal:
    """A console command in a pseudo-terminal."""

    def __init__(
        self, fleet: Fleet, *arguments: str, columns: int = 80, rows: int = 200, **environment: str
    ) -> None:
        self._main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "commander.cli", *arguments],
            stdin=side,
            stdout=side,
            stderr=side,
            env=fleet.env(**{"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"} | environment),
            cwd=ROOT,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        os.close(side)
        self.output = ""

    def read_until(self, pattern: str | None = None, seconds: float = 20.0) -> str:
        """The printed text, up to `pattern` or the end."""
        deadline = time.monotonic() + seconds
        data = self.output.encode()
        while pattern is None or pattern.encode() not in data:
            ready, _, _ = select.select([self._main], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"no {pattern!r} in {data!r}"
            try:
                more = os.read(self._main, 65536)
            except OSError:  # how Linux reports the end of a terminal
                more = b""
            if not more:
                assert pattern is None, f"no {pattern!r} in {data!r}"
                break
            data += more
        self.output = data.decode()
        return self.output

    def type(self, keys: str) -> None:
        os.write(self._main, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._main, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def end(self) -> str:
        text = self.read_until()
        assert self.process.wait(10) == 0, text
        os.close(self._main)
        return text.replace("\r\n", "\n")


def run_in_terminal(fleet: Fleet, *arguments: str, **options: object) -> str:
    return Terminal(fleet, *arguments, **options).end()  # type: ignore[arg-type]


@pytest.fixture
def captured(fleet: Fleet) -> Fleet:
    """Projects with long, wide and hostile texts."""
    names = ("shop-api", "a-repository-with-quite-a-long-name-indeed", "payments")
    folders = [make_repository(fleet.folder / name) for name in names]
    long_text = "Payment tests need the staging credentials of the provider, " * 4
    texts = (
        f"status: blocked\nsummary: {long_text}",
        None,
        "summary: 日本語の要約がここにあります。🎉 " + "終わり" * 40,
    )
    for number, (folder, text) in enumerate(zip(folders, texts, strict=True), start=1):
        message = (
            f"```briefing\n{text}\n```"
            if text
            else f"# Done\n\n{HOSTILE_TEXT}\n\n- [a](http://a.example)\n"
        )
        call = {"session_id": f"s{number}", "prompt_id": "p", "last_assistant_message": message}
        fleet.hook("stop", call, folder)
    fleet.drain()
    # Text that another program may have stored without Fleet's redaction and cleaning.
    fleet.rows("UPDATE turns SET summary = ? WHERE briefing_id = 2", HOSTILE_TEXT)
    fleet.rows(
        "UPDATE briefings SET raw_markdown = raw_markdown || ? WHERE briefing_id = 2", HOSTILE_TEXT
    )
    fleet.rows("UPDATE projects SET repo_root = repo_root || ?", "\x1b]0;x\x07")
    return fleet


def test_lines_do_not_wrap_and_columns_align(captured: Fleet) -> None:
    for command in COMMANDS[:4] + COMMANDS[5:6]:
        for columns in (80, 120):
            lines = SGR.sub("", run_in_terminal(captured, *command, columns=columns)).splitlines()
            assert len(lines) >= 2, command
            assert max(cell_len(line) for line in lines) <= columns, command
            if command[1:] == ("list",):
                column = lines[0].index(lines[0].split()[-1])
                for line in lines[1:]:
                    assert line[_index_at_cell(line, column) - 2 :].startswith("  "), command


def _index_at_cell(line: str, cells: int) -> int:
    return next(at for at in range(len(line) + 1) if cell_len(line[:at]) >= cells)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_only_colours_are_escape_sequences_for_any_briefing(
    captured: Fleet, command: tuple[str, ...]
) -> None:
    printed = run_in_terminal(captured, *command)
    assert SGR.search(printed) or command == ("prelude",)
    text = SGR.sub("", printed)
    assert [char for char in text if not char.isprintable() and char not in "\n\t"] == []
    assert "\x1b[2J" not in printed and "\x1b]" not in printed


def test_markup_in_text_is_printed_literally(captured: Fleet) -> None:
    for command in (("briefings", "show", "2"), ("briefings", "list")):
        wide = SGR.sub("", run_in_terminal(captured, *command, columns=300))
        assert "[red]literal[/red]" in wide and ":smile:" in wide


def test_briefing_is_rendered_on_a_terminal_and_raw_in_a_pipe(captured: Fleet) -> None:
    screen = SGR.sub("", run_in_terminal(captured, "briefings", "show", "2"))
    assert "# Done" not in screen and "Done" in screen and "http://a.example" in screen
    assert "# Done" in captured.console("briefings", "show", "2").stdout


def test_front_matter_is_not_a_heading_or_an_excerpt(captured: Fleet) -> None:
    text = (
        "---\nstatus: blocked\nsummary: Waits for ops\nblockers: [zeta key]\n---\nUse `pay.py`.\n"
    )
    call = {"session_id": "f", "prompt_id": "p"}
    captured.hook(
        "stop", call | {"last_assistant_message": f"```briefing\n{text}```"}, captured.folder
    )
    captured.drain()
    raw = run_in_terminal(captured, "briefings", "show", "4")
    assert "\x1b[40m" not in raw and ";40m" not in raw  # no black background
    screen = [line.strip() for line in SGR.sub("", raw).splitlines()]
    assert (
        "status: blocked" not in screen  # the facts above have it
        and "- zeta key" in screen
        and "Use pay.py." in screen
    )
    assert not any("status: blocked summary:" in line for line in screen)
    for phrase, excerpt in (
        ("pay", "Use `pay.py`."),
        ("zeta", "zeta key"),
        ("ops", "Waits for ops"),
    ):
        briefings = json.loads(captured.console("briefings", "search", phrase, "--json").stdout)
        assert [row["excerpt"].strip() for row in briefings if row["briefing_id"] == 4] == [excerpt]
        assert "summary:" not in run_in_terminal(captured, "briefings", "search", phrase)


def test_states_have_meaningful_colours(captured: Fleet) -> None:
    listed = run_in_terminal(captured, "briefings", "list")
    assert re.search(r"\x1b\[31mblocked", listed) and re.search(r"\x1b\[32mdone", listed)


def test_usage_by_session_names_the_sessions_on_a_terminal(captured: Fleet) -> None:
    captured.rows("UPDATE turns SET title = 'Pay with the new client' WHERE session_id = 's1'")
    captured.rows("INSERT INTO usage_kinds VALUES (1, 'claude-opus-4-6', 'standard', 0)")
    captured.rows(
        "INSERT INTO usage_sums (session_id, turn_key, quarter, kind_id, input_tokens,"
        " output_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens)"
        " VALUES ('s1', '', 1966000, 1, 10, 20, 0, 0, 0), ('s9', '', 1966000, 1, 5, 0, 0, 0, 0)"
    )
    shown = run_in_terminal(captured, "usage", "--by", "session", columns=120)
    lines = SGR.sub("", shown).splitlines()
    assert [line.rstrip().split("  ")[-1].strip() for line in lines[:3]] == [
        *("title", "Pay with the new client", "-")
    ]
    assert "title" not in captured.console("usage", "--by", "session").stdout


def test_state_is_one_word_on_screens_and_the_database_value_in_json(captured: Fleet) -> None:
    question = "```briefing\nstatus: waiting_for_input\nsummary: Which layout?\n```"
    call = {"session_id": "s4", "prompt_id": "p", "last_assistant_message": question}
    captured.hook("stop", call, captured.folder / "payments")
    needed = {"notification_type": "permission_prompt", "message": "Claude needs permission"}
    captured.hook("notification", {"session_id": "s3"} | needed, captured.folder / "payments")
    expected_words = {
        ("status",): {"needs permission", "asks you", "blocked", "done"},
        ("briefings", "list"): {"asks you", "blocked", "done"},
        ("briefings", "show", "4"): {"asks you"},
        ("events", "list"): {"needs permission", "asks you", "blocked", "done"},
    }
    for command, expected in expected_words.items():
        screen = SGR.sub("", run_in_terminal(captured, *command, columns=200))
        assert all(word in screen for word in expected), (command, screen)
        if command[-1] != "4":  # a briefing shows the text of its author
            assert "waiting" not in screen.replace("0 waiting", ""), (command, screen)
            assert "completed" not in screen, (command, screen)
    listed = json.loads(captured.console("briefings", "list", "--json").stdout)
    assert [row["status"] for row in listed][:2] == ["waiting_for_input", "completed"]
    needing = json.loads(captured.console("status", "--json").stdout)["needs_you"]
    assert [row["reason"] for row in needing] == ["permission", "question", "blocked"]


def test_the_prelude_and_the_list_of_events_agree_on_another_programs_status(
    captured: Fleet,
) -> None:
    captured.rows(
        "INSERT INTO outbox_events (ts, type, payload_json) VALUES ('2026-11-23T06:55:16.123Z',"
        """ 'briefing_added', '{"status": "blocked", "message": "no key"}')"""
    )
    assert "· blocked: no key ·" in captured.console("prelude").stdout
    (row,) = [
        row for row in run_in_terminal(captured, "events", "list").splitlines() if "no key" in row
    ]
    assert "blocked" in row and "briefing" not in row


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_are_off_when_disabled_or_piped(
    captured: Fleet, environment: dict[str, str]
) -> None:
    printed = run_in_terminal(captured, "status", **environment)
    assert not re.search(r"\x1b\[(?:[\d;]*;)?3\dm", printed)
    assert "shop-api" in printed


def test_long_output_is_paged_only_on_a_terminal(captured: Fleet, tmp_path: Path) -> None:
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho paged; cat\n")
    pager.chmod(0o755)
    assert run_in_terminal(captured, "briefings", "list", rows=3, PAGER=str(pager)).startswith(
        "paged"
    )
    assert "paged" not in run_in_terminal(captured, "briefings", "list", rows=60, PAGER=str(pager))
    assert "paged" not in run_in_terminal(
        captured, "--no-pager", "briefings", "list", rows=3, PAGER=str(pager)
    )
    assert "paged" not in run_in_terminal(
        captured, "briefings", "list", "--json", rows=3, PAGER=str(pager)
    )
    captured.environment["PAGER"] = str(pager)  # a pipe uses no pager
    assert "paged" not in captured.console("briefings", "list", "-n", "500").stdout


def test_less_is_asked_to_keep_colours(captured: Fleet, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "less"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho LESS=$LESS; cat\n")
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    printed = run_in_terminal(captured, "briefings", "list", rows=3, PATH=path)
    assert printed.startswith("LESS=-FRX") and "\x1b[31mblocked" in printed


def test_watch_redraws_on_changes_and_ends_cleanly(captured: Fleet) -> None:
    terminal = Terminal(captured, "status", "--watch", "0.5", rows=30)
    terminal.read_until("Stop with Ctrl-C")
    time.sleep(1.2)
    call = {"session_id": "s9", "prompt_id": "p", "last_assistant_message": "A new turn is here."}
    captured.hook("stop", call, captured.folder / "shop-api")
    terminal.read_until("A new turn is here")
    # Drawn once at first and once for the new turn, but not at every poll.
    assert terminal.output.count("Stop with Ctrl-C") <= 3
    terminal.process.send_signal(signal.SIGINT)
    rest = terminal.end()
    assert "Traceback" not in rest and rest.rstrip().endswith("\x1b[?25h")
    assert "\x1b[?1049l" in rest
    assert captured.waiting() == []


@pytest.mark.slow
def test_the_bell_rings_once_for_each_session_that_begins_to_need_you(captured: Fleet) -> None:
    terminal = Terminal(captured, "status", "--watch", "600", rows=40)
    terminal.read_until("Press 1 to go there. Stop with Ctrl-C or q.")
    assert "\a" not in terminal.output, "not for what needed you before"
    for number, message in enumerate(("Shall I go on?", "Done.", "Which one?"), start=7):
        call = {"session_id": f"s{number}", "prompt_id": "p", "last_assistant_message": message}
        captured.hook("stop", call, captured.folder / "shop-api")
        terminal.read_until(message)  # at once, though the times are refreshed every ten minutes
    terminal.read_until("Press 1 to 3 to go there")
    terminal.resize(60, 12)
    terminal.read_until("more lines")
    assert terminal.output.count("\a") == 2
    terminal.type("x")
    terminal.type("q")
    assert terminal.end().rstrip().endswith("\x1b[?25h"), "the cursor is shown again"


def test_followed_events_keep_their_columns_aligned(captured: Fleet) -> None:
    terminal = Terminal(captured, "events", "tail", "--after", "0")
    terminal.read_until("日本")
    terminal.process.send_signal(signal.SIGINT)
    lines = SGR.sub("", terminal.end()).splitlines()[:4]
    assert len(lines) == 4
    for line in lines:
        assert cell_len(line) <= 80
        assert re.match(r"e\d {4}  \d\d:\d\d:\d\d  \S", line)
        at = _index_at_cell(line, 34)
        assert re.search(r"  (blocked|done) +\S", line[at - 2 :]), line


def test_rich_is_imported_only_for_terminal_output(captured: Fleet) -> None:
    code = (
        "import sys\nfrom commander.cli import main\n"
        "try: main(['status'])\nexcept SystemExit: pass\n"
        "sys.stderr.write(str('rich' in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=captured.env(), cwd=ROOT, capture_output=True, text=True
    )
    assert done.stderr == "False"


@pytest.mark.parametrize(
    ("seconds", "phrase"),
    [
        (0, "just now"),
        (50, "just now"),
        (240, "4m ago"),
        (7300, "2h ago"),
        (86400 * 3, "3d ago"),
        (86400 * 30, "4w ago"),
    ],
)
def test_times_are_shown_in_relative_words(seconds: int, phrase: str) -> None:
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - seconds - 0.5))
    assert clock.age(moment) == phrase


def test_invalid_time_is_truncated_and_never_an_error() -> None:
    assert clock.age("yesterday\x1b[31m at noon, or so") == "yesterday at no…"


@given(st.text(st.characters(), max_size=200), st.integers(20, 120))
def test_text_never_controls_the_terminal_or_breaks_its_table(text: str, width: int) -> None:
    import io

    from rich.console import Console

    console = Console(
        file=io.StringIO(), width=width, force_terminal=True, markup=False, color_system="standard"
    )
    table = _display.Table(("id", "status", "text"), [(text, text, text), ("#1", "blocked", "x")])
    rendered = _display.Harmless(
        table.rich(width), _display.Line((text,)).rich(width), _display.markdown(text)
    )
    console.print(rendered, end="")
    printed = SGR.sub("", console.file.getvalue())  # type: ignore[attr-defined]
    assert [char for char in printed if not char.isprintable() and char not in "\n\t"] == []
    rows = printed.split("\n")[:4]
    assert all(cell_len(row) <= width for row in rows)
    plain = [*table.plain(), *_display.Line((text,)).plain()]
    assert len(plain) == 4 and all(line.isprintable() for line in plain)
