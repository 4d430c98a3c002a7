"""What is announced of a turn beside its briefing: documents that it left out of date, and skills
that it changed. Plain values, because a turn whose agents still run is announced later."""

from __future__ import annotations

from collections.abc import Sequence

from fleet_lib.ingest.compose import ComposedTurn
from fleet_lib.ingest.turn_events import TurnEvents
from fleet_lib.records import Record
from fleet_lib.store.repos import Repos
from fleet_lib.turn.prepared import Prepared
from fleet_lib.turn.stored_text import stored_path, stored_paths

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

    from fleet_lib.levels import BroadcastLevel


class News(Record):
    """The turn's own level, while its briefing may still be silent, and what comes with it."""

    broadcast_level: BroadcastLevel
    changed_something: bool
    skills: tuple[str, ...] = ()
    # (document, its digest, [(source that it mentions, its digest)])
    drift: tuple[tuple[str | None, str, list[tuple[str, str]]], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in News.__annotations__}

    @staticmethod
    def from_json(stored: dict[str, Any]) -> News:
        """What `to_json` gave, perhaps that of another version."""
        return News(
            stored.get("broadcast_level", "silent"),
            bool(stored.get("changed_something")),
            tuple(stored.get("skills", ())),
            tuple(stored.get("drift", ())),
        )


def news_of(
    prepared: Prepared, turn: ComposedTurn, announced: Sequence[str], held: News | None
) -> News:
    """The turn's news. `announced` are the files of the briefing that was announced before; `held`
    is what an earlier Stop of the turn has not announced. Raises turn.prepared.NotRead."""
    skills = [path for path in turn.files_touched if _is_skill(path) and path not in announced]
    return News(
        turn.broadcast_level,
        prepared.entry.event == "Stop" and bool(turn.files_touched or turn.docs_touched),
        tuple(dict.fromkeys([*(held.skills if held else ()), *skills])),
        _drift_of(prepared, turn) if turn.doc_drift_risk == "high" else (),
    )


def _is_skill(path: str) -> bool:
    return path.rpartition("/")[2] == "SKILL.md"


def announce(repos: Repos, events: TurnEvents, project_id: str, news: News) -> None:
    """Add the events of documents and skills."""
    documents: dict[str, None] = {}
    sources: dict[str, None] = {}
    for document, document_digest, mentioned in news.drift:
        for source, source_digest in mentioned if document is not None else ():
            name = stored_path(document or "")
            is_fresh = repos.drift_pairs.add(
                project_id,
                stored_path(source),
                name,
                source_digest=source_digest,
                document_digest=document_digest,
            )
            if is_fresh:
                documents[name] = None
                sources[source] = None
    is_said_by_worker = any(document is None for document, _, _ in news.drift)
    if documents or is_said_by_worker:
        events.drift(list(documents), stored_paths(sources))
    for path in news.skills:
        events.add("skill_updated", "mention", {"skill": {"path": path}})


def _drift_of(
    prepared: Prepared, turn: ComposedTurn
) -> tuple[tuple[str | None, str, list[tuple[str, str]]], ...]:
    """Each stale document and the sources that it mentions, as the files are now."""
    if not turn.stale:
        return ((None, "", []),)  # the worker itself says that the risk is high
    mentioned = {source for sources in turn.stale.values() for source in sources}
    digests = prepared.digests_of([*turn.stale, *mentioned])
    return tuple(
        (document, digests[document], [(source, digests[source]) for source in sources])
        for document, sources in turn.stale.items()
    )
