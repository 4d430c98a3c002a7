"""What a job asks for: its request as the database stores it, checked and read back."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from fleet_lib.config import Config
from fleet_lib.errors import BadInput
from fleet_lib.store.jobs import PROMPT_LIMIT, Job

RULE_LIMIT = 1000  # characters of a permission rule
PermissionMode = Literal["default", "acceptEdits", "plan", "dontAsk", "bypassPermissions"]


class JobRequest(BaseModel):
    """The column `jobs.request_json`. The original system's rows hold `prompt` and `systemPrompt`:
    names are read in snake_case and in camelCase, and written in camelCase."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True
    )

    prompt: str = Field(max_length=PROMPT_LIMIT)
    system_prompt: str | None = Field(default=None, max_length=PROMPT_LIMIT)
    allowed_tools: tuple[str, ...] = ()
    only_tools: tuple[str, ...] | None = None  # the built-in tools that there are; None: all
    permission_mode: PermissionMode | None = None  # None: depends on the job's type
    timeout_seconds: float | None = Field(default=None, gt=0, le=86400)
    max_usd: float | None = Field(default=None, ge=0.000001, le=1000)
    purpose: Literal["semantic_fields"] | None = None  # set for jobs that Fleet queues itself
    briefing_ids: tuple[int, ...] = ()

    @field_validator("allowed_tools", mode="before")
    @classmethod
    def _none_is_empty(cls, value: Any) -> Any:
        return () if value is None else value

    @field_validator("allowed_tools")
    @classmethod
    def _rules_only(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        for rule in rules:
            if not is_rule(rule):
                raise ValueError(
                    f"{rule[:80]!r} is not a permission rule such as Edit or Bash(npm test:*)"
                )
        return rules

    @field_validator("purpose", mode="before")
    @classmethod
    def _ours_or_none(cls, value: Any) -> Any:
        return value if value == "semantic_fields" else None

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=True)


def is_rule(text: str) -> bool:
    """Whether a text may be passed to Claude Code as a permission rule. One that begins with a dash
    could pass any other option."""
    return 0 < len(text) <= RULE_LIMIT and text.isprintable() and text.strip()[:1] not in ("", "-")


def make(**fields: Any) -> JobRequest:
    """A request from values that a user gave. Raises BadInput."""
    try:
        return JobRequest(**fields)
    except ValidationError as error:
        raise BadInput(_first_error(error)) from None


def _first_error(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "the request"
    return f"{place}: {first['msg'].removeprefix('Value error, ')}"


def read(job: Job) -> JobRequest:
    """The request of a stored job. Raises BadInput."""
    try:
        request = JobRequest.model_validate_json(job.request_json)
    except ValidationError as error:
        raise BadInput(f"the request cannot be read: {_first_error(error)}") from None
    if not request.prompt.strip():
        raise BadInput("the prompt is empty")
    return request


def permission_mode(job_type: str, request: JobRequest, config: Config) -> PermissionMode:
    """The permission mode that a job runs with. Raises BadInput if it asks to bypass permissions
    and the settings do not allow that."""
    if request.permission_mode == "bypassPermissions" and not config.jobs.allow_bypass:
        raise BadInput(
            "the setting jobs.allow_bypass does not allow jobs to bypass permission checks;"
            " allow the tools that the job needs with --allow-tool"
        )
    if request.permission_mode:
        return request.permission_mode
    return "acceptEdits" if job_type in ("skill_patch", "doc_patch") else "default"
