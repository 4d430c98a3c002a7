"""Files that are written whole or not at all. Standard library only: the installer uses it too."""

import contextlib
import os
import tempfile
from pathlib import Path


def write_whole(path: Path, text: str, mode_of: Path | None = None) -> None:
    """Write a file aside and move it in; with the mode of another one, if that is there, else 0600."""
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
