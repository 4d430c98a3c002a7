"""A bar for work that takes longer than a second."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

import click


@contextlib.contextmanager
def progress_bar(
    label: str, words: Callable[[int, int], str]
) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on a terminal's stderr, for work that takes longer than a second; elsewhere None.
    `words(done, total)` are shown beside it."""
    if not sys.stderr.isatty():
        yield None
        return
    shown, began = False, time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal shown
        if time.monotonic() - began < 1:
            return
        shown = True
        filled = 30 * done // max(total, done, 1)
        bar = "#" * filled + "." * (30 - filled)
        click.echo(f"\r{label} [{bar}] {words(done, total)}\x1b[K", err=True, nl=False, color=True)

    try:
        yield show
    finally:
        if shown:
            click.echo("\r\x1b[K", err=True, nl=False, color=True)
