"""Which documents with a date in their path live on: they were changed long after they were added.

Git reads the whole history to say so. So what it said is kept, with the commit up to which it was
asked, and the next turn asks only about the commits since."""

from __future__ import annotations

from collections.abc import Sequence

from fleet_lib.errors import GitTimeout
from fleet_lib.turn import git, kept

_LATER_SECONDS = 30 * 86400
_KEPT_LIMIT = 500  # documents of one working tree

_Times = dict[str, tuple[int, int]]  # {document: its first and its last change, in Unix seconds}
_NEVER = (0, 0)  # in no commit yet


def living_on(home: str, toplevel: str, head: str, documents: Sequence[str]) -> set[str]:
    """Those of these documents that live on, as of the commit `head`. Without a home, nothing is
    kept."""
    file = kept.name_of("dated", toplevel)
    before = kept.read(home, file) if home else None
    upto, known = before or ("", {})
    times = known if upto == head else _later(toplevel, known, f"{upto}...{head}")
    missing = [document for document in documents if document not in times]
    if missing and (asked := _times(toplevel, head, missing)) is not None:
        times = {document: asked.get(document, _NEVER) for document in missing} | times
    times = dict(list(times.items())[:_KEPT_LIMIT])
    if home and (head, times) != before:
        kept.write(home, file, (head, times))
    return {
        document
        for document in documents
        if document in times and times[document][1] - times[document][0] >= _LATER_SECONDS
    }


def _later(toplevel: str, known: _Times, commits: str) -> _Times:
    """What is known, with what these commits changed; nothing where git does not know them, or where
    history was rewritten."""
    asked = _times(toplevel, commits, list(known)) if known else None
    if asked is None:
        return {}
    return {
        document: _both(span, asked[document]) if document in asked else span
        for document, span in known.items()
    }


def _both(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return (min(one[0] or other[0], other[0]), max(one[1], other[1]))


def _times(toplevel: str, commits: str, documents: Sequence[str]) -> _Times | None:
    """When these commits changed the documents; None where git says nothing."""
    try:
        answer = git.ask(
            toplevel,
            *("--literal-pathspecs", "log", "-z", "--format=%x02%m%at", "--name-only"),
            *("--no-renames", "--left-right", commits, "--", *documents),
        )
    except GitTimeout:
        return None
    if answer is None:
        return None
    found: _Times = {}
    moment = 0
    for part in answer.split("\0"):
        part = part.strip("\n")
        if part.startswith("\x02<"):  # it was left out of history
            return None
        if part.startswith("\x02"):
            moment = int(part[2:])
        elif part:
            found[part] = _both(found.get(part, _NEVER), (moment, moment))
    return found
