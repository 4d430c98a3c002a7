"""What a job asks for, and the command that it becomes. The prompt is never part of the command: `ps`
shows that to everybody, and the system refuses a long one."""

import json
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from fleet_lib.config import Config
from fleet_lib.errors import BadInput
from fleet_lib.jobs import semantics
from fleet_lib.jobs.claude import knows_option
from fleet_lib.store.jobs import PROMPT_LIMIT, Job

RULE_LIMIT = 1000  # characters of a rule for tools
PermissionMode = Literal["default", "acceptEdits", "plan", "dontAsk", "bypassPermissions"]

# Claude Code's own settings among the variables that it also gives to its children. The others of the
# name belong to the session that a job was submitted from.
_KEPT_CLAUDE_CODE = (
    "CLAUDE_CODE_API_",
    "CLAUDE_CODE_CERT",
    "CLAUDE_CODE_CLIENT_",
    "CLAUDE_CODE_DISABLE_",
    "CLAUDE_CODE_ENABLE_",
    "CLAUDE_CODE_MAX_",
    "CLAUDE_CODE_OAUTH_",
    "CLAUDE_CODE_SKIP_",
    "CLAUDE_CODE_SUBAGENT_MODEL",
    "CLAUDE_CODE_USE_",
)
_DROPPED = ("CLAUDECODE", "CLAUDE_EFFORT", "CLAUDE_PROJECT_DIR", "AI_AGENT")
_DROPPED_PREFIXES = ("CLAUDE_CODE_", "CLAUDE_PLUGIN_")
# Where git works is the job's folder, whatever a git hook that submitted it had set.
_DROPPED_GIT = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_PREFIX",
    "GIT_NAMESPACE",
)
_TYPE_PROMPTS = {
    "skill_patch": "Your task is about a skill: change SKILL.md files and what belongs to them, nothing else.",
    "doc_patch": "Your task is about documentation: change documents, and no source code.",
}


class JobRequest(BaseModel):
    """`jobs.request_json`. The original system's rows hold `prompt` and `systemPrompt`; both spellings of
    a name are read, camelCase is written."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True
    )

    prompt: str = Field(max_length=PROMPT_LIMIT)
    system_prompt: str | None = Field(default=None, max_length=PROMPT_LIMIT)
    allowed_tools: tuple[str, ...] = ()
    permission_mode: PermissionMode | None = None  # None: as the job's type needs it
    timeout_seconds: float | None = Field(default=None, gt=0, le=86400)
    max_usd: float | None = Field(default=None, ge=0.000001, le=1000)
    purpose: Literal["semantic_fields"] | None = None  # Fleet's own errand
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
                    f"{rule[:80]!r} is not a rule for tools, such as Edit or Bash(npm test:*)"
                )
        return rules

    @field_validator("purpose", mode="before")
    @classmethod
    def _ours_or_none(cls, value: Any) -> Any:
        return value if value == "semantic_fields" else None

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=True)


def is_rule(text: str) -> bool:
    """Whether a text may stand where Claude Code takes rules for tools: the first word with a dash would be
    an option again, and any option can be given that way."""
    return 0 < len(text) <= RULE_LIMIT and text.isprintable() and text.strip()[:1] not in ("", "-")


def make(**fields: Any) -> JobRequest:
    """A request of somebody's own wishes. Raises BadInput."""
    try:
        return JobRequest(**fields)
    except ValidationError as error:
        raise BadInput(_fault(error)) from None


def _fault(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "the request"
    return f"{place}: {first['msg'].removeprefix('Value error, ')}"


def read(job: Job) -> JobRequest:
    """What a row asks for. Raises BadInput, with the reason for a person."""
    try:
        request = JobRequest.model_validate_json(job.request_json)
    except ValidationError as error:
        raise BadInput(f"its request cannot be read: {_fault(error)}") from None
    if not request.prompt.strip():
        raise BadInput("its prompt is empty")
    return request


def permission_mode(job_type: str, request: JobRequest, config: Config) -> PermissionMode:
    """Raises BadInput for a bypass that the configuration does not allow."""
    if request.permission_mode == "bypassPermissions" and not config.jobs.allow_bypass:
        raise BadInput(
            "it asks to bypass all permission checks, which the setting jobs.allow_bypass forbids;"
            " --allow-tool names the tools that it needs"
        )
    if request.permission_mode:
        return request.permission_mode
    return "acceptEdits" if job_type in ("skill_patch", "doc_patch") else "default"


def command(
    job: Job,
    request: JobRequest,
    config: Config,
    *,
    home: str,
    program: str,
    budget_usd: float,
    resume: str | None,
    scratch: Path,
) -> list[str]:
    """The command line of a job. Texts that may be long go to files in `scratch`. It may ask the program for
    its help, which takes a moment."""
    is_commander = job.type == "commander_turn"
    words = [program, "-p", "--output-format", "stream-json", "--verbose", "--model", job.model]
    words += ["--max-budget-usd", f"{budget_usd:.6f}"]
    words += ["--permission-mode", permission_mode(job.type, request, config)]
    if request.purpose == "semantic_fields":
        # Nothing but the question: Claude Code's own system prompt and tools are 70 times its size.
        words += ["--tools", "", "--strict-mcp-config", "--disable-slash-commands"]
        words += ["--no-session-persistence", "--json-schema", json.dumps(semantics.schema())]
        words += ["--system-prompt-file", _file(scratch, "system", request.system_prompt or "")]
    else:
        told = [text for text in (_TYPE_PROMPTS.get(job.type), request.system_prompt) if text]
        if told:
            words += ["--append-system-prompt-file", _file(scratch, "system", "\n\n".join(told))]
        if told and is_commander and knows_option(program, "--system-prompt-snapshot"):
            # The conversation goes on in other turns. Claude Code would record this system prompt and send
            # it with each of them, or ignore it in favor of the one that it has recorded before.
            words += ["--system-prompt-snapshot", "off"]
    if is_commander:
        words += ["--include-partial-messages"]
    else:
        words += ["--settings", '{"disableAllHooks":true}']
    if resume:
        words += ["--resume", resume]
    tools = request.allowed_tools or (commander_tools(home) if is_commander else ())
    # With a space between them, what follows and looks like an option would be one.
    return words + [f"--allowed-tools={tool}" for tool in tools]


def commander_tools(home: str) -> tuple[str, ...]:
    """What the Commander's own settings allow: Claude Code itself heeds them only in a folder that was
    trusted in a terminal."""
    try:
        value = json.loads((Path(home) / ".claude" / "settings.json").read_text("utf-8"))
        allowed = value["permissions"]["allow"]
    except (OSError, ValueError, TypeError, KeyError):
        return ()
    return tuple(rule for rule in allowed if isinstance(rule, str) and is_rule(rule))


def environment(job: Job, home: str) -> dict[str, str]:
    """The environment of a job's Claude Code: the runner's, without what says where that runs."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _DROPPED
        and name not in _DROPPED_GIT
        and (name.startswith(_KEPT_CLAUDE_CODE) or not name.startswith(_DROPPED_PREFIXES))
    }
    kept["FLEET_HOME"] = home
    kept["FLEET_JOB_ID"] = str(job.job_id)
    if job.type == "commander_turn":
        kept.pop("FLEET_HOOKS", None)
        kept["PATH"] = f"{Path(home) / 'bin'}{os.pathsep}{kept.get('PATH', '')}"
    else:
        kept["FLEET_HOOKS"] = "off"
    return kept


def _file(scratch: Path, name: str, text: str) -> str:
    path = scratch / name
    path.write_text(text, "utf-8", errors="replace")
    return str(path)
