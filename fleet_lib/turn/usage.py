"""The tokens that a transcript's messages used. A transcript is read from where an earlier reading
ended, so a turn costs its own lines, and those that no turn claimed (an interrupted one) count too.

A message stands on a line for each of its blocks, each with the output so far, and again in the
files of resumed and forked conversations. Its id says that it is the same one.
"""

from __future__ import annotations

import os

from fleet_lib import clock, outside
from fleet_lib.digests import blake2b
from fleet_lib.files import open_regular
from fleet_lib.json_text import json_object
from fleet_lib.lazy import lazy
from fleet_lib.store.usage import QUARTER_SECONDS, FilePlace, Owner, Tokens, UsageReading
from fleet_lib.text import storable
from fleet_lib.turn.payload import ID_LIMIT
from fleet_lib.turn.transcript import is_synthetic, opens_turn

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

PORTION_BYTES = 16 * 1024 * 1024  # read at once; the rest of a larger file is read later
_LINE_LIMIT = 32 * 1024 * 1024  # bytes of a line that is understood
_TAIL_BYTES = 1024  # of a real line at least its id and time
_LARGEST = (
    10**9
)  # tokens or dollars: what is more is no number of anything, and sums must not overflow
_USER = lazy(rb'"type"\s*:\s*"user"')
_PROMPT = lazy(rb'"promptId"\s*:\s*"([^"\\]{1,200})"')
_INTERRUPTED = b"[Request interrupted by user"


def usage_files(transcript: str) -> dict[str, int]:
    """{a transcript, and those of its session's subagents: bytes}."""
    found = {transcript: _size(transcript)}
    folders = [transcript.removesuffix(".jsonl") + "/subagents"]
    while folders:
        outside.asking(folders[-1])
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif entry.name.startswith("agent-") and entry.name.endswith(".jsonl"):
                        found[entry.path] = entry.stat(follow_symlinks=False).st_size
        except (OSError, ValueError):
            continue
    return found


def _size(path: str) -> int:
    outside.asking(path)
    try:
        return os.stat(path).st_size
    except OSError as error:
        outside.require_answer(error, path)
    except ValueError:
        pass
    return 0


def file_digest(path: str) -> int:
    """What a file is known by."""
    return _digest(path.encode("utf-8", "surrogateescape"))


def read_usage(path: str, place: FilePlace | None, session_id: str = "") -> UsageReading | None:
    """What was written to a transcript since an earlier reading came as far as `place`, at most a
    portion of it; None if nothing was. Lines that name no session are of `session_id`.

    A file that is shorter now, or has other bytes before that place, was written anew and is read
    from its beginning.
    """
    with open_regular(path) as descriptor:
        if descriptor is None:
            return None
        size = os.fstat(descriptor).st_size
        place = place or FilePlace()
        if place.read_to > size or _tail(descriptor, place.read_to) != place.tail:
            place = FilePlace()
        return _read(path, descriptor, size, place, session_id)


def _read(
    path: str, descriptor: int, size: int, place: FilePlace, session_id: str
) -> UsageReading | None:
    reader = _Reader(place.turn_key, session_id, os.fstat(descriptor).st_mtime)
    read_to = place.read_to
    with open(descriptor, "rb", closefd=False) as file:
        file.seek(read_to)
        while read_to < place.read_to + PORTION_BYTES and (raw := file.readline(_LINE_LIMIT)):
            # The last line may still be in the writing. (What is left of one that is too long is no
            # JSON.)
            is_whole = raw.endswith(b"\n") or len(raw) == _LINE_LIMIT or bool(json_object(raw))
            if not is_whole:
                break
            reader.note(raw)
            read_to += len(raw)
    if read_to == place.read_to:
        return None
    return UsageReading(
        file=file_digest(path),
        place=FilePlace(read_to, _tail(descriptor, read_to), reader.turn_key),
        messages=reader.messages,
        costs=reader.costs,
        folders=reader.folders,
        is_at_end=read_to < place.read_to + PORTION_BYTES or read_to >= size,
    )


