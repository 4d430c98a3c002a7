"""`fleet doctor --report`: a bundle that tells somebody else enough, and nothing of what was said in a session.
What goes in is chosen; nothing is copied and then cleaned.
"""

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

from commander.doctor.findings import Finding, Patient, open_untouched
from commander.setup import settings
from fleet_lib import errors, paths
from fleet_lib.errors import BadInput
from fleet_lib.redact import redact
from fleet_lib.store import migrate

LOG_LINES = 200
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|‘[^’]*’|“[^”]*”")
_PATH = re.compile(r"(?<![\w.~])(?:~|/)[^\s:;,'\")]*/[^\s:;,'\")]*")
_LOG_LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) (hook|drain|jobs|gateway|plugin)(?= |$)")
_ERRORS = {
    error.__name__
    for module in (builtins, sqlite3, json, errors)
    for error in vars(module).values()
    if isinstance(error, type) and issubclass(error, Exception)
}
_ERROR_NAME = re.compile(rf"\b({'|'.join(sorted(_ERRORS))})\b")
# Of our own files the end of the path tells enough.
_OURS = re.compile(r"(fleet\.db|spool|log|venv|versions|backups|hooks|fleet_lib|commander)(?=/|$)")


def write(patient: Patient, findings: list[Finding], path: Path | None) -> Path:
    """Make the bundle, mode 0600. Raises BadInput if the file is there."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    target = path or Path(f"fleet-report-{stamp}.zip")
    parts = {
        "doctor.json": json.dumps([_told(finding) for finding in findings], indent=2),
        "settings.json": json.dumps(_shape(patient.settings), indent=2),
        "database.json": json.dumps(_database(patient), indent=2),
        "spool.json": json.dumps(_spool(patient), indent=2),
        "environment.json": json.dumps(_environment(), indent=2),
        "log.txt": "\n".join(_log(patient)),
    }
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise BadInput(f"{target} is there already: name another file") from None
    with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w") as bundle:
        for name, text in parts.items():
            bundle.writestr(name, text)
    return target


def names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as bundle:
        return [f"{info.filename} ({info.file_size} bytes)" for info in bundle.infolist()]


def _told(finding: Finding) -> dict[str, str]:
    told = asdict(finding)
    if finding.check in ("other hooks", "quarantine", "log"):
        told["found"] = "left out: other programs' words"
    return {name: _plain(str(value)) for name, value in told.items()}


def _plain(text: str) -> str:
    """Our own words without anybody's: quotations and paths out, secrets masked."""
    masked = _QUOTED.sub("'…'", redact(text))
    return _PATH.sub(_short, masked)[:400]


def _short(match: re.Match[str]) -> str:
    ours = _OURS.search(match[0])
    return "…/" + match[0][ours.start() :] if ours else "…"


def _shape(value: Any, key: str = "") -> Any:
    """A settings value with its keys and kinds, our own hooks whole."""
    if settings.is_ours(value):
        return {name: _ours(item) for name, item in value.items()}
    if isinstance(value, dict):
        # The names of variables and of other people's hosts are theirs.
        private = key in ("env", "mcpServers", "enabledPlugins", "extraKnownMarketplaces")
        if private:
            return f"{len(value)} entries"
        return {name: _shape(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_shape(item) for item in value]
    return value if isinstance(value, bool) or value is None else type(value).__name__


def _ours(item: Any) -> Any:
    if isinstance(item, list):
        return [_ours(part) for part in item]
    return _PATH.sub(_short, item) if isinstance(item, str) else item


def _database(patient: Patient) -> dict[str, Any]:
    path = Path(paths.database(str(patient.home)))
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
        return {"error": _plain(str(error))}


def _spool(patient: Patient) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name in ("new", "bad", "tmp"):
        folder = Path(paths.spool(str(patient.home), name))
        with contextlib.suppress(OSError):
            told[name] = [
                {"name": path.name, "bytes": path.stat().st_size}
                for path in sorted(folder.iterdir())[-LOG_LINES:]
            ]
    return told


def _environment() -> dict[str, str]:
    """Fleet's own variables; of Claude Code's and the interpreter's, which are set."""
    told = {}
    for name, value in sorted(os.environ.items()):
        if name.startswith("FLEET_"):
            told[name] = _plain(value)
        elif name.startswith(("CLAUDE", "PYTHON")):
            told[name] = "set"
    return told


def _log(patient: Patient) -> list[str]:
    with contextlib.suppress(OSError):
        text = Path(paths.log_file(str(patient.home))).read_text("utf-8", "replace")
        return [_log_line(line) for line in text.splitlines()[-LOG_LINES:]]
    return []


def _log_line(line: str) -> str:
    """When, which part of Fleet, and the kind of error; an error's words may be anybody's."""
    match = _LOG_LINE.match(line)
    if not match:
        return "…"
    return " ".join([*match.groups(), *_ERROR_NAME.findall(line[match.end() :])[:1]])
