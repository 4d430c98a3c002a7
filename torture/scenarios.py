"""The scenarios. Each takes a Ground and a size, does its worst, and checks the promise; it returns
what it did, for the report."""

from collections.abc import Callable

from torture.damage import clock_back, corrupt, disk_full, locked, read_only, spool_removed
from torture.dead_mount import dead_folders
from torture.ground import Ground
from torture.kills import kills
from torture.power import power_loss
from torture.races import crowd, lingering, migrations
from torture.relay import relay

Scenario = Callable[[Ground, int], str]

# {name: (scenario, size of the short form, size of the long form)}.
SCENARIOS: dict[str, tuple[Scenario, int, int]] = {
    "kills": (kills, 60, 1000),
    "crowd": (crowd, 2, 10),
    "lingering": (lingering, 40, 600),
    "migrations": (migrations, 2, 20),
    "disk-full": (disk_full, 12, 200),
    "locked": (locked, 4, 60),
    "corrupt": (corrupt, 2, 20),
    "spool-removed": (spool_removed, 30, 500),
    "read-only": (read_only, 5, 50),
    "clock-back": (clock_back, 8, 100),
    "dead-mount": (dead_folders, 6, 100),
    "relay": (relay, 4, 60),
    "power-loss": (power_loss, 4, 300),
}