class _Reader:
    """Collects from lines that stand in order."""

    def __init__(self, turn_key: str, session_id: str, seconds: float) -> None:
        self.turn_key = turn_key
        self.messages: dict[int, tuple[Owner, Tokens]] = {}
        self.costs: dict[str, float] = {}
        self.folders: dict[str, str] = {}
        self._session_id = session_id
        self._seconds = seconds  # of a line without a time

    def note(self, raw: bytes) -> None:
        """Most bytes of a transcript are in lines that need no parsing: tool results, snapshots."""
        if b'"usage"' in raw and b'"assistant"' in raw:
            line = json_object(raw)
            if line.get("type") == "assistant":
                self._note_message(line)
            elif line.get("type") == "user":
                self._note_prompt(raw)
        elif _USER.search(raw):
            self._note_prompt(raw)
        elif b'"cost-state"' in raw:
            self._note_cost(json_object(raw))

    def _note_prompt(self, raw: bytes) -> None:
        found = _PROMPT.search(raw)
        if found and 0 <= raw.find(b'"message"') < found.start():
            found = None  # not the line's own
        if found:
            self.turn_key = _id(found[1].decode("utf-8", "replace"))
        elif b'"tool_result"' not in raw and _INTERRUPTED not in raw:
            # An old client's, which has no ids for prompts: see Prepared.turn_key.
            line = json_object(raw)
            if prompt := line.get("promptId"):
                self.turn_key = _id(prompt)
            elif opens_turn(line) and not line.get("isSidechain"):
                self.turn_key = f"line:{_id(line.get('uuid'))}"

    def _note_message(self, line: dict[str, Any]) -> None:
        message = line.get("message")
        usage = message.get("usage") if isinstance(message, dict) else None
        if not isinstance(message, dict) or not isinstance(usage, dict) or is_synthetic(line):
            return
        tokens = _tokens(usage)
        # A proxy may leave out the message's id.
        name = message.get("id") or line.get("requestId") or line.get("uuid")
        if not any(tokens.numbers) or not isinstance(name, str):
            return
        digest = _digest(name.encode("utf-8", "replace"))
        known = self.messages.get(digest)
        if known and not tokens.is_more_than(known[1]):
            return
        owner = known[0] if known else self._owner(line, message, usage)
        self.messages[digest] = (owner, tokens)

    def _owner(self, line: dict[str, Any], message: dict[str, Any], usage: dict[str, Any]) -> Owner:
        try:
            seconds = clock.parse(line["timestamp"]).timestamp()
        except (KeyError, TypeError, ValueError, OverflowError):
            seconds = self._seconds
        session_id, folder = _id(line.get("sessionId")) or self._session_id, line.get("cwd")
        if isinstance(folder, str):
            self.folders.setdefault(session_id, storable(folder))
        return Owner(
            session_id=session_id,
            turn_key=self.turn_key,
            quarter=int(seconds // QUARTER_SECONDS),
            model=_id(message.get("model")) or "unknown",
            speed="fast" if usage.get("speed") == "fast" else "standard",
        )

    def _note_cost(self, line: dict[str, Any]) -> None:
        """The session's total, written when the client exits: its last word counts."""
        cost = line.get("totalCostUSD")
        if line.get("type") != "cost-state" or not isinstance(cost, int | float):
            return
        if not isinstance(cost, bool) and 0 <= cost <= _LARGEST:
            self.costs[_id(line.get("sessionId")) or self._session_id] = float(cost)


def _tokens(usage: dict[str, Any]) -> Tokens:
    kinds = usage.get("cache_creation")
    kinds = kinds if isinstance(kinds, dict) else {}
    an_hour = _number(kinds.get("ephemeral_1h_input_tokens"))
    five_minutes = _number(kinds.get("ephemeral_5m_input_tokens"))
    written = max(_number(usage.get("cache_creation_input_tokens")), an_hour + five_minutes)
    return Tokens(
        input=_number(usage.get("input_tokens")),
        output=_number(usage.get("output_tokens")),
        cache_read=_number(usage.get("cache_read_input_tokens")),
        cache_write_5m=written - an_hour,
        cache_write_1h=an_hour,
    )


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    return min(max(value, 0), _LARGEST)


def _id(value: object) -> str:
    return storable(value)[:ID_LIMIT] if isinstance(value, str) else ""


def _tail(descriptor: int, end: int) -> int:
    """A digest of the bytes before a place in a file; 0 for its beginning."""
    start = max(0, end - _TAIL_BYTES)
    return _digest(os.pread(descriptor, end - start, start)) if end else 0


def _digest(data: bytes) -> int:
    digest = blake2b(data, digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
