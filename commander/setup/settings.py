"""Fleet's hook entries in a settings file of Claude Code. The file is edited as text, and only where our
entries are: every other byte stays, and taking them out gives back the bytes that were there before.
"""

import difflib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fleet_lib import paths
from fleet_lib.errors import BadInput
from fleet_lib.files import write_whole

BACKUPS_KEPT = 5

_NAMES = "session_start|user_prompt_submit|stop|stop_failure|notification|session_end"
_SCRIPT = re.compile(rf"/hooks/(?:{_NAMES})\.py$")
_SHELL_FORM = re.compile(rf" -I -S .*/hooks/(?:{_NAMES})\.py['\"]?$")

Was = dict[str, str | None]

_FIX = ": fix it, then run this again"

_JSON_BLANKS = " \t\r\n"  # what JSON calls white space, and no more


@dataclass(frozen=True)
class Change:
    """What a settings file would become. None is a file that is not there."""

    path: Path
    before: str | None
    after: str | None
    # {path of a container, e.g. "hooks.Stop": its text before we put something into it; "" is the whole
    # file, None where there was none}. Without it nobody could tell an empty list that was there from
    # one that we made.
    was: Was = field(default_factory=dict)

    @property
    def is_one(self) -> bool:
        return self.before != self.after

    def diff(self) -> str:
        """As `diff -u` would print it, for `patch`."""
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


def settings_example() -> Path:
    """settings.example.json: beside the package in a checkout, inside it when installed."""
    installed = Path(paths.PROGRAM) / "commander" / "settings.example.json"
    return installed if installed.exists() else Path(paths.PROGRAM) / "settings.example.json"


def registration(template: Path, python: Path, hooks: Path) -> dict[str, Any]:
    """A settings template with this installation's interpreter and hooks folder in it."""
    values = {"@PYTHON@": str(python), "@HOOKS@": str(hooks)}
    filled: dict[str, Any] = fill(json.loads(template.read_text("utf-8")), values)
    return filled


def fill(value: Any, values: dict[str, str]) -> Any:
    """A JSON value with every placeholder in its strings replaced."""
    if isinstance(value, dict):
        return {key: fill(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, values) for item in value]
    if isinstance(value, str):
        for name, text in values.items():
            value = value.replace(name, text)
    return value


def read(path: Path) -> str | None:
    """The file's text, None if there is none. Raises BadInput for one that cannot be read."""
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
    """The change that registers our groups (event: groups), once and at the end of each event's; those
    of an older Fleet go. `was` is what the change that registered them last left. Raises BadInput for
    a file that is no settings file; nothing is written here."""
    text = read(path)
    settings = _parsed(path, text)
    if _is_registered(settings, ours):
        return Change(path, text, text, was)
    _require_shape(path, settings, ours)
    base = _without(text, was)
    editor = _Editor(base or "")
    if not (base or "").strip("\ufeff \t\r\n"):
        editor.was[""] = was.get("", base)
        editor.text = (base or "") + "{}\n"
    for event, groups in ours.items():
        for group in groups:
            editor.add(event, group)
    return Change(path, text, editor.text, editor.was)


def without_hooks(path: Path, was: Was) -> Change:
    """The change that takes every hook entry of ours out, with what only we made. Raises BadInput."""
    text = read(path)
    _parsed(path, text)
    after = _without(text, was)
    made_by_us = "" in was and was[""] is None
    return Change(path, text, None if made_by_us and after == "" else after)


def fault(path: Path, ours: dict[str, list[Any]]) -> str:
    """Why `with_hooks` would refuse the file, "" if it would not."""
    try:
        _require_shape(path, _parsed(path, read(path)), ours)
    except BadInput as error:
        return str(error).removesuffix(_FIX)
    return ""


def our_entries(settings: Any) -> Iterator[tuple[str, int, int, Any]]:
    """(event, number of the group, number in the group, entry) of every hook entry of ours."""
    hooks = settings.get("hooks") if isinstance(settings, dict) else None
    for event, groups in hooks.items() if isinstance(hooks, dict) else ():
        for number, group in enumerate(groups if isinstance(groups, list) else ()):
            entries = group.get("hooks") if isinstance(group, dict) else None
            for inner, entry in enumerate(entries if isinstance(entries, list) else ()):
                if is_ours(entry):
                    yield event, number, inner, entry


