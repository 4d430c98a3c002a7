"""The values of enumerated fields, of briefings, sessions and events. A module of its own: a turn
needs only their names, for the type checker, and the import of typing costs too much for that."""

from typing import Literal

Status = Literal["completed", "blocked", "failed", "waiting_for_input"]
ImpactLevel = Literal["trivial", "minor", "moderate", "major"]
BroadcastLevel = Literal["silent", "mention", "highlight"]
DocDriftRisk = Literal["low", "medium", "high"]
SessionState = Literal[
    "working", "completed", "blocked", "failed", "waiting_for_input", "waiting_for_permission"
]
EventType = Literal[
    "briefing_added",
    "session_started",
    "session_blocked",
    "doc_drift_warning",
    "skill_updated",
    "file_overlap",
    "job_completed",
    "error",
]
ColleagueNews = Literal["colleague_news"]
