"""A settings file as text: Fleet's groups are added and removed, and every other byte stays as it
is."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

JSON_BLANKS = " \t\r\n"  # what JSON calls white space
BLANKS = "\ufeff" + JSON_BLANKS  # with a byte order mark before it

# {path of a container, e.g. "hooks.Stop": its text before Fleet added something}. The path "" is
# the whole file, with None if there was no file. It tells an empty list that was there from one
# that Fleet added.
Was = dict[str, str | None]


@dataclass(slots=True)
class Node:
    """Where a JSON value stands in the text. The members of an object have names, those of a list
    have none."""

    start: int
    end: int
    parts: list["Node"] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    name_start: int = 0  # where the name of a member begins; without a name it is `start`

    def member(self, name: str) -> "Node | None":
        """The member of this name; of several, the last, as JSON parsers do."""
        for own, part in zip(reversed(self.names), reversed(self.parts), strict=True):
            if own == name:
                return part
        return None


class SettingsEditor:
    """The text of a settings file while Fleet's groups are added and removed."""

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

    def remove(self, event: str, number: int, inner: int) -> None:
        """Remove one entry, and what that leaves empty unless it was there before Fleet's
        entries."""
        hooks = self._member(self._root(), "hooks")
        groups = self._member(hooks, event)
        entries = self._member(groups.parts[number], "hooks")
        if len(entries.parts) > 1:
            self._cut(entries, inner)
        elif len(groups.parts) > 1:
            self._cut(groups, number)
        elif (path := f"hooks.{event}") in self.was:
            self._restore(groups, path)
        elif len(hooks.parts) > 1:
            self._cut(hooks, hooks.parts.index(groups))
        elif "hooks" in self.was:
            self._restore(hooks, "hooks")
        else:
            root = self._root()
            if len(root.parts) > 1:
                names = [index for index, name in enumerate(root.names) if name == "hooks"]
                self._cut(root, names[-1])
            elif "" in self.was:
                self._restore(root, "")
            else:
                self._splice(root.start, root.end, "{}")

    def _append(self, container: Node, path: str, name: str | None, value: Any) -> None:
        """Add a last element to an object or a list, formatted like its other elements."""
        label = "" if name is None else json.dumps(name) + ": "
        if container.parts:
            last = container.parts[-1]
            before = container.parts[-2].end if len(container.parts) > 1 else container.start + 1
            lead = self.text[before : last.name_start].replace(
                ",", ""
            )  # before or after the line break
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

    def _replace_null(self, node: Node, path: str, value: Any) -> None:
        self.was[path] = self.text[node.start : node.end]
        line = self.text[: node.start].rpartition("\n")[2]
        indent = line[: len(line) - len(line.lstrip(" \t"))]
        self._splice(node.start, node.end, self._pretty(value, indent))

    def _cut(self, container: Node, index: int) -> None:
        part = container.parts[index]
        if index:
            self._splice(container.parts[index - 1].end, part.end, "")
        else:
            self._splice(part.name_start, container.parts[1].name_start, "")

    def _restore(self, container: Node, path: str) -> None:
        was = self.was[path] or ""
        if path == "" and not was.strip(BLANKS):
            self.text = was  # the file held nothing, so the braces are Fleet's too
        else:
            self._splice(container.start, container.end, was)

    def _splice(self, start: int, end: int, text: str) -> None:
        self.text = self.text[:start] + text + self.text[end:]

    def _pretty(self, value: Any, indent: str) -> str:
        lines = json.dumps(value, ensure_ascii=False, indent=self._unit()).split("\n")
        return f"{self._line_end}{indent}".join(lines)

    def _unit(self) -> str:
        """One step of indentation: that of the file's first member."""
        found = re.match(r"\ufeff?\s*\{\r?\n([ \t]+)\"", self.text)
        return found[1] if found else "  "

    def _is_null(self, node: Node) -> bool:
        return self.text[node.start : node.end] == "null"

    def _member(self, node: Node, name: str) -> Node:
        found = node.member(name)
        assert found is not None
        return found

    def _root(self) -> Node:
        return _scan(self.text, _skip(self.text, 1 if self.text.startswith("\ufeff") else 0))


def _scan(text: str, at: int) -> Node:
    """The value that begins at position `at` of a valid JSON text."""
    if text[at] not in "{[":
        _, end = json.JSONDecoder().raw_decode(text, at)
        return Node(at, end, name_start=at)
    node = Node(at, at, name_start=at)
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
    while at < len(text) and text[at] in JSON_BLANKS:
        at += 1
    return at
