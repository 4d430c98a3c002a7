"""The dashboard in a real browser."""

import contextlib
import json
import re
import signal
import sqlite3
import time
from pathlib import Path

import pytest
from browser import is_complete, open_page, press_both
from gateway_world import Gateway, insert_events, stop_turn
from playwright.sync_api import Page, Route, expect
from relay_world import Server, joined
from support import ROOT, Fleet, make_repository, payload
from support_transcripts import Conversation

from fleet_lib import clock
from fleet_lib.lines import STATE_WORDS

pytestmark = pytest.mark.slow

BLOCKED = "I wait.\n\n```briefing\n---\nstatus: blocked\nsummary: Stuck on a key\nblockers: [the staging key]\n---\n```"
AXE = ROOT / ".tools" / "axe" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture
def alpha(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "alpha")


@pytest.fixture
def beta(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "beta")


def log_in(page: Page, gateway: Gateway) -> None:
    page.goto(gateway.link)
    is_live(page)


def is_live(page: Page) -> None:
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")


def has_focus(page: Page, text: str) -> None:
    """The row with this text gets the focus, or has it."""
    expect(page.locator("#main .row:focus-within")).to_contain_text(text)


def hold_back(page: Page, address: str) -> list[Route]:
    """From now on, requests to this address wait here."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route(address, hold)
    return held


def let_go(page: Page, held: list[Route]) -> None:
    """Let the first request that is held back go, once the page has sent it."""
    while not held:
        page.wait_for_timeout(20)
    held[0].continue_()


def test_printed_link_opens_the_dashboard_and_a_turn_appears_live(
    gateway: Gateway, fleet: Fleet, alpha: Path, beta: Path
) -> None:
    with open_page() as page:
        log_in(page, gateway)
        assert page.url == gateway.page + "/", "the code must not stay in the URL"
        expect(page.locator("h1")).to_have_text("Nothing needs your attention.")
        expect(page.locator(".empty")).to_contain_text("fleet import --since 30d")
        stop_turn(fleet, alpha, 1, "The parser is fixed.")
        expect(page.locator("#recent")).to_contain_text("The parser is fixed.")
        stop_turn(fleet, beta, 2, BLOCKED, "s-2")
        expect(page.locator("h1")).to_have_text("1 session needs you")
        expect(page.locator("#needs .row")).to_contain_text("the staging key")
        expect(page.locator("#needs .tag")).to_have_text("blocked")
        expect(page.locator("#projects .row")).to_have_count(2)
        expect(page).to_have_title("1 session needs you – Fleet")
        expect(page.locator("nav .badge")).to_have_text("1 need you")

        # After an answer in a terminal it disappears by itself.
        stop_turn(fleet, beta, 3, "The work continues.", "s-2")
        expect(page.locator("h1")).to_have_text("Nothing needs your attention.")
        expect(page).to_have_title("Nothing needs your attention – Fleet")
        page.click("#recent .row:has-text('alpha') [data-row]")
        expect(page.locator("h1")).to_have_text("The parser is fixed.")
        assert page.url == gateway.page + "/briefing/1"
        page.go_back()
        expect(page.locator("#recent")).to_be_visible()
        # A question, and what it leaves open; a permission; what works, and since when.
        question = "Shall I use the table or the file?"
        stop_turn(fleet, alpha, 4, f"I read the code.\n\n{question}", "s-1")
        expect(page.locator("#needs .text")).to_have_text(question)
        fleet.hook("session_end", payload("SessionEnd-other") | {"session_id": "s-1"}, alpha)
        fleet.drain()
        stop_turn(fleet, beta, 5, "Another turn is done.", "s-2")
        _until_briefings(fleet, 5)
        expect(page.locator("h1")).to_have_text("1 session is left open")
        expect(page.locator("#left-open .tag")).to_have_text("asks you")
        fleet.rows(
            "UPDATE sessions SET state = 'working', state_at ="
            " strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-121 seconds') WHERE session_id = 's-2'"
        )
        page.reload()
        expect(page.locator("#working .row")).to_contain_text("beta")
        expect(page.locator("#working time")).to_have_text("2m")
        # Each project and each session is in one place.
        expect(page.locator("#projects .row")).to_have_count(2)


def test_keys_lead_from_what_needs_you_to_its_command_and_hide_it_in_every_tab(
    gateway: Gateway, fleet: Fleet, alpha: Path, beta: Path
) -> None:
    stop_turn(fleet, alpha, 1, BLOCKED, "s-1")
    stop_turn(fleet, beta, 2, "Which of the two do you want?", "s-2")
    _until_briefings(fleet, 2)
    with open_page() as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        log_in(page, gateway)
        expect(page.locator("#needs .row")).to_have_count(2)
        other = page.context.new_page()
        other.goto(gateway.page)
        expect(other.locator("#needs .row")).to_have_count(2)
        page.bring_to_front()
        keys = page.keyboard
        # One key for the newest.
        keys.press("y")
        expect(page.locator(".message")).to_contain_text("claude --resume s-2")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == f"cd {beta} && claude --resume s-2"
        keys.press("j")
        keys.press("j")
        has_focus(page, "the staging key")
        keys.press("c")
        expect(page.locator(".message")).to_contain_text("claude --resume s-1")
        keys.press("e")
        for tab in (page, other):
            expect(tab.locator("#needs .row")).to_have_count(1)
        has_focus(page, "Which of the two")  # the next key acts on the next row
        keys.press("z")
        for tab in (page, other):
            expect(tab.locator("#needs .row")).to_have_count(2)
        # Also before the gateway has answered.
        held = hold_back(page, "**/dismiss")
        keys.press("e")
        expect(page.locator("#needs .row")).to_have_count(1)
        has_focus(page, "the staging key")
        keys.press("z")
        let_go(page, held)
        expect(page.locator("#needs .row")).to_have_count(2)
        expect(page.locator(".message")).to_contain_text("is shown again")
        page.unroute("**/dismiss")
        keys.press("k")
        has_focus(page, "Which of the two")
        keys.press("s")
        expect(page.locator("#snooze")).to_contain_text("beta")
        keys.press("2")
        for tab in (page, other):
            expect(tab.locator("#needs .row")).to_have_count(1)
        ((until,),) = fleet.rows("SELECT hidden_until FROM sessions WHERE session_id = 's-2'")
        assert "T" in until and not until.startswith("9999")
        # What is done at the console is seen too, without an event.
        fleet.console("dismiss", "s-1")
        for tab in (page, other):
            expect(tab.locator("h1")).to_have_text("Nothing needs your attention.")
        # What is hidden is at the end, until it is shown again.
        page.click("#hidden button")
        expect(page.locator("#hidden .row")).to_have_count(2)
        page.click("#hidden .row:has-text('the staging key') button")
        expect(page.locator("#hidden .row")).to_have_count(1)
        expect(page.locator("#needs .row")).to_have_count(1)
        page.goto(f"{gateway.page}/session/s-2")
        expect(page.locator(".card.hidden")).to_contain_text("Snoozed until")
        page.goto(f"{gateway.page}/session/s-1")
        expect(page.locator(".waits")).to_contain_text("the staging key")
        page.click(".waits button:has-text('Dismiss')")
        expect(page.locator(".waits")).to_have_count(0)
        page.click(".message button")
        expect(page.locator(".waits")).to_have_count(1)
        # Of another machine, while this one shares no project.
        for table in ("sessions", "briefings"):
            fleet.rows(f"UPDATE {table} SET session_id = 's-1@relay/box' WHERE session_id = 's-1'")
        page.goto(f"{gateway.page}/session/s-1@relay%2Fbox")
        page.click(".waits button:has-text('Dismiss')")
        expect(page.locator(".message")).to_contain_text("Other machines do not learn of this.")


def test_other_pages_are_reached_by_keys_and_the_focus_is_kept(
    gateway: Gateway, fleet: Fleet, alpha: Path
) -> None:
    for number in range(1, 4):
        stop_turn(fleet, alpha, number, f"Turn {number} of it.", f"s-{number}")
    with open_page() as page:
        log_in(page, gateway)
        keys = page.keyboard

        def go(key: str) -> None:
            press_both(page, "g", key)

        go("t")
        expect(page.locator("#events .row")).to_have_count(3)
        keys.press("j")
        keys.press("j")
        has_focus(page, "Turn 2")
        stop_turn(fleet, alpha, 4, "Turn 4 of it.", "s-4")
        expect(page.locator("#events .row")).to_have_count(4)
        has_focus(page, "Turn 2")  # the focus moved
        keys.press("Enter")
        expect(page.locator("h1")).to_have_text("Turn 2 of it.")
        keys.press("Escape")
        expect(page.locator("#events")).to_be_visible()
        go("c")
        expect(page.locator("h1")).to_contain_text("next prompt")
        keys.press("?")
        expect(page.locator("#help")).to_contain_text("Next and previous row")
        keys.press("Escape")
        expect(page.locator("#help")).to_be_hidden()
        expect(page.locator("h1")).to_contain_text("next prompt")
        for key, heading in (("s", "Sessions"), ("j", "Jobs"), ("u", "Usage")):
            go(key)
            expect(page.locator("h1")).to_have_text(heading)
            expect(page.locator("nav [aria-current]")).to_contain_text(heading)
        go("h")
        expect(page.locator("#recent")).to_be_visible()
        keys.press("/")
        keys.type("turn 3")
        expect(page.locator("#found .row")).to_have_count(1)
        expect(page.locator("#found mark").first).to_have_text("Turn")
        assert re.search(r"/search\?q=turn(%20|\+)3$", page.url)
        keys.press("Enter")
        has_focus(page, "Turn 3")
        # Tab works as usual: the skip link first, each with a visible focus.
        page.goto(gateway.page + "/")
        is_live(page)
        keys.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        names = []
        for _ in range(8):
            names.append(page.evaluate("document.activeElement.textContent.trim().slice(0, 20)"))
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none" or names[-1] == ""
            keys.press("Tab")
        assert "Timeline" in names


def test_timeline_reaches_the_beginning_and_its_filters_are_in_the_address(
    gateway: Gateway, fleet: Fleet, alpha: Path, beta: Path
) -> None:
    for days, text in ((400, "the very first"), (1, "last")):
        fleet.rows(
            "INSERT INTO outbox_events (ts, type, payload_json) VALUES"
            " (strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?), 'briefing_added', ?)",
            f"-{days} days",
            json.dumps({"summary": text}),
        )
        insert_events(fleet, 90, text)
    stop_turn(fleet, alpha, 1, "Alpha did something.", "s-1")
    _until_briefings(fleet, 1)
    stop_turn(fleet, beta, 2, BLOCKED, "s-2")
    _until_briefings(fleet, 2)
    with open_page(timezone_id="UTC", locale="en-GB") as page:
        log_in(page, gateway)
        page.click("nav >> text=Timeline")
        expect(page.locator("#events .row").first).to_contain_text("Stuck on a key")
        expect(page.locator("#events .row")).to_have_count(50)
        for shown in (100, 150, 184):
            page.mouse.wheel(0, 20_000)
            expect(page.locator("#events .row")).to_have_count(shown)
        expect(page.locator("#beginning")).to_be_visible()
        rows = page.locator("#events .row")
        assert rows.count() == 184 and "the very first" in rows.last.inner_text()
        days = page.locator("#events .day").all_inner_texts()
        assert days[0] == "Today" and "Yesterday" in days and re.search(r"\d{4}$", days[-1])
        first = page.locator("#events time").first
        assert re.fullmatch(r"\d\d:\d\d", first.inner_text())
        assert re.search(r"20\d\d.*\d\d:\d\d:\d\d", first.get_attribute("title") or "")
        # What happens meanwhile is added on top.
        stop_turn(fleet, alpha, 3, "Alpha did more.", "s-1")
        expect(rows.first).to_contain_text("Alpha did more.")
        expect(rows).to_have_count(185)
        page.select_option("#filter-type", "session_blocked")
        expect(rows).to_have_count(1)
        assert "type=session_blocked" in page.url
        page.select_option("#filter-type", "")
        page.fill("#filter-project", "alpha")
        expect(rows).to_have_count(2)
        assert "project=alpha__" in page.url
        stop_turn(fleet, beta, 4, "Beta did more.", "s-2")
        stop_turn(fleet, alpha, 5, "Alpha did even more.", "s-3")
        expect(rows).to_have_count(3)
        page.reload()
        expect(rows).to_have_count(3)
        expect(page.locator("#filter-project")).to_have_value("alpha")
        page.select_option("#filter-level", "highlight")
        expect(page.locator("#events")).to_contain_text("Nothing of this kind has happened.")
        page.click("#show-all")
        expect(rows.nth(49)).to_be_visible()
        # Thousands at once do not freeze it.
        insert_events(fleet, 3000, "many")
        expect(rows.first).to_contain_text("many 2999")
        assert rows.count() <= 120


def test_page_says_that_the_gateway_is_away_and_catches_up(
    gateway: Gateway, fleet: Fleet, alpha: Path, tmp_path: Path
) -> None:
    stop_turn(fleet, alpha, 1, "Before.")
    _until_briefings(fleet, 1)
    fleet.wait_for_drainers()
    path = fleet.home / "fleet.db"
    with contextlib.closing(sqlite3.connect(path)) as source:
        source.execute("VACUUM INTO ?", (str(tmp_path / "backup.db"),))
    with open_page() as page:
        log_in(page, gateway)
        page.goto(gateway.page + "/timeline")
        is_live(page)
        rows = page.locator("#events .row")
        expect(rows).to_have_count(1)
        # The network is away, and back: nothing is loaded again but what happened meanwhile.
        page.evaluate("window.mark = 1")
        page.context.set_offline(True)
        expect(page.locator("#offline")).to_be_visible()
        stop_turn(fleet, alpha, 9, "While it was away.", "s-9")
        page.context.set_offline(False)
        is_live(page)
        expect(rows).to_have_count(2)
        expect(page.locator("#offline")).to_have_count(0)
        assert page.evaluate("window.mark") == 1
        gateway.stop()
        expect(page.locator("#connection")).to_have_attribute("data-state", "offline")
        expect(page.locator("#offline")).to_have_text(
            re.compile(r"does not answer\. What you see is of \d\d:\d\d [AP]M, just now\.")
        )
        expect(rows).to_have_count(2)
        for number in range(2, 5):
            stop_turn(fleet, alpha, number, f"Meanwhile {number}.", f"s-{number}")
        _until_briefings(fleet, 5)
        gateway.start()
        # A login ends with the gateway, and the page's name is another one.
        expect(page.locator("h1")).to_have_text("This browser is not logged in")
        expect(page.locator("#offline")).to_have_count(0)
        page.goto(gateway.page + "/timeline#code=" + gateway.code)
        is_live(page)
        assert page.url == gateway.page + "/timeline", "the code must not stay in the address"
        before = ["While it was away.", "Before."]
        texts = ["Meanwhile 4.", "Meanwhile 3.", "Meanwhile 2.", *before]
        expect(page.locator("#events .text")).to_have_text(texts)
        # An older database is restored.
        insert_events(fleet, 3, "lost")
        expect(rows).to_have_count(8)
        fleet.wait_for_drainers()
        _until_delivered(fleet)
        for name in ("fleet.db-wal", "fleet.db-shm"):
            (fleet.home / name).unlink(missing_ok=True)
        (tmp_path / "backup.db").replace(path)
        expect(rows).to_have_count(1)
        is_live(page)
        insert_events(fleet, 1, "after it")
        expect(rows.first).to_contain_text("after it 0")
        # The database is removed and put back, which no event says.
        _until_delivered(fleet)
        with contextlib.closing(sqlite3.connect(path)) as source:
            source.execute("VACUUM INTO ?", (str(tmp_path / "again.db"),))
        for file in fleet.home.glob("fleet.db*"):
            file.unlink(missing_ok=True)  # the gateway removes some of them itself
        page.reload()
        expect(page.locator("#offline")).to_contain_text("The gateway cannot answer: ")
        (tmp_path / "again.db").replace(path)
        expect(rows).to_have_count(2)
        expect(page.locator("#offline")).to_have_count(0)


def test_usage_is_shown_of_today_a_turn_a_session_a_project_and_as_a_plot(
    gateway: Gateway, fleet: Fleet, alpha: Path, beta: Path
) -> None:
    usage = {"input_tokens": 0, "output_tokens": 1_000_000}
    conversation = Conversation(alpha, "s-1", age_days=0)
    conversation.prompt("Make the parser fast").answer(
        "Done.", message={"id": "msg_1", "model": "claude-opus-4-6", "usage": usage}
    )
    file = conversation.write(fleet.home.parent / ".claude" / "projects")
    call = {"session_id": "s-1", "prompt_id": conversation.prompt_id, "cwd": str(alpha)}
    call |= {"last_assistant_message": "Done.", "transcript_path": str(file)}
    fleet.hook("stop", call, project=alpha)
    fleet.drain()
    stop_turn(fleet, beta, 2, "Nothing was used.", "s-2")
    words = "1.0M tokens, list price $25.00"
    with open_page() as page:
        log_in(page, gateway)
        expect(page.locator(".summary")).to_contain_text(f"Today: {words}")
        page.goto(f"{gateway.page}/briefing/1")
        expect(page.locator("h1")).to_have_text("Make the parser fast")
        expect(page.locator("#text")).to_have_text("Done.")
        expect(page.locator("aside")).to_contain_text(f"session's usage{words}")
        page.click(".crumbs >> text=session")
        expect(page.locator("#turns .row")).to_contain_text(words)
        expect(page.locator("aside")).to_contain_text(f"usage{words}")
        page.click(".crumbs >> text=alpha")
        expect(page.locator("aside")).to_contain_text("1M tokens, list price $25.00")
        page.click("nav >> text=Usage")
        expect(page.locator(".plot rect")).to_have_count(1)
        expect(page.locator("#by-project tbody tr")).to_contain_text("alpha")
        expect(page.locator("#by-model tbody tr")).to_contain_text("$25.00")
        page.select_option("#filter-measure", "tokens")
        expect(page.locator(".total")).to_contain_text("1M in 30 days")
        assert "measure=tokens" in page.url


def test_no_raw_database_value_is_shown(gateway: Gateway, fleet: Fleet, alpha: Path) -> None:
    """The page uses the console's words for states."""
    script = ROOT / "commander" / "gateway" / "static" / "words.js"
    table = script.read_text().partition("STATE_WORDS = {")[2].partition("}")[0]
    assert dict(re.findall(r'(\w+): "([^"]+)"', table)) == STATE_WORDS
    for number in range(1, 5):
        stop_turn(fleet, alpha, number, f"Turn {number}.", f"s-{number}")
    _until_briefings(fleet, 4)
    states = ("waiting_for_permission", "waiting_for_input", "working", "completed")
    for number, state in enumerate(states, 1):
        fleet.rows("UPDATE sessions SET state = ? WHERE session_id = ?", state, f"s-{number}")
    fleet.rows(
        "INSERT INTO outbox_events (ts, type, payload_json) VALUES ('x', 'session_blocked', ?)",
        json.dumps({"session": {"status": "waiting_for_permission"}}),
    )
    with open_page() as page:
        log_in(page, gateway)
        expect(page.locator("#needs .tag")).to_have_text(
            ["asks you", "needs permission", "working"]
        )
        page.click("text=Show 1 other open session")
        expect(page.locator("#needs .tag").last).to_have_text("done")
        for address in ("/timeline", "/sessions", "/session/s-1", "/briefing/1", "/jobs"):
            page.goto(gateway.page + address)
            is_complete(page)
            expect(page.locator("main .tag, .empty").first).to_be_visible()
            shown = page.evaluate(_WORDS)
            assert not re.search(r"[a-z]_[a-z]", shown), (address, shown)
        page.goto(gateway.page + "/timeline")
        expect(page.locator("#events .tag").first).to_have_text("needs permission")


