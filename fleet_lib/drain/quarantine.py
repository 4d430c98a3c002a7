"""The quarantine, `spool/bad/`: entries that could not be applied, each with a file
`<entry>.reason` beside it. Only this module knows how the folder looks."""

from __future__ import annotations

import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Mapping

from fleet_lib import paths
from fleet_lib.files import write_whole

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from pathlib import Path

MAX_DAYS = 30
MAX_ENTRIES = 1000
MAX_BYTES = 512 * 1024 * 1024
_REASON = ".reason"
_NAME_BYTES = 200  # of 255 that a file name may have: the reason's name is longer than its entry's


def folder(home: str) -> Path:
    from pathlib import Path  # here: most drains find an empty quarantine

    return Path(paths.spool(home, "bad"))


def move(home: str, rejected: Mapping[str, str]) -> None:
    """Move entries out of the spool; `rejected` is {entry: reason}. The reason is stored first,
    durably, so that an entry in quarantine has one even after a crash."""
    if not rejected:
        return
    from pathlib import Path

    targets = {}
    for name, reason in rejected.items():
        # Another program's file may have a name that leaves no room for ".reason".
        target = folder(home) / os.fsdecode(os.fsencode(name)[:_NAME_BYTES])
        text = reason.encode("utf-8", "replace").decode() + "\n"
        write_whole(_reason_file(target), text, folder=Path(paths.spool(home, "tmp")))
        targets[name] = target
    for name, target in targets.items():
        try:
            Path(paths.spool(home, "new"), name).rename(target)
        except FileNotFoundError:
            _reason_file(target).unlink(missing_ok=True)


def names(home: str) -> list[str]:
    """The entries in quarantine, oldest first."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return sorted(path.name for path in folder(home).iterdir() if not is_reason(path))
    return []


def reason_of(home: str, name: str) -> str:
    """Why an entry is in quarantine; "" if that cannot be read."""
    with contextlib.suppress(OSError):
        return _reason_file(folder(home) / name).read_text("utf-8", "replace").strip()
    return ""


def is_reason(path: Path) -> bool:
    return path.suffix == _REASON


def release(home: str, file: Path) -> None:
    """Remove an entry that has been applied, if `file` is one of the quarantine."""
    if file.resolve().parent == folder(home).resolve():
        file.unlink()
        _reason_file(file).unlink(missing_ok=True)


def sweep(home: str) -> None:
    """Keep the quarantine within its limits; the oldest entries are removed first."""
    if not os.listdir(paths.spool(home, "bad")):
        return
    entries: defaultdict[str, list[Path]] = defaultdict(list)
    for path in folder(home).iterdir():
        entries[path.name.removesuffix(_REASON)].append(path)
    oldest = time.time() - MAX_DAYS * 86400
    kept_bytes = 0
    for number, name in enumerate(sorted(entries, reverse=True)):
        with contextlib.suppress(OSError):
            facts = [path.stat() for path in entries[name]]
            kept_bytes += sum(fact.st_size for fact in facts)
            is_old = min(fact.st_mtime for fact in facts) < oldest
            if number >= MAX_ENTRIES or kept_bytes > MAX_BYTES or is_old:
                for path in entries[name]:
                    path.unlink()


def _reason_file(entry: Path) -> Path:
    return entry.with_name(entry.name + _REASON)
