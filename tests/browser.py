"""A real Chromium, Debian's, driven by playwright. In CI it must be there."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright


def program() -> str:
    found = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    if not found:
        if os.environ.get("CI"):
            pytest.fail("no Chromium, which looks at the dashboard")
        pytest.skip("no Chromium, which looks at the dashboard")
    return found


@contextlib.contextmanager
def page(**context: Any) -> Iterator[Page]:
    """A page of a browser of its own. Whatever it complains of, or loads from elsewhere, fails the test."""
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=["--no-sandbox"])
        try:
            made = browser.new_context(
                viewport={"width": 1200, "height": 800}, **context
            ).new_page()
            made.set_default_timeout(15_000)
            made.on("pageerror", lambda error: complaints.append(f"error: {error}"))
            made.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
            made.on(
                "request",
                lambda request: (
                    complaints.append(f"asked {request.url}")
                    if "127.0.0.1" not in request.url
                    else None
                ),
            )
            made.on(
                "console",
                lambda said: (
                    complaints.append(f"console: {said.text}")
                    if "Content Security Policy" in said.text
                    else None
                ),
            )
            yield made
        finally:
            browser.close()
    assert complaints == []
