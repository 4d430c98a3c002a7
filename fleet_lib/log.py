"""The log: one line an occurrence, bounded, private. Hooks write their own (the hot path)."""

import os
from pathlib import Path

from fleet_lib import clock, paths

LIMIT_BYTES = 1024 * 1024


def write(home: str, who: str, message: str) -> None:
    """Append one line, control characters out. A log that cannot be written is no reason to stop."""
    path = Path(paths.log_file(home))
    text = "".join(char if char.isprintable() else "?" for char in message[:1000])
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > LIMIT_BYTES:
            path.replace(path.with_suffix(".log.1"))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:
        return
    try:
        os.write(descriptor, f"{clock.now()} {who} {text}\n".encode())
    except OSError:
        pass
    finally:
        os.close(descriptor)
