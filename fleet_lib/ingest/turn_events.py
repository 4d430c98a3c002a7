"""The events that say what a turn became, for ingest and for whatever classifies a turn later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fleet_lib.ingest.compose import detail_of
from fleet_lib.lines import DOCUMENTS_NAMED
from fleet_lib.store.outbox import OutboxRepo

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

    from fleet_lib.levels import EventType

_NAMED_SOURCES = 20


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

    def briefing(
        self, revision: int, summary: str, fields: Mapping[str, Any], question: str | None
    ) -> int:
        details = {
            "briefingId": self._briefing_id,
            "projectId": self._project_id,
            "status": fields["status"],
            "impactLevel": fields["impact_level"],
            "broadcastLevel": fields["broadcast_level"],
            "revision": revision,
            "summary": summary,
        }
        if question:
            details["question"] = question
        return self.add("briefing_added", fields["broadcast_level"], {"briefing": details})

    def blocked(self, summary: str, fields: Mapping[str, Any]) -> int:
        details = {
            "sessionId": self._session_id,
            "projectId": self._project_id,
            "status": "blocked",
            "detail": detail_of(fields["blockers"], summary),
        }
        return self.add("session_blocked", "highlight", {"session": details})

    def drift(self, documents: Sequence[str], sources: Sequence[str]) -> int:
        """One warning for all documents, most relevant first. There is none where the worker itself
        says that documents are out of date."""
        details: dict[str, Any] = {
            "docPath": next(iter(documents), None),
            "docs": list(documents[:DOCUMENTS_NAMED]),
            "sources": list(sources[:_NAMED_SOURCES]),
            "risk": "high",
        }
        if more := len(documents[DOCUMENTS_NAMED:]):
            details["moreDocs"] = more
        return self.add("doc_drift_warning", "highlight", {"docDrift": details})
