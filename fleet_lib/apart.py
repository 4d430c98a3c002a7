"""A question to the world that may never be answered, asked by a child that can be abandoned: on a
mount that is gone not even SIGKILL ends who asks. The drainer has a child of its own for all of its
entries (drain/reader.py)."""

import contextlib
import os
import pickle
import select
import signal
import time
from collections.abc import Callable
from typing import TypeVar, cast

from fleet_lib.errors import NoAnswer

_Answer = TypeVar("_Answer")


def ask(work: Callable[[], _Answer], seconds: float, what: str) -> _Answer:
    """What `work` returns, which has to be picklable. Raises NoAnswer, which names `what`, if it
    does not return in time, and RuntimeError if it raises or ends its process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            # What hangs must keep no reader of these waiting.
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            with os.fdopen(writing, "wb") as answer:
                try:
                    pickle.dump((True, work()), answer)
                except Exception as error:
                    pickle.dump((False, f"{type(error).__name__}: {error}"), answer)
        finally:
            os._exit(0)
    os.close(writing)
    try:
        data = _read_all(reading, time.monotonic() + seconds)
    finally:
        os.close(reading)
    if data is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, os.WNOHANG)
        raise NoAnswer(what, f"no answer within {seconds:.0f} s", is_silent=True)
    os.waitpid(child, 0)
    if not data:
        raise RuntimeError(f"{what}: the process that asked ended")
    is_answer, value = pickle.loads(data)  # noqa: S301 (from a child of this process)
    if not is_answer:
        raise RuntimeError(value)
    return cast("_Answer", value)


def _read_all(descriptor: int, deadline: float) -> bytes | None:
    """What comes until the end; None when the time is over."""
    data = bytearray()
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([descriptor], [], [], left)[0]:
            break
        part = os.read(descriptor, 1 << 20)
        if not part:
            return bytes(data)
        data += part
    return None
