"""The Commander's folder $FLEET_HOME: CLAUDE.md, settings and a skill. A file that is still as
Fleet wrote it is updated; a file that the user has edited is left alone.

    python -m commander.setup.commander_folder FLEET_HOME     for a plugin, which has its own hooks
"""

import hashlib
import json
import shlex
import sys
from pathlib import Path

from commander.setup import hook_entries, settings
from fleet_lib import paths
from fleet_lib.files import read_json_object, write_whole

HOME_TEMPLATE = Path(paths.PROGRAM) / "commander" / "home"
_RECORD = ".claude/fleet-written.json"  # {file: digest of what Fleet wrote there last}


def make_commander_folder(home: Path, *, with_hooks: bool) -> list[str]:
    """Make or update the folder; a plugin has hooks of its own. Returns the files that were left
    alone because the user has edited them."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (home / ".gitignore").exists():  # not in the template: git would take it for its own
        _write(home / ".gitignore", "*\n")
    record = read_json_object(home / _RECORD)
    edited = []
    for source in sorted(path for path in HOME_TEMPLATE.rglob("*") if path.is_file()):
        name = source.relative_to(HOME_TEMPLATE).as_posix()
        text = _filled(source, home, with_hooks)
        target = home / name
        current = target.read_bytes() if target.exists() else None
        if current not in (None, text.encode()) and _digest(current) != record.get(name):
            edited.append(name)
            if source.suffix == ".json" and with_hooks:
                # Without the hook the Commander would not be shown what is new.
                settings.write(settings.with_hooks(target, json.loads(text)["hooks"], {}))
            continue
        if current != text.encode():
            _write(target, text)
        record[name] = _digest(text.encode())
    _write(home / _RECORD, json.dumps(record, indent=2) + "\n")
    return edited


def _filled(source: Path, home: Path, with_hooks: bool) -> str:
    text = source.read_text("utf-8")
    fleet = home / "bin" / "fleet"
    if source.suffix != ".json":
        return text.replace("@FLEET@", shlex.quote(str(fleet)))
    template = json.loads(text)
    if not with_hooks:
        del template["hooks"]
    filled = hook_entries.fill(template, {"@FLEET@": shlex.quote(str(fleet))})
    return json.dumps(filled, ensure_ascii=False, indent=2) + "\n"


def write_command(home: Path, python: Path) -> None:
    """Write `bin/fleet`, which runs the console of this interpreter's environment. The script that
    an installer would write breaks if a path contains `$`, and starts more slowly."""
    start = "from commander.__main__ import main; main()"
    app = python.parent.parent / "app"
    program = app if app.exists() else Path(paths.PROGRAM)
    find = "import sys; sys.path.append(sys.argv.pop(1)); "
    text = f"""#!/bin/sh
python={shlex.quote(str(python))}
program={shlex.quote(str(program))}
if [ ! -x "$python" ]; then
    echo "Fleet's environment is broken ($python is missing): run ./install.sh in Fleet's checkout" >&2
    exit 1
fi
# Claude Code runs this every few seconds, and to look for site-packages takes a quarter of it.
if [ "$*" = statusline ] && [ -r "$program/commander/__main__.py" ]; then
    exec "$python" -I -S -c {shlex.quote(find + start)} "$program" statusline
fi
exec "$python" -I -c {shlex.quote(start)} "$@"
"""
    path = home / "bin" / "fleet"
    # With its mode from the first moment: sessions run it while an upgrade replaces it.
    _write(path, text, mode=0o755)


def write_hook_file(home: Path, python: Path, program: Path | None = None) -> None:
    """Write the file that the hooks in Claude Code's settings source. `program` is the folder of
    the packages, where it is not the home's own environment."""
    root = [] if program is None else [shlex.quote(str(program))]
    file, text = home / hook_entries.HOOK_FILE, hook_entries.hook_file(python, *root)
    # An upgrade leaves it as it is: its time tells since when there are hooks.
    if not file.exists() or file.read_text("utf-8", "replace") != text:
        _write(file, text)


def note_written(home: Path, change: settings.Change) -> None:
    """Note that Fleet's hooks were removed from a file of this folder. A file that was as Fleet
    wrote it still counts as that, so that a later installation updates it."""
    record = read_json_object(home / _RECORD)
    name = change.path.relative_to(home).as_posix()
    if change.before and change.after and record.get(name) == _digest(change.before.encode()):
        record[name] = _digest(change.after.encode())
        _write(home / _RECORD, json.dumps(record, indent=2) + "\n")


def written_files(home: Path) -> list[str]:
    """The files of the folder that Fleet has written, whether the user has edited them or not."""
    return [*read_json_object(home / _RECORD), _RECORD]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write(path: Path, text: str, mode: int = 0o600) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(path, text, mode=mode)


if __name__ == "__main__":
    make_commander_folder(Path(sys.argv[1]), with_hooks=False)
    write_command(Path(sys.argv[1]), Path(sys.executable))
