"""The dashboard in a real browser."""

import contextlib
import json
import re
import sqlite3
import time
from pathlib import Path

import pytest
from browser import open_page
from gateway_world import Gateway, insert_events, stop_turn
from playwright.sync_api import Page, expect
from support import ROOT, Fleet, make_repository, payload
from support_transcripts import Conversation

from fleet_lib.lines import STATE_WORDS

pytestmark = pytest.mark.slow

BLOCKED = "I wait.\n\n```briefing\n---\nstatus: blocked\nsummary: Stuck on a key\nblockers: [the staging key]\n---\n```"


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


def test_printed_link_opens_the_dashboard_and_a_turn_appears_live(
    gateway: Gateway, fleet: Fleet, alpha: Path, beta: Path
) -> None:
    with open_page() as page:
        log_in(page, gateway)
        assert page.url == gateway.page + "/", "the code must not stay in the URL"
        is_live(page)
        expect(page.locator("h1")).to_have_text("Nothing needs your attention.")
        stop_turn(fleet, alpha, 1, "The parser is fixed.")
        expect(page.locator("#projects")).to_contain_text("The parser is fixed.")
        stop_turn(fleet, beta, 2, BLOCKED, "s-2")
        expect(page.locator("h1")).to_have_text("1 session needs you")
        expect(page.locator("#needs a.row")).to_contain_text("the staging key")
        expect(page.locator("#needs .tag")).to_have_text("blocked")
        expect(page).to_have_title("1 session needs you – Fleet")

        # After an answer in a terminal it disappears by itself.
        stop_turn(fleet, beta, 3, "The work continues.", "s-2")
        expect(page.locator("h1")).to_have_text("Nothing needs your attention.")
        expect(page).to_have_title("Nothing needs your attention – Fleet")
        page.click("#projects a.row:has-text('alpha')")
        expect(page.locator("h1")).to_have_text("The parser is fixed.")
        assert page.url == gateway.page + "/briefing/1"
        page.go_back()
        expect(page.locator("#projects")).to_be_visible()


def test_filter_is_in_the_url_and_applies_to_new_events(
    gateway: Gateway, fleet: Fleet, alpha: Path, beta: Path
) -> None:
    stop_turn(fleet, alpha, 1, "Alpha did something.", "s-1")
    stop_turn(fleet, beta, 2, BLOCKED, "s-2")
    with open_page() as page:
        log_in(page, gateway)
        page.click("nav >> text=Timeline")
        expect(page.locator("#events a.row")).to_have_count(3)
        chips = page.locator("#filter-type button")
        assert chips.all_inner_texts() == [
            "everything 3",
            "briefings 2",
            "sessions that need you 1",
        ]
        page.click("#filter-type button[value=session_blocked]")
        expect(page.locator("#events a.row")).to_have_count(1)
        assert "type=session_blocked" in page.url
        expect(page.locator("#filter-type [aria-pressed=true]")).to_have_text(
            "sessions that need you 1"
        )
        page.click("#filter-type button[value='']")
        page.select_option("#filter-project", label="alpha")
        expect(page.locator("#events a.row")).to_have_count(1)
        stop_turn(fleet, alpha, 3, "Alpha did more.", "s-1")
        stop_turn(fleet, beta, 4, "Beta did more.", "s-2")
        expect(page.locator("#events a.row")).to_have_count(2)
        expect(page.locator("#events a.row").first).to_contain_text("Alpha did more.")
        page.reload()
        expect(page.locator("#events a.row")).to_have_count(2)
        expect(page.locator("#filter-project")).to_have_value(re.compile("alpha__"))
        page.select_option("#filter-level", "highlight")
        expect(page.locator("#events")).to_contain_text("None of the newest 5 events matches.")
        page.click("text=Show all")
        expect(page.locator("#events a.row")).to_have_count(5)


