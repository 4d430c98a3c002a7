"""Files: read only where they are regular, written whole or not at all. Python 3.9 and later,
standard library only, since the installer and the plugin use it too."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def read_regular_file(path: str, limit: int) -> bytes | None:
    """At most `limit` bytes of a regular file; None for anything else (link, device, pipe)."""
    with open_regular(path) as descriptor:
        if descriptor is None:
            return None
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(limit)


@contextlib.contextmanager
def open_regular(path: str) -> Iterator[int | None]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError):
        yield None
        return
    try:
        yield descriptor if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    finally:
        os.close(descriptor)


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; {} if there is no such file or it holds anything else."""
    try:
        value = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def write_whole(path: Path, text: str, mode_of: Path | None = None) -> None:
    """Write a file aside and move it in, with the mode of `mode_of` if that exists, else 0600."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if mode_of is not None and mode_of.exists():
            Path(temporary).chmod(mode_of.stat().st_mode & 0o7777)
        Path(temporary).replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
