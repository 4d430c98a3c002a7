"""What is put off, `spool/put-off`: places that do not answer, the entries that wait for each, and
when they are tried again. An entry that is put off stays in the spool, and nothing counts against
it."""

import contextlib
import os
import time
from collections.abc import Collection

from fleet_lib import json_text, outside, paths, spool
from fleet_lib.drain.mounts import mount_of
from fleet_lib.errors import NoAnswer
from fleet_lib.files import read_json_object, write_whole
from fleet_lib.records import MutableRecord, as_dict, field

FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 3600.0


class Place(MutableRecord):
    """A file or folder that did not answer, or whose disk is in trouble. Times are Unix seconds."""

    place: str  # "" if the trouble is the system's
    reason: str
    is_silent: bool  # no question to anything in it is answered
    since: float
    tries: int = 0
    next_try: float = 0.0
    # Processes that hang there: (pid, when it started). No signal ends them.
    processes: list[tuple[int, float]] = field(default_factory=list)
    entries: list[str] = field(default_factory=list)
    is_being_tried: bool = False

    def is_due(self, now: float) -> bool:
        """Whether it is time to ask again: after a pause that grows, or as soon as those that hung
        there were let go."""
        return now >= self.next_try or (bool(self.processes) and not self.hanging())

    def hanging(self) -> list[int]:
        """The processes that still hang there."""
        if not self.processes:
            return []
        # Only where something hangs, because its import takes as long as a query.
        from fleet_lib.processes import ProcessName, is_alive

        return [pid for pid, started in self.processes if is_alive(ProcessName(pid, started))]


def read(home: str) -> list[Place]:
    """The places that do not answer, those first that have waited for the longest time."""
    try:
        rows = read_json_object(paths.put_off(home)).get("places", [])
        places = [Place(**row) for row in rows]
        for place in places:
            place.processes = [(int(pid), float(started)) for pid, started in place.processes]
    except (TypeError, ValueError, AttributeError):
        return []  # another version wrote it: everything is tried
    return sorted(places, key=lambda place: place.since)


def names(home: str) -> set[str]:
    """The entries that are put off."""
    return {name for place in read(home) for name in place.entries}


def waiting(home: str) -> list[str]:
    """The entries that a drainer would apply now, oldest first."""
    now = time.time()
    places = read(home)
    later = {name for place in places if not place.is_due(now) for name in place.entries}
    return [name for name in spool.pending(home) if name not in later]


def in_words(place: Place, now: float) -> str:
    """What is wrong with a place, and what hangs there, in one line."""
    where = place.place or "this computer"
    said = f"{where}: {place.reason}"
    if hanging := place.hanging():
        processes = ", ".join(str(pid) for pid in hanging[:5])
        said += f" (process {processes} hangs there)"
    return f"{said}, tried again in {max(0, round(place.next_try - now))} s"


class PutOff:
    """The same for one drain, which tries the places that are due."""

    def __init__(self, home: str, *, is_forced: bool = False) -> None:
        self._home = home
        now = time.time()
        self._places = {(place.place, place.is_silent): place for place in read(home)}
        for place in self._places.values():
            place.is_being_tried = is_forced or place.is_due(now)
        self._has_changed = False

    def __contains__(self, name: str) -> bool:
        return any(name in place.entries for place in self._places.values() if _holds(place))

    def silent_places(self) -> list[str]:
        """Where nothing is to be asked now."""
        return [
            one.place
            for one in self._places.values()
            if one.is_silent and one.place and _holds(one)
        ]

    def note(self, error: NoAnswer, name: str = "") -> Place:
        """An entry met with no answer. Its place is asked again after a pause that grows."""
        key = (error.place, error.is_silent)
        now = time.time()
        place = self._places.setdefault(key, Place(*key[:1], error.reason, error.is_silent, now))
        if place.is_being_tried or not place.tries:
            place.tries += 1
            pause = FIRST_PAUSE_SECONDS * 2 ** min(place.tries - 1, 20)
            place.next_try = now + min(pause, LONGEST_PAUSE_SECONDS)
            place.reason = error.reason
            place.is_being_tried = False
        if name and name not in place.entries:
            place.entries.append(name)
        self._has_changed = True
        return place

    def note_hang(self, place: str, processes: Collection[tuple[int, float]]) -> None:
        """A place did not answer within its time; these processes hang there now."""
        found = self.note(NoAnswer(place, "it does not answer", is_silent=True))
        found.processes = [one for one in found.processes if one not in processes][-20:]
        found.processes += processes

    def save(self) -> None:
        if self._has_changed:
            self._write(list(self._places.values()))

    def finish(self) -> None:
        """At a drain's end: what was tried and met with no trouble answers again."""
        waiting = set(spool.pending(self._home))
        now = time.time()
        left = []
        for place in self._places.values():
            place.entries = [name for name in place.entries if name in waiting]
            if _holds(place) and (place.entries or now < place.next_try):
                left.append(place)
        if self._places:
            self._write(left)

    def _write(self, places: list[Place]) -> None:
        self._has_changed = False
        if not places:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(paths.put_off(self._home))
            return
        from pathlib import Path  # here, since hardly any drain puts an entry off

        rows = [as_dict(place) | {"is_being_tried": False} for place in places]
        aside = Path(paths.spool(self._home, "tmp"))
        write_whole(
            Path(paths.put_off(self._home)),
            json_text.dumps({"places": rows}),
            folder=aside,
            durable=False,
        )


def place_to_note(path: str, folder: str, home: str) -> str:
    """The place that a path stands for which did not answer: the mount that it lies on, else the
    session's folder, else the path's own folder, but never one that has Fleet's home in it."""
    places = (mount_of(path)[0], outside.place_of(path, [folder]), os.path.dirname(path), path)
    for place in places:
        if place.startswith("/") and not outside.place_of(home, [place]):
            return place
    return folder


def _holds(place: Place) -> bool:
    return not place.is_being_tried