# What is on the page, without the texts that are there to be copied.
_WORDS = """(() => {
  const main = document.querySelector("main").cloneNode(true);
  for (const one of main.querySelectorAll(".code, option")) one.remove();
  return main.textContent;
})()"""


def test_jobs_are_submitted_within_the_setting_followed_and_cancelled(
    gateway: Gateway, fleet: Fleet, alpha: Path, tmp_path: Path
) -> None:
    stop_turn(fleet, alpha, 1, "The parser is fixed.")
    _until_briefings(fleet, 1)
    chunk = {"type": "assistant", "message": {"content": [{"type": "text", "text": "I begin."}]}}
    fleet.rows(
        "INSERT INTO jobs (ts_created, ts_started, type, model, status, request_json) VALUES"
        " ('2026-11-24T08:00:00.000Z', '2026-11-24T08:00:00.000Z', 'worker_task', 'haiku', 'running', '{}')"
    )
    fleet.rows("INSERT INTO job_stream_chunks VALUES (1, 0, ?)", json.dumps(chunk))
    fleet.rows(
        "INSERT INTO jobs (ts_created, ts_started, ts_finished, type, model, status, request_json,"
        " result_json) VALUES ('2026-11-24T08:00:00.000Z', '2026-11-24T08:00:00.000Z',"
        " '2026-11-24T08:01:34.000Z', 'worker_task', 'haiku', 'completed', ?, ?)",
        json.dumps({"prompt": "Look at it"}),
        json.dumps({"result": "It is **fine**. <img src=x>"}),
    )
    with open_page() as page:
        log_in(page, gateway)
        for _ in range(3):
            page.click("nav >> text=Jobs")
            page.click("#jobs .row:has-text('running') [data-row]")
            expect(page.locator("#log")).to_have_text("I begin.")
        # What the setting does not allow is not offered.
        fleet.console("config", "set", "gateway.jobs", "off")
        page.reload()
        expect(page.locator("#log")).to_have_text("I begin.")
        expect(page.locator("#cancel")).to_have_count(0)
        page.goto(gateway.page + "/jobs")
        expect(page.locator("main")).to_contain_text("does not allow to submit jobs")
        expect(page.locator("#send")).to_have_count(0)
        fleet.console("config", "set", "gateway.jobs", "read")
        page.goto(gateway.page + "/jobs/1")
        # A single press does not cancel.
        page.click("#cancel")
        expect(page.locator("#cancel")).to_have_text("Press again to cancel it")
        page.click("#cancel")
        expect(page.locator("#job-status")).to_have_text("canceled")
        page.goto(gateway.page + "/jobs/2")
        expect(page.locator("#answer strong")).to_have_text("fine")
        expect(page.locator("#answer img")).to_have_count(0)
        expect(page.locator("aside")).to_contain_text("took1m 34s")
        program = tmp_path / "claude"
        program.write_text(
            "#!/bin/sh\ncat > /dev/null\n"
            """echo '{"type":"result","is_error":false,"result":"It parses."}'\n"""
        )
        program.chmod(0o755)
        fleet.console("config", "set", "claude.program", str(program))
        held = hold_back(page, "**/api/v1/projects")
        page.goto(gateway.page + "/jobs")
        page.click("#submit summary")
        page.click("#send")
        expect(page.locator("#submit [role=alert]")).to_have_text("Choose a project of the list.")
        page.fill("#job-project", "alpha")
        page.fill("#prompt", "Say what the parser does")
        let_go(page, held)  # the list of projects comes after the name was typed
        expect(page.locator("#job-project-list option")).to_have_count(1)
        page.select_option("#filter-model", "haiku")
        page.click("#send")
        expect(page.locator("h1")).to_have_text("Job 3")
        expect(page.locator("main")).to_contain_text("Say what the parser does")
        expect(page.locator("#answer")).to_have_text("It parses.")
        expect(page.locator("#job-status")).to_have_text("done")
        ((request, model),) = fleet.rows("SELECT request_json, model FROM jobs WHERE job_id = 3")
        assert model == "haiku" and "Edit" not in request


