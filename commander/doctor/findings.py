"""What a check says, and what it may look at."""

import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from commander import bootstrap, settings
from fleet_lib import paths
from fleet_lib.errors import BadInput

Level = Literal["ok", "note", "warning", "failed"]

INSTALL = "run ./install.sh in Fleet's checkout"  # what mends most of it


@dataclass(frozen=True, slots=True)
class Finding:
    """One line, and on trouble a second: what it means and the command that mends it."""

    level: Level
    check: str
    found: str
    means: str = ""
    mend: str = ""


@dataclass(frozen=True)
class Hook:
    """A registered hook of ours: where, for which event, and the command as it is run."""

    place: str  # settings, plugin, or commander
    event: str
    command: tuple[str, ...]


@dataclass
class Patient:
    """The installation that is looked at. Nothing here writes."""

    home: Path
    claude: Path
    _problems: list[str] = field(default_factory=list)

    @classmethod
    def here(cls) -> "Patient":
        claude = Path(os.environ.get("CLAUDE_CONFIG_DIR") or "~/.claude").expanduser()
        return cls(Path(paths.home()), claude)

    @property
    def settings_file(self) -> Path:
        return self.claude / "settings.json"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The user's settings; {} where they cannot be read, which the settings check says."""
        return _json_object(self.settings_file)

    @cached_property
    def plugins(self) -> dict[str, Path]:
        """{name: folder} of Fleet's enabled plugins."""
        installed = _json_object(self.claude / "plugins" / "installed_plugins.json").get("plugins")
        enabled = self.settings.get("enabledPlugins")
        found = {}
        for name, places in installed.items() if isinstance(installed, dict) else ():
            is_on = isinstance(enabled, dict) and enabled.get(name) is True
            if name.startswith("fleet@") and is_on and isinstance(places, list) and places:
                found[name] = self._plugin_root(name, Path(str(places[-1].get("installPath", ""))))
        return found

    def _plugin_root(self, name: str, cached: Path) -> Path:
        """A marketplace that is a folder is run from there."""
        known = _json_object(self.claude / "plugins" / "known_marketplaces.json")
        market = known.get(name.partition("@")[2])
        if isinstance(market, dict) and market.get("source", {}).get("source") == "directory":
            return Path(str(market.get("installLocation") or cached))
        return cached

    @cached_property
    def plugin_states(self) -> dict[Path, dict[str, str]]:
        return {
            folder: state
            for folder in bootstrap.data_folders()
            if (state := bootstrap.read_state(folder))
        }

    def hooks(self) -> Iterator[Hook]:
        """Every hook of ours that Claude Code would run."""
        for place, value in (
            ("settings", self.settings),
            ("commander", _json_object(self.home / ".claude" / "settings.json")),
        ):
            for event, _, _, entry in settings.our_entries(value):
                yield Hook(place, event, _command(entry))
        for folder in self.plugins.values():
            for event, _, _, entry in settings.our_entries(
                _json_object(folder / "hooks" / "hooks.json")
            ):
                words = _command(entry)
                root = "${CLAUDE_PLUGIN_ROOT}"
                yield Hook("plugin", event, tuple(w.replace(root, str(folder)) for w in words))


def open_untouched(path: Path) -> sqlite3.Connection:
    """A reader that leaves no file behind: without a write-ahead log there is nothing to wait for, and
    the file is read as it is."""
    name = str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    is_quiet = not Path(f"{path}-wal").exists()
    connection = sqlite3.connect(
        f"file:{name}?mode=ro{'&immutable=1' if is_quiet else ''}", uri=True, timeout=2
    )
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return connection


def _command(entry: dict[str, Any]) -> tuple[str, ...]:
    arguments = entry.get("args")
    if isinstance(arguments, list):
        return (str(entry.get("command")), *map(str, arguments))
    return ("sh", "-c", str(entry.get("command")))


def _json_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads((settings.read(path) or "{}").removeprefix("\ufeff"))
    except (BadInput, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
