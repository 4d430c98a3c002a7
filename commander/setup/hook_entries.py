"""One entry of Fleet's in a settings file: what it says, whose it is, and what it would run.

An entry is the same text on every machine, since people share settings files and copy them into
containers: it finds Fleet's home by itself, and does nothing where there is none. What differs
between machines, the interpreter, stands in the home's `bin/hook.sh`, which the entry sources.
"""

import json
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fleet_lib import paths

HOOK_FILE = "bin/hook.sh"  # in the home

_NAMES = "|".join(file.stem for file in Path(paths.PROGRAM, "hooks").glob("[a-z]*.py"))
_MARKER = ": fleet-hook;"  # a command that does nothing, and that only Fleet writes
_SCRIPT = re.compile(rf"/hooks/(?:{_NAMES})\.py$")
_SHELL_FORM = re.compile(rf" -I -S .*/hooks/(?:{_NAMES})\.py['\"]?$")
_USUAL_HOME = "fleet_home=${CLAUDE_CONFIG_DIR:-$HOME/.claude}/commander"


def settings_example() -> Path:
    """settings.example.json: next to the package in a checkout, inside it when installed."""
    installed = Path(paths.PROGRAM) / "commander" / "settings.example.json"
    return installed if installed.exists() else Path(paths.PROGRAM) / "settings.example.json"


def registration(
    template: Path, home: Path, claude: Path, others: Iterable[Path] = ()
) -> dict[str, Any]:
    """A settings template with the words that find this home, for the settings of one of Claude
    Code's folders. Only homes that users chose are named: this one, and `others` of other machines
    that have the same settings. Each machine takes the first that it has, else the usual one."""
    chosen = list(others)
    if home not in chosen and home != usual_home(claude):
        chosen.insert(0, home)
    places = [*(f"fleet_home={shlex.quote(str(place))}" for place in chosen), _USUAL_HOME]
    words = f'; [ -r "$fleet_home/{HOOK_FILE}" ] || '.join(places)
    filled: dict[str, Any] = fill(json.loads(template.read_text("utf-8")), {"@HOME@": words})
    return filled


def usual_home(claude: Path) -> Path:
    return claude / "commander"


def fill(value: Any, values: dict[str, str]) -> Any:
    """A JSON value with all placeholders in its strings replaced."""
    if isinstance(value, dict):
        return {key: fill(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, values) for item in value]
    if isinstance(value, str):
        for name, text in values.items():
            value = value.replace(name, text)
    return value


def hook_file(python: Path, root: str = '"$fleet_home"/venv/app') -> str:
    """The text of a home's `bin/hook.sh`; `root` is the folder of the packages, for the shell."""
    return f"""\
# Written by install.sh. The hooks in Claude Code's settings source it to run one of Fleet's hooks.
fleet_python={shlex.quote(str(python))}
fleet_root={root}
export FLEET_HOME="${{FLEET_HOME:-$fleet_home}}"
[ -r "$fleet_root/hooks/hook.sh" ] || exit 0
. "$fleet_root/hooks/hook.sh"
"""


def is_ours(entry: Any) -> bool:
    """Whether a hook entry is Fleet's: one with Fleet's marker, or of a Fleet before the marker: an
    isolated interpreter that runs one of Fleet's hook files."""
    if not isinstance(entry, dict):
        return False
    arguments, command = entry.get("args"), entry.get("command")
    if isinstance(arguments, list):
        return (
            arguments[:2] == ["-I", "-S"]
            and len(arguments) == 3
            and isinstance(arguments[2], str)
            and bool(_SCRIPT.search(arguments[2]))
        )
    return isinstance(command, str) and (_MARKER in command or bool(_SHELL_FORM.search(command)))


def is_current_form(entry: dict[str, Any]) -> bool:
    """Whether one of Fleet's entries is written as Fleet writes it now."""
    return "fleet_home" in _variables(entry) or "fleet_root" in _variables(entry)


def chosen_homes(entry: dict[str, Any]) -> list[Path]:
    """The homes that an entry names, in their order; none for the usual one. Entries of an older
    Fleet name the hook file in it."""
    if named := _variables(entry).get("fleet_home"):
        return [Path(home) for home in named if not home.startswith("$")]
    hook = Path(program(entry, Path())[1])
    return [hook.parents[3]] if hook.parts[-4:-1] == ("venv", "app", "hooks") else []


def home_of(entry: dict[str, Any], usual: Path) -> str:
    """The home that an entry works for, "" where it does not say. `usual` is the home that an entry
    finds in these settings where it names none that is here."""
    named = chosen_homes(entry)
    if "fleet_home" not in _variables(entry):
        return str(named[0]) if named else ""
    here = (home for home in named if (home / HOOK_FILE).exists())
    return str(next(here, usual))


def program(entry: dict[str, Any], usual: Path) -> tuple[str, str]:
    """(interpreter, hook file) that an entry runs; "" for what it does not name. `usual` is as for
    home_of."""
    arguments, command = entry.get("args"), str(entry.get("command"))
    if isinstance(arguments, list):
        return command, str(arguments[-1]) if arguments else ""
    values = _first(_variables(entry))
    if "fleet_root" in values:  # the plugin's
        return values.get(
            "fleet_python", ""
        ), f"{values['fleet_root']}/hooks/{values.get('fleet_hook', '')}.py"
    if "fleet_home" not in values:
        return values.get("fleet_python", ""), values.get("fleet_hook", "")
    home = Path(home_of(entry, usual))
    try:
        text = (home / HOOK_FILE).read_text("utf-8", "surrogateescape")
    except OSError:
        text = ""
    written = _first(_assignments(text))
    python = written.get("fleet_python", str(home / "venv" / "bin" / "python"))
    root = written.get("fleet_root", "$fleet_home/venv/app").replace("$fleet_home", str(home))
    return python, f"{root}/hooks/{values.get('fleet_hook', '')}.py"


def _variables(entry: dict[str, Any]) -> dict[str, list[str]]:
    return _assignments(str(entry.get("command")))


def _first(variables: dict[str, list[str]]) -> dict[str, str]:
    return {name: values[0] for name, values in variables.items()}


def _assignments(text: str) -> dict[str, list[str]]:
    """{variable: its values in their order} of a shell text."""
    try:
        words = [word.removesuffix(";").partition("=") for word in shlex.split(text, comments=True)]
    except ValueError:
        return {}
    values: dict[str, list[str]] = {}
    for name, is_set, value in words:
        if is_set:
            values.setdefault(name, []).append(value)
    return values
