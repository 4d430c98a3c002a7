"""UserPromptSubmit: tells the Commander what is new since it was last told; spools what it showed."""

import os
import sys


def prompt(call):
    from fleet_lib import paths, prelude

    fields = prelude.payload_fields(call.payload, ("session_id", "cwd", "prompt_id", "agent_id"))
    call.session_id = fields.get("session_id") or call.session_id
    call.cwd = fields.get("cwd") or call.cwd
    if "agent_id" in fields or not paths.is_commander(call.folder(), call.home):
        return
    prompt_id = fields.get("prompt_id", "")
    try:
        text, shown = prelude.commander_prompt(call.home, call.session_id)
    except prelude.Unavailable:
        return  # no prelude this time; the same events are there the next
    if text and call.claim(prompt_id, "") and call.print(prelude.hook_output(call.event, text)):
        # After it was printed: a cursor may only move over what was shown.
        call.put(prelude.prompt_receipt(call.session_id, prompt_id), shown=shown)


try:
    # -I leaves the script's own folder out of the path.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from hooks import _hook

    _hook.run("UserPromptSubmit", prompt)
finally:
    os._exit(0)  # a hook never fails: exit 2 would erase a prompt or force a turn
