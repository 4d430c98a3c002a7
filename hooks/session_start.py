"""SessionStart: shows the Commander what is new and a worker a few facts; spools the payload."""

import _signal

for _number in (_signal.SIGTERM, _signal.SIGHUP, _signal.SIGINT):
    _signal.signal(_number, _signal.SIG_IGN)  # a client that exits terminates its hooks

import posix
import sys


def show(call: "_hook.Call") -> "tuple[int, int] | None":
    """Print what this session is shown; the events that a Commander was shown, else None."""
    from fleet_lib import hot_settings, paths
    from fleet_lib.prelude import commander, database, workers

    fields = call.read_fields()
    text, shown = "", None
    try:
        if paths.is_commander(call.folder(), call.home):
            text, shown = commander.commander_start(
                *(call.home, call.session_id, fields.get("source", "")),
                *(call.client(), fields.get("transcript_path", "")),
            )
        elif fields and hot_settings.has_worker_facts(call.home):
            text = workers.worker_facts(call.home, call.folder(), call.session_id)
    except database.Unavailable:
        return None  # no prelude this time; the same events are there the next
    return shown if not text or call.add_context(text, fields) else None


try:
    sys.path.append(__file__.rpartition("/hooks/")[0] or "/")
    from hooks import _hook

    _hook.run("SessionStart", lambda call: call.show_and_put(show))
finally:
    posix._exit(0)  # a hook never fails: exit 2 would erase a prompt or force a turn
