"""The query parameters of the API, one model for each endpoint that has any."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field

from fleet_lib import clock
from fleet_lib.levels import ImpactLevel, Status
from fleet_lib.store.sessions import SessionState
from fleet_lib.views.timeline import Level

Limit = Annotated[int, Field(ge=1, le=500)]
Machine = Annotated[str, Field(max_length=100)]  # "-" is this one
Moment = Annotated[str, AfterValidator(clock.normal)]  # ISO 8601


class BriefingQuery(BaseModel):
    project_id: str | None = None
    status: Status | None = None
    impact_level: ImpactLevel | None = None
    session_id: str | None = None
    machine: Machine | None = None
    since: Moment | None = None
    limit: Limit = 50


class BriefingPageQuery(BaseModel):
    front_matter: bool = True


class SearchQuery(BaseModel):
    q: str = Field(max_length=500)
    project_id: str | None = None
    status: str | None = None
    machine: Machine | None = None
    since: Moment | None = None
    limit: Limit = 20


class EventQuery(BaseModel):
    after: int = Field(default=0, ge=0, le=2**62)
    limit: Limit = 100


class TimelineQuery(BaseModel):
    before: int | None = Field(default=None, ge=1, le=2**62)  # an event
    until: Moment | None = None  # begin there
    project_id: str | None = None
    type: str | None = None
    level: Level | None = None
    machine: Machine | None = None
    limit: Limit = 50


class RosterQuery(BaseModel):
    machine: Machine | None = None
    quiet: int = Field(default=20, ge=0, le=5000)


class SessionQuery(BaseModel):
    project_id: str | None = None
    state: SessionState | Literal["live", "ended", "needs_you", "left_open"] | None = None
    machine: Machine | None = None
    since: Moment | None = None
    before: str | None = None
    before_id: str = ""
    limit: Limit = 50


class SessionPageQuery(BaseModel):
    turns: int = Field(default=300, ge=1, le=100_000)  # the newest


class JobQuery(BaseModel):
    project_id: str | None = None
    status: str | None = None
    limit: Limit = 50


class PreludeQuery(BaseModel):
    recap: bool = False


class NoQuery(BaseModel):
    pass
