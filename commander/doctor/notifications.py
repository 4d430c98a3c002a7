"""The check of notifications: whether the last message to each target was sent."""

import contextlib
import importlib.util
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from commander.doctor.findings import Finding, Installation, open_untouched
from fleet_lib import clock, paths
from fleet_lib.extras import command_to_add
from fleet_lib.notify import targets
from fleet_lib.notify.send import desktop_trouble
from fleet_lib.notify.targets import DESKTOP, Target
from fleet_lib.store.notifications import Notification, NotificationRepo


def notifications(installation: Installation) -> Iterator[Finding]:
    found = targets.read(str(installation.home))
    path = Path(paths.notify_targets(str(installation.home)))
    if not found:
        if path.exists():
            yield Finding(
                "warning",
                "notifications",
                f"{path} names no target.",
                "No message is sent.",
                "remove that file, then run: fleet notify add desktop",
            )
        else:
            yield Finding("ok", "notifications", "No target: no message is sent.")
        return
    if any(one.url != DESKTOP for one in found) and importlib.util.find_spec("apprise") is None:
        yield Finding(
            "failed",
            "notifications",
            "Apprise is not installed, but a target needs it.",
            "No message is sent to that target.",
            command_to_add("notify"),
        )
        return
    last = _last_of_each(installation, found)
    desktop = next((one.name for one in found if one.url == DESKTOP), "")
    if desktop and (trouble := desktop_trouble()):
        yield Finding(
            "warning",
            "notifications",
            f"{trouble[0].upper()}{trouble[1:]}.",
            "No message is seen on the desktop.",
            f"fleet notify remove {desktop}",
        )
        return
    failed = {one.name: last[one.id] for one in found if one.id in last and last[one.id].error}
    for name, one in failed.items():
        yield Finding(
            "failed",
            "notifications",
            f"The last message to {name} was not sent ({clock.age(one.at)}): {one.error}",
            "`fleet notify log` says whether it is tried again.",
            f"fleet notify test {name}",
        )
    if not failed:
        newest = max((one.at for one in last.values()), default="")
        sent = f"last message {clock.age(newest)}" if newest else "no message was sent yet"
        names = ", ".join(one.name for one in found)
        yield Finding("ok", "notifications", f"{names}: {sent}.")


def _last_of_each(installation: Installation, found: list[Target]) -> dict[str, Notification]:
    """{target's id: its last message}; {} if the database cannot say it."""
    path = Path(paths.database(str(installation.home)))
    if path.exists():
        with contextlib.suppress(sqlite3.Error), contextlib.closing(open_untouched(path)) as one:
            one.row_factory = sqlite3.Row
            repo = NotificationRepo(one)
            return {
                target.id: last for target in found if (last := repo.last_of(target.id)) is not None
            }
    return {}
