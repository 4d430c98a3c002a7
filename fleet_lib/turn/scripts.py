"""Commits that a command makes through a script, a Makefile or a package's script. Such a script
often shows nothing of its commit, so its own text is read. Nothing here is run."""

import os
import re
from collections.abc import Iterator

from fleet_lib.files import read_regular_file
from fleet_lib.json_text import json_object
from fleet_lib.turn.shell_commits import INTERPRETER, CommitCommand, read_command, simple_commands

_BYTES_LIMIT = 256 * 1024
_DEPTH = 3  # a make target that runs a script that runs another
_MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
_PACKAGE_MANAGERS = ("npm", "pnpm", "yarn", "bun")


def read_script_commits(command: str, folder: str, depth: int = 0) -> tuple[CommitCommand, ...]:
    """The commits that the scripts make which a command runs, as far as their text says it."""
    found: list[CommitCommand] = []
    for here, words in simple_commands(command, folder):
        for text in _texts(here, words):
            found += read_command(text, here).commits
            if depth < _DEPTH:
                found += read_script_commits(text, here, depth + 1)
    return tuple(found)


def _texts(here: str, words: list[str]) -> Iterator[str]:
    """The texts of what a simple command runs."""
    program, arguments = os.path.basename(words[0]), words[1:]
    plain = [word for word in arguments if not word.startswith("-")]
    if program in ("make", "gmake"):
        if "-C" in arguments[:-1]:
            here = os.path.join(here, arguments[arguments.index("-C") + 1])
        text = next(filter(None, (_text(f"{here}/{name}") for name in _MAKEFILES)), "")
        yield from (_recipe(text, target) for target in plain)
    elif program == "just":
        text = _text(f"{here}/justfile") or _text(f"{here}/Justfile")
        yield from (_recipe(text, target) for target in plain[:1])
    elif program in _PACKAGE_MANAGERS:
        scripts = json_object(_text(f"{here}/package.json")).get("scripts")
        name = next((word for word in plain if word not in ("run", "run-script")), "")
        script = scripts.get(name) if isinstance(scripts, dict) else None
        yield script if isinstance(script, str) else ""
    elif "/" in words[0]:
        yield _text(os.path.join(here, words[0]))
    elif INTERPRETER.fullmatch(program) and arguments and not arguments[0].startswith("-"):
        yield _text(os.path.join(here, arguments[0]))


def _recipe(text: str, target: str) -> str:
    """The commands of a target in a Makefile or justfile, without those of other targets."""
    head = re.compile(rf"{re.escape(target)}\b[^:=\n]*:(?!=)")
    lines = iter(text.replace("\\\n", " ").splitlines())
    for line in lines:
        if head.match(line):
            recipe: list[str] = []
            for step in lines:
                if step.strip() and not step[0].isspace():
                    break
                recipe.append(step.strip().lstrip("@-+"))
            return "\n".join(recipe)
    return ""


def _text(path: str) -> str:
    data = read_regular_file(path, _BYTES_LIMIT) or b""
    return "" if b"\0" in data else data.decode("utf-8", "replace")
