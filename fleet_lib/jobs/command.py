"""Claude Code as a job runs it: its command line and its environment. The prompt is never part of the command line, which `ps` shows to every user and the
system limits."""

import json
import os
from pathlib import Path

from fleet_lib.config import Config
from fleet_lib.jobs import semantics
from fleet_lib.jobs.program import knows_option
from fleet_lib.jobs.request import JobRequest, is_rule, permission_mode
from fleet_lib.store.jobs import Job

# Claude Code also passes its variables on to the processes that it starts. These are a user's
# settings of it; all others with its prefixes describe the session that a job was submitted from.
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
_DROPPED_PREFIXES = ("CLAUDE_CODE_", "CLAUDE_PLUGIN_")
_DROPPED = (
    "CLAUDECODE",
    "CLAUDE_EFFORT",
    "CLAUDE_PROJECT_DIR",
    "AI_AGENT",
    # Set when a git hook submits a job: git would work in that repository, not in the job's folder.
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
    "skill_patch": "Your task is about a skill: change SKILL.md files and what belongs to them,"
    " nothing else.",
    "doc_patch": "Your task is about documentation: change documents, and no source code.",
}


def command(
    job: Job,
    request: JobRequest,
    settings: Config,
    *,
    home: str,
    program: str,
    budget_usd: float,
    resume: str | None,
    scratch: Path,
    beside: str | None = None,
) -> list[str]:
    """The command line of a job. `beside` is the id of a session of its own, which forks from
    `resume`. Texts that may be long go to files in `scratch`. It may run the
    program for its help, which takes a moment."""
    is_commander = job.type == "commander_turn"
    words = [program, "-p", "--output-format", "stream-json", "--verbose", "--model", job.model]
    words += ["--max-budget-usd", f"{budget_usd:.6f}"]
    words += ["--permission-mode", permission_mode(job.type, request, settings)]
    if request.purpose == "semantic_fields":
        # Only the question: Claude Code's own system prompt and tools would be 70 times as long.
        words += ["--tools", "", "--strict-mcp-config", "--disable-slash-commands"]
        words += ["--no-session-persistence", "--json-schema", json.dumps(semantics.schema())]
        words += ["--system-prompt-file", _file(scratch, "system", request.system_prompt or "")]
    else:
        prompts = [text for text in (_TYPE_PROMPTS.get(job.type), request.system_prompt) if text]
        if prompts:
            words += ["--append-system-prompt-file", _file(scratch, "system", "\n\n".join(prompts))]
        if prompts and is_commander and knows_option(program, "--system-prompt-snapshot"):
            # Other turns continue the conversation. Claude Code would record this system prompt and
            # send it with each of them, or send an earlier recorded one instead of it.
            words += ["--system-prompt-snapshot", "off"]
        if request.only_tools is not None:
            # Other tools are not there, whatever the user's settings allow, nor are MCP servers'.
            words += ["--tools", ",".join(request.only_tools), "--strict-mcp-config"]
    if is_commander:
        words += ["--include-partial-messages"]
    else:
        words += ["--settings", '{"disableAllHooks":true}']
    if resume:
        words += ["--resume", resume]
    if beside:
        words += [*(["--fork-session"] if resume else []), "--session-id", beside]
    tools = request.allowed_tools or (commander_tools(home) if is_commander else ())
    # As one word each, so that a rule that looks like an option is not read as one.
    return words + [f"--allowed-tools={tool}" for tool in tools]


def commander_tools(home: str) -> tuple[str, ...]:
    """The tools that the Commander's settings allow. Claude Code reads these settings only in a
    folder that the user trusted in a terminal."""
    try:
        value = json.loads((Path(home) / ".claude" / "settings.json").read_text("utf-8"))
        allowed = value["permissions"]["allow"]
    except (OSError, ValueError, TypeError, KeyError):
        return ()
    return tuple(rule for rule in allowed if isinstance(rule, str) and is_rule(rule))


def environment(job: Job, home: str) -> dict[str, str]:
    """The environment of a job's Claude Code: the runner's, without the variables that describe
    where the runner was started."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _DROPPED
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
