"""Local paths out of what is sent. Other machines have other folders, and a colleague has no use
for the names of yours."""

import os
import re
import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from fleet_lib.redact import redact
from fleet_lib.text import storable
from fleet_lib.turn.briefing_parser import folded

_FOLDERS = 200  # of a project's sessions
_SHORT = 300  # characters of a text that is remembered
_SHORTEST = 4  # characters of a folder's path that is searched for
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HOME = re.compile(r"(?<![\w.~/-])(?:/(?:home|Users)/[^/\s\"'`)<>\]]+|/root)(?=/|\b)")
_CLIENT_FILE = re.compile(
    r"[^\s\"'`(<]*/\.claude/(?:projects|sessions)/[^\s\"'`)>]*[^\s\"'`)>.,;:]"
)


def redacted(text: str) -> str:
    """`redact`, which remembers short texts: names, ids and summaries come again and again."""
    if len(text) == 36 and _UUID.fullmatch(text):
        return text
    return _redacted_short(text) if len(text) <= _SHORT else redact(text)


@lru_cache(maxsize=512)
def _redacted_short(text: str) -> str:
    return redact(text)


class Scrubber:
    """Cleans the texts of one project."""

    def __init__(self, connection: sqlite3.Connection, home: str, project_id: str) -> None:
        rows = connection.execute(
            "SELECT repo_root FROM projects WHERE project_id = ?1 UNION"
            " SELECT folder FROM (SELECT folder FROM sessions WHERE project_id = ?1"
            f" ORDER BY last_seen_at DESC LIMIT {_FOLDERS}) UNION"
            f" SELECT worktree FROM (SELECT DISTINCT worktree FROM touched_files"
            f" WHERE project_id = ?1 LIMIT {_FOLDERS})",
            (project_id,),
        )
        inside = {str(row[0]).rstrip("/") for row in rows if row[0]}
        outside = {home, str(Path.home())}
        forms = {(form, "") for folder in inside for form in _forms(folder)}
        forms |= {(form, "~") for folder in outside for form in _forms(folder)}
        usable = [one for one in forms if len(one[0]) >= _SHORTEST]
        self._folders: Sequence[tuple[str, str]] = sorted(usable, key=lambda one: -len(one[0]))

    def text(self, text: str) -> str:
        """The text, redacted once more, with each local folder left out."""
        text = storable(text)
        if "/" in text:
            text = _CLIENT_FILE.sub("(a file of Claude Code)", text)
            for folder, instead in self._folders:
                if folder in text:
                    inside = f"{instead}/" if instead else ""
                    text = text.replace(f"{folder}/", inside).replace(folder, instead or ".")
            text = _HOME.sub("~", text)
        return redacted(text)

    def line(self, text: str, limit: int) -> str:
        return folded(self.text(text), limit)

    def file(self, path: str) -> str:
        """A file's name: one that lies outside the repository without its folder."""
        shown = self.line(path, 1000)
        return shown.rpartition("/")[2] if shown.startswith(("/", "~", "../")) else shown


def _forms(folder: str) -> set[str]:
    return {folder, os.path.realpath(folder)} - {"", "/"}
