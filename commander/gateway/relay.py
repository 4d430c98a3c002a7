"""While the gateway runs, a child of it exchanges news with the other machines all the time, so that
the dashboard shows them within a second. It ends with the gateway, however that ends: its stdin
does."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from fleet_lib import hot_settings, paths

_LOOK_SECONDS = 10.0  # whether this home has joined a relay by now


@contextlib.asynccontextmanager
async def exchanging(home: str) -> AsyncIterator[None]:
    task = asyncio.create_task(_keep_one(home))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _keep_one(home: str) -> None:
    child: subprocess.Popen[bytes] | None = None
    try:
        while True:
            if child is None or child.poll() is not None:
                child = _start(home)
            await asyncio.sleep(_LOOK_SECONDS)
    finally:
        if child is not None and child.stdin is not None:
            child.stdin.close()


def _start(home: str) -> "subprocess.Popen[bytes] | None":
    """None if this home has joined no relay, or exchanges nothing by itself. A child that finds
    another one at work ends, and is started again later."""
    is_member = Path(paths.relay(home, "seed")).exists()
    if not is_member or hot_settings.setting(home, "relay", "auto") == "false":
        return None
    return subprocess.Popen(
        [sys.executable, "-I", paths.RELAY, home, "child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
