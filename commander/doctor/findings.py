"""What a check finds, and the installation that it examines. Nothing here writes."""

import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from commander.setup import hook_entries, plugin, settings, settings_record
from fleet_lib import paths
from fleet_lib.files import read_json_object

Level = Literal["ok", "note", "warning", "failed"]

INSTALL = "run ./install.sh in Fleet's checkout"  # what fixes most problems
OWNERS = {
    "settings": "the settings",
    "plugin": "the plugin",
    "commander": "the settings of the Commander",
    "managed": "the managed settings",
}
MANAGED = Path(
    "/Library/Application Support/ClaudeCode" if sys.platform == "darwin" else "/etc/claude-code"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found and, if something is wrong, what it means and what fixes it."""

    level: Level
    check: str
    found: str
    means: str = ""
    fix: str = ""


@dataclass(frozen=True)
class Hook:
    """A registered hook of Fleet: where, for which event, and the command as it is run."""

    place: str  # a key of OWNERS
    event: str
    command: tuple[str, ...]
    matcher: str = ""
    kind: str = "command"  # its `type`
    is_async: bool = False
    python: str = ""  # the interpreter and the hook file that it names
    file: str = ""
    home: str = ""  # the folder that it keeps its data in, "" where the entry does not say
    is_current_form: bool = True

    @property
    def owner(self) -> str:
        return OWNERS[self.place]


@dataclass
class Installation:
    """Fleet's folder and Claude Code's folder, and what their files say."""

    home: Path
    claude: Path

    @classmethod
    def here(cls) -> "Installation":
        home = Path(paths.home())
        claude = Path(os.environ.get("CLAUDE_CONFIG_DIR") or "~/.claude").expanduser()
        if "CLAUDE_CONFIG_DIR" not in os.environ:
            claude = _installed_claude_folder(home, claude)
        return cls(home, claude)

    @property
    def settings_file(self) -> Path:
        return self.claude / "settings.json"

    @property
    def commander_settings_file(self) -> Path:
        return self.home / ".claude" / "settings.json"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The user's settings; {} if they cannot be read, which the settings check reports."""
        return read_json_object(self.settings_file)

    @cached_property
    def every_settings(self) -> dict[Path, dict[str, Any]]:
        """The settings files that apply in the current folder, the one that wins first."""
        here = Path.cwd() / ".claude"
        files = (here / "settings.local.json", here / "settings.json", self.settings_file)
        return {file: read_json_object(file) for file in files}

    def variables(self, name: str) -> Iterator[tuple[str, Path | None]]:
        """(value, the settings file whose `env` has it or None for this shell), the one that wins
        first."""
        for file, value in self.every_settings.items():
            named = value.get("env")
            if isinstance(named, dict) and name in named:
                yield str(named[name]), file
        if name in os.environ:
            yield os.environ[name], None

    @cached_property
    def settings_fault(self) -> str:
        """Why the user's settings file can be neither used nor edited, "" if it can."""
        return settings.fault(self.settings_file, wanted_hooks())

    @cached_property
    def plugins(self) -> dict[str, Path]:
        """{name: folder} of Fleet's enabled plugins."""
        return {
            name: self._plugin_root(name, Path(str(place.get("installPath", ""))))
            for name, place in self._enabled_plugins.items()
        }

    @property
    def plugins_since(self) -> list[str]:
        """When Fleet's enabled plugins were installed, as the client wrote it."""
        times = (place.get("installedAt") for place in self._enabled_plugins.values())
        return [time for time in times if isinstance(time, str)]

    @cached_property
    def _enabled_plugins(self) -> dict[str, dict[str, Any]]:
        installed = read_json_object(self.claude / "plugins" / "installed_plugins.json")
        plugins, enabled = installed.get("plugins"), self.settings.get("enabledPlugins")
        return {
            name: places[-1]
            for name, places in (plugins.items() if isinstance(plugins, dict) else ())
            if name.startswith("fleet@") and isinstance(enabled, dict) and enabled.get(name) is True
            if isinstance(places, list) and places and isinstance(places[-1], dict)
        }

    def _plugin_root(self, name: str, cached: Path) -> Path:
        """A plugin of a marketplace that is a folder runs from that folder."""
        known = read_json_object(self.claude / "plugins" / "known_marketplaces.json")
        market = known.get(name.partition("@")[2])
        if isinstance(market, dict) and market.get("source", {}).get("source") == "directory":
            return Path(str(market.get("installLocation") or cached))
        return cached

    @cached_property
    def plugin_states(self) -> dict[Path, dict[str, str]]:
        return {
            folder: state
            for folder in plugin.data_folders()
            if (state := plugin.read_state(folder))
        }

    @cached_property
    def managed_settings(self) -> dict[Path, dict[str, Any]]:
        """The settings files of the machine's administrator."""
        files = [
            MANAGED / "managed-settings.json",
            *sorted(MANAGED.glob("managed-settings.d/*.json")),
        ]
        return {file: read_json_object(file) for file in files if file.exists()}

    def hooks(self) -> Iterator[Hook]:
        """Every hook of Fleet that Claude Code would run."""
        for place, value in (
            *(("managed", value) for value in self.managed_settings.values()),
            ("settings", self.settings),
            ("commander", read_json_object(self.commander_settings_file)),
        ):
            for event, number, _, entry in settings.our_entries(value):
                is_commander = place == "commander"
                usual = self.home if is_commander else hook_entries.usual_home(self.claude)
                yield _hook(place, event, value["hooks"][event][number], entry, usual)
        for folder in self.plugins.values():
            value = hook_entries.fill(
                read_json_object(folder / "hooks" / "hooks.json"),
                {"${CLAUDE_PLUGIN_ROOT}": str(folder)},
            )
            for event, number, _, entry in settings.our_entries(value):
                group = value["hooks"][event][number]
                yield _hook("plugin", event, group, entry, hook_entries.usual_home(self.claude))


def _installed_claude_folder(home: Path, usual: Path) -> Path:
    """The folder that `install.sh --claude-dir` named, if it was not the usual one."""
    known = [Path(name) for name in settings_record.read_all(home)]
    if (
        not known
        or (usual / "settings.json").resolve() in known
        or known[0].name != "settings.json"
    ):
        return usual
    return known[0].parent


def wanted_hooks() -> dict[str, list[Any]]:
    """{event: groups} of a complete registration."""
    hooks: dict[str, list[Any]] = json.loads(hook_entries.settings_example().read_text("utf-8"))[
        "hooks"
    ]
    return hooks


def open_untouched(path: Path) -> sqlite3.Connection:
    """A connection that only reads and leaves no file behind: without a write-ahead log there is
    nothing to wait for, so the file is read as it is."""
    uri = paths.uri(str(path), "ro")
    if not Path(f"{path}-wal").exists():
        uri += "&immutable=1"
    connection = sqlite3.connect(uri, uri=True, timeout=2)
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return connection


def span(seconds: float) -> str:
    """A time span in its largest unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _hook(
    place: str, event: str, group: dict[str, Any], entry: dict[str, Any], usual: Path
) -> Hook:
    python, file = hook_entries.program(entry, usual)
    return Hook(
        place,
        event,
        _command(entry),
        matcher=str(group.get("matcher") or ""),
        kind=str(entry.get("type")),
        is_async=bool(entry.get("async") or entry.get("asyncRewake")),
        python=python,
        file=file,
        home=hook_entries.home_of(entry, usual),
        is_current_form=hook_entries.is_current_form(entry),
    )


def _command(entry: dict[str, Any]) -> tuple[str, ...]:
    arguments = entry.get("args")
    if isinstance(arguments, list):
        return (str(entry.get("command")), *map(str, arguments))
    return ("sh", "-c", str(entry.get("command")))
