"""`fleet config`: the settings in config.toml."""

import click

from commander.cli._app import ListGroup, json_option
from commander.cli._display import Cell, is_interactive, print_json, print_table, say
from fleet_lib import config as settings
from fleet_lib import paths
from fleet_lib.records import as_dict
from fleet_lib.text import clean


@click.group(cls=ListGroup)
def config() -> None:
    """Read and change settings.

    They are stored in $FLEET_HOME/config.toml.

    \b
    Examples:
      fleet config list
      fleet config set prelude.budget 4000
      fleet config set worker.facts false
      fleet config unset prelude.budget
    """


@config.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List all settings with their values and allowed values.

    \b
    Examples:
      fleet config list --json
    """
    found = settings.settings(paths.home())
    if as_json:
        print_json([as_dict(setting) for setting in found])
        return
    rows = [
        (
            Cell(setting.key, whole=True),
            _shown(setting.value),
            "default" if setting.value == setting.default else "config.toml",
            setting.allowed,
        )
        for setting in found
    ]
    headings = ("setting", "value", "source", "allowed")
    print_table(headings, rows, "No settings.", optional=("source",))
    say(f"\n`fleet config get KEY` describes a setting. File: {_file()}")


@config.command("get")
@click.argument("key")
@json_option
def get(key: str, as_json: bool) -> None:
    """Print the value of KEY. A terminal also gets its description.

    \b
    Examples:
      fleet config get prelude.budget
    """
    setting = settings.get(paths.home(), key)
    if as_json:
        print_json(as_dict(setting))
        return
    if isinstance(setting.value, tuple):
        for item in setting.value:
            say(clean(item, 4096))
    else:
        say(_shown(setting.value))
    if is_interactive():
        say(setting.description, err=True)
        say(f"Allowed: {setting.allowed}. Default: {_shown(setting.default)}.", err=True)


@config.command("set")
@click.argument("key")
@click.argument("value", nargs=-1, required=True)
def set_(key: str, value: tuple[str, ...]) -> None:
    """Set KEY to VALUE. Comments and order of the file are kept.

    A list takes any number of VALUEs, which replace the ones that it has.

    \b
    Examples:
      fleet config set claude.program /usr/local/bin/claude
      fleet config set history.keep_days 180
      fleet config set projects.ignore ~/customer '~/work/**/scratch'
    """
    setting = settings.put(paths.home(), key, *value)
    say(f"{setting.key} = {_shown(setting.value)}")
    say(setting.description, err=True)


@config.command("unset")
@click.argument("key")
def unset(key: str) -> None:
    """Remove KEY from the file, so that its default applies.

    KEY may also be an unknown setting or section, or one with a wrong value.

    \b
    Examples:
      fleet config unset prelude.budget
    """
    home = paths.home()
    is_removed = settings.unset(home, key)
    if is_removed:
        say(f"Removed {key} from {_file()}", err=True)
    known = {
        setting.key: setting for setting in settings.settings(home)
    }  # raises for another fault
    if key in known or not is_removed:
        setting = known.get(key) or settings.get(home, key)
        say(f"{setting.key} = {_shown(setting.value)} (the default)")


def _shown(value: settings.Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(clean(item, 200) for item in value) or "none"
    return clean(value, 200) if value != "" else '""'


def _file() -> str:
    return clean(settings.path_of(paths.home()), 300)
