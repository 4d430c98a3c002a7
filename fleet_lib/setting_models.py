"""Every setting of config.toml: its type, its default, its allowed values and what it is for. The
file itself is read and written in config.py."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from fleet_lib import hot_settings


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class WorkerSettings(_Section):
    facts: bool = Field(
        True,
        description="Show a starting session how to write a briefing and who else is working.",
    )


class CaptureSettings(_Section):
    prompts: bool = Field(
        True,
        description="Keep the first line of a prompt as the title of its turn, with secrets masked.",
    )


class PreludeSettings(_Section):
    budget: int = Field(
        hot_settings.BUDGET,
        ge=hot_settings.BUDGET_RANGE[0],
        le=hot_settings.BUDGET_RANGE[1],
        description="Maximum length of the text added to a Commander's prompt, in characters.",
    )


class DrainSettings(_Section):
    linger_seconds: int = Field(
        hot_settings.LINGER_SECONDS,
        ge=hot_settings.LINGER_RANGE[0],
        le=hot_settings.LINGER_RANGE[1],
        description="Seconds that the background process which stores turns waits for the next one"
        " before it ends; 0 ends it at once. While it waits, a turn costs a fraction.",
    )


class HistorySettings(_Section):
    keep_days: int = Field(
        0,
        ge=0,
        le=36500,
        description="Days of history to keep: what is older is deleted once a day; 0 keeps all.",
    )
    max_megabytes: int = Field(
        0,
        ge=0,
        le=10**7,
        description="Maximum database size after `fleet db prune`, in MB; 0 is no limit.",
    )


class ClaudeSettings(_Section):
    program: str = Field(
        "",
        description="Path of Claude Code; if empty, `claude` is searched on PATH.",
        max_length=4096,
    )


class JobsSettings(_Section):
    at_once: int = Field(
        3, ge=1, le=50, description="Maximum number of jobs that run at the same time."
    )
    timeout_seconds: int = Field(
        300,
        ge=1,
        le=86400,
        description="Time limit of a job without its own --timeout, in seconds.",
    )
    max_usd: float = Field(
        2.0, ge=0.01, le=1000, description="Maximum cost of one job in US dollars."
    )
    max_usd_per_day: float = Field(
        20.0, ge=0, le=100_000, description="Maximum cost of all jobs of one day in US dollars."
    )
    allow_bypass: bool = Field(
        False,
        description="Allow jobs with --permission-mode bypassPermissions: no permission checks.",
    )


_Name = Annotated[str, Field(min_length=1, max_length=300)]


def _as_list(value: object) -> object:
    return value.replace(",", " ").split() if isinstance(value, str) else value


class GatewaySettings(_Section):
    hosts: Annotated[tuple[_Name, ...], BeforeValidator(_as_list)] = Field(
        (),
        strict=False,
        description="Names under which a tunnel or another machine reaches the gateway, such as"
        " box.tailnet.ts.net.",
    )
    keep_address: bool = Field(
        False,
        description="Keep the dashboard's secret address at each start, so that the browser has to"
        " allow notifications once; `fleet gateway --new-token` changes it.",
    )
    jobs: Literal["off", "read", "edit"] = Field(
        "edit",
        description="What a job that is submitted through the gateway may do at most: read files,"
        " edit files in its project, or off for no jobs at all. It never runs commands.",
    )


class SemanticsSettings(_Section):
    enabled: bool = Field(
        False,
        description="Let a model fill in fields that a briefing's author left out. One call reads up"
        " to ten briefings, about 10,000 tokens, and counts towards jobs.max_usd_per_day.",
    )
    model: Literal["haiku", "sonnet", "opus"] = Field(
        "haiku", description="The model that fills in the fields."
    )
    wait_minutes: int = Field(
        hot_settings.WAIT_MINUTES,
        ge=0,
        le=720,
        description="Minutes to collect briefings before a model is called.",
    )


class ProjectsSettings(_Section):
    ignore: tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...] = Field(
        (),
        strict=False,
        description="Folders whose sessions Fleet does not record, as globs; each also stands for"
        " the folders below it. `~` is your home folder, `*` is any name, `**` is any number of"
        " folders. One without a slash at its beginning counts anywhere.",
    )


class RelaySettings(_Section):
    auto: bool = Field(
        True,
        description="Once this machine has joined a relay, exchange news with the other machines"
        " after each turn and when you look.",
    )
    share: tuple[_Name, ...] = Field(
        (),
        strict=False,
        description="Repositories whose projects are shared with your other machines, as globs over"
        " their addresses, such as github.com/acme/*.",
    )
    people: tuple[_Name, ...] = Field(
        (),
        strict=False,
        description="Machines of other people, as globs: their alerts are mentions. A machine that"
        " the server does not vouch for as yours counts as one anyway.",
    )


class NotifySettings(_Section):
    grace_seconds: int = Field(
        30,
        ge=0,
        le=3600,
        description="Seconds that an alert may be answered in before a message is sent.",
    )
    quiet_hours: str = Field(
        "",
        pattern=rf"^{hot_settings.QUIET_HOURS}$",
        description="Local hours in which no message is sent, such as 22:00-07:00. What still needs"
        " you afterwards is sent then.",
        examples=["22:00-07:00"],
    )
    titles: bool = Field(
        False,
        description="Put the title of the session or turn, which comes from your prompt, into the"
        " message.",
    )


class Config(_Section):
    """All settings of config.toml."""

    worker: WorkerSettings = WorkerSettings()  # type: ignore[call-arg]
    capture: CaptureSettings = CaptureSettings()  # type: ignore[call-arg]
    prelude: PreludeSettings = PreludeSettings()  # type: ignore[call-arg]
    drain: DrainSettings = DrainSettings()  # type: ignore[call-arg]
    history: HistorySettings = HistorySettings()  # type: ignore[call-arg]
    claude: ClaudeSettings = ClaudeSettings()  # type: ignore[call-arg]
    jobs: JobsSettings = JobsSettings()  # type: ignore[call-arg]
    gateway: GatewaySettings = GatewaySettings()  # type: ignore[call-arg]
    semantics: SemanticsSettings = SemanticsSettings()  # type: ignore[call-arg]
    projects: ProjectsSettings = ProjectsSettings()  # type: ignore[call-arg]
    notify: NotifySettings = NotifySettings()  # type: ignore[call-arg]
    relay: RelaySettings = RelaySettings()  # type: ignore[call-arg]


# What hooks and the drainer read, line by line.
HOT = (
    *("capture.prompts", "worker.facts", "prelude.budget"),
    "drain.linger_seconds",
    *("semantics.enabled", "semantics.wait_minutes", "history.keep_days"),
    *("notify.grace_seconds", "notify.quiet_hours", "notify.titles", "relay.auto"),
)
# The same for lists of texts.
HOT_LISTS = ("projects.ignore", "relay.share", "relay.people")
