"""The values of enumerated fields, of briefings and of sessions. A module of its own: what a turn needs
of them are their names for the type checker alone, and the import of typing costs too much for that."""

from typing import Literal

Status = Literal["completed", "blocked", "failed", "waiting_for_input"]
ImpactLevel = Literal["trivial", "minor", "moderate", "major"]
BroadcastLevel = Literal["silent", "mention", "highlight"]
DocDriftRisk = Literal["low", "medium", "high"]
SessionState = Literal[
    "working", "completed", "blocked", "failed", "waiting_for_input", "waiting_for_permission"
]
