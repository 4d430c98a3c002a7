"""The log: one line an occurrence, bounded, private. Standard library only: hooks and the drainer's stub
write here too, when something has gone wrong and not before."""

import os
import time

from fleet_lib import paths

LIMIT_BYTES = 1024 * 1024


def write(home: str, who: str, message: str) -> None:
    """Append one line, control characters out. A log that cannot be written is no reason to stop."""
    path = paths.log_file(home)
    text = "".join([char if char.isprintable() else "?" for char in message[:1000]])
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, f"{stamp} {who} {text}\n".encode("utf-8", "replace"))
            mine = os.fstat(descriptor)
            # Another writer may have put a new file in its place meanwhile.
            if mine.st_size > LIMIT_BYTES and mine.st_ino == os.stat(path).st_ino:
                os.replace(path, path + ".1")
        finally:
            os.close(descriptor)
    except OSError:
        pass
