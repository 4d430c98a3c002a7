"""Whether a resumed session sends a turn that failed once more. Hot path.

Newer clients (which name their process to a hook) leave the failed answer out and send its prompt,
with all that was shown to it, in one message with the next prompt. Older ones put an answer of
their own between the two."""

from fleet_lib.small_os import os

_TAIL_BYTES = 512 * 1024


def resent_prompt(transcript: str) -> "str | None":
    """The prompt id of the failed turn at the transcript's end, "" if it has none; None if the last
    turn did not fail, or if its prompt is not sent again."""
    if not os.environ.get("CLAUDE_PID"):
        return None
    lines = _tail(transcript).split(b"\n")
    for number in range(len(lines) - 1, -1, -1):
        if b'"type":"assistant"' in lines[number]:
            break
    else:
        return None
    if b'"isApiErrorMessage":true' not in lines[number]:
        return None
    for line in reversed(lines[:number]):
        _, found, rest = line.partition(b'"promptId":"')
        if found:
            return rest.partition(b'"')[0].decode("ascii", "replace")
    return ""


def _tail(transcript: str) -> bytes:
    try:
        descriptor = os.open(transcript, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError):
        return b""
    try:
        size = os.fstat(descriptor).st_size
        return os.pread(descriptor, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
    except OSError:
        return b""
    finally:
        os.close(descriptor)
