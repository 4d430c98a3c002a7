"""What a reader of the world keeps for the next one, in small files of the home's `cache` folder. It
is never needed: a file that is missing, damaged or cannot be written costs only time."""

from __future__ import annotations

import contextlib
import marshal
import mmap
import os

from fleet_lib import paths
from fleet_lib.compiled import checksum
from fleet_lib.digests import sha256

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

# Of what is kept, and of the rules by which it is chosen (living.py); another one is not read.
_FORMAT = 2
_FILE_BYTES = 8 * 1024 * 1024
_ALL_BYTES = 64 * 1024 * 1024
_CHECKSUM_BYTES = 8


def name_of(kind: str, path: str) -> str:
    """The name of the file for what is kept of one folder."""
    return f"{kind}-{sha256(os.fsencode(path)).hexdigest()[:24]}"


def read(home: str, name: str) -> Any:
    """What was kept under this name, as it was given; None if there is nothing."""
    try:
        with (
            open(os.path.join(paths.cache(home), name), "rb", 0) as file,
            mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data,
            memoryview(data)[_CHECKSUM_BYTES:] as body,
        ):
            if len(data) > _FILE_BYTES or data[:_CHECKSUM_BYTES] != checksum(body):
                return None
            number, value = marshal.loads(body)  # noqa: S302 (a file of ours, and whole)
    except (OSError, ValueError, EOFError, TypeError):
        return None
    return value if number == _FORMAT else None


def write(home: str, name: str, value: Any) -> bool:
    """Keep plain values: numbers, texts, bytes, and tuples, lists and dicts of them. False if they
    cannot be kept."""
    body = marshal.dumps((_FORMAT, value))
    data = checksum(body) + body
    if len(data) > _FILE_BYTES:
        return False
    folder = paths.cache(home)
    path = os.path.join(folder, name)
    temporary = f"{path}.{os.getpid()}"
    with contextlib.suppress(OSError):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        is_new = not os.path.exists(path)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
            with open(os.open(temporary, flags, 0o600), "wb") as file:
                file.write(data)
            os.replace(temporary, path)
        except BaseException:  # also at an entry's time limit
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        if is_new:
            _remove_oldest(folder)
        return True
    return False


def _remove_oldest(folder: str) -> None:
    """Keep the folder within its bounds."""
    with os.scandir(folder) as found:
        files = [(file.stat(), file.path) for file in found]
    size = sum(facts.st_size for facts, _ in files)
    for facts, path in sorted(files, key=lambda each: each[0].st_mtime_ns):
        if size <= _ALL_BYTES:
            break
        os.unlink(path)
        size -= facts.st_size
