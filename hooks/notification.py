"""Notification: Claude Code waits for the user. The payload goes to the spool."""

import _signal

for _number in (_signal.SIGTERM, _signal.SIGHUP, _signal.SIGINT):
    _signal.signal(_number, _signal.SIG_IGN)  # a client that exits terminates its hooks

import posix
import sys

WAITING = (
    "permission_prompt",
    "worker_permission_prompt",
    "idle_prompt",
    "elicitation",
    "agent_needs_input",
)


def keep(call: "_hook.Call") -> None:
    """Spool the kinds which say that a session waits, and what has no kind at all."""
    kind = _hook.field(call.payload, b"notification_type")
    if not kind or kind.startswith(WAITING):
        call.put()


try:
    # -I leaves the script's own folder out of the path.
    sys.path.append(__file__.rpartition("/hooks/")[0] or "/")
    from hooks import _hook

    _hook.run("Notification", keep)
finally:
    posix._exit(0)  # a hook never fails: exit 2 would erase a prompt or force a turn
