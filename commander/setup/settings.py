"""Fleet's hook entries in a settings file of Claude Code. Only the entries are edited: every other
byte stays, and removing them restores the bytes that were there before."""

import difflib
import errno
import glob
import io
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from commander.setup.hook_entries import chosen_homes, is_ours
from commander.setup.settings_editor import BLANKS, JSON_BLANKS, SettingsEditor, Was
from fleet_lib.errors import BadInput, FleetError
from fleet_lib.files import exchange, write_whole

BACKUPS_KEPT = 5
_BACKUP = ".fleet-backup-"
_ATTEMPTS = 20
_ATTEMPT_SECONDS = 0.05

_FIX = ": fix it, then run this again"


@dataclass(frozen=True)
class Change:
    """The text of a settings file before and after an edit. None means that the file does not
    exist."""

    path: Path
    before: str | None
    after: str | None
    was: Was = field(default_factory=dict)

    @property
    def has_effect(self) -> bool:
        return self.before != self.after

    def diff(self) -> str:
        """The change as `diff -u` prints it, so that `patch` can apply it."""
        before, after = (
            list(io.StringIO(text or "", newline="\n")) for text in (self.before, self.after)
        )
        name = str(self.path)
        lines = difflib.unified_diff(before, after, name, name)
        ended = (
            line if line.endswith("\n") else line + "\n\\ No newline at end of file\n"
            for line in lines
        )
        return "".join(ended).removesuffix("\n")


def read(path: Path) -> str | None:
    """The text of the file, or None if it does not exist. Raises BadInput if it cannot be read."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not UTF-8 text{_FIX}") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror})") from None


def with_hooks(path: Path, ours: dict[str, list[Any]], was: Was) -> Change:
    """The change that registers Fleet's groups (event: groups) once, after the other groups of each
    event. Entries of an older Fleet are removed. `was` comes from the change that registered them
    last. Raises BadInput if the file is not a settings file. Nothing is written here."""
    text = read(path)
    settings = _parsed(path, text)
    if _is_registered(settings, ours):
        return Change(path, text, text, was)
    _require_shape(path, settings, ours)
    base = _without(text, was)
    editor = SettingsEditor(base or "")
    if not (base or "").strip(BLANKS):
        editor.was[""] = was.get("", base)
        editor.text = (base or "") + "{}\n"
    for event, groups in ours.items():
        for group in groups:
            editor.add(event, group)
    return Change(path, text, editor.text, editor.was)


def without_hooks(path: Path, was: Was) -> Change:
    """The change that removes all of Fleet's hook entries and what Fleet added for them. Raises
    BadInput."""
    text = read(path)
    _parsed(path, text)
    after = _without(text, was)
    is_fleets_file = "" in was and was[""] is None
    return Change(path, text, None if is_fleets_file and after == "" else after)


def fault(path: Path, ours: dict[str, list[Any]]) -> str:
    """Why `with_hooks` would reject the file, or ""."""
    try:
        _require_shape(path, _parsed(path, read(path)), ours)
    except BadInput as error:
        return str(error).removesuffix(_FIX)
    return ""


def entries(settings: Any) -> Iterator[tuple[str, int, int, Any]]:
    """(event, number of the group, number in the group, entry) of every hook entry, whatever it
    looks like."""
    hooks = settings.get("hooks") if isinstance(settings, dict) else None
    for event, groups in hooks.items() if isinstance(hooks, dict) else ():
        for number, group in enumerate(groups if isinstance(groups, list) else ()):
            inside = group.get("hooks") if isinstance(group, dict) else None
            for inner, entry in enumerate(inside if isinstance(inside, list) else ()):
                yield event, number, inner, entry


def our_entries(settings: Any) -> Iterator[tuple[str, int, int, Any]]:
    """The entries that are Fleet's, as `entries` yields them."""
    return (found for found in entries(settings) if is_ours(found[3]))


def named_homes(path: Path) -> list[Path]:
    """The homes that Fleet's entries in a settings file name, in their order. Raises BadInput."""
    found = (chosen_homes(entry) for *_, entry in our_entries(_parsed(path, read(path))))
    return list(dict.fromkeys(home for homes in found for home in homes))


class ChangedMeanwhile(FleetError):
    """Another program has written the file since it was read."""


