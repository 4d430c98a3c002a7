"""Pages of other servers on this machine, in the browser in which the user is logged in."""

import http.server
import json
import threading
from collections.abc import Iterator

import pytest
from browser import PATIENCE_MS, program
from gateway_world import Gateway, stop_turn
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright
from support import Fleet, make_repository

from fleet_lib.store import db

pytestmark = pytest.mark.slow

# What a page tries: each entry is what it got, or the error.
ATTACK = """async ([bases, wsBases, project]) => {
  const got = {};
  const attempt = async (name, act) => {
    try { got[name] = String(await act()).slice(0, 300); }
    catch (error) { got[name] = `error: ${error.name}`; }
  };
  const job = JSON.stringify({ project_id: project, prompt: "attack" });
  for (const base of bases) {
    for (const credentials of ["omit", "include"]) {
      const say = `${base} ${credentials}`;
      await attempt(`read ${say}`, async () =>
        (await fetch(`${base}/api/v1/overview`, { credentials })).text());
      await attempt(`read as text ${say}`, async () =>
        (await fetch(`${base}/api/v1/overview`, { credentials, mode: "no-cors" })).text());
      for (const type of ["text/plain", "application/json"]) {
        await attempt(`submit ${type} ${say}`, async () => (await fetch(`${base}/api/v1/jobs`, {
          method: "POST", credentials, body: job, headers: { "Content-Type": type },
          mode: type === "text/plain" ? "no-cors" : "cors" })).text());
        await attempt(`link ${type} ${say}`, async () => (await fetch(`${base}/api/v1/links`, {
          method: "POST", credentials, body: "{}", headers: { "Content-Type": type },
          mode: type === "text/plain" ? "no-cors" : "cors" })).text());
      }
    }
    await attempt(`script ${base}`, () => new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.onload = () => resolve("loaded"); script.onerror = reject;
      script.src = `${base}/static/login.js`; document.head.append(script);
    }));
    await attempt(`frame ${base}`, () => new Promise((resolve) => {
      const frame = document.createElement("iframe");
      frame.onload = () => {
        let text = "";
        try { text = frame.contentDocument.body.textContent; } catch { text = ""; }
        resolve(text);
      };
      frame.src = base + "/"; document.body.append(frame);
    }));
  }
  for (const base of wsBases) {
    for (const first of [
      { type: "fleet.subscribe", from_event_id: 0 },
      { type: "login", bearer: "" },
      { type: "job.create", job: JSON.parse(job) },
    ]) {
      await attempt(`socket ${base} ${first.type}`, () => new Promise((resolve, reject) => {
        const socket = new WebSocket(`${base}/ws`);
        socket.onopen = () => socket.send(JSON.stringify(first));
        socket.onmessage = (message) => resolve(message.data);
        socket.onclose = () => reject(new Error("closed"));
      }));
    }
  }
  got.cookie = document.cookie;
  got.storage = JSON.stringify({ ...localStorage, ...sessionStorage });
  return got;
}"""


