"""The events that say what a turn became; ingest announces them, and whoever classifies a turn later."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from fleet_lib.store.outbox import EventType, OutboxRepo

DETAIL_LIMIT = 300  # characters

# What a reader would call news; a change of it is a new revision.
_MEANING = (
    "status",
    "impact_level",
    "broadcast_level",
    "doc_drift_risk",
    "blockers",
    "next_steps",
    "docs_touched",
    "files_touched",
)
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def digest(value: object) -> str:
    return hashlib.sha256(_canonical.encode(value).encode()).hexdigest()


def meaning_of(summary: str, fields: Mapping[str, Any]) -> str:
    """A digest of what a reader would call news of a briefing."""
    return digest([summary, *(fields[name] for name in _MEANING)])


class TurnEvents:
    """Adds one turn's events. The caller's transaction holds them."""

    def __init__(
        self,
        outbox: OutboxRepo,
        *,
        project_id: str,
        briefing_id: int,
        session_id: str | None,
        ts: str | None = None,
    ) -> None:
        self._outbox = outbox
        self._project_id = project_id
        self._briefing_id = briefing_id
        self._session_id = session_id
        self._ts = ts

    def add(self, kind: EventType, level: str, payload: dict[str, Any]) -> int:
        session = {"sessionId": self._session_id} if self._session_id else {}
        return self._outbox.add(
            type=kind,
            project_id=self._project_id,
            briefing_id=self._briefing_id,
            broadcast_level=level,
            payload={**payload, **session},
            ts=self._ts,
        )

    def briefing(self, revision: int, summary: str, fields: Mapping[str, Any]) -> int:
        told = {
            "briefingId": self._briefing_id,
            "projectId": self._project_id,
            "status": fields["status"],
            "impactLevel": fields["impact_level"],
            "broadcastLevel": fields["broadcast_level"],
            "revision": revision,
            "summary": summary,
        }
        return self.add("briefing_added", fields["broadcast_level"], {"briefing": told})

    def blocked(self, summary: str, fields: Mapping[str, Any]) -> int:
        told = {
            "sessionId": self._session_id,
            "projectId": self._project_id,
            "status": "blocked",
            "detail": next(iter(fields["blockers"]), summary)[:DETAIL_LIMIT],
        }
        return self.add("session_blocked", "highlight", {"session": told})

    def drift(self, document: str | None, sources: list[str]) -> int:
        told = {"docPath": document, "sources": sources, "risk": "high"}
        return self.add("doc_drift_warning", "highlight", {"docDrift": told})
