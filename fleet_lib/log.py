"""The log: one line for each thing that went wrong, in a private file of bounded size. Hot path:
hooks and the drainer's stub write here too, and import it only then."""

import time

from fleet_lib import paths
from fleet_lib.small_os import os

LIMIT_BYTES = 1024 * 1024


def write_once(home: str, who: str, message: str) -> None:
    """The same, unless it is what the log's newest line says."""
    text = "".join([char if char.isprintable() else "?" for char in message[:1000]])
    try:
        with open(paths.log_file(home), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
            newest = file.read().decode("utf-8", "replace").rstrip("\n").rpartition("\n")[2]
    except OSError:
        newest = ""
    if newest.partition(" ")[2] != f"{who} {text}":
        write(home, who, message)


def write(home: str, who: str, message: str) -> None:
    """Append one line without control characters. A log that cannot be written stops nothing."""
    path = paths.log_file(home)
    text = "".join([char if char.isprintable() else "?" for char in message[:1000]])
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, f"{stamp} {who} {text}\n".encode("utf-8", "replace"))
            mine = os.fstat(descriptor)
            # Another writer may have moved it away meanwhile and begun a new file.
            if mine.st_size > LIMIT_BYTES and mine.st_ino == os.stat(path).st_ino:
                os.replace(path, path + ".1")
        finally:
            os.close(descriptor)
    except OSError:
        pass
