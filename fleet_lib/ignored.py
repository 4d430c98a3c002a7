"""Folders whose sessions leave nothing: the setting projects.ignore, and whether a folder is one of
them. Hot path, since such a session is shown nothing either: no TOML parser, no re.
fleet_lib/config.py refuses a file of which this would read something else."""

import os

from fleet_lib import hot_settings, paths

TYPE_CHECKING = False  # mypy knows the name; typing itself would cost more than the whole hook
if TYPE_CHECKING:
    from collections.abc import Callable


def is_ignored(home: str, *folders: str) -> bool:
    """Whether projects.ignore has one of these folders, or a folder above it. The first is the
    session's: the Commander's sessions are never ignored."""
    patterns = ignored_folders(home)
    if not patterns or paths.is_commander(folders[0], home):
        return False
    wanted = [form for pattern in patterns for form in _forms_of_pattern(pattern)]
    for folder in folders:
        for form in {os.path.normpath(folder), os.path.realpath(folder)} if folder else ():
            parts = _parts(form)
            if any(_is_in(pattern, parts) for pattern in wanted):
                return True
    return False


def ignored_folders(home: str) -> "list[str]":
    """The setting's globs as they are written."""
    return hot_settings.texts(home, "projects", "ignore")


def _forms_of_pattern(pattern: str) -> "list[list[str]]":
    """A glob in parts: as it is written, and with the symbolic links of its beginning resolved,
    because Claude Code names a session's folder without them."""
    path = os.path.normpath(os.path.expanduser(pattern))
    if not path.startswith("/"):
        path = "/**/" + path  # anywhere, as in a .gitignore
    parts = _parts(path)
    plain = 0
    while plain < len(parts) and not any(sign in parts[plain] for sign in "*?["):
        plain += 1
    beginning = _parts(os.path.realpath("/" + "/".join(parts[:plain])))
    return [parts, beginning + parts[plain:]]


def _parts(path: str) -> "list[str]":
    return [part for part in path.split("/") if part]


def _is_in(pattern: "list[str]", parts: "list[str]") -> bool:
    """Whether the pattern's parts match the path's first ones."""
    return bool(_ends(pattern, parts, "**", _is_like))


def _is_like(name: str, pattern: str) -> bool:
    """Whether one part of a path matches: `*`, `?`, `[a-z]` and `[!a-z]`."""
    return len(name) in _ends(_signs(pattern), name, "*", _is_character)


def _ends(
    pattern: "list[str]",
    subject: "list[str] | str",
    anything: str,
    fits: "Callable[[str, str], bool]",
) -> "set[int]":
    """Where the pattern may have come to its end; one of its signs stands for any number of items.
    All ways are followed at once, or a few `*` would take for ever."""
    places = {0}
    for sign in pattern:
        if sign == anything:
            places = set(range(min(places, default=len(subject) + 1), len(subject) + 1))
        else:
            places = {at + 1 for at in places if at < len(subject) and fits(subject[at], sign)}
    return places


def _signs(pattern: str) -> "list[str]":
    """A glob taken apart: characters, `*`, `?`, and classes with their brackets."""
    signs, at = [], 0
    while at < len(pattern):
        end = pattern.find("]", at + 2) if pattern[at] == "[" else -1
        end = max(end, at) + 1
        signs.append(pattern[at:end])
        at = end
    return signs


def _is_character(character: str, sign: str) -> bool:
    if len(sign) > 1:
        return _is_of_class(character, sign[1:-1])
    return sign in ("?", character)


def _is_of_class(character: str, members: str) -> bool:
    is_negated = members.startswith("!") and len(members) > 1
    members = members[1:] if is_negated else members
    at, is_found = 0, False
    while at < len(members):
        if members[at + 1 : at + 2] == "-" and at + 2 < len(members):
            is_found = is_found or members[at] <= character <= members[at + 2]
            at += 3
        else:
            is_found = is_found or members[at] == character
            at += 1
    return is_found != is_negated