def apply(make: Callable[[], Change]) -> tuple[Change, Path | None]:
    """Make a change and write it, again if another program was writing the file meanwhile. Returns
    it with the backup, if there is one. Raises BadInput, ChangedMeanwhile or OSError."""
    for left in reversed(range(_ATTEMPTS)):
        try:
            change = make()
            return change, write(change)
        except (BadInput, ChangedMeanwhile):  # half a file is not valid JSON
            if not left:
                raise
            time.sleep(_ATTEMPT_SECONDS)
    raise AssertionError


def write(change: Change) -> Path | None:
    """Write the change whole or not at all. A link is followed and the mode of the file stays.
    Returns the backup next to the file, if there was a file. Raises OSError, or ChangedMeanwhile
    if the file is not any more what the change was made for."""
    if not change.has_effect:
        return None
    if read(change.path) != change.before:
        raise ChangedMeanwhile(f"{change.path} was changed by another program; run this again")
    target = change.path.resolve()
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    backup = None
    if change.before is not None and change.after is not None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        backup = target.with_name(f"{target.name}{_BACKUP}{stamp}")
        write_whole(backup, change.before, target)
        for old in backups(target)[:-BACKUPS_KEPT]:
            old.unlink(missing_ok=True)
    if change.after is None:
        target.unlink()
        return None
    try:
        _replace(target, change)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        target.write_text(change.after, "utf-8", newline="")  # a mount point, as in a container
    except ChangedMeanwhile:
        if backup:
            backup.unlink()
        raise
    return backup


def _replace(target: Path, change: Change) -> None:
    """Put the new text in the file's place. What another program has written there since the change
    was made stays, and raises ChangedMeanwhile."""
    aside = target.with_name(f".{target.name}.fleet-{os.getpid()}")
    write_whole(aside, change.after or "", target)
    try:
        if change.before is not None and exchange(aside, target):
            if read(aside) == change.before:
                return
            exchange(aside, target)
        elif read(target) == change.before:
            aside.replace(target)
            return
        raise ChangedMeanwhile(f"{change.path} was changed by another program; run this again")
    finally:
        aside.unlink(missing_ok=True)


def backups(path: Path) -> list[Path]:
    """Fleet's backups of a settings file, next to the file that it links to, oldest first."""
    target = path.resolve()
    return sorted(target.parent.glob(f"{glob.escape(target.name)}{_BACKUP}*"))


def _parsed(path: Path, text: str | None) -> dict[str, Any]:
    body = (text or "").removeprefix("\ufeff")
    try:
        settings = json.loads(body) if body.strip(JSON_BLANKS) else {}
    except ValueError as error:
        raise BadInput(f"{path} is not valid JSON ({error}){_FIX}") from None
    except RecursionError:
        raise BadInput(f"{path} is nested too deeply to be a settings file") from None
    if not isinstance(settings, dict):
        raise BadInput(f"{path} is not a JSON object{_FIX}")
    return settings


def _require_shape(path: Path, settings: dict[str, Any], ours: dict[str, Any]) -> None:
    hooks = settings.get("hooks")
    if hooks is not None and not isinstance(hooks, dict):
        raise BadInput(f"{path}: `hooks` is not an object{_FIX}")
    for event in ours:
        groups = (hooks or {}).get(event)
        if groups is not None and not isinstance(groups, list):
            raise BadInput(f"{path}: `hooks.{event}` is not a list{_FIX}")


def _is_registered(settings: dict[str, Any], ours: dict[str, list[Any]]) -> bool:
    """Whether Fleet's entries are exactly those of these groups, wherever they stand: a program
    that makes the file may gather entries into groups of its own."""
    there, wanted = (
        [
            (event, value["hooks"][event][number].get("matcher") or "", entry)
            for event, number, _, entry in our_entries(value)
        ]
        for value in (settings, {"hooks": ours})
    )
    return len(there) == len(wanted) and all(one in there for one in wanted)


def _without(text: str | None, was: Was) -> str | None:
    if text is None:
        return None
    editor = SettingsEditor(text)
    editor.was = dict(was)
    while editor.text.strip(BLANKS):
        found = next(our_entries(json.loads(editor.text.removeprefix("\ufeff"))), None)
        if found is None:
            break
        editor.remove(*found[:3])
    return editor.text