def test_long_texts_are_cut_and_long_lists_unfold(
    gateway: Gateway, fleet: Fleet, alpha: Path
) -> None:
    stop_turn(fleet, alpha, 1, f"```briefing\n---\nsummary: {'word ' * 900}\n---\n```", "s-1")
    stop_turn(fleet, alpha, 2, BLOCKED, "s-1")
    _until_briefings(fleet, 2)
    files = json.dumps([f"src/a/long/way/down/the/tree/file-{number}.ts" for number in range(2000)])
    steps = json.dumps([f"step {number}" for number in range(40)])
    fleet.rows("UPDATE briefings SET files_touched_json = ?, next_steps_json = ?", files, steps)
    fleet.rows("UPDATE sessions SET detail = ?", "Bash: rm -rf build" + "/deep" * 2000)
    fleet.rows(
        "WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 310)"
        " INSERT INTO briefings (project_id, session_id, task_id, status, raw_markdown, created_at,"
        " ended_at) SELECT (SELECT project_id FROM projects), 's-1', 't' || v, 'completed',"
        " 'Turn ' || v, '2026', printf('2026-01-01T00:00:%03dZ', v) FROM n"
    )
    with open_page() as page:
        log_in(page, gateway)
        for width in (390, 1440):
            page.set_viewport_size({"width": width, "height": 844})
            for address in ("/", "/sessions", "/timeline", "/session/s-1", "/briefing/1"):
                page.goto(gateway.page + address)
                is_complete(page)
                heights = page.evaluate(
                    "[...document.querySelectorAll('h1, .row')].map((one) => one.offsetHeight)"
                )
                assert heights and max(heights) < 300, (width, address)
                names = page.locator("main a, main button").all_text_contents()
                assert max(map(len, names)) < 700, "a screen reader says them whole"
        page.goto(gateway.page + "/briefing/1")
        expect(page.locator(".files li")).to_have_count(31)
        for button in page.locator("aside button:has-text('more')").all()[::-1]:
            button.click()
        expect(page.locator(".files li")).to_have_count(2000)
        expect(page.locator(".items li")).to_have_count(40)
        page.goto(gateway.page + "/session/s-1")
        expect(page.locator("#turns .row")).to_have_count(300)
        page.click("#earlier")
        expect(page.locator("#turns .row")).to_have_count(312)
        # The Commander's inbox leads to what each line is about.
        page.goto(gateway.page + "/commander")
        page.click("#prelude a >> nth=0")
        is_complete(page)
        fleet.rows(
            "INSERT INTO outbox_events (event_id, ts, type, payload_json, broadcast_level) VALUES"
            " (900, ?1, 'skill_updated', '{\"skill\": {\"path\": \"a.md\"}}', 'mention'), (901, ?1,"
            ' \'session_blocked\', \'{"sessionId": "s-1", "line": "a key"}\', \'highlight\')',
            clock.now(),
        )
        page.goto(gateway.page + "/commander")
        page.click("#prelude a:has-text('#e901')")
        expect(page.locator(".crumbs")).to_contain_text("session s-1")
        page.goto(gateway.page + "/event/900")
        expect(page.locator("h1")).to_have_text("a.md")
        page.goto(gateway.page + "/event/902")
        expect(page.locator("h1")).to_have_text("There is no such page")