def test_usage_is_shown_of_today_a_briefing_and_a_project(
    gateway: Gateway, fleet: Fleet, alpha: Path, beta: Path
) -> None:
    usage = {"input_tokens": 0, "output_tokens": 1_000_000}
    conversation = Conversation(alpha, "s-1", age_days=0)
    conversation.prompt("go").answer(
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
        expect(page.locator(".facts")).to_contain_text(f"Today: {words}")
        page.goto(f"{gateway.page}/briefing/1")
        expect(page.locator("main dl")).to_contain_text(f"session's usage{words}")
        page.click("nav >> text=Timeline")
        expect(page.locator("#events a.row")).to_have_count(2)
        expect(page.locator("#used")).to_have_count(0)
        page.select_option("#filter-project", label="alpha")
        expect(page.locator("#used")).to_have_text("Used in 30 days: 1M tokens, list price $25.00")
        page.select_option("#filter-project", label="beta")
        expect(page.locator("#events a.row")).to_have_count(1)
        expect(page.locator("#used")).to_have_count(0)


def test_search_updates_while_typing(gateway: Gateway, fleet: Fleet, alpha: Path) -> None:
    stop_turn(fleet, alpha, 1, "Refunds go through the new client.")
    stop_turn(fleet, alpha, 2, "The login form says what is wrong.", "s-2")
    with open_page() as page:
        log_in(page, gateway)
        page.keyboard.press("/")
        page.keyboard.type("refu")
        expect(page.locator("#found a.row")).to_have_count(1)
        expect(page.locator("#found mark")).to_have_text("Refu")
        assert page.url == gateway.page + "/search?q=refu"
        page.keyboard.type("zzz")
        expect(page.locator("#found")).to_contain_text("No briefing has all of these words.")
        page.goto(gateway.page + "/search?q=login")
        expect(page.locator("#found a.row")).to_have_count(1)
        expect(page.locator("#query")).to_have_value("login")


def test_dashboard_catches_up_after_a_gateway_restart(
    gateway: Gateway, fleet: Fleet, alpha: Path
) -> None:
    stop_turn(fleet, alpha, 1, "Before.")
    with open_page() as page:
        log_in(page, gateway)
        page.goto(gateway.page + "/timeline")
        is_live(page)
        expect(page.locator("#events a.row")).to_have_count(1)
        gateway.stop()
        expect(page.locator("#connection")).to_have_attribute("data-state", "offline")
        for number in range(2, 5):
            stop_turn(fleet, alpha, number, f"Meanwhile {number}.", f"s-{number}")
        _until_briefings(fleet, 4)
        gateway.start()
        # A login ends with the gateway, and the page's name is another one.
        expect(page.locator("h1")).to_have_text("This browser is not logged in")
        page.goto(gateway.page + "/timeline#code=" + gateway.code)
        is_live(page)
        assert page.url == gateway.page + "/timeline", "the code must not stay in the address"
        expect(page.locator("#events a.row")).to_have_count(4)
        texts = page.locator("#events a.row .text").all_inner_texts()
        assert texts == ["Meanwhile 4.", "Meanwhile 3.", "Meanwhile 2.", "Before."]


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
        for section, tag in (
            ("working", "working"),
            ("sessions", "done"),
            ("projects", "done"),
        ):
            expect(page.locator(f"#{section} .tag")).to_have_text(tag)
        needing = page.locator("#needs .tag")
        expect(needing).to_have_text(["asks you", "needs permission"])
        page.goto(gateway.page + "/timeline")
        expect(page.locator("#events .tag").first).to_have_text("needs permission")
        assert not re.search(r"[a-z]_[a-z]", page.inner_text("main"))


def test_it_shows_what_a_session_asks_and_what_is_left_open(
    gateway: Gateway, fleet: Fleet, alpha: Path, beta: Path
) -> None:
    question = "Shall I use the table or the file?"
    stop_turn(fleet, alpha, 1, f"I read the code.\n\n{question}", "s-1")
    with open_page() as page:
        log_in(page, gateway)
        expect(page.locator("h1")).to_have_text("1 session needs you")
        expect(page.locator("#needs .text")).to_have_text(question)
        fleet.hook("session_end", payload("SessionEnd-other") | {"session_id": "s-1"}, alpha)
        fleet.drain()
        stop_turn(fleet, alpha, 2, "Another session of the repository is done.", "s-2")
        expect(page.locator("h1")).to_have_text("1 session is left open")
        expect(page.locator("#left-open .tag")).to_have_text("asks you")
        expect(page.locator("#left-open .text")).to_have_text(question)
        fleet.console("dismiss", "s-1")
        stop_turn(fleet, beta, 3, "Something else is done.", "s-3")
        expect(page.locator("h1")).to_have_text("Nothing needs your attention.")


def test_working_sessions_are_shown_with_their_duration(
    gateway: Gateway, fleet: Fleet, alpha: Path, beta: Path
) -> None:
    stop_turn(fleet, alpha, 1, "The parser is fixed.", "s-1")
    stop_turn(fleet, beta, 2, BLOCKED, "s-2")
    _until_briefings(fleet, 2)
    fleet.rows(
        "UPDATE sessions SET state = 'working', state_at ="
        " strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-130 seconds') WHERE session_id = 's-1'"
    )
    with open_page() as page:
        log_in(page, gateway)
        expect(page.locator("#working a.row")).to_contain_text("alpha")
        expect(page.locator("#working .tag")).to_have_text("working")
        expect(page.locator("#working time")).to_have_text("for 2m")
        expect(page.locator("#needs a.row")).to_contain_text("beta")


def test_timeline_is_grouped_by_day_and_has_exact_times(gateway: Gateway, fleet: Fleet) -> None:
    for days, text in ((3, "long ago"), (1, "last"), (0, "new")):
        fleet.rows(
            "INSERT INTO outbox_events (ts, type, payload_json) VALUES"
            " (strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?), 'briefing_added', ?)",
            f"-{days} days",
            json.dumps({"summary": text}),
        )
    with open_page(timezone_id="UTC", locale="en-GB") as page:
        log_in(page, gateway)
        page.goto(gateway.page + "/timeline")
        days = page.locator("#events .day")
        expect(days).to_have_count(3)
        assert days.all_inner_texts()[:2] == ["TODAY", "YESTERDAY"]
        times = page.locator("#events time")
        assert re.fullmatch(r"\d\d:\d\d", times.nth(1).inner_text())
        assert re.search(r"20\d\d.*\d\d:\d\d:\d\d", times.nth(0).get_attribute("title") or "")


def test_reopened_job_shows_its_output_again(gateway: Gateway, fleet: Fleet) -> None:
    chunk = {"type": "assistant", "message": {"content": [{"type": "text", "text": "I begin."}]}}
    fleet.rows(
        "INSERT INTO jobs (ts_created, ts_started, type, model, status, request_json) VALUES"
        " ('2026-11-24T08:00:00.000Z', '2026-11-24T08:00:00.000Z', 'worker_task', 'haiku', 'running', '{}')"
    )
    fleet.rows("INSERT INTO job_stream_chunks VALUES (1, 0, ?)", json.dumps(chunk))
    with open_page() as page:
        log_in(page, gateway)
        for _ in range(3):
            page.click("nav >> text=Jobs")
            page.click("#jobs a.row")
            expect(page.locator("#log")).to_have_text("I begin.")
        # What the setting does not allow is not offered.
        fleet.console("config", "set", "gateway.jobs", "off")
        page.reload()
        expect(page.locator("#log")).to_have_text("I begin.")
        expect(page.locator("#cancel")).to_have_count(0)
        fleet.console("config", "set", "gateway.jobs", "read")
        page.reload()
        # A single press does not cancel.
        page.click("#cancel")
        expect(page.locator("#cancel")).to_have_text("Press again to cancel it")
        page.click("#cancel")
        deadline = time.monotonic() + 10
        while fleet.rows("SELECT status FROM jobs") == [("running",)]:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_dashboard_recovers_after_an_older_database_is_restored(
    gateway: Gateway, fleet: Fleet, alpha: Path, tmp_path: Path
) -> None:
    stop_turn(fleet, alpha, 1, "It was saved.")
    _until_briefings(fleet, 1)
    fleet.wait_for_drainers()
    path = fleet.home / "fleet.db"
    with contextlib.closing(sqlite3.connect(path)) as source:
        source.execute("VACUUM INTO ?", (str(tmp_path / "backup.db"),))
    insert_events(fleet, 3, "lost")
    with open_page() as page:
        log_in(page, gateway)
        page.goto(gateway.page + "/timeline")
        expect(page.locator("#events a.row")).to_have_count(4)
        for name in ("fleet.db-wal", "fleet.db-shm"):
            (fleet.home / name).unlink(missing_ok=True)
        (tmp_path / "backup.db").replace(path)
        expect(page.locator("#events a.row")).to_have_count(1)
        is_live(page)
        insert_events(fleet, 1, "after it")
        expect(page.locator("#events a.row").first).to_contain_text("after it 0")


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
            f"/search?q={hostile_name}",
            f"/timeline?project={hostile_name}",
        ):
            page.goto(gateway.page + address)
            expect(page.locator("h1").first).to_be_visible()
            page.wait_for_timeout(200)
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
        page.goto(gateway.page + "/briefing/1")
        expect(page.locator("#text")).to_contain_text("<script>window.hacked = 1</script>")
        for link in page.locator("#text a").all():
            assert not (link.get_attribute("href") or "").lower().startswith(("javascript", "data"))


