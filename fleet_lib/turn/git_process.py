"""Running git. `subprocess` does more than this needs, and importing it takes half as long as starting
Python."""

from __future__ import annotations

import _signal
import os
import select
import time
from collections.abc import Mapping

from fleet_lib.records import Record

# Python ignores these, and git must not.
_GIVEN_BACK = tuple(
    getattr(_signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(_signal, name)
)


class Answer(Record):
    returncode: int
    stdout: str
    stderr: str


def run(
    command: list[str], environment: Mapping[str, str], stdin: str | None, seconds: float
) -> Answer:
    """Run a program to its end. Raises TimeoutError when the time is over, and OSError or ValueError
    where it cannot be started."""
    given = b"" if stdin is None else stdin.encode("utf-8", "surrogateescape")
    (source, entry), (out, out_end), (errors, errors_end) = pipes = [os.pipe() for _ in range(3)]
    ends = [(source, 0), (out_end, 1), (errors_end, 2)]
    actions = [(os.POSIX_SPAWN_DUP2, *each) for each in ends]
    try:
        child = os.posix_spawnp(
            command[0], command, environment, file_actions=actions, setsigdef=_GIVEN_BACK
        )
    except BaseException:
        for descriptor in (descriptor for pipe in pipes for descriptor in pipe):
            os.close(descriptor)
        raise
    for descriptor, _ in ends:
        os.close(descriptor)
    deadline = time.monotonic() + seconds
    status: int | None = None
    try:
        stdout, stderr = _exchange(entry, given, (out, errors), deadline)
        status = _end_of(child, deadline)
    finally:  # also at an entry's own time limit
        if status is None:
            os.kill(child, _signal.SIGKILL)
            os.waitpid(child, 0)
    return Answer(os.waitstatus_to_exitcode(status), stdout, stderr)


def _end_of(child: int, deadline: float) -> int:
    """The status of a child that has closed its outputs, and so is about to end."""
    pause = 0.0002
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(pause)
        pause = min(2 * pause, 0.05)


def _exchange(
    entry: int, given: bytes, outputs: tuple[int, int], deadline: float
) -> tuple[str, str]:
    """Write what is given and read both outputs to their ends. Closes the three descriptors."""
    read: dict[int, list[bytes]] = {output: [] for output in outputs}
    poll = select.poll()
    for output in outputs:
        poll.register(output, select.POLLIN)
    poll.register(entry, select.POLLOUT)
    os.set_blocking(entry, False)
    is_open = {entry, *outputs}

    def end(descriptor: int) -> None:
        poll.unregister(descriptor)
        is_open.discard(descriptor)
        os.close(descriptor)

    try:
        while is_open.intersection(outputs):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            for descriptor, _ in poll.poll(remaining * 1000):
                if descriptor != entry:
                    part = os.read(descriptor, 1 << 16)
                    read[descriptor].append(part)
                else:
                    try:
                        part = given[: os.write(entry, given)] if given else b""
                    except BrokenPipeError:
                        part = b""
                    given = given[len(part) :]
                if not part or (descriptor == entry and not given):
                    end(descriptor)
    finally:
        for descriptor in tuple(is_open):
            end(descriptor)
    out, errors = (b"".join(read[each]).decode("utf-8", "surrogateescape") for each in outputs)
    return out, errors