def test_machines_of_a_relay_have_chips_and_a_filter(tmp_path: Path) -> None:
    relay = Server(tmp_path / "server", ("laptop", "box"))
    relay.start()
    gateway = None
    try:
        laptop, box = joined(tmp_path, relay, "laptop"), joined(tmp_path, relay, "box")
        for one, text in ((laptop, "The laptop waits"), (box, "The box waits")):
            web = one.project("web")
            one.share(web)
            one.turn(web, 1, status="blocked", session=one.folder.name, text=text)
            one.once()
        laptop.once()
        gateway = Gateway(laptop)
        gateway.start()
        with open_page() as page:
            log_in(page, gateway)
            rows = page.locator("#needs .row")
            expect(rows).to_have_count(2)
            expect(page.locator(".row:has-text('The box waits') .machine")).to_have_text("@box")
            for chip, left in (("@box", "The box waits"), ("This machine", "The laptop waits")):
                page.click(f".chip:has-text('{chip}')")
                expect(rows).to_have_count(1)
                expect(rows).to_contain_text(left)
                expect(page.locator("h1")).to_have_text("1 session needs you")
                page.reload()
                expect(rows).to_have_count(1)
            page.goto(gateway.page + "/search?q=waits")
            expect(page.locator("#found .row")).to_have_count(2)
            page.select_option("#filter-machine", "box")
            expect(page.locator("#found .row")).to_have_count(1)
            expect(page.locator("#found .machine")).to_have_text("@box")
            for view, found in (("sessions", "#sessions .row"), ("timeline", "#events .row")):
                page.goto(f"{gateway.page}/{view}")
                expect(page.locator(found)).to_have_count(2)
                for name, left in (("box", "The box waits"), ("-", "The laptop waits")):
                    page.select_option("#filter-machine", name)
                    expect(page.locator(found)).to_have_count(1)
                    expect(page.locator(found)).to_contain_text(left)
                page.reload()
                expect(page.locator("#filter-machine")).to_have_value("-")
                expect(page.locator(found)).to_have_count(1)
            page.click("#show-all")
            expect(page.locator("#events .row")).to_have_count(2)
            page.goto(gateway.page + "/session/box")
            expect(page.locator(".waits")).to_contain_text("The box waits")
    finally:
        if gateway:
            gateway.stop()
        relay.stop(signal.SIGKILL)