class AttackServer:
    """Serves an empty page under any name, and remembers what browsers send to it."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        seen = self.seen

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append(f"{self.path}\n{self.headers}")
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(b"<!doctype html><title>attack</title><body>hello")

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def attacker() -> Iterator[AttackServer]:
    started = AttackServer()
    yield started
    started.server.shutdown()
    started.server.server_close()


@pytest.fixture
def browser() -> Iterator[BrowserContext]:
    # An attacker's name that points at this machine, as after DNS rebinding.
    rules = "--host-resolver-rules=MAP evil.example 127.0.0.1"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=program(), args=["--no-sandbox", rules]
        )
        context = started.new_context()
        context.set_default_timeout(PATIENCE_MS)
        yield context
        started.close()


def logged_in(browser: BrowserContext, link: str) -> Page:
    page = browser.new_page()
    page.goto(link)
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    return page


@pytest.mark.parametrize("kind", ["random name", "kept name", "plain address"])
def test_page_on_another_port_gets_nothing_from_a_logged_in_browser(
    fleet: Fleet, attacker: AttackServer, browser: BrowserContext, kind: str
) -> None:
    is_plain = kind == "plain address"
    fleet.console("config", "set", "gateway.keep_address", str(kind == "kept name").lower())
    project = make_repository(fleet.home.parent / "alpha")
    db.connect(fleet.home / "fleet.db").close()
    stop_turn(fleet, project, 1, "The secret plan of alpha.")
    fleet.drain()
    fleet.wait_for_drainers()
    ((project_id,),) = fleet.rows("SELECT project_id FROM projects")
    gateway = Gateway(fleet)
    gateway.start(*(["--plain-address"] if is_plain else []))
    try:
        user = logged_in(browser, gateway.link)
        expect(user.locator("#projects")).to_contain_text("The secret plan of alpha.")
        names = ["127.0.0.1", "localhost", gateway.name, "evil.example"]
        bases = [f"http://{name}:{gateway.port}" for name in dict.fromkeys(names)]
        sockets = [base.replace("http", "ws") for base in bases]
        for name in dict.fromkeys([*names, f"x.{gateway.name}" if not is_plain else "localhost"]):
            page = browser.new_page()
            page.goto(f"http://{name}:{attacker.port}/")
            got = page.evaluate(ATTACK, [bases, sockets, project_id])
            assert len(got) > 30
            for what, found in got.items():
                for secret in ("secret plan", "needs_you", "bearer", "job_id", "#code", "fleet."):
                    assert secret not in found, (name, what, found)
            assert got["cookie"] == "" and got["storage"] == "{}"
            page.close()
        # A name that was pointed at the gateway itself serves no page either.
        page = browser.new_page()
        answer = page.goto(f"http://evil.example:{gateway.port}/")
        assert answer is not None and answer.status == 403
        assert fleet.rows("SELECT * FROM jobs") == []
        assert browser.cookies() == []
        everything = "\n".join(attacker.seen)
        session = user.evaluate("localStorage.getItem('fleet-session')")
        assert session and session not in everything and gateway.token not in everything
        assert "Cookie" not in everything
        # The user's own page still works.
        user.reload()
        expect(user.locator("#projects")).to_contain_text("The secret plan of alpha.")
    finally:
        gateway.stop()


def test_next_program_on_the_port_finds_nothing_in_the_browser(
    gateway: Gateway, browser: BrowserContext
) -> None:
    page = logged_in(browser, gateway.link)
    old = gateway.link
    assert page.evaluate(
        "navigator.serviceWorker?.getRegistrations().then((all) => all.length)"
    ) in (
        0,
        None,
    )
    gateway.stop()
    attacker = http.server.ThreadingHTTPServer(
        ("127.0.0.1", gateway.port), http.server.SimpleHTTPRequestHandler
    )
    attacker.RequestHandlerClass.log_message = lambda *_: None  # type: ignore[method-assign]
    threading.Thread(target=attacker.serve_forever, daemon=True).start()
    try:
        for name in ("127.0.0.1", "localhost"):
            other = browser.new_page()
            other.goto(f"http://{name}:{gateway.port}/")
            storage = other.evaluate("JSON.stringify([{...localStorage}, document.cookie])")
            assert json.loads(storage) == [{}, ""]
            other.close()
    finally:
        attacker.shutdown()
        attacker.server_close()
    gateway.start()
    assert gateway.page not in old
    fresh = logged_in(browser, gateway.link)
    fresh.close()


def test_page_without_a_login_says_what_to_do(gateway: Gateway, browser: BrowserContext) -> None:
    page = browser.new_page()
    for address in (f"{gateway.base}/timeline", f"{gateway.page}/", f"{gateway.page}/#code=wrong"):
        page.goto(address)
        expect(page.locator("h1")).to_have_text("This browser is not logged in")
        expect(page.locator("#login")).to_contain_text("fleet gateway link")
        expect(page.locator("#connection")).to_have_text("logged out")
    expect(page.locator("#login [role=alert]")).to_contain_text("used already")
    assert "code" not in page.url
    # Another link opened in the same tab, which only changes the fragment.
    page.goto(gateway.new_link())
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    # A second tab and a reload stay logged in; a spent link does not log out.
    second = browser.new_page()
    second.goto(gateway.page + "/jobs")
    expect(second.locator("#connection")).to_have_attribute("data-state", "live")
    second.goto(f"{gateway.page}/timeline#code=spent")
    expect(second.locator("#connection")).to_have_attribute("data-state", "live")
    # The gateway is started again: its name is another one.
    gateway.stop()
    expect(page.locator("#connection")).to_have_attribute("data-state", "offline")
    gateway.start()
    expect(page.locator("h1")).to_have_text("This browser is not logged in")
    answer = page.reload()
    assert answer is not None and answer.status == 403
    expect(page.locator("body")).to_contain_text("fleet gateway link")
