"""Keeping the history within `history.keep_days` without being asked: `python -I daily.py
FLEET_HOME`, started detached after a drain, once a day.

What a prune does, and what it keeps, is prune.py's; here is when. It runs in a process of its own,
beside drainers: each of its transactions is short, and nothing that a hook does waits for it.
"""

import contextlib
import fcntl
import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = str(Path(__file__).resolve().parents[2])
if ROOT not in sys.path:  # started by its path
    sys.path.insert(0, ROOT)

from fleet_lib import clock, files, hot_settings, log, paths, wake  # noqa: E402
from fleet_lib.json_text import json_object  # noqa: E402
from fleet_lib.records import Record, replace  # noqa: E402

DAY_SECONDS = 86400
_TRY_AGAIN_SECONDS = 3600
_NICENESS = 10


class LastPrune(Record):
    """What is known of the last prune, by itself or not; "" and 0 if there was none."""

    tried_at: str = ""  # when the last one by itself began
    pruned_at: str = ""  # when the last one ended well
    before: str = ""  # everything older was deleted but what must be kept
    briefings: int = 0  # that it deleted
    trouble: str = ""  # why the last one by itself failed


def last_prune(home: str) -> LastPrune:
    try:
        written = json_object(_report(home).read_bytes())
    except OSError:
        written = {}
    nothing: dict[str, Any] = vars(LastPrune())
    known: dict[str, Any] = {
        name: value if type(value := written.get(name)) is type(empty) else empty
        for name, empty in nothing.items()
    }
    return LastPrune(**known)


def note_prune(home: str, before: str | None, briefings: int) -> None:
    """Remember that the history was pruned."""
    known = last_prune(home)
    _write(home, LastPrune(known.tried_at, clock.now(), before or "", briefings))


def start_if_due(home: str) -> None:
    """Start the process if a day has passed; after a failure, an hour."""
    last = last_prune(home)
    if not _has_passed(last.pruned_at, DAY_SECONDS):
        return
    if not _has_passed(last.tried_at, _TRY_AGAIN_SECONDS):
        return
    with contextlib.suppress(OSError):  # the next drain tries again
        _start(home)


def _start(home: str) -> None:
    wake.start_detached([sys.executable, "-I", __file__, home])


def main(home: str) -> int:
    os.umask(0o077)
    lock = os.open(paths.history_lock(home), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return _work(home)
    except BlockingIOError:
        return 0  # another one is at work
    finally:
        os.close(lock)


def _work(home: str) -> int:
    days, last = hot_settings.keep_days(home), last_prune(home)
    if not days or not _has_passed(last.pruned_at, DAY_SECONDS):
        return 0
    begun = replace(last, tried_at=clock.now(), trouble="")
    _write(home, begun)
    try:
        _prune(home, days)
    except Exception as error:  # this process has no terminal: the log and doctor say it
        from fleet_lib.redact import redact

        reason = redact(f"{type(error).__name__}: {error}")
        log.write_once(home, "history", f"not pruned: {reason}")
        _write(home, replace(begun, trouble=reason))
        return 1
    return 0


def _prune(home: str, days: int) -> None:
    from fleet_lib.history.prune import prune
    from fleet_lib.store import db

    before = clock.ago(days * DAY_SECONDS)
    with contextlib.closing(db.connect(paths.database(home))) as connection:
        report = prune(connection, before=before, max_bytes=None, dry_run=False, is_gentle=True)
    note_prune(home, before, report.deleted.get("briefings", 0))


def _has_passed(moment: str, seconds: float) -> bool:
    """Whether so much time has passed since, or the clock was set back."""
    return moment < clock.ago(seconds) or clock.is_ahead(moment)


def _report(home: str) -> Path:
    return Path(home) / "history.json"


def _write(home: str, report: LastPrune) -> None:
    with contextlib.suppress(OSError):  # a full disk: the prune counts all the same
        files.write_whole(_report(home), f"{json.dumps(vars(report))}\n")


if __name__ == "__main__":
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    sys.exit(main(sys.argv[1]))
