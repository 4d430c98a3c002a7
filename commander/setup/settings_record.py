"""settings-record.json in Fleet's folder. For each settings file that Fleet's hooks were added to,
it keeps the text that stood in their place, so that uninstalling restores it."""

import json
from pathlib import Path

from commander.setup import hook_entries, settings
from commander.setup.settings_editor import Was
from fleet_lib.files import read_json_object, write_whole

NAME = "settings-record.json"


def read_all(home: Path) -> dict[str, Was]:
    """{settings file: what stood there}; {} if the record is missing or damaged."""
    return read_json_object(home / NAME)


def read(home: Path, file: Path) -> Was:
    return dict(read_all(home).get(str(file.resolve())) or {})


def write(home: Path, file: Path, was: Was) -> None:
    _write_all(home, read_all(home) | {str(file.resolve()): was})


def forget(home: Path, file: Path) -> None:
    """Fleet's hooks have been removed from this file."""
    record = read_all(home)
    record.pop(str(file.resolve()), None)
    _write_all(home, record)


def _write_all(home: Path, record: dict[str, Was]) -> None:
    write_whole(home / NAME, json.dumps(record) + "\n")


def other_files(home: Path, file: Path) -> list[Path]:
    """The other settings files whose hooks run the program of this home."""
    others = [Path(name) for name in read_all(home) if Path(name) != file.resolve()]
    return [other for other in others if _runs(other, home)]


def _runs(file: Path, home: Path) -> bool:
    """Whether a settings file has an entry of Fleet's that runs the program of this home."""
    entries = settings.our_entries(read_json_object(file))
    usual = hook_entries.usual_home(file.parent)
    return any((hook_entries.chosen_home(entry) or usual) == home for *_, entry in entries)