def test_dashboard_works_with_the_keyboard_alone(
    gateway: Gateway, fleet: Fleet, alpha: Path
) -> None:
    for number in range(1, 4):
        stop_turn(fleet, alpha, number, f"Turn {number} of it.", f"s-{number}")
    with open_page() as page:
        log_in(page, gateway)
        keys = page.keyboard
        keys.press("t")
        expect(page.locator("#events a.row")).to_have_count(3)
        keys.press("j")
        keys.press("j")
        assert "Turn 2" in page.evaluate("document.activeElement.textContent")
        stop_turn(fleet, alpha, 4, "Turn 4 of it.", "s-4")
        expect(page.locator("#events a.row")).to_have_count(4)
        assert "Turn 2" in page.evaluate("document.activeElement.textContent"), "the focus moved"
        keys.press("Enter")
        expect(page.locator("h1")).to_have_text("Turn 2 of it.")
        keys.press("Escape")
        expect(page.locator("#events")).to_be_visible()
        keys.press("p")
        expect(page.locator("h1")).to_contain_text("next prompt")
        keys.press("?")
        expect(page.locator("#help")).to_contain_text("Next and previous row")
        keys.press("Escape")
        expect(page.locator("#help")).to_be_hidden()
        expect(page.locator("h1").first).to_contain_text("next prompt")
        keys.press("r")
        expect(page.locator("#projects")).to_be_visible()
        # Tab works as usual: the skip link first, then the views, each with a visible focus.
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_dashboard_is_readable_on_a_phone_in_light_and_dark(
    gateway: Gateway, fleet: Fleet, alpha: Path, scheme: str
) -> None:
    stop_turn(fleet, alpha, 1, BLOCKED)
    _until_briefings(fleet, 1)
    with open_page(color_scheme=scheme) as page:
        page.set_viewport_size({"width": 360, "height": 700})
        log_in(page, gateway)
        for address in ("/", "/timeline", "/briefing/1", "/jobs", "/prelude", "/search?q=wait"):
            page.goto(gateway.page + address)
            expect(page.locator("h1").first).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, address
            too_small = page.evaluate(
                "[...document.querySelectorAll('nav a, a.row, a.fact, button, select, input')].filter((one) =>"
                " one.type !== 'checkbox' && one.offsetHeight && one.offsetHeight < 43.5).map((one) => one.outerHTML)"
            )
            assert too_small == [], "touch targets must be at least 44 px"
            top = page.evaluate("document.querySelector('main').getBoundingClientRect().top")
            assert top < 70, "the header must leave room for the page"
        page.goto(gateway.page + "/")
        expect(page.locator("#needs")).to_be_visible()
        contrast = page.evaluate(_CONTRAST)
        assert {name: value for name, value in contrast.items() if value < 4.5} == {}


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
  for (const element of document.querySelectorAll("h1, h2, nav a, .tag, .name, .text, .when, .note, .fact, .meta, .chip, .count, #connection")) {
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


def test_many_events_do_not_freeze_the_page(gateway: Gateway, fleet: Fleet) -> None:
    with open_page() as page:
        log_in(page, gateway)
        page.goto(gateway.page + "/timeline")
        is_live(page)
        insert_events(fleet, 3000, "many")
        expect(page.locator("#events a.row").first).to_contain_text("many 2999")
        assert page.locator("#events a.row").count() == 200


def _until_briefings(fleet: Fleet, count: int) -> None:
    deadline = time.monotonic() + 20
    while fleet.rows("SELECT count(*) FROM briefings") != [(count,)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
