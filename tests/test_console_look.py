"""What a person sees: the console in a pseudo-terminal of 80 columns. No text of a briefing may steer it."""

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
NASTY = (
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
        self.seen = ""

    def read_until(self, wanted: str | None = None, seconds: float = 20.0) -> str:
        """All that was printed, up to `wanted` or the end."""
        deadline = time.monotonic() + seconds
        data = self.seen.encode()
        while wanted is None or wanted.encode() not in data:
            ready, _, _ = select.select([self._main], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"no {wanted!r} in {data!r}"
            try:
                more = os.read(self._main, 65536)
            except OSError:  # Linux's word for the end of a terminal
                more = b""
            if not more:
                assert wanted is None, f"no {wanted!r} in {data!r}"
                break
            data += more
        self.seen = data.decode()
        return self.seen

    def end(self) -> str:
        text = self.read_until()
        assert self.process.wait(10) == 0, text
        os.close(self._main)
        return text.replace("\r\n", "\n")


def see(fleet: Fleet, *arguments: str, **options: object) -> str:
    return Terminal(fleet, *arguments, **options).end()  # type: ignore[arg-type]


@pytest.fixture
def used(fleet: Fleet) -> Fleet:
    """Projects with long, wide and nasty texts."""
    names = ("shop-api", "a-repository-with-quite-a-long-name-indeed", "payments")
    folders = [make_repository(fleet.folder / name) for name in names]
    long = "Payment tests need the staging credentials of the provider, " * 4
    texts = (
        f"status: blocked\nsummary: {long}",
        None,
        "summary: 日本語の要約がここにあります。🎉 " + "終わり" * 40,
    )
    for number, (folder, text) in enumerate(zip(folders, texts, strict=True), start=1):
        message = (
            f"```briefing\n{text}\n```"
            if text
            else f"# Done\n\n{NASTY}\n\n- [a](http://a.example)\n"
        )
        call = {"session_id": f"s{number}", "prompt_id": "p", "last_assistant_message": message}
        fleet.hook("stop", call, folder)
    fleet.drain()
    # What another program may have written, past our own redaction and cleaning.
    fleet.rows("UPDATE turns SET summary = ? WHERE briefing_id = 2", NASTY)
    fleet.rows("UPDATE briefings SET raw_markdown = raw_markdown || ? WHERE briefing_id = 2", NASTY)
    fleet.rows("UPDATE projects SET repo_root = repo_root || ?", "\x1b]0;x\x07")
    return fleet


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("command", COMMANDS[:4] + COMMANDS[5:6], ids=" ".join)
def test_nothing_wraps_and_columns_stand_under_each_other(
    used: Fleet, command: tuple[str, ...], columns: int
) -> None:
    lines = SGR.sub("", see(used, *command, columns=columns)).splitlines()
    assert len(lines) >= 2
    assert max(cell_len(line) for line in lines) <= columns
    if command[1:] == ("list",):
        place = lines[0].index(lines[0].split()[-1])
        for line in lines[1:]:
            assert line[_index_at_cell(line, place) - 2 :].startswith("  ")


def _index_at_cell(line: str, cells: int) -> int:
    return next(at for at in range(len(line) + 1) if cell_len(line[:at]) >= cells)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_only_colours_are_escape_sequences_whatever_a_briefing_holds(
    used: Fleet, command: tuple[str, ...]
) -> None:
    printed = see(used, *command)
    assert SGR.search(printed) or command == ("prelude",)
    text = SGR.sub("", printed)
    assert [char for char in text if not char.isprintable() and char not in "\n\t"] == []
    assert "\x1b[2J" not in printed and "\x1b]" not in printed


def test_markup_in_a_text_is_printed_as_it_is(used: Fleet) -> None:
    for command in (("briefings", "show", "2"), ("briefings", "list")):
        wide = SGR.sub("", see(used, *command, columns=300))
        assert "[red]literal[/red]" in wide and ":smile:" in wide


def test_a_briefing_is_rendered_for_a_person_and_raw_in_a_pipe(used: Fleet) -> None:
    seen = SGR.sub("", see(used, "briefings", "show", "2"))
    assert "# Done" not in seen and "Done" in seen and "http://a.example" in seen
    assert "# Done" in used.console("briefings", "show", "2").stdout


def test_front_matter_is_no_heading_and_no_excerpt(used: Fleet) -> None:
    text = (
        "---\nstatus: blocked\nsummary: Waits for ops\nblockers: [zeta key]\n---\nUse `pay.py`.\n"
    )
    call = {"session_id": "f", "prompt_id": "p"}
    used.hook("stop", call | {"last_assistant_message": f"```briefing\n{text}```"}, used.folder)
    used.drain()
    raw = see(used, "briefings", "show", "4")
    assert "\x1b[40m" not in raw and ";40m" not in raw  # no black background
    seen = [line.strip() for line in SGR.sub("", raw).splitlines()]
    assert "status: blocked" in seen and "summary: Waits for ops" in seen and "Use pay.py." in seen
    assert not any("status: blocked summary:" in line for line in seen)
    for words, excerpt in (
        ("pay", "Use `pay.py`."),
        ("zeta", "zeta key"),
        ("ops", "Waits for ops"),
    ):
        told = json.loads(used.console("briefings", "search", words, "--json").stdout)
        assert [row["excerpt"].strip() for row in told if row["briefing_id"] == 4] == [excerpt]
        assert "summary:" not in see(used, "briefings", "search", words)


def test_states_have_colours_that_mean_something(used: Fleet) -> None:
    listed = see(used, "briefings", "list")
    assert re.search(r"\x1b\[31mblocked", listed) and re.search(r"\x1b\[32mdone", listed)


def test_a_state_has_one_word_on_every_screen_and_its_database_value_in_json(used: Fleet) -> None:
    asking = "```briefing\nstatus: waiting_for_input\nsummary: Which layout?\n```"
    call = {"session_id": "s4", "prompt_id": "p", "last_assistant_message": asking}
    used.hook("stop", call, used.folder / "payments")
    needed = {"notification_type": "permission_prompt", "message": "Claude needs permission"}
    used.hook("notification", {"session_id": "s3"} | needed, used.folder / "payments")
    words = {
        ("status",): {"needs permission", "asks you", "blocked", "done"},
        ("briefings", "list"): {"asks you", "blocked", "done"},
        ("briefings", "show", "4"): {"asks you"},
        ("events", "list"): {"needs permission", "asks you", "blocked", "done"},
    }
    for command, expected in words.items():
        seen = SGR.sub("", see(used, *command, columns=200))
        assert all(word in seen for word in expected), (command, seen)
        if command[-1] != "4":  # a briefing is shown with the text that its author wrote
            assert "waiting" not in seen.replace("0 waiting", ""), (command, seen)
            assert "completed" not in seen, (command, seen)
    listed = json.loads(used.console("briefings", "list", "--json").stdout)
    assert [row["status"] for row in listed][:2] == ["waiting_for_input", "completed"]
    needing = json.loads(used.console("status", "--json").stdout)["needs_you"]
    assert [row["reason"] for row in needing] == ["permission", "question", "blocked"]


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_are_off_where_they_are_not_wanted(
    used: Fleet, environment: dict[str, str]
) -> None:
    printed = see(used, "status", **environment)
    assert not re.search(r"\x1b\[(?:[\d;]*;)?3\dm", printed)
    assert "shop-api" in printed


def test_long_output_goes_through_the_pager_and_only_a_persons(used: Fleet, tmp_path: Path) -> None:
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho paged; cat\n")
    pager.chmod(0o755)
    assert see(used, "briefings", "list", rows=3, PAGER=str(pager)).startswith("paged")
    assert "paged" not in see(used, "briefings", "list", rows=60, PAGER=str(pager))
    assert "paged" not in see(used, "--no-pager", "briefings", "list", rows=3, PAGER=str(pager))
    assert "paged" not in see(used, "briefings", "list", "--json", rows=3, PAGER=str(pager))
    used.environment["PAGER"] = str(pager)  # a pipe has none
    assert "paged" not in used.console("briefings", "list", "-n", "500").stdout


def test_less_is_asked_to_keep_colours(used: Fleet, tmp_path: Path) -> None:
    less = tmp_path / "bin" / "less"
    less.parent.mkdir()
    less.write_text("#!/bin/sh\necho LESS=$LESS; cat\n")
    less.chmod(0o755)
    path = f"{less.parent}{os.pathsep}{os.environ['PATH']}"
    printed = see(used, "briefings", "list", rows=3, PATH=path)
    assert printed.startswith("LESS=-FRX") and "\x1b[31mblocked" in printed


def test_watch_draws_again_when_something_changed_and_ends_cleanly(used: Fleet) -> None:
    terminal = Terminal(used, "status", "--watch", "0.5", rows=30)
    terminal.read_until("Stop with Ctrl-C")
    time.sleep(1.2)
    call = {"session_id": "s9", "prompt_id": "p", "last_assistant_message": "A new turn is here."}
    used.hook("stop", call, used.folder / "shop-api")
    terminal.read_until("A new turn is here")
    # Drawn once at first, and again for the new turn; not at every look.
    assert terminal.seen.count("Stop with Ctrl-C") <= 3
    terminal.process.send_signal(signal.SIGINT)
    rest = terminal.end()
    assert "Traceback" not in rest and rest.rstrip().endswith("\x1b[?25h")
    assert "\x1b[?1049l" in rest
    assert used.waiting() == []


def test_events_that_come_one_by_one_stand_under_each_other(used: Fleet) -> None:
    terminal = Terminal(used, "events", "tail", "--after", "0")
    terminal.read_until("日本")
    terminal.process.send_signal(signal.SIGINT)
    lines = SGR.sub("", terminal.end()).splitlines()[:4]
    assert len(lines) == 4
    for line in lines:
        assert cell_len(line) <= 80
        assert re.match(r"e\d {4}  \d\d:\d\d:\d\d  \S", line)
        at = _index_at_cell(line, 34)
        assert re.search(r"  (blocked|done) +\S", line[at - 2 :]), line


def test_rich_is_imported_only_where_a_person_looks(used: Fleet) -> None:
    code = (
        "import sys\nfrom commander.cli import main\n"
        "try: main(['status'])\nexcept SystemExit: pass\n"
        "sys.stderr.write(str('rich' in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=used.env(), cwd=ROOT, capture_output=True, text=True
    )
    assert done.stderr == "False"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (50, "just now"),
        (240, "4m ago"),
        (7300, "2h ago"),
        (86400 * 3, "3d ago"),
        (86400 * 30, "4w ago"),
    ],
)
def test_times_are_told_as_a_person_would(seconds: int, words: str) -> None:
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - seconds - 0.5))
    assert clock.age(moment) == words


def test_a_time_that_is_none_is_cut_and_never_an_error() -> None:
    assert clock.age("yesterday\x1b[31m at noon, or so") == "yesterday at no…"


@given(st.text(st.characters(), max_size=200), st.integers(20, 120))
def test_no_text_steers_a_terminal_or_leaves_its_table(text: str, width: int) -> None:
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
