"""The query parameters of the API, one model for each endpoint that has any."""

from typing import Annotated

from pydantic import BaseModel, Field

from fleet_lib.levels import ImpactLevel, Status

Limit = Annotated[int, Field(ge=1, le=500)]


class BriefingQuery(BaseModel):
    project_id: str | None = None
    status: Status | None = None
    impact_level: ImpactLevel | None = None
    session_id: str | None = None
    machine: str | None = Field(default=None, max_length=100)
    limit: Limit = 50


class SearchQuery(BaseModel):
    q: str = Field(max_length=500)
    project_id: str | None = None
    status: str | None = None
    limit: Limit = 20


class EventQuery(BaseModel):
    after: int = Field(default=0, ge=0, le=2**62)
    limit: Limit = 100


class JobQuery(BaseModel):
    project_id: str | None = None
    status: str | None = None
    limit: Limit = 50


class PreludeQuery(BaseModel):
    recap: bool = False


class NoQuery(BaseModel):
    pass
