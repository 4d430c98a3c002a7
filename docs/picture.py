"""Makes the README's pictures: `make picture`. The real hooks capture five turns in a throwaway
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
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
COLUMNS, ROWS = 92, 30
_STAGING = "Staging runs Kubernetes 1.31, production follows"
_BLOCKED = "Payment tests need the staging credentials"
_PERMISSION = "Claude needs your permission to use Bash"
TURNS = (
    # minutes ago, project, hook, fields of the payload
    (190, "infra", "stop", {"summary": _STAGING, "impact_level": "major"}),
    (31, "web", "stop", {"summary": "The login form explains errors", "impact_level": "minor"}),
    (24, "docs-site", "stop", {"summary": "Search finds headings too", "impact_level": "minor"}),
    (
        12,
        "shop-api",
        "stop",
        {
            "summary": _BLOCKED,
            "status": "blocked",
            "blockers": ["staging credentials for the payment provider"],
        },
    ),
    (
        4,
        "web",
        "notification",
        {"notification_type": "permission_prompt", "message": _PERMISSION},
    ),
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        env = {"PATH": os.environ["PATH"], "HOME": folder, "FLEET_HOME": str(home)}
        for number, (_, name, hook, fields) in enumerate(TURNS):
            project = Path(folder) / name
            project.mkdir(exist_ok=True)
            call = {"session_id": f"{name}-1", "prompt_id": str(number), "cwd": str(project)}
            lines = "\n".join(f"{key}: {json.dumps(value)}" for key, value in fields.items())
            block = f"```briefing\n{lines}\n```"
            payload = fields if hook == "notification" else {"last_assistant_message": block}
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
            size = {"width": 1100, "height": 640}
            page = browser.new_page(viewport=size, device_scale_factor=1.5)
            page.goto(link)
            page.wait_for_selector("#connection[data-state=live]")
            page.wait_for_selector("#projects a")
            page.screenshot(path=ROOT / "docs" / "dashboard.png")
            browser.close()
    finally:
        gateway.terminate()
        gateway.wait()


def set_moments(database: Path) -> None:
    """Spread the turns over some hours."""
    connection = sqlite3.connect(database)
    for minutes, project, hook, _ in TURNS:
        values = (f"-{minutes} minutes", f"{project}-1")
        at = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?1)"
        if hook == "stop":
            connection.execute(
                f"UPDATE briefings SET ended_at = {at} WHERE session_id = ?2", values
            )
        connection.execute(
            f"UPDATE sessions SET state_at = {at}, last_seen_at = {at} WHERE session_id = ?2",
            values,
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