def test_notifications_are_asked_for_by_a_click_and_shown_once(
    gateway: Gateway, fleet: Fleet, alpha: Path, beta: Path
) -> None:
    stop_turn(fleet, alpha, 1, BLOCKED, "s-1")
    _until_briefings(fleet, 1)
    with open_page() as page:
        page.context.add_init_script(
            "window.shown = []; const Real = Notification;"
            "window.Notification = class extends Real {"
            " constructor(title, more) { super(title, more); shown.push([title, more.body]); } };"
            "window.badge = null; navigator.setAppBadge = async (count) => { badge = count; };"
        )
        log_in(page, gateway)
        expect(page.locator("#needs .row")).to_have_count(1)
        page.wait_for_function("badge === 1")
        icon = page.locator("link[rel=icon]")
        expect(icon).to_have_attribute("href", "/static/icon-needs.svg")
        page.context.grant_permissions(["notifications"])
        page.reload()
        expect(page.locator("#needs .row")).to_have_count(1)
        assert page.evaluate("shown") == [], "what was there before is no news"
        expect(page.locator(".notify")).to_have_count(0)
        stop_turn(fleet, beta, 2, "Which of the two do you want?", "s-2")
        expect(page.locator("#needs .row")).to_have_count(2)
        page.wait_for_function("shown.length === 1")
        assert page.evaluate("shown") == [["beta asks you", "Which of the two do you want?"]]
        page.goto(gateway.page + "/jobs")
        expect(page).to_have_title("(2) Jobs – Fleet")
        # With a kept address the browser remembers its answer beyond the gateway's end.
        fleet.console("config", "set", "gateway.keep_address", "true")
        page.context.clear_permissions()
        for is_first in (True, False):
            gateway.stop()
            gateway.start()
            log_in(page, gateway)
            expect(page.locator("header .notify")).to_have_count(int(is_first))
            page.context.grant_permissions(["notifications"], origin=gateway.page)


