"""Sending one message to each of several targets, each by a child process of its own (send.py): a
server that does not answer, or a crash in a service's code, holds up no other target and not the
caller. Nothing of a message or an address is in a command line."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from fleet_lib.json_text import json_object
from fleet_lib.notify.message import Message
from fleet_lib.notify.targets import Target

SEND_SECONDS = 20.0
_SENDER = Path(__file__).with_name("send.py")


def send(messages: Mapping[Target, Message], seconds: float = SEND_SECONDS) -> dict[Target, str]:
    """Send all of them at the same time. {target: why that failed, "" if it was sent}."""
    deadline = time.monotonic() + seconds
    started: dict[Target, subprocess.Popen[bytes]] = {}
    results: dict[Target, str] = {}
    for target, message in messages.items():
        try:
            started[target] = _start(target, message, seconds)
        except OSError as error:
            results[target] = f"the sender could not be started: {error.strerror}"
    for target, process in started.items():
        results[target] = _result(process, deadline, seconds)
    return results


def _start(target: Target, message: Message, seconds: float) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-I", str(_SENDER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
    request = {"url": target.url, "title": message.title, "body": message.body, "seconds": seconds}
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(request).encode())
        process.stdin.close()
    process.stdin = None
    return process


def _result(process: "subprocess.Popen[bytes]", deadline: float, seconds: float) -> str:
    try:
        output, _ = process.communicate(timeout=max(deadline - time.monotonic(), 0.1))
    except subprocess.TimeoutExpired:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1.0)  # longer only in an uninterruptible sleep
        return f"no answer within {seconds:.0f} s"
    answer = json_object(output.decode("utf-8", "replace")).get("error")
    return answer if isinstance(answer, str) else "the sender crashed"
