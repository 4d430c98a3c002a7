"""The system's Chromium, driven by playwright. CI requires it."""

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

PATIENCE_MS = 40_000  # a machine that is busy with other tests is slow for seconds
expect.set_options(timeout=PATIENCE_MS)


def program() -> str:
    found = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    if not found:
        if os.environ.get("CI"):
            pytest.fail("Chromium is not installed; the dashboard's tests need it")
        pytest.skip("Chromium is not installed; the dashboard's tests need it")
    return found


@contextlib.contextmanager
def open_page(**context: Any) -> Iterator[Page]:
    """A page in its own browser. Errors, dialogs and requests to other hosts fail the test."""
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=["--no-sandbox"])
        try:
            new_page = browser.new_context(
                viewport={"width": 1200, "height": 800}, **context
            ).new_page()
            new_page.set_default_timeout(PATIENCE_MS)
            new_page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
            new_page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
            new_page.on(
                "request",
                lambda request: (
                    complaints.append(f"request: {request.url}")
                    if not re.match(r"http://(127\.0\.0\.1|fleet-\w+\.localhost):", request.url)
                    else None
                ),
            )
            new_page.on(
                "console",
                lambda message: (
                    complaints.append(f"console: {message.text}")
                    if "Content Security Policy" in message.text
                    else None
                ),
            )
            yield new_page
        finally:
            browser.close()
    assert complaints == []


def is_complete(page: Page) -> None:
    """The page shows what it asked the gateway for: no heading is empty, no list is loading."""
    expect(page.locator("h1").first).not_to_have_text("\u00a0")
    expect(page.locator("[aria-busy=true]")).to_have_count(0)


def press_both(page: Page, first: str, second: str) -> None:
    """Press two keys that mean something only within a second and a half: again if this machine
    took longer."""
    pressed_at = -10.0
    while time.monotonic() - pressed_at > 1.4:
        pressed_at = time.monotonic()
        page.keyboard.press(first)
        page.keyboard.press(second)
