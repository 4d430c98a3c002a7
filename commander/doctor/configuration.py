"""The checks of what is configured: Fleet's config.toml and the settings files of Claude Code."""

import os
from collections.abc import Iterator
from pathlib import Path

from commander.doctor.findings import Finding, Installation
from fleet_lib import config
from fleet_lib.errors import FleetError
from fleet_lib.text import clean


def config_file(installation: Installation) -> Iterator[Finding]:
    home = str(installation.home)
    try:
        config.load(home)
    except FleetError as error:
        yield Finding(
            "failed",
            "configuration",
            str(error),
            "Hooks use the default of each setting that they cannot read.",
            "edit that line, or run: fleet config unset KEY",
        )
        return
    changed = [setting.key for setting in config.settings(home) if setting.value != setting.default]
    yield Finding(
        "ok",
        "configuration",
        f"Changed: {', '.join(changed)}." if changed else "Every setting has its default.",
    )
    if globs := config.load(home).projects.ignore:
        quoted = ", ".join(f"'{pattern}'" for pattern in globs)  # so that a report masks them
        yield Finding(
            "note",
            "configuration",
            clean(f"Sessions of these folders are not recorded: {quoted}.", 300),
            "projects.ignore names them.",
        )


def settings_file(installation: Installation) -> Iterator[Finding]:
    file = installation.settings_file
    if installation.settings_fault:
        yield Finding(
            "failed",
            "settings",
            f"{installation.settings_fault}.",
            "Claude Code cannot use this file, so no hook runs.",
            f"edit {file}; an empty settings file is {{}}",
        )
        return
    yield Finding("ok", "settings", str(file) if file.exists() else f"{file} does not exist.")
    for other, value in installation.every_settings.items():
        if value.get("disableAllHooks"):
            yield Finding(
                "failed",
                "settings",
                f"disableAllHooks is set in {other}.",
                "Claude Code runs no hooks, so nothing is captured.",
                "remove that line",
            )
    yield from _hooks_switch(installation)
    for named, where in installation.variables("FLEET_HOME"):
        if where and not is_same_folder(named, installation.home):
            yield Finding(
                "failed",
                "settings",
                f"FLEET_HOME is {named} in the env of {where}.",
                f"Sessions keep their data there, but this command reads {installation.home}.",
                f"remove FLEET_HOME from {where}, or set the same value in your shell's profile",
            )


def _hooks_switch(installation: Installation) -> Iterator[Finding]:
    value, where = next(installation.variables("FLEET_HOOKS"), ("", None))
    if value.lower() == "off":
        yield Finding(
            "failed",
            "settings",
            f"FLEET_HOOKS is off in {f'the env of {where}' if where else 'this shell'}.",
            "The hooks do nothing, so nothing is captured.",
            f"remove FLEET_HOOKS from {where}"
            if where
            else "unset FLEET_HOOKS, and remove it from your shell's profile",
        )


def is_same_folder(named: str, home: Path) -> bool:
    return os.path.realpath(Path(named).expanduser()) == os.path.realpath(home)
