"""SessionStart: shows the Commander what is new and a worker a few facts; spools the payload."""

import os
import sys


def start(call: "_hook.Call") -> None:
    shown = None
    try:
        shown = show(call)
    finally:
        call.put(shown=shown)


def show(call: "_hook.Call") -> "tuple[int, int] | None":
    """Print what this session is shown; the events that a Commander was shown, else None."""
    from fleet_lib import hot_settings, paths
    from fleet_lib.prelude import commander, database, workers

    fields = call.read_fields()
    text, shown = "", None
    try:
        if paths.is_commander(call.folder(), call.home):
            source = fields.get("source", "")
            text, shown = commander.commander_start(
                call.home,
                call.session_id,
                source,
                call.client(),
                fields.get("transcript_path", ""),
            )
        elif fields and hot_settings.has_worker_facts(call.home):
            text = workers.worker_facts(call.home, call.folder(), call.session_id)
    except database.Unavailable:
        return None  # no prelude this time; the same events are there the next
    return shown if not text or call.add_context(text, fields) else None


try:
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from hooks import _hook

    _hook.run("SessionStart", start)
finally:
    os._exit(0)  # a hook never fails: exit 2 would erase a prompt or force a turn
