"""The checks of whether sessions are captured: what keeps hooks from running, and the sessions of
today that were not captured although their transcripts have finished turns."""

import contextlib
import json
import math
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from commander.doctor.findings import Finding, Installation, open_untouched, span
from commander.setup import hook_entries, settings
from fleet_lib import clock, ignored, paths, spool
from fleet_lib.json_text import json_object
from fleet_lib.machines import is_here
from fleet_lib.text import clean
from fleet_lib.turn.transcript_turns import newest_turn

LATE_SECONDS = 120
_TODAY_SECONDS = 86400
_LISTED = 10
_HEAD_BYTES = 1 << 16


def managed(installation: Installation) -> Iterator[Finding]:
    """Settings of the administrator, which win over the user's."""
    for file, value in installation.managed_settings.items():
        registers = any(True for _ in settings.our_entries(value))
        if registers:
            yield Finding("ok", "managed settings", f"{file} registers Fleet's hooks.")
        elif value.get("allowManagedHooksOnly") is True:
            yield Finding(
                "failed",
                "managed settings",
                f"allowManagedHooksOnly is set in {file}.",
                "Claude Code runs no hooks of users and plugins, so nothing is captured.",
                "ask your administrator to add Fleet's hooks to the managed settings",
            )
        if value.get("disableAllHooks"):
            yield Finding(
                "failed",
                "managed settings",
                f"disableAllHooks is set in {file}.",
                "Claude Code runs no hooks, so nothing is captured.",
                "ask your administrator to remove it",
            )


@dataclass(frozen=True)
class _Session:
    """A session of today whose transcript has a finished turn."""

    session_id: str
    folder: str
    is_headless: bool
    written: float  # Unix seconds


def sessions(installation: Installation) -> Iterator[Finding]:
    """Each session of today that was never captured is named: one captured session must not hide
    the others."""
    last = _last_capture(installation.home)
    found = (
        f"The last capture was {span(time.time() - last)} ago"
        if last
        else "Nothing has been captured so far"
    )
    yield Finding("ok" if last else "note", "capture", f"{found}.")
    missed = sorted(_missed(installation), key=lambda one: -one.written)
    means = (
        "It was started by a program, with --bare or with --setting-sources, which load no hooks of"
        " yours.",
        "A session that was started before Fleet was installed has no hooks.",
    )
    for one in missed[:_LISTED]:
        yield Finding(
            "warning",
            "capture",
            f"Session {clean(one.session_id, 40)} of today was never captured, in"
            f" '{clean(one.folder, 200)}'.",
            means[0] if one.is_headless else means[1],
            "restart it (claude --resume); fleet import takes in what it has done",
        )
    more = len(missed) - _LISTED
    if more > 0:
        yield Finding("warning", "capture", f"{more} more sessions of today were never captured.")


def _missed(installation: Installation) -> Iterator[_Session]:
    home = str(installation.home)
    since = _hooks_since(installation)
    written_today: dict[Path, float] = {}
    for path in (installation.claude / "projects").glob("*/*.jsonl"):
        if path.name.startswith("agent-"):
            continue  # old clients keep a session's agents beside it
        with contextlib.suppress(OSError):
            written = path.stat().st_mtime
            if written >= since and LATE_SECONDS < time.time() - written < _TODAY_SECONDS:
                written_today[path] = written
    known = _captured(installation.home, [path.stem for path in written_today])
    for path, written in written_today.items():
        with contextlib.suppress(OSError):
            if path.stem in known:
                continue
            turn, _ = newest_turn(str(path))
            if turn is None or _seconds(turn.ended_at) < since:
                continue
            if ignored.is_ignored(home, turn.cwd):
                continue
            entrypoint = _entrypoint(path)
            yield _Session(path.stem, turn.cwd, entrypoint not in ("", "cli"), written)


def _hooks_since(installation: Installation) -> float:
    """Since when Claude Code has had Fleet's hooks, in Unix seconds; 0.0 if that is not known."""
    moments = [_seconds(moment) for moment in installation.plugins_since]
    with contextlib.suppress(OSError):
        moments.append((installation.home / hook_entries.HOOK_FILE).stat().st_mtime)
    return min(moments, default=0.0)


def _seconds(moment: str | None) -> float:
    """A time as a client wrote it, in Unix seconds; infinite where there is none."""
    try:
        return clock.parse(moment or "").timestamp()
    except ValueError:
        return math.inf


def _entrypoint(path: Path) -> str:
    """What started the session, as its transcript says."""
    with path.open("rb") as file:
        for raw in file.read(_HEAD_BYTES).splitlines():
            if isinstance(found := json_object(raw).get("entrypoint"), str):
                return found
    return ""


def _captured(home: Path, session_ids: list[str]) -> set[str]:
    """Which of these sessions a hook has reported, and those of Fleet's own jobs, which run no
    hooks."""
    found = {spool.name_parts(name)[2] for name in spool.pending(str(home))}
    path = Path(paths.database(str(home)))
    if path.exists():
        with contextlib.suppress(sqlite3.Error), contextlib.closing(open_untouched(path)) as opened:
            for table in ("sessions", "commander_sessions", "job_runs"):
                rows = opened.execute(
                    f"SELECT session_id FROM {table} WHERE session_id IN"
                    " (SELECT value FROM json_each(?))",
                    (json.dumps(session_ids),),
                )
                found.update(row[0] for row in rows)
    return found


def _last_capture(home: Path) -> float:
    """When the newest hook call was captured, in Unix seconds; 0.0 for never."""
    last = 0.0
    path = Path(paths.database(str(home)))
    if path.exists():
        with contextlib.suppress(sqlite3.Error, ValueError, TypeError):
            with contextlib.closing(open_untouched(path)) as connection:
                moments = [
                    connection.execute(query).fetchone()[0]
                    for query in (
                        f"SELECT max(last_seen_at) FROM sessions WHERE {is_here('session_id')}",
                        "SELECT max(updated_at) FROM commander_sessions",
                    )
                ]
            last = max(clock.parse(moment).timestamp() for moment in moments if moment)
    for name in spool.pending(str(home))[-1:]:
        last = max(last, int(spool.name_parts(name)[0] or 0) / 1e9)
    return last
