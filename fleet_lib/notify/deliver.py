"""One look: which alerts are due, noting them, sending them and storing what became of them. The
database is open only for moments, never while anything waits or is sent."""

import contextlib
import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from fleet_lib import log, paths
from fleet_lib.notify import settings, targets
from fleet_lib.notify.alerts import Alert, AlertsNow
from fleet_lib.notify.due import seconds_left, seconds_to_next
from fleet_lib.notify.message import message_of
from fleet_lib.notify.sending import send
from fleet_lib.notify.targets import Target
from fleet_lib.store import db
from fleet_lib.store.notifications import NotificationRepo

_SETTLE_SECONDS = 60.0  # to wait for a database that is busy, once messages were sent
_TOGETHER_SECONDS = 5.0  # alerts that come so close to each other become one message

_Alert = TypeVar("_Alert")  # one that waits, or one as it is now


def look(home: str) -> float:
    """Send what is due. Returns the seconds until more is due, inf if nothing waits. Raises
    FleetError or sqlite3.Error; what was not noted then waits for the next look. The caller holds
    the lock."""
    wanted = settings.read(home)
    receivers = targets.read(home)
    path = Path(paths.database(home))
    if not receivers or not path.exists():
        return math.inf
    if wanted.is_quiet(time.time()):
        return math.inf
    due: dict[Target, list[Alert]] = {}
    over: dict[Target, list[int]] = {}
    seconds = math.inf
    with contextlib.closing(db.connect_read_only(path)) as connection:
        repo = NotificationRepo(connection)
        waiting = {target: repo.waiting(target.id) for target in receivers}
        if not any(waiting.values()):
            return math.inf
        now = AlertsNow(connection)
        for target, alerts in waiting.items():
            chosen, left = _due((seconds_left(one.at, wanted.grace_seconds), one) for one in alerts)
            found = [(one.event_id, now.of(one)) for one in chosen]
            over[target] = [event_id for event_id, alert in found if alert is None]
            due[target], later = _due(
                (seconds_left(one.since, max(wanted.grace_seconds, one.least_seconds)), one)
                for _, one in found
                if one
            )
            seconds = min(seconds, left, later)
    noted = _note(path, due, over)
    if noted:
        messages = {
            target: message_of(alerts, has_titles=wanted.has_titles)
            for target, alerts in noted.items()
        }
        _settle(home, path, noted, send(messages))
    return seconds


def is_pending(home: str) -> bool:
    """Whether an alert waits that may be sent now or after its grace."""
    path = Path(paths.database(home))
    if not targets.exist(home) or not path.exists():
        return False
    with contextlib.closing(db.connect_read_only(path)) as connection:
        return seconds_to_next(connection, home) is not None


def _due(waits: Iterable[tuple[float, _Alert]]) -> tuple[list[_Alert], float]:
    """(the alerts to send now, seconds until others are due) of alerts with the seconds that each
    has left. Those that follow the first one closely are waited for."""
    waits = list(waits)
    if not waits:
        return [], math.inf
    first = min(left for left, _ in waits)
    last = max(left for left, _ in waits if left <= first + _TOGETHER_SECONDS)
    if last > 0:
        return [], last
    chosen = [alert for left, alert in waits if left <= 0]
    return chosen, min((left for left, _ in waits if left > 0), default=math.inf)


def _note(
    path: Path, due: Mapping[Target, list[Alert]], over: Mapping[Target, list[int]]
) -> dict[Target, list[Alert]]:
    """Note what is about to be sent. Only what this process has noted, it sends."""
    noted: dict[Target, list[Alert]] = {}
    if not any(due.values()) and not any(over.values()):
        return noted
    with contextlib.closing(db.connect(path)) as connection, db.transaction(connection):
        repo = NotificationRepo(connection)
        for target, alerts in due.items():
            repo.leave_out(target.id, target.name, over[target], "over")
            claimed = set(repo.note(target.id, target.name, [one.event_id for one in alerts]))
            if claimed:
                noted[target] = [one for one in alerts if one.event_id in claimed]
    return noted


def _settle(
    home: str, path: Path, noted: Mapping[Target, list[Alert]], errors: Mapping[Target, str]
) -> None:
    for target, error in errors.items():
        if error:
            log.write_once(home, "notify", f"{target.name}: {error}")
    connection = db.connect(path, busy_timeout=_SETTLE_SECONDS)
    with contextlib.closing(connection), db.transaction(connection):
        repo = NotificationRepo(connection)
        for target, alerts in noted.items():
            repo.settle(target.id, [one.event_id for one in alerts], errors[target])