HOSTILE = """<script>window.hacked = 1</script> <img src=x onerror="window.hacked = 2">

[click me](javascript:window.hacked=3) <a href="javascript:window.hacked=4">and me</a>
![pixel](http://evil.example/pixel.png) <svg onload="window.hacked=5"></svg> <iframe src="http://evil.example"></iframe>

<style>body { display: none }</style><form action="http://evil.example"><button>Go</button></form>

# <b onclick="window.hacked=6">Heading</b>

| a | b |
|---|---|
| <script>window.hacked=7</script> | x |
"""


def test_hostile_text_does_no_harm(gateway: Gateway, fleet: Fleet, alpha: Path) -> None:
    hostile_name = "<img src=x onerror=window.hacked=8>"
    stop_turn(fleet, alpha, 1, HOSTILE)
    stop_turn(fleet, alpha, 2, "x" * 1_000_000, "s-2")
    stop_turn(
        fleet,
        alpha,
        3,
        f"```briefing\n---\nsummary: '{hostile_name}'\nblockers: ['{hostile_name}']\nstatus: blocked\n---\n```",
        "s-3",
    )
    _until_briefings(fleet, 3)
    fleet.rows(
        "INSERT INTO outbox_events (ts, type, project_id, payload_json) VALUES (?, ?, ?, ?)",
        *(
            hostile_name,
            hostile_name,
            hostile_name,
            '{"summary": "</script><script>window.hacked=9</script>"}',
        ),
    )
    fleet.rows(
        "INSERT INTO projects VALUES (?1, ?1, ?2, ?3, 'active', 'x', 'x')",
        hostile_name,
        "/x' onclick='window.hacked=10",
        'https://evil.example/" onclick="window.hacked=11',
    )
    with open_page() as page:
        log_in(page, gateway)
        for address in (
            "/",
            "/timeline",
            "/briefing/1",
            "/briefing/2",
            "/briefing/3",
            "/search?q=hacked",
            "/prelude",
            "/commander?recap=true",
            "/sessions",
            "/session/s-3",
            f"/project/{hostile_name}",
            f"/search?q={hostile_name}",
            f"/timeline?project={hostile_name}",
            f"/session/{hostile_name}",
        ):
            page.goto(gateway.page + address)
            is_complete(page)
            assert page.evaluate("window.hacked") is None, address
            assert (
                page.locator(
                    "main script, main img, main svg, main iframe, main style, main form"
                ).count()
                == 0
            )
            assert page.locator("main [onclick], main [onerror], main [onload]").count() == 0
            overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert overflow <= 0, f"{address} is {overflow} px too wide"
            for link in page.locator("main a").all():
                href = (link.get_attribute("href") or "").lower()
                assert re.match(r"/|https?://|mailto:|vscode://file/", href), href
                assert 'evil.example/"' not in href
        page.goto(gateway.page + "/briefing/1")
        expect(page.locator("#text")).to_contain_text("<script>window.hacked = 1</script>")
        for link in page.locator("#text a").all():
            assert not (link.get_attribute("href") or "").lower().startswith(("javascript", "data"))


