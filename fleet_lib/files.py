"""Files: read only where they are regular, written whole or not at all. Python 3.9 and later,
standard library only, since the installer and the plugin use it too."""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
import sys
from collections.abc import Iterable, Iterator

from fleet_lib.json_text import json_object
from fleet_lib.outside import asking, require_answer
from fleet_lib.spool import sync_folder

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

_HERE, _SWAP = -100, 2  # AT_FDCWD; RENAME_EXCHANGE, and RENAME_SWAP on macOS


def read_regular_file(path: str, limit: int) -> bytes | None:
    """At most `limit` bytes of a regular file; None for anything else (link, device, pipe)."""
    with open_regular(path) as descriptor:
        if descriptor is None:
            return None
        # As much room as the file needs: room up to the limit would take longer than the reading.
        data = os.read(descriptor, min(os.fstat(descriptor).st_size + 1, limit))
        while len(data) < limit and (more := os.read(descriptor, min(limit - len(data), 1 << 20))):
            data += more
        return data


def map_regular_file(path: str, limit: int) -> bytes | mmap.mmap | None:
    """The same without a copy, which for megabytes costs more than what is looked for in them. For
    files that are replaced whole: a program that shortens one at this moment ends this process."""
    with open_regular(path) as descriptor:
        if descriptor is None:
            return None
        size = min(os.fstat(descriptor).st_size, limit)
        return mmap.mmap(descriptor, size, prot=mmap.PROT_READ) if size else b""


@contextlib.contextmanager
def open_regular(path: str) -> Iterator[int | None]:
    """Open a file for reading; None where there is no regular one. Raises NoAnswer in the drainer's
    reader."""
    asking(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError):
            require_answer(error, path)
        yield None
        return
    try:
        yield descriptor if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    finally:
        os.close(descriptor)


def with_parents(folder: str) -> list[str]:
    """A folder and those above it, the nearest first."""
    parts = [part for part in folder.split("/") if part not in ("", ".")]
    root = "/" if folder.startswith("/") else ""
    return [f"{root}{'/'.join(parts[:count])}" or "." for count in range(len(parts), -1, -1)]


def read_json_object(path: str | Path) -> dict[str, Any]:
    """The JSON object in a file; {} if there is no such file or it holds anything else."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            return json_object(file.read())
    except (OSError, ValueError):
        return {}


def write_whole(
    path: Path,
    content: str | bytes | Iterable[str],
    mode_of: Path | None = None,
    *,
    mode: int | None = None,
    folder: Path | None = None,
    durable: bool = True,
) -> None:
    """Write a file aside and rename it into place: readers, also after a crash, see the old file or
    the new one and never a part. Its mode is `mode`, or that of the file `mode_of` if that exists,
    else 0600.

    `folder` (default: the file's own) is where it is written first; it must be on the same file
    system. With `durable` the new file also survives a power loss once this returns.
    """
    # Not by `tempfile`, which takes a third as long to import as Python takes to start.
    temporary = (folder or path.parent) / f".{path.name}.{os.getpid()}-{os.urandom(6).hex()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for part in (content,) if isinstance(content, (str, bytes)) else content:
                file.write(part.encode() if isinstance(part, str) else part)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        if mode is None and mode_of is not None and mode_of.exists():
            mode = mode_of.stat().st_mode & 0o7777
        if mode is not None:
            temporary.chmod(mode)
        temporary.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
    if durable:
        with contextlib.suppress(OSError):  # not every file system can sync a folder
            sync_folder(str(path.parent))


def exchange(one: Path, other: Path) -> bool:
    """Let two files change places, so that at no moment one of them is missing or lost. False where
    the system or the file system cannot do that."""
    import ctypes

    names = (os.fsencode(one), os.fsencode(other))
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            return not library.renamex_np(*names, _SWAP)
        return not library.renameat2(_HERE, names[0], _HERE, names[1], _SWAP)
    return False
