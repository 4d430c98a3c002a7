"""StopFailure: a turn ended in an API error. The payload goes to the spool."""

import _signal

for _number in (_signal.SIGTERM, _signal.SIGHUP, _signal.SIGINT):
    _signal.signal(_number, _signal.SIG_IGN)  # a client that exits terminates its hooks

import posix
import sys

try:
    # -I leaves the script's own folder out of the path.
    sys.path.append(__file__.rpartition("/hooks/")[0] or "/")
    from hooks import _hook

    _hook.run("StopFailure", _hook.capture)
finally:
    posix._exit(0)  # a hook never fails: exit 2 would erase a prompt or force a turn
