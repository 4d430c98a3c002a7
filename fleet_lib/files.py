"""Reading files that somebody else chose: regular ones only, and no more than asked for."""

import contextlib
import os
import stat
from collections.abc import Iterator


def read_regular_file(path: str, limit: int) -> bytes | None:
    """At most `limit` bytes of a regular file; None for anything else: no link, no device, no pipe."""
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
