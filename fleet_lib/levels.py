"""The values of a briefing's enumerated fields. A module of its own, so that naming them costs no
import of the parser, which brings pydantic."""

from typing import Literal

Status = Literal["completed", "blocked", "failed", "waiting_for_input"]
ImpactLevel = Literal["trivial", "minor", "moderate", "major"]
BroadcastLevel = Literal["silent", "mention", "highlight"]
DocDriftRisk = Literal["low", "medium", "high"]