# Shifts of the layout that no input of the user explains.
_MEASURE = """
window.shifts = [];
new PerformanceObserver((list) => { for (const entry of list.getEntries())
  if (!entry.hadRecentInput) shifts.push([entry.value, ...(entry.sources || []).map((one) =>
    one.node?.outerHTML?.slice(0, 80))]); }).observe({ type: "layout-shift", buffered: true });
"""
ADDRESSES = (
    *("/", "/timeline", "/sessions", "/session/s-1", "/briefing/1", "/jobs", "/usage"),
    *("/commander", "/search?q=wait", "/no/such/page", "/briefing/99"),
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_readable_on_a_phone_and_a_desk_in_light_and_dark(
    gateway: Gateway, fleet: Fleet, alpha: Path, scheme: str
) -> None:
    stop_turn(fleet, alpha, 1, BLOCKED)
    stop_turn(fleet, alpha, 2, "The work of another session is done.", "s-2")
    _until_briefings(fleet, 2)
    with open_page(color_scheme=scheme, bypass_csp=True) as page:
        log_in(page, gateway)
        page.add_init_script(_MEASURE)
        for width in (360, 1440):
            page.set_viewport_size({"width": width, "height": 800})
            for address in ADDRESSES:
                page.goto(gateway.page + address)
                is_complete(page)
                is_live(page)
                assert page.evaluate("document.documentElement.scrollWidth") <= width, address
                shifts = page.evaluate("shifts")
                assert sum(shift[0] for shift in shifts) < 0.01, (address, width, shifts)
                if AXE.exists():
                    page.evaluate(AXE.read_text() + "; 0")
                    assert page.evaluate(_VIOLATIONS) == [], (address, width)
                if width == 360:
                    assert page.evaluate(_TOO_SMALL) == [], address
                    top = page.evaluate(
                        "document.querySelector('main').getBoundingClientRect().top"
                    )
                    assert top < 70, "the header must leave room for the page"
            page.goto(gateway.page + "/")
            expect(page.locator("#needs")).to_be_visible()
            contrast = page.evaluate(_CONTRAST)
            assert {name: value for name, value in contrast.items() if value < 4.5} == {}
        # The switch wins over the system, and is remembered.
        ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        page.click("#theme")
        if scheme == "light":
            page.click("#theme")
        page.reload()
        other = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert ground != other
        # An address that leads to nothing says so, with a way back.
        for address in ("/timeline/x", "/constructor", "/no/such/page"):
            page.goto(gateway.page + address)
            expect(page.locator("h1")).to_have_text("There is no such page")
        page.click("main a")
        expect(page.locator("h1")).to_have_text("1 session needs you")


# Links within a text are as small as the text.
_TOO_SMALL = """[...document.querySelectorAll("a, .row, button, select, input, summary")].filter((one) => {
  const target = one.type === "checkbox" ? one.closest("label") : one;
  const { width, height } = target.getBoundingClientRect();
  return height && !one.matches(".skip, .row .main, .prose a, pre a") && (height < 43.5 || width < 43.5);
}).map((one) => one.outerHTML)"""
_VIOLATIONS = """axe.run(document, { resultTypes: ["violations"] }).then((found) =>
  found.violations.map((one) => [one.id, one.nodes.slice(0, 3).map((node) => node.html)]))"""

# The contrast of every kind of text with its background, as WCAG defines it.
_CONTRAST = """() => {
  const light = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
      .map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor;
      if (!/, 0\\)$/.test(color)) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const found = {};
  for (const element of document.querySelectorAll("h1, h2, nav a, .tag, .name, .text, .when, .note, .summary, .meta, .chip, .count, .badge, .asked, .actions button, #connection")) {
    const [a, b] = [light(getComputedStyle(element).color), light(ground(element))].sort((x, y) => y - x);
    const name = element.className || element.tagName;
    found[name] = Math.min(found[name] ?? 99, (a + 0.05) / (b + 0.05));
  }
  return found;
}"""


def test_prelude_preview_equals_what_is_injected(
    gateway: Gateway, fleet: Fleet, alpha: Path
) -> None:
    stop_turn(fleet, alpha, 1, BLOCKED)
    _until_briefings(fleet, 1)
    # The hook that runs for the Commander's prompt.
    prompt = payload("UserPromptSubmit") | {"session_id": "c-1", "cwd": str(fleet.home)}
    context = fleet.context(fleet.hook("user_prompt_submit", prompt, fleet.home))
    with open_page() as page:
        log_in(page, gateway)
        page.goto(gateway.page + "/prelude")
        expect(page.locator("pre#prelude")).to_be_visible()
        assert page.evaluate("document.querySelector('pre#prelude').textContent") == context


def test_hundreds_of_projects_are_a_list_that_folds(gateway: Gateway, fleet: Fleet) -> None:
    fleet.rows(
        "WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 500)"
        " INSERT INTO projects SELECT 'p' || v, 'a-project-with-a-long-name-' || v, '/p', NULL,"
        " 'active', '2026-01-01', printf('2026-01-01T00:00:%03d', v) FROM n"
    )
    with open_page() as page:
        log_in(page, gateway)
        rows = page.locator("#recent .row")
        expect(rows).to_have_count(12)
        name = page.locator("#recent .name").first
        expect(name).to_have_text("a-project-with-a-long-name-500")
        assert page.evaluate(
            "(one) => one.scrollWidth <= one.clientWidth + 1", name.element_handle()
        )
        expect(page.locator("#more-projects")).to_contain_text("of 488 quiet projects")
        page.click("#more-projects")
        expect(rows).to_have_count(112)
        # The shortest way to one of them.
        page.keyboard.press("/")
        page.keyboard.type("name-77")
        expect(page.locator("#found-projects .row")).to_have_count(1)
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("a-project-with-a-long-name-77")


def _until_briefings(fleet: Fleet, count: int) -> None:
    _until_rows(fleet, "SELECT count(*) FROM briefings", count)


def _until_delivered(fleet: Fleet) -> None:
    """The gateway has marked the newest event, and writes nothing more."""
    _until_rows(fleet, "SELECT delivered FROM outbox_events ORDER BY event_id DESC LIMIT 1", 1)


def _until_rows(fleet: Fleet, question: str, answer: int) -> None:
    deadline = time.monotonic() + 60
    while fleet.rows(question) != [(answer,)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
