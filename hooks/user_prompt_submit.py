"""UserPromptSubmit: shows the Commander what is new since it last looked. Spools what was shown."""

import _signal

for _number in (_signal.SIGTERM, _signal.SIGHUP, _signal.SIGINT):
    _signal.signal(_number, _signal.SIG_IGN)  # a client that exits terminates its hooks

import posix
import sys


def prompt(call: "_hook.Call") -> None:
    from fleet_lib import paths

    folder = call.folder()
    if folder and not paths.is_commander(folder, call.home):
        return  # a plugin registers this hook for workers too
    from hooks import _printing

    _printing.prompt(call)


try:
    sys.path.append(__file__.rpartition("/hooks/")[0] or "/")
    from hooks import _hook

    _hook.run("UserPromptSubmit", prompt)
finally:
    posix._exit(0)  # a hook never fails: exit 2 would erase a prompt or force a turn
