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
    record = read_all(home)
    return dict(next((record[name] for name in _names(record, file) if record[name]), {}))


def is_known(home: Path, file: Path) -> bool:
    return str(file) in read_all(home)


def write(home: Path, file: Path, was: Was) -> None:
    _write_all(home, read_all(home) | {str(file): was})


def forget(home: Path, file: Path) -> None:
    """Fleet's hooks have been removed from this file."""
    record = read_all(home)
    names = _names(record, file)
    _write_all(home, {name: was for name, was in record.items() if name not in names})


def _names(record: dict[str, Was], file: Path) -> list[str]:
    """The names under which a file is in the record: links may lead to it from several folders."""
    return [name for name in record if Path(name).resolve() == file.resolve()]


def _write_all(home: Path, record: dict[str, Was]) -> None:
    write_whole(home / NAME, json.dumps(record) + "\n")


def other_files(home: Path, file: Path) -> list[Path]:
    """The other settings files whose hooks run the program of this home."""
    record = read_all(home)
    same = _names(record, file)
    return [Path(name) for name in record if name not in same and _runs(Path(name), home)]


def _runs(file: Path, home: Path) -> bool:
    """Whether a settings file has an entry of Fleet's that runs the program of this home."""
    usual = hook_entries.usual_home(file.parent)
    return any(
        home in hook_entries.chosen_homes(entry) or Path(hook_entries.home_of(entry, usual)) == home
        for *_, entry in settings.our_entries(read_json_object(file))
    )
