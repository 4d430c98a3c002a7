"""`fleet config`: the settings in config.toml."""

import sys
from dataclasses import asdict

import click

from commander.cli._app import json_option, print_json, print_table
from fleet_lib import config as settings
from fleet_lib import paths
from fleet_lib.text import clean


@click.group()
def config() -> None:
    """The settings, in config.toml in $FLEET_HOME.

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
    """Every setting, its value, and what it may be.

    \b
    Examples:
      fleet config list --json
    """
    every = settings.settings(paths.home())
    if as_json:
        print_json([asdict(one) for one in every])
        return
    rows = [
        (
            one.key,
            _shown(one.value),
            "default" if one.value == one.default else "config.toml",
            one.allowed,
        )
        for one in every
    ]
    print_table(("setting", "value", "source", "may be"), rows, "no settings")
    click.echo(f"\nfleet config get KEY says what a setting is for. File: {_file()}")


@config.command("get")
@click.argument("key")
@json_option
def get(key: str, as_json: bool) -> None:
    """Print one setting: its value alone when piped.

    \b
    Examples:
      fleet config get prelude.budget
    """
    one = settings.get(paths.home(), key)
    if as_json:
        print_json(asdict(one))
        return
    click.echo(_shown(one.value))
    if sys.stdout.isatty():
        click.echo(f"{one.description} ({one.allowed}; default {_shown(one.default)})", err=True)


@config.command("set")
@click.argument("key")
@click.argument("value")
def set_(key: str, value: str) -> None:
    """Set one setting; the file's comments and order are kept.

    \b
    Examples:
      fleet config set claude.program /usr/local/bin/claude
      fleet config set history.keep_days 180
    """
    one = settings.put(paths.home(), key, value)
    click.echo(f"{one.key} = {_shown(one.value)}")
    click.echo(one.description, err=True)


@config.command("unset")
@click.argument("key")
def unset(key: str) -> None:
    """Take one setting out of the file: its default counts again. Takes unknown and wrong ones too.

    \b
    Examples:
      fleet config unset prelude.budget
    """
    home = paths.home()
    was_there = settings.unset(home, key)
    if was_there:
        click.echo(f"{key} removed from {_file()}", err=True)
    known = {one.key: one for one in settings.settings(home)}  # says what else is wrong
    if key in known or not was_there:
        one = known.get(key) or settings.get(home, key)
        click.echo(f"{one.key} = {_shown(one.value)} (the default)")


def _shown(value: settings.Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return clean(value, 200) if value != "" else '""'


def _file() -> str:
    return clean(settings.path_of(paths.home()), 300)
