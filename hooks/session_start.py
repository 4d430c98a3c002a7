"""SessionStart: tells the Commander what is new and a worker a few facts; spools the payload."""

import os
import sys


def start(call):
    shown = None
    try:
        shown = tell(call)
    finally:
        call.put(shown=shown)


def tell(call):
    """Print what this session is told; what of the outbox the Commander was shown, else None."""
    from fleet_lib import paths, prelude

    fields = prelude.payload_fields(call.payload, ("session_id", "cwd", "source", "prompt_id"))
    call.session_id = fields.get("session_id") or call.session_id
    call.cwd = fields.get("cwd") or call.cwd
    text, shown, source = "", None, fields.get("source", "")
    try:
        if paths.is_commander(call.folder(), call.home):
            text, shown = prelude.commander_start(call.home, call.session_id, source)
        elif fields and os.environ.get("FLEET_WORKER_FACTS", "").lower() != "off":
            text = prelude.worker_facts(call.home, call.folder(), call.session_id)
    except prelude.Unavailable:
        return None  # no prelude this time; the same events are there the next
    if not text:
        return shown
    told = call.claim(fields.get("prompt_id", ""), source) and call.print(
        prelude.hook_output(call.event, text)
    )
    return shown if told else None  # else another copy printed it, or nobody took it


try:
    # -I leaves the script's own folder out of the path.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from hooks import _hook

    _hook.run("SessionStart", start)
finally:
    os._exit(0)  # a hook never fails: exit 2 would erase a prompt or force a turn
