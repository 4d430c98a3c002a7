"""The generated command pages match the console's help, and every command has help."""

import importlib.util
from pathlib import Path

import click
import pytest
from support import ROOT

from commander.cli import GROUPS, main

_spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
assert _spec and _spec.loader
generate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generate)

FOLDER: Path = generate.FOLDER


def commands(command: click.Command, path: str = "fleet") -> list[tuple[str, click.Command]]:
    found = [(path, command)]
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            subcommand = command.get_command(context, name)
            assert subcommand, f"{path} {name}"
            found += commands(subcommand, f"{path} {name}")
    return [(path, command) for path, command in found if not command.hidden]


COMMANDS = dict(commands(main))


def test_the_list_of_commands_has_the_first_sentence_of_each_command_s_own_help() -> None:
    context = click.Context(main)
    for group in GROUPS.values():
        for name, (_, text) in group.items():
            command = main.get_command(context, name)
            assert command and command.get_short_help_str(1000) == text, name


@pytest.mark.parametrize(
    "name", [name for name, one in COMMANDS.items() if hasattr(one, "commands")]
)
def test_a_list_of_commands_has_whole_sentences_at_eighty_columns(name: str) -> None:
    command = COMMANDS[name]
    context = click.Context(command, info_name=name, terminal_width=80)
    assert isinstance(command, click.Group)
    lines = [" ".join(line.split()) for line in command.get_help(context).splitlines()]
    for child in command.list_commands(context):
        text = COMMANDS[f"{name} {child}"].get_short_help_str(1000)
        assert f"{child} {text}" in lines


def test_generated_pages_are_up_to_date() -> None:
    existing = {path.name: path.read_text() for path in FOLDER.glob("*.md")}
    generated = generate.pages()
    assert sorted(existing) == sorted(generated), "run `make docs`"
    for name, text in generated.items():
        assert existing[name] == text, (
            f"docs/commands/{name} is not what the help says: run `make docs`"
        )


def test_generated_pages_do_not_depend_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    before = generate.pages()
    for name, value in (("COLUMNS", "40"), ("TERM", "dumb"), ("HOME", "/nowhere"), ("LC_ALL", "C")):
        monkeypatch.setenv(name, value)
    assert generate.pages() == before


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_that_names_it(name: str) -> None:
    help_text = COMMANDS[name].help or ""
    assert "Examples:\n" in help_text
    examples = help_text.partition("Examples:\n")[2]
    assert name in examples


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_help(name: str) -> None:
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts}"
