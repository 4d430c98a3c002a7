"""The Commander's folder: its CLAUDE.md, its settings and its skill, in $FLEET_HOME. A file that is as an
earlier Fleet wrote it is brought up to date; one that its user has changed stays as it is.

    python -m commander.folder FLEET_HOME     for a plugin, which brings the hooks itself
"""

import hashlib
import json
import os
import shlex
import sys
from pathlib import Path

HOME_TEMPLATE = Path(__file__).resolve().parent / "home"
_RECORD = ".claude/fleet-written.json"


def make_commander_folder(home: Path, python: Path | None, hooks: Path | None) -> list[str]:
    """Make it or bring it up to date. Without an interpreter and a hooks folder the settings register no
    hook. Returns the files that were left alone because their user has changed them."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    record = _read_record(home)
    kept = []
    for source in sorted(path for path in HOME_TEMPLATE.rglob("*") if path.is_file()):
        name = source.relative_to(HOME_TEMPLATE).as_posix()
        text = _filled(source, home, python, hooks)
        target = home / name
        there = target.read_bytes() if target.exists() else None
        if there is not None and _digest(there) != record.get(name) and there != text.encode():
            kept.append(name)
            if source.suffix == ".json" and hooks:
                from commander.install import merged_settings, update_json

                # Without the hook it would be no Commander.
                ours = json.loads(text)
                update_json(target, lambda given, ours=ours: merged_settings(given, ours))
            continue
        if there != text.encode():
            _write(target, text)
        record[name] = _digest(text.encode())
    _write(home / _RECORD, json.dumps(record, indent=2) + "\n")
    _link_command(home)
    return kept


def _filled(source: Path, home: Path, python: Path | None, hooks: Path | None) -> str:
    text = source.read_text("utf-8")
    fleet = home / "bin" / "fleet"
    if source.suffix != ".json":
        return text.replace("@FLEET@", shlex.quote(str(fleet)))
    settings = json.loads(text)
    if python is None or hooks is None:
        del settings["hooks"]

    def fill(value: object) -> object:
        if isinstance(value, dict):
            return {key: fill(item) for key, item in value.items()}
        if isinstance(value, list):
            return [fill(item) for item in value]
        if isinstance(value, str):
            words = value.replace("@FLEET@", shlex.quote(str(fleet)))
            return words.replace("@PYTHON@", str(python)).replace("@HOOKS@", str(hooks))
        return value

    return json.dumps(fill(settings), ensure_ascii=False, indent=2) + "\n"


def _link_command(home: Path) -> None:
    """`bin/fleet`, for a terminal, where this environment is a plugin's; install.sh makes its own."""
    command = Path(sys.prefix) / "bin" / "fleet"
    link = home / "bin" / "fleet"
    if (home / "venv").exists() or not command.exists():
        return
    link.parent.mkdir(mode=0o700, exist_ok=True)
    if link.is_symlink() or not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(command)


def _read_record(home: Path) -> dict[str, str]:
    """{file: digest of what was last written there}."""
    try:
        record = json.loads((home / _RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


if __name__ == "__main__":
    make_commander_folder(Path(sys.argv[1]), None, None)
