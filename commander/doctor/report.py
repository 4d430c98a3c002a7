"""`fleet doctor --report`: a ZIP file for a bug report, without secrets and without the text of any
session. What goes in is selected piece by piece; nothing is copied first and cleaned afterwards."""

import builtins
import contextlib
import json
import os
import re
import sqlite3
import zipfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from commander.doctor.findings import Finding, Installation, open_untouched
from commander.setup.hook_entries import is_ours
from fleet_lib import errors, paths
from fleet_lib.errors import BadInput
from fleet_lib.redact import redact
from fleet_lib.store import migrate

LOG_LINES = 200
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|‘[^’]*’|“[^”]*”")
_PATH = re.compile(r"(?<![\w.~])(?:~|/)[^\s:;,'\")]*/[^\s:;,'\")]*")
_LOG_LINE = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) (hook|drain|jobs|gateway|notify|plugin)(?= |$)"
)
_ERRORS = {
    error.__name__
    for module in (builtins, sqlite3, json, errors)
    for error in vars(module).values()
    if isinstance(error, type) and issubclass(error, Exception)
}
_ERROR_NAME = re.compile(rf"\b({'|'.join(sorted(_ERRORS))})\b")
# Where Fleet's own part of a path begins; what stands before it is private.
_OWN_PATH = re.compile(
    r"(fleet\.db|spool|log|venv|versions|backups|hooks|fleet_lib|commander)(?=/|$)"
)


def write(installation: Installation, findings: list[Finding], path: Path | None) -> Path:
    """Write the ZIP file with mode 0600. Raises BadInput if it exists already."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    target = path or Path(f"fleet-report-{stamp}.zip")
    parts = {
        "doctor.json": json.dumps([_row(finding) for finding in findings], indent=2),
        "settings.json": json.dumps(_shape(installation.settings), indent=2),
        "database.json": json.dumps(_database(installation), indent=2),
        "spool.json": json.dumps(_spool(installation), indent=2),
        "environment.json": json.dumps(_environment(), indent=2),
        "log.txt": "\n".join(_log(installation)),
    }
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise BadInput(f"{target} already exists: name another file") from None
    with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w") as bundle:
        for name, text in parts.items():
            bundle.writestr(name, text)
    return target


def names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as bundle:
        return [f"{info.filename} ({info.file_size} bytes)" for info in bundle.infolist()]


def _row(finding: Finding) -> dict[str, str]:
    row = asdict(finding)
    if finding.check in ("other hooks", "quarantine", "log"):
        row["found"] = "(left out: it may quote other programs)"
    return {name: _masked(str(value)) for name, value in row.items()}


def _masked(text: str) -> str:
    """A text of Fleet's own, without the quotations and paths in it, and with secrets masked."""
    return _without_paths(_QUOTED.sub("'…'", redact(text)))[:400]


def _without_paths(text: str) -> str:
    # The folders that are known may have a space in them, which ends a path for the pattern.
    for folder in (paths.home(), str(Path.home())):
        text = re.sub(re.escape(folder) + r"(?=/|\b)", "~", text) if len(folder) > 1 else text
    return _PATH.sub(_short_path, text)


def _short_path(match: re.Match[str]) -> str:
    own = _OWN_PATH.search(match[0])
    return "…/" + match[0][own.start() :] if own else "…"


def _shape(value: Any, key: str = "") -> Any:
    """A settings value reduced to its keys and types. Fleet's own hooks stay whole."""
    if is_ours(value):
        return {name: _own_hook(item) for name, item in value.items()}
    if isinstance(value, dict):
        # Even the names in these are private.
        if key in ("env", "mcpServers", "enabledPlugins", "extraKnownMarketplaces"):
            return f"{len(value)} entries"
        return {name: _shape(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_shape(item) for item in value]
    return value if isinstance(value, bool) or value is None else type(value).__name__


def _own_hook(item: Any) -> Any:
    if isinstance(item, list):
        return [_own_hook(part) for part in item]
    return _without_paths(item) if isinstance(item, str) else item


def _database(installation: Installation) -> dict[str, Any]:
    path = Path(paths.database(str(installation.home)))
    if not path.exists():
        return {}
    try:
        with contextlib.closing(open_untouched(path)) as connection:
            tables = [
                row[0]
                for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            ]
            return {
                "bytes": path.stat().st_size,
                "schema_version": migrate.version_of(connection),
                "pragmas": {
                    name: connection.execute(f"PRAGMA {name}").fetchone()[0]
                    for name in ("journal_mode", "auto_vacuum", "page_count", "freelist_count")
                },
                "rows": {
                    table: connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]
                    for table in tables
                    if '"' not in table
                },
            }
    except sqlite3.Error as error:
        return {"error": _masked(str(error))}


def _spool(installation: Installation) -> dict[str, Any]:
    files: dict[str, Any] = {}
    for name in ("new", "bad", "tmp"):
        folder = Path(paths.spool(str(installation.home), name))
        with contextlib.suppress(OSError):
            files[name] = [
                {"name": path.name, "bytes": path.stat().st_size}
                for path in sorted(folder.iterdir())[-LOG_LINES:]
            ]
    return files


def _environment() -> dict[str, str]:
    """The values of Fleet's variables, and the names of Claude Code's and Python's that are set."""
    variables = {}
    for name, value in sorted(os.environ.items()):
        if name.startswith("FLEET_"):
            variables[name] = _masked(value)
        elif name.startswith(("CLAUDE", "PYTHON")):
            variables[name] = "set"
    return variables


def _log(installation: Installation) -> list[str]:
    with contextlib.suppress(OSError):
        text = Path(paths.log_file(str(installation.home))).read_text("utf-8", "replace")
        return [_log_line(line) for line in text.splitlines()[-LOG_LINES:]]
    return []


def _log_line(line: str) -> str:
    """The time, the part of Fleet and the type of the error. The error's message may quote a
    session."""
    match = _LOG_LINE.match(line)
    if not match:
        return "…"
    return " ".join([*match.groups(), *_ERROR_NAME.findall(line[match.end() :])[:1]])
