"""Fields of a briefing that the worker did not write, derived without a model. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from fleet_lib.levels import BroadcastLevel, DocDriftRisk, ImpactLevel, Status


_MINOR_FILES, _MODERATE_FILES = 5, 20
_BROADCAST: dict[ImpactLevel, BroadcastLevel] = {
    "trivial": "silent",
    "minor": "mention",
    "moderate": "mention",
    "major": "highlight",
}


def status_of(event: str, question: str | None) -> Status:
    """status by the event that ended the turn and by what its last message asks."""
    if event == "StopFailure":
        return "failed"
    return "waiting_for_input" if question else "completed"


def impact_of(files: Sequence[str]) -> ImpactLevel:
    """impact_level by the number of files touched."""
    if not files:
        return "trivial"
    if len(files) <= _MINOR_FILES:
        return "minor"
    return "moderate" if len(files) <= _MODERATE_FILES else "major"


def broadcast_of(impact: ImpactLevel, status: Status) -> BroadcastLevel:
    """broadcast_level by impact_level; a turn that waits for a person is never silent."""
    level = _BROADCAST[impact]
    return "mention" if level == "silent" and status != "completed" else level


def risk_of(stale_documents: int) -> DocDriftRisk:
    """doc_drift_risk by the number of documents that mention a touched file and were not touched."""
    if stale_documents == 0:
        return "low"
    return "medium" if stale_documents == 1 else "high"
