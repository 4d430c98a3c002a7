"""What would stop an installation or its removal, found before anything is changed. Standard library
only, as all of the installer."""

import os
from pathlib import Path

from commander.setup import settings
from fleet_lib.errors import BadInput


def check(claude: Path, home: Path, changes: list[settings.Change]) -> None:
    """Raises BadInput if these folders or settings files cannot be changed, or are another
    user's."""
    if home.exists() and not home.is_dir():
        raise BadInput(f"{home} is not a folder. Name another one with --fleet-home.")
    for folder in (claude, home):
        there = next(place for place in (folder, *folder.parents) if place.exists())
        _require_own(there)
        if not os.access(there, os.W_OK | os.X_OK):
            raise BadInput(f"{there} cannot be written.")
    for change in changes:
        if change.has_effect and change.path.exists():
            _require_writable(change.path.resolve())


def _require_own(path: Path) -> None:
    owner = path.stat().st_uid
    if os.geteuid() == 0 and owner != 0:
        raise BadInput(
            f"{path} belongs to another user (uid {owner}), and root would take its files away"
            " from them. Run this as that user."
        )


def _require_writable(file: Path) -> None:
    _require_own(file)
    if not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)):
        raise BadInput(
            f"{file} cannot be written. If another program makes it (nix, a dotfile manager), make"
            " the change that --dry-run shows in the file that it makes it from, then run this"
            " again."
        )