def is_ours(entry: Any) -> bool:
    """Our registration: an isolated interpreter on one of our files. Nobody else's hook looks like it."""
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
    return isinstance(command, str) and bool(_SHELL_FORM.search(command))


def write(change: Change) -> Path | None:
    """Carry a change out: whole or not at all, through a link as the link says, mode kept. Returns the
    backup that was made beside the file, if it was there. Raises OSError."""
    if not change.is_one:
        return None
    target = change.path.resolve()
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    backup = None
    if change.before is not None and change.after is not None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        backup = target.with_name(f"{target.name}.fleet-backup-{stamp}")
        write_whole(backup, change.before, target)
        for old in sorted(target.parent.glob(f"{target.name}.fleet-backup-*"))[:-BACKUPS_KEPT]:
            old.unlink(missing_ok=True)
    if change.after is None:
        target.unlink()
    else:
        write_whole(target, change.after, target)
    return backup


def _parsed(path: Path, text: str | None) -> dict[str, Any]:
    body = (text or "").removeprefix("\ufeff")
    try:
        settings = json.loads(body) if body.strip(_JSON_BLANKS) else {}
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
    """Whether exactly our groups are there, wherever others stand."""
    there = [
        (event, settings["hooks"][event][number]) for event, number, _, _ in our_entries(settings)
    ]
    wanted = [(event, group) for event, groups in ours.items() for group in groups]
    return len(there) == len(wanted) and all(one in there for one in wanted)


def _without(text: str | None, was: Was) -> str | None:
    if text is None:
        return None
    editor = _Editor(text)
    editor.was = dict(was)
    while editor.text.strip("\ufeff \t\r\n"):
        found = next(our_entries(json.loads(editor.text.removeprefix("\ufeff"))), None)
        if found is None:
            break
        editor.take_out(*found[:3])
    return editor.text


@dataclass(slots=True)
class _Node:
    """A JSON value's place in the text. An object's members are named; a list's have no names."""

    start: int
    end: int
    parts: list["_Node"] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    name_start: int = 0  # of a member: where its name begins; else `start`

    def member(self, name: str) -> "_Node | None":
        """As JSON parsers do: of several of one name, the last."""
        for own, part in zip(reversed(self.names), reversed(self.parts), strict=True):
            if own == name:
                return part
        return None


