"""SessionStart: shows the Commander what is new and a worker a few facts; spools the payload."""

import _signal

for _number in (_signal.SIGTERM, _signal.SIGHUP, _signal.SIGINT):
    _signal.signal(_number, _signal.SIG_IGN)  # a client that exits terminates its hooks

import posix
import sys


def show(call: "_hook.Call") -> "tuple[int, int] | None":
    from hooks import _printing

    return _printing.start(call)


try:
    sys.path.append(__file__.rpartition("/hooks/")[0] or "/")
    from hooks import _hook

    _hook.run("SessionStart", lambda call: call.show_and_put(show))
finally:
    posix._exit(0)  # a hook never fails: exit 2 would erase a prompt or force a turn
