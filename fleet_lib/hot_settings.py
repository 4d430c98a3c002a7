"""Settings that a hook reads. Hot path: a TOML parser would take longer to import than the whole hook, so
plain values are read as they are written; fleet_lib/config.py refuses what this would read differently."""

import os

BUDGET = 6000  # characters, as Claude Code counts them (UTF-16 units)
BUDGET_RANGE = (1000, 9800)  # over 10,000 Claude Code shows a file name instead of the text


def budget(home: str) -> int:
    """FLEET_PRELUDE_BUDGET, else the setting prelude.budget, held within BUDGET_RANGE; BUDGET where it is
    not a number."""
    named = os.environ.get("FLEET_PRELUDE_BUDGET", "") or setting(home, "prelude", "budget")
    lowest, highest = BUDGET_RANGE
    is_number = named.isdecimal() and len(named) < 10
    return max(lowest, min(highest, int(named))) if is_number else BUDGET


def tells_workers(home: str) -> bool:
    """FLEET_WORKER_FACTS, else the setting worker.facts."""
    named = os.environ.get("FLEET_WORKER_FACTS", "").lower()
    return named not in ("off", "false") if named else setting(home, "worker", "facts") != "false"


def setting(home: str, section: str, name: str) -> str:
    """A plain value of config.toml as it is written there, "" if it is not. A parser would take longer
    than the whole hook; fleet_lib/config.py refuses what this would read differently."""
    try:
        with open(os.path.join(home, "config.toml"), "rb") as file:
            return setting_in(file.read(), section, name)
    except OSError:
        return ""


def setting_in(text: bytes, section: str, name: str) -> str:
    inside = False
    for line in text.splitlines():
        line = line.partition(b"#")[0].strip()
        if line.startswith(b"["):
            inside = line == b"[" + section.encode() + b"]"
        elif inside and line.partition(b"=")[0].strip() == name.encode():
            return line.partition(b"=")[2].strip().decode("utf-8", "replace")
    return ""
