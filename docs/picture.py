"""Makes the README's pictures: `make picture`. The real hooks capture six sessions in a throwaway
home; docs/status.svg is what `fleet status` prints to a terminal, docs/dashboard.png what a browser
shows of `fleet gateway`. Only the times are made up."""

import fcntl
import io
import json
import os
import pty
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import termios
import uuid
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
COLUMNS, ROWS = 92, 30
BLOCKED = """I cannot reach the provider's sandbox from here.

```briefing
status: blocked
summary: The payment tests need the staging credentials of the provider
blockers: [staging credentials for the payment provider]
```"""
ASKED = {
    "questions": [
        {
            "question": "Should expired carts be deleted after 30 days, or kept for the reports?",
            "header": "Carts",
            "options": [
                {"label": "Delete", "description": ""},
                {"label": "Keep", "description": ""},
            ],
            "multiSelect": False,
        }
    ]
}
COMMAND = {"command": "rm -rf build && npm run build", "description": "Build again"}
Hook = tuple[str, dict[str, object]]


def stop(message: str) -> list[Hook]:
    """What the client calls when a turn ends."""
    return [("stop", {"hook_event_name": "Stop", "last_assistant_message": message})]


def permission(tool: str, given: dict[str, object]) -> list[Hook]:
    """What it calls when it asks, and six seconds later when nothing was answered."""
    request = {"hook_event_name": "PermissionRequest", "tool_name": tool, "tool_input": given}
    notice = {"notification_type": "permission_prompt", "message": "Claude needs your permission"}
    return [("permission_request", request), ("notification", notice)]


TURNS: tuple[tuple[int, str, str, list[Hook]], ...] = (
    # minutes ago, project, what was asked, the hooks that the client calls
    (190, "infra", "Move staging to Kubernetes 1.31",
     stop("Staging runs Kubernetes 1.31; production follows on Monday.")),
    (95, "mobile-app", "Why does the Android build fail on CI?",
     [*stop("The cache key lacks the NDK's version.\n\nShall I pin the NDK, or add it to the key?"),
      ("session_end", {"reason": "other"})]),
    (31, "docs-site", "Make the search find headings",
     stop("Search finds headings too, and ranks them above body text.")),
    (12, "shop-api", "Run the payment tests against staging", stop(BLOCKED)),
    (4, "web", "Upgrade to Vite 7 and make the build green", permission("Bash", COMMAND)),
    (2, "shop-carts", "Clean up old carts", permission("AskUserQuestion", ASKED)),
)  # fmt: skip


def session_of(project: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, project))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        env = {"PATH": os.environ["PATH"], "HOME": folder, "FLEET_HOME": str(home)}
        for number, (_, name, prompt, hooks) in enumerate(TURNS):
            project = Path(folder) / name
            project.mkdir()
            transcript = Path(folder) / f"{name}.jsonl"
            line = {"type": "user", "promptId": str(number), "message": {"role": "user"}}
            line["message"]["content"] = prompt  # type: ignore[index]
            transcript.write_text(json.dumps(line) + "\n")
            call = {"session_id": session_of(name), "prompt_id": str(number), "cwd": str(project)}
            call["transcript_path"] = str(transcript)
            for hook, payload in hooks:
                subprocess.run(
                    [sys.executable, "-I", "-S", ROOT / "hooks" / f"{hook}.py"],
                    input=json.dumps(call | payload).encode(),
                    env=env | {"CLAUDE_PROJECT_DIR": str(project)},
                    check=True,
                )
        fleet = [sys.executable, "-m", "commander"]
        subprocess.run([*fleet, "drain"], env=env, cwd=ROOT, check=True, capture_output=True)
        set_moments(home / "fleet.db")
        printed = run_in_terminal(
            [*fleet, "status"], env | {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
        )
        photograph(fleet, env, sys.argv[1:])
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print("[bold]$[/] fleet status")
    console.print(Text.from_ansi(printed.strip("\n")))
    svg = console.export_svg(title="Fleet", unique_id="fleet")
    # A picture must not fetch a font: use one that the reader has.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code", "ui-monospace, Menlo, Consolas")
    (ROOT / "docs" / "status.svg").write_text(svg)
    print(printed)


def photograph(fleet: list[str], env: dict[str, str], arguments: list[str]) -> None:
    """The dashboard in a real browser: `chromium`, or `make picture CHROMIUM=/path/to/chromium`."""
    program = arguments[0] if arguments else shutil.which("chromium")
    gateway = subprocess.Popen(
        [*fleet, "gateway", "--port", "0", "--no-browser"],
        env=env,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert gateway.stdout is not None
        link = gateway.stdout.readline().split()[-1]
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            size = {"width": 1240, "height": 640}
            page = browser.new_page(viewport=size, device_scale_factor=1.5)
            page.goto(link)
            page.wait_for_selector("#connection[data-state=live]")
            page.wait_for_selector("#projects .row")
            page.screenshot(path=ROOT / "docs" / "dashboard.png")
            browser.close()
    finally:
        gateway.terminate()
        gateway.wait()


def set_moments(database: Path) -> None:
    """Spread the turns over some hours."""
    connection = sqlite3.connect(database)
    for minutes, project, _, _ in TURNS:
        values = (f"-{minutes} minutes", session_of(project))
        at = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?1)"
        connection.execute(f"UPDATE briefings SET ended_at = {at} WHERE session_id = ?2", values)
        connection.execute(
            f"UPDATE sessions SET state_at = {at}, last_seen_at = {at},"
            f" ended_at = CASE WHEN ended_at IS NOT NULL THEN {at} END WHERE session_id = ?2",
            values,
        )
        connection.execute(
            f"UPDATE projects SET updated_at = {at} WHERE repo_name = ?2",
            (values[0], project),
        )
    connection.commit()
    connection.close()


def run_in_terminal(command: list[str], env: dict[str, str]) -> str:
    """What a command prints to a terminal."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    process = subprocess.Popen(command, stdout=slave, stderr=slave, stdin=slave, env=env, cwd=ROOT)
    os.close(slave)
    parts = []
    try:
        while part := os.read(master, 65536):
            parts.append(part)
    except OSError:
        pass  # the terminal closes when its last user ends
    assert process.wait() == 0
    return b"".join(parts).decode().replace("\r\n", "\n")


if __name__ == "__main__":
    main()
