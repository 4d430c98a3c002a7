"""One entry of Fleet's in a settings file: what it says, whose it is, and what it would run.

An entry is the same text on every machine, since people share settings files and copy them into
containers: it finds Fleet's home by itself, and does nothing where there is none. What differs
between machines, the interpreter, stands in the home's `bin/hook.sh`, which the entry sources.
"""

import json
import re
import shlex
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


def registration(template: Path, home: Path, claude: Path) -> dict[str, Any]:
    """A settings template with the words that find this home, for the settings of one of Claude
    Code's folders. Only a home that the user chose is named; where that one does not exist, as on
    another machine with the same settings, the usual one is looked for."""
    words = _USUAL_HOME
    if home != usual_home(claude):
        chosen = shlex.quote(str(home))
        words = f'fleet_home={chosen}; [ -r "$fleet_home/{HOOK_FILE}" ] || {_USUAL_HOME}'
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


def chosen_home(entry: dict[str, Any]) -> Path | None:
    """The home that an entry names, None for the usual one. Entries of an older Fleet name the
    hook file in it."""
    named = _variables(entry).get("fleet_home")
    if named is not None:
        return None if named.startswith("$") else Path(named)
    hook = Path(program(entry, Path())[1])
    return hook.parents[3] if hook.parts[-4:-1] == ("venv", "app", "hooks") else None


def home_of(entry: dict[str, Any], claude: Path) -> str:
    """The home that an entry in the settings of this folder works for, "" where it does not say."""
    named = chosen_home(entry)
    if "fleet_home" not in _variables(entry):
        return str(named or "")
    is_here = named is not None and (named / HOOK_FILE).exists()
    return str(named if is_here else usual_home(claude))


def program(entry: dict[str, Any], claude: Path) -> tuple[str, str]:
    """(interpreter, hook file) that an entry in the settings of this folder runs; "" for what it
    does not name."""
    arguments, command = entry.get("args"), str(entry.get("command"))
    if isinstance(arguments, list):
        return command, str(arguments[-1]) if arguments else ""
    values = _variables(entry)
    if "fleet_root" in values:  # the plugin's
        return values.get(
            "fleet_python", ""
        ), f"{values['fleet_root']}/hooks/{values.get('fleet_hook', '')}.py"
    if "fleet_home" not in values:
        return values.get("fleet_python", ""), values.get("fleet_hook", "")
    home = Path(home_of(entry, claude))
    try:
        written = _assignments((home / HOOK_FILE).read_text("utf-8", "surrogateescape"))
    except OSError:
        written = {}
    python = written.get("fleet_python", str(home / "venv" / "bin" / "python"))
    root = written.get("fleet_root", "$fleet_home/venv/app").replace("$fleet_home", str(home))
    return python, f"{root}/hooks/{values.get('fleet_hook', '')}.py"


def _variables(entry: dict[str, Any]) -> dict[str, str]:
    return _assignments(str(entry.get("command")))


def _assignments(text: str) -> dict[str, str]:
    """{variable: its value} of a shell text, as they are assigned first."""
    try:
        words = [word.removesuffix(";").partition("=") for word in shlex.split(text, comments=True)]
    except ValueError:
        return {}
    values: dict[str, str] = {}
    for name, is_set, value in words:
        if is_set:
            values.setdefault(name, value)
    return values