class _Editor:
    """A settings file's text, while our groups are put in and taken out."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.was: Was = {}
        self._line_end = "\r\n" if "\r\n" in text else "\n"

    def add(self, event: str, group: Any) -> None:
        root = self._root()
        hooks = root.member("hooks")
        if hooks is None:
            self._append(root, "", "hooks", {event: [group]})
        elif self._is_null(hooks):
            self._replace_null(hooks, "hooks", {event: [group]})
        else:
            groups = hooks.member(event)
            if groups is None:
                self._append(hooks, "hooks", event, [group])
            elif self._is_null(groups):
                self._replace_null(groups, f"hooks.{event}", [group])
            else:
                self._append(groups, f"hooks.{event}", None, group)

    def take_out(self, event: str, number: int, inner: int) -> None:
        """Take one entry out, and whatever that leaves empty and was not there before us."""
        hooks = self._member(self._root(), "hooks")
        groups = self._member(hooks, event)
        entries = self._member(groups.parts[number], "hooks")
        if len(entries.parts) > 1:
            self._remove(entries, inner)
        elif len(groups.parts) > 1:
            self._remove(groups, number)
        elif (path := f"hooks.{event}") in self.was:
            self._restore(groups, path)
        elif len(hooks.parts) > 1:
            self._remove(hooks, hooks.parts.index(groups))
        elif "hooks" in self.was:
            self._restore(hooks, "hooks")
        else:
            root = self._root()
            if len(root.parts) > 1:
                names = [index for index, name in enumerate(root.names) if name == "hooks"]
                self._remove(root, names[-1])
            elif "" in self.was:
                self._restore(root, "")
            else:
                self._splice(root.start, root.end, "{}")

    def _append(self, container: _Node, path: str, name: str | None, value: Any) -> None:
        """Put a last element into an object or a list, in the way its others are written."""
        label = "" if name is None else json.dumps(name) + ": "
        if container.parts:
            last = container.parts[-1]
            before = container.parts[-2].end if len(container.parts) > 1 else container.start + 1
            lead = self.text[before : last.name_start].replace(",", "")  # wherever it stands
            if "\n" in lead:
                indent = lead.rpartition("\n")[2]
                added = f",{self._line_end}{indent}{label}{self._pretty(value, indent)}"
            else:
                added = f", {label}{json.dumps(value, ensure_ascii=False)}"
            self._splice(last.end, last.end, added)
            return
        self.was.setdefault(path, self.text[container.start : container.end])
        opening, closing = self.text[container.start], self.text[container.end - 1]
        line = self.text[: container.start].rpartition("\n")[2]
        outer = line[: len(line) - len(line.lstrip(" \t"))]
        if path and "\n" not in self.text.rstrip():
            added = label + json.dumps(value, ensure_ascii=False)
        else:
            indent = outer + self._unit()
            body = f"{label}{self._pretty(value, indent)}"
            added = f"{self._line_end}{indent}{body}{self._line_end}{outer}"
        self._splice(container.start, container.end, f"{opening}{added}{closing}")

    def _replace_null(self, node: _Node, path: str, value: Any) -> None:
        self.was[path] = self.text[node.start : node.end]
        line = self.text[: node.start].rpartition("\n")[2]
        indent = line[: len(line) - len(line.lstrip(" \t"))]
        self._splice(node.start, node.end, self._pretty(value, indent))

    def _remove(self, container: _Node, index: int) -> None:
        part = container.parts[index]
        if index:
            self._splice(container.parts[index - 1].end, part.end, "")
        else:
            self._splice(part.name_start, container.parts[1].name_start, "")

    def _restore(self, container: _Node, path: str) -> None:
        was = self.was[path] or ""
        if path == "" and not was.strip("\ufeff \t\r\n"):
            self.text = was  # a file that held nothing: the braces are ours too
        else:
            self._splice(container.start, container.end, was)

    def _splice(self, start: int, end: int, text: str) -> None:
        self.text = self.text[:start] + text + self.text[end:]

    def _pretty(self, value: Any, indent: str) -> str:
        lines = json.dumps(value, ensure_ascii=False, indent=self._unit()).split("\n")
        return f"{self._line_end}{indent}".join(lines)

    def _unit(self) -> str:
        """One step of the file's indentation: how its first member is set in."""
        found = re.match(r"\ufeff?\s*\{\r?\n([ \t]+)\"", self.text)
        return found[1] if found else "  "

    def _is_null(self, node: _Node) -> bool:
        return self.text[node.start : node.end] == "null"

    def _member(self, node: _Node, name: str) -> _Node:
        found = node.member(name)
        assert found is not None
        return found

    def _root(self) -> _Node:
        return _scan(self.text, _skip(self.text, 1 if self.text.startswith("\ufeff") else 0))


def _scan(text: str, at: int) -> _Node:
    """The value that begins at `at` in valid JSON."""
    if text[at] not in "{[":
        _, end = json.JSONDecoder().raw_decode(text, at)
        return _Node(at, end, name_start=at)
    node = _Node(at, at, name_start=at)
    closing = "}" if text[at] == "{" else "]"
    at = _skip(text, at + 1)
    while text[at] != closing:
        name_start = at
        if closing == "}":
            name, at = json.JSONDecoder().raw_decode(text, at)
            node.names.append(name)
            at = _skip(text, _skip(text, at) + 1)
        part = _scan(text, at)
        part.name_start = name_start
        node.parts.append(part)
        at = _skip(text, part.end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    node.end = at + 1
    return node


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at
