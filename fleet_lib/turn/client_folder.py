"""Claude Code's configuration folder of a session, found by its transcript's path, and what the
client's own files there say of the session."""

import os
from collections.abc import Iterator
from functools import lru_cache

from fleet_lib import clock, json_text, live, outside
from fleet_lib.records import Record


class ClientFolder(Record):
    """A configuration folder that could be looked into."""

    path: str
    device: int  # st_dev
    checked_at: str


def client_folder_of(transcript_path: str | None) -> ClientFolder | None:
    """The folder with `projects/<project>/<session>.jsonl`; None if there is none."""
    parts = [part for part in (transcript_path or "").split("/") if part not in ("", ".")]
    if not (transcript_path or "").startswith("/") or parts[-3:-2] != ["projects"]:
        return None
    # Once every ten minutes is enough to know that it answers.
    return _checked("/" + "/".join(parts[:-3]), int(clock.nanoseconds(clock.now()) / 600e9))


@lru_cache(maxsize=64)
def _checked(folder: str, _period: int) -> ClientFolder | None:
    outside.asking(folder)
    try:
        device = os.stat(folder).st_dev
    except OSError as error:
        outside.require_answer(error, folder)
        return None
    return ClientFolder(folder, device, clock.now())


def is_headless(folder: ClientFolder, session_id: str | None) -> bool:
    """Whether a living `claude -p` has the session, and no other client."""
    files = [file for file in _files(folder) if file.session_id == session_id]
    living = [file for file in files if file.is_alive() is not False]
    return bool(living) and all(file.is_headless() for file in living)


def _files(folder: ClientFolder) -> Iterator[live.ClientFile]:
    outside.asking(folder.path)
    for text in live.read_folder(folder.path):
        try:
            value = json_text.loads(text.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield live.ClientFile(tuple(value.get(name) for name in live.FIELDS))
