"""Which commits of a reflog a turn made itself. Pure functions.

Several sessions, and people, work in one checkout, and its reflog has the commits of all. A commit
is the turn's if it was made while one of the turn's tool calls ran, and the call shows it: by the
id that git printed, by the message that the command gives, or because the command makes a commit,
says nothing of it, and there is no other commit that it could be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from fleet_lib.records import Record
from fleet_lib.turn.reflog import ReflogEntry
from fleet_lib.turn.tool_calls import ToolCall

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from fleet_lib.turn.shell_commits import CommitCommand

_TOLERANCE_SECONDS = 1.0  # a reflog counts in whole seconds
_PACKED_LIMIT = 20  # commits of packs, which are old, before a search for those of a turn ends
_WORD = 8  # characters of a message that counts wherever it stands in a command

# {commit: the files that it changed}
FilesOf = Callable[[Sequence[ReflogEntry]], Mapping[str, Collection[str]]]


class Call(Record):
    """A tool call, and what its command says about this repository."""

    call: ToolCall
    commands: tuple[CommitCommand, ...] = ()  # those that commit here
    words: frozenset[str] = frozenset()


def is_around(call: ToolCall, entry: ReflogEntry, made_ns: int | None = None) -> bool:
    """Whether a commit was made while a call ran. `made_ns` is the time of the commit's object: the
    reflog has another one where the command sets the time of its commits."""
    times = [entry.time] if made_ns is None else [entry.time, made_ns / 1e9]
    first, last = call.started - _TOLERANCE_SECONDS, call.ended + _TOLERANCE_SECONDS
    return bool(call.command) and any(int(first) <= time <= last for time in times)


def commits_during(
    calls: Sequence[ToolCall], reflog: Sequence[ReflogEntry], made_ns: Mapping[str, int]
) -> list[ReflogEntry]:
    """The commits from the beginning of the first call to the end of the last, the newest first."""
    if not calls:
        return []
    first, last = min(call.started for call in calls), max(call.ended for call in calls)
    all_calls = ToolCall("all", "/", first, last)
    found: list[ReflogEntry] = []
    packed = 0
    # A reflog has hundreds of movements, and those before one that is too old are older still.
    for entry in (entry for entry in reflog if entry.is_commit):
        made = made_ns.get(entry.commit)
        if is_around(all_calls, entry, made):
            found.append(entry)
        elif (entry.time if made is None else made / 1e9) < first - _TOLERANCE_SECONDS - 1:
            packed += made is None
            if made is not None or packed > _PACKED_LIMIT:
                break
    return found


def own_commits(
    reflog: Sequence[ReflogEntry],
    made_ns: Mapping[str, int],
    calls: Sequence[Call],
    edited: Collection[str],
    files_of: FilesOf,
) -> list[ReflogEntry]:
    """The entries of the commits that the calls made, oldest first. `edited` are the files that the
    turn edited, as `files_of` has them; that is asked only where nothing else decides."""
    commits = commits_during([each.call for each in calls], reflog, made_ns)
    shown = tuple(made for each in calls for made in each.call.made)
    own: set[str] = set()
    around: list[tuple[Call, list[ReflogEntry]]] = []
    for each in calls:
        near = [e for e in commits if is_around(each.call, e, made_ns.get(e.commit))]
        if near:
            around.append((each, near))
            own |= {entry.commit for entry in near if entry.commit.startswith(shown)}
    choice = _Choice(made_ns, edited, files_of)
    for each, near in around:
        own |= _by_message(each, near, own, choice)
    for each, near in around:
        own |= _by_elimination(each, near, own, choice)
    found = [entry for entry in commits if entry.commit in own]
    return list({entry.commit: entry for entry in reversed(found)}.values())


class _Choice(Record):
    """Which of several commits a call made."""

    made_ns: Mapping[str, int]
    edited: Collection[str]
    files_of: FilesOf

    def among(self, each: Call, found: list[ReflogEntry], count: int) -> set[str]:
        """At most `count` of these: all if there are no more; else those that were made while the
        call ran without any tolerance; else those whose ids it shows; else those with files that it
        names or that the turn edited. None if that leaves too many."""
        exact = [e for e in found if self._is_within(each.call, e)] if len(found) > count else []
        found = exact or found
        if len(found) <= count:
            return {entry.commit for entry in found}
        hashes = tuple(each.call.hashes)
        named = {entry.commit for entry in found if entry.commit.startswith(hashes)}
        named = named or {entry.commit for entry in self.with_known_files(each, found)}
        return named if len(named) <= count else set()

    def with_known_files(self, each: Call, found: list[ReflogEntry]) -> list[ReflogEntry]:
        """Those with files that the call names or that the turn edited."""
        known, files = {*self.edited, *each.words}, self.files_of(found) if found else {}
        return [entry for entry in found if known.intersection(files[entry.commit])]

    def _is_within(self, call: ToolCall, entry: ReflogEntry) -> bool:
        made_ns = self.made_ns.get(entry.commit)
        return made_ns is not None and call.started <= made_ns / 1e9 <= call.ended


def _by_message(each: Call, near: list[ReflogEntry], own: set[str], choice: _Choice) -> set[str]:
    """The commits with messages that the command gives."""
    found: set[str] = set()
    counted = Counter(command.message for command in each.commands if command.message)
    looped = {command.message for command in each.commands if command.repeats}
    for message, count in counted.items():
        fitting = [entry for entry in near if message.fits(entry.message)]
        left = [entry for entry in fitting if entry.commit not in own]
        several = message.varies and message in looped
        count = len(left) if several else count - len(_shown_by(each, fitting))
        if each.call.failed and len(message.text) < _WORD:
            # Perhaps git failed, because a neighbour was committing, with the same short message.
            left = choice.with_known_files(each, left)
        found |= choice.among(each, left, count) if count > 0 else set()
    if not counted:
        # A script or an alias that is given the message.
        said = [e for e in near if e.commit not in own and _is_word(e.message, each.words)]
        found |= choice.among(each, said, 1)
    return found


def _by_elimination(
    each: Call, near: list[ReflogEntry], own: set[str], choice: _Choice
) -> set[str]:
    """The commits of commands that name no message and show no id. What failed, or went on in the
    background, proves nothing that way."""
    if each.call.failed or each.call.is_background:
        return set()
    messages = [command.message for command in each.commands if command.message]
    explained = {
        entry.commit
        for entry in _shown_by(each, near)
        if not any(message.fits(entry.message) for message in messages)
    }
    silent = [command for command in each.commands if not command.message]
    found: set[str] = set()
    for command in silent[len(explained) :]:
        rest = [e for e in near if e.commit not in own | found and _is_of_kind(e, command)]
        # One command may pick, revert or apply several commits.
        count = 1 if command.kind == "commit" else len(rest)
        found |= choice.among(each, rest, count)
    return found


def _shown_by(each: Call, entries: Sequence[ReflogEntry]) -> list[ReflogEntry]:
    return [entry for entry in entries if entry.commit.startswith(each.call.made)]


def _is_of_kind(entry: ReflogEntry, command: CommitCommand) -> bool:
    if command.amends:
        return entry.amends
    return entry.kind == command.kind and not entry.amends


def _is_word(message: str, words: Collection[str]) -> bool:
    return len(message) >= _WORD and any(message == " ".join(word.split()) for word in words)
