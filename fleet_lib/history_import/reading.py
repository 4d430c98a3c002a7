"""A turn of a transcript as ingest takes it. Git is asked once for each folder, and never for one
turn: which branch it was, the transcript says."""

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from fleet_lib import apart, clock, hot_settings, ignored, outside, paths
from fleet_lib.drain.put_off import place_to_note
from fleet_lib.errors import BadEntry, NoAnswer
from fleet_lib.history_import.follow_ups import merged
from fleet_lib.history_import.transcripts import Transcript
from fleet_lib.records import Record, replace
from fleet_lib.redact import redact
from fleet_lib.spool import Entry
from fleet_lib.text import storable
from fleet_lib.turn.git import GitState, head_at
from fleet_lib.turn.payload import Payload
from fleet_lib.turn.prepared import Prepared
from fleet_lib.turn.repositories import Repositories, relative_files
from fleet_lib.turn.sources import sources_of
from fleet_lib.turn.title import title_of
from fleet_lib.turn.transcript import TurnFacts
from fleet_lib.turn.transcript_turns import FinishedTurn, finished_turns, subagents_edits

FOLDER_SECONDS = 20.0  # for all that is asked of a folder, git included


class _Folder(Record):
    """A session's folder, which may be gone by now."""

    exists: bool
    real: str
    is_commander: bool
    is_ignored: bool
    git: GitState | None
    is_git_silent: bool


class ReadTurn(Record):
    """A finished turn, ready to be stored."""

    prepared: Prepared
    is_left_alone: bool  # its own hook may still come
    is_living: bool  # a client has its session open


class Reader:
    """Reads transcripts in the order of their time, and remembers the folders that they name."""

    def __init__(self, home: str, living: frozenset[str], repositories: Repositories) -> None:
        self._home = home
        self._living = living
        self._repositories = repositories
        self._keeps_prompts = hot_settings.keeps_prompts(home)
        self._folders: dict[str, _Folder] = {}
        self.ignored = 0  # turns in folders of projects.ignore

    def turns(self, transcript: Transcript, since_ns: int) -> Iterator[ReadTurn]:
        """The finished turns that ended after `since_ns`, without the Commander's own."""
        edits = subagents_edits(transcript.path)
        for turn in merged(finished_turns(transcript.path), transcript.path):
            session_id = turn.session_id or transcript.session_id
            ended_ns = min(turn.ended_ns or transcript.written_ns, time.time_ns())
            folder = self._folder(turn.cwd)
            if ended_ns < since_ns or not turn.cwd or folder.is_commander:
                continue
            if folder.is_ignored:
                self.ignored += 1
                continue
            is_living = session_id in self._living
            may_go_on = is_living or transcript.may_go_on(ended_ns)
            files = dict.fromkeys([*turn.files, *edits.get(turn.prompt_id or "", ())])
            turn = replace(turn, files=tuple(files))
            if prepared := _prepared(turn, session_id, transcript, ended_ns, folder):
                if self._keeps_prompts:
                    title = title_of(turn.asked)
                    prepared = replace(prepared, keeps_prompts=True, title=title)
                yield ReadTurn(prepared, turn.is_last and may_go_on, is_living)

    def _folder(self, path: str) -> _Folder:
        if path not in self._folders:
            self._folders[path] = self._ask_folder(path)
        return self._folders[path]

    def _ask_folder(self, path: str) -> _Folder:
        """A folder that does not answer counts as one whose git is silent; nothing is asked of its
        mount any more."""
        try:
            outside.asking(path)
            return apart.ask(partial(self._read_folder, path), FOLDER_SECONDS, path)
        except NoAnswer:
            outside.ask_nothing_of(place_to_note(path, path, self._home))
            return _Folder(True, path, False, False, None, True)

    def _read_folder(self, path: str) -> _Folder:
        if not path or "\0" in path:
            return _Folder(False, "", False, False, None, False)
        if not path.startswith("/"):  # of a transcript from Windows; here it would be below `.`
            return _Folder(False, path, False, False, None, False)
        # A worktree or a subfolder that is gone belongs to the repository that is left.
        place = Path(path)
        while not place.is_dir() and place != place.parent:
            place = place.parent
        git = self._repositories.state(str(place), 0)
        around = (git.toplevel, git.root) if git else ()
        return _Folder(
            exists=Path(path).is_dir(),
            real=os.path.realpath(path),
            is_commander=paths.is_commander(path, self._home),
            is_ignored=ignored.is_ignored(self._home, path, *around),
            git=git,
            is_git_silent=self._repositories.is_silent(str(place)),
        )


def _prepared(
    turn: FinishedTurn, session_id: str, transcript: Transcript, ended_ns: int, folder: _Folder
) -> Prepared | None:
    """The turn as its hook's entry would be; None where its ids are none."""
    try:
        payload = Payload.read(
            {
                "session_id": session_id,
                "prompt_id": turn.prompt_id,
                "cwd": turn.cwd,
                "transcript_path": transcript.path,
                "last_assistant_message": turn.message,
                "error": turn.error,
            }
        )
    except BadEntry:
        return None
    event = "Stop" if turn.error is None else "StopFailure"
    git = folder.git
    head = head_at(git, ended_ns) if git else None
    if git is not None:
        git = replace(git, head=head, branch=turn.branch)
    message = redact(storable(turn.message))
    cwd = storable(turn.cwd)
    return Prepared(
        entry=Entry("", event, ended_ns, cwd, cwd, None, b"", None),
        payload=payload,
        digest="",
        received_at=clock.iso(ended_ns),
        folder=cwd,
        is_commander=False,
        folder_exists=folder.exists,
        real_folder=folder.real,
        git=git,
        head=head,
        is_git_silent=folder.is_git_silent,
        turn=TurnFacts(
            files=list(turn.files),
            started_at=turn.started_at,
            final_text=turn.message,
            prompt_key=turn.prompt_key,
            partial=False,
        ),
        touched_files=tuple(relative_files(turn.files, git, turn.cwd)),
        message=message,
        sources=sources_of(event, message, None),
        is_imported=True,
    )
