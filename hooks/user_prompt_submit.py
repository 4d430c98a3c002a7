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
    from fleet_lib.prelude import commander, database, hook_json

    fields = call.read_fields()
    if fields.get("agent_id") or (not folder and not paths.is_commander(call.cwd, call.home)):
        return
    try:
        text, shown = commander.commander_prompt(call.home, call.session_id, call.client())
    except database.Unavailable:
        return  # no prelude this time; the same events are there the next
    if text and call.add_context(text, fields):
        # Only after it was printed: a cursor may only move over what was shown.
        receipt = hook_json.prompt_receipt(call.session_id, fields.get("prompt_id", ""))
        call.put(receipt, shown=shown)


try:
    sys.path.append(__file__.rpartition("/hooks/")[0] or "/")
    from hooks import _hook

    _hook.run("UserPromptSubmit", prompt)
finally:
    posix._exit(0)  # a hook never fails: exit 2 would erase a prompt or force a turn
