"""Every setting of config.toml: its type, its default, its allowed values and what it is for. The
file itself is read and written in config.py, and checked in setting_checks.py."""

from typing import Any, Literal

from fleet_lib import hot_settings
from fleet_lib.records import Record, as_dict


class Facts(Record):
    """What there is to know of a setting besides its type."""

    default: Any
    description: str
    lowest: float | None = None
    highest: float | None = None
    longest: int | None = None  # characters of a text, or of each text of a list
    pattern: str | None = None  # of a whole text
    example: str = ""
    is_split: bool = False  # whether one text stands for a list, with commas or spaces in it


_FACTS: dict[type, dict[str, Facts]] = {}  # of each section


def setting(default: Any, **facts: Any) -> Any:
    """The declaration of a setting: its default, and what `facts_of` returns."""
    return Facts(default, **facts)


class Section(Record):
    def __init_subclass__(cls) -> None:
        _FACTS[cls] = {name: getattr(cls, name) for name in cls.__annotations__}
        for name, facts in _FACTS[cls].items():
            setattr(cls, name, facts.default)
        super().__init_subclass__()


def facts_of(section: type[Section]) -> dict[str, Facts]:
    """{the name of each setting of a section: its facts}."""
    return _FACTS[section]


class WorkerSettings(Section):
    facts: bool = setting(
        True,
        description="Show a starting session how to write a briefing and who else is working.",
    )


class CaptureSettings(Section):
    prompts: bool = setting(
        True,
        description="Keep the first line of a prompt as the title of its turn, with secrets masked.",
    )


class PreludeSettings(Section):
    budget: int = setting(
        hot_settings.BUDGET,
        lowest=hot_settings.BUDGET_RANGE[0],
        highest=hot_settings.BUDGET_RANGE[1],
        description="Maximum length of the text added to a Commander's prompt, in characters.",
    )


class DrainSettings(Section):
    linger_seconds: int = setting(
        hot_settings.LINGER_SECONDS,
        lowest=hot_settings.LINGER_RANGE[0],
        highest=hot_settings.LINGER_RANGE[1],
        description="Seconds that the background process which stores turns waits for the next one"
        " before it ends; 0 ends it at once. While it waits, a turn costs a fraction.",
    )


class HistorySettings(Section):
    keep_days: int = setting(
        0,
        lowest=0,
        highest=36500,
        description="Days of history to keep: what is older is deleted once a day; 0 keeps all.",
    )
    max_megabytes: int = setting(
        0,
        lowest=0,
        highest=10**7,
        description="Maximum database size after `fleet db prune`, in MB; 0 is no limit.",
    )


class ClaudeSettings(Section):
    program: str = setting(
        "",
        description="Path of Claude Code; if empty, `claude` is searched on PATH.",
        longest=4096,
    )


class JobsSettings(Section):
    at_once: int = setting(
        3, lowest=1, highest=50, description="Maximum number of jobs that run at the same time."
    )
    timeout_seconds: int = setting(
        300,
        lowest=1,
        highest=86400,
        description="Time limit of a job without its own --timeout, in seconds.",
    )
    max_usd: float = setting(
        2.0, lowest=0.01, highest=1000, description="Maximum cost of one job in US dollars."
    )
    max_usd_per_day: float = setting(
        20.0,
        lowest=0,
        highest=100_000,
        description="Maximum cost of all jobs of one day in US dollars.",
    )
    allow_bypass: bool = setting(
        False,
        description="Allow jobs with --permission-mode bypassPermissions: no permission checks.",
    )


class GatewaySettings(Section):
    hosts: tuple[str, ...] = setting(
        (),
        longest=300,
        is_split=True,
        description="Names under which a tunnel or another machine reaches the gateway, such as"
        " box.tailnet.ts.net.",
    )
    keep_address: bool = setting(
        False,
        description="Keep the dashboard's secret address at each start, so that the browser has to"
        " allow notifications once; `fleet gateway --new-token` changes it.",
    )
    jobs: Literal["off", "read", "edit"] = setting(
        "edit",
        description="What a job that is submitted through the gateway may do at most: read files,"
        " edit files in its project, or off for no jobs at all. It never runs commands.",
    )


class SemanticsSettings(Section):
    enabled: bool = setting(
        False,
        description="Let a model fill in fields that a briefing's author left out. One call reads up"
        " to ten briefings, about 10,000 tokens, and counts towards jobs.max_usd_per_day.",
    )
    model: Literal["haiku", "sonnet", "opus"] = setting(
        "haiku", description="The model that fills in the fields."
    )
    wait_minutes: int = setting(
        hot_settings.WAIT_MINUTES,
        lowest=0,
        highest=720,
        description="Minutes to collect briefings before a model is called.",
    )


class ProjectsSettings(Section):
    ignore: tuple[str, ...] = setting(
        (),
        longest=4096,
        description="Folders whose sessions Fleet does not record, as globs; each also stands for"
        " the folders below it. `~` is your home folder, `*` is any name, `**` is any number of"
        " folders. One without a slash at its beginning counts anywhere.",
    )


class RelaySettings(Section):
    auto: bool = setting(
        True,
        description="Once this machine has joined a relay, exchange news with the other machines"
        " after each turn and when you look.",
    )
    share: tuple[str, ...] = setting(
        (),
        longest=300,
        description="Repositories whose projects are shared with your other machines, as globs over"
        " their addresses, such as github.com/acme/*.",
    )
    people: tuple[str, ...] = setting(
        (),
        longest=300,
        description="Machines of other people, as globs: their alerts are mentions. A machine that"
        " the server does not vouch for as yours counts as one anyway.",
    )


class NotifySettings(Section):
    grace_seconds: int = setting(
        30,
        lowest=0,
        highest=3600,
        description="Seconds that an alert may be answered in before a message is sent.",
    )
    quiet_hours: str = setting(
        "",
        pattern=hot_settings.QUIET_HOURS,
        description="Local hours in which no message is sent, such as 22:00-07:00. What still needs"
        " you afterwards is sent then.",
        example="22:00-07:00",
    )
    titles: bool = setting(
        False,
        description="Put the title of the session or turn, which comes from your prompt, into the"
        " message.",
    )


class Config(Record):
    """All settings of config.toml."""

    worker: WorkerSettings = WorkerSettings()
    capture: CaptureSettings = CaptureSettings()
    prelude: PreludeSettings = PreludeSettings()
    drain: DrainSettings = DrainSettings()
    history: HistorySettings = HistorySettings()
    claude: ClaudeSettings = ClaudeSettings()
    jobs: JobsSettings = JobsSettings()
    gateway: GatewaySettings = GatewaySettings()
    semantics: SemanticsSettings = SemanticsSettings()
    projects: ProjectsSettings = ProjectsSettings()
    notify: NotifySettings = NotifySettings()
    relay: RelaySettings = RelaySettings()


SECTIONS: dict[str, type[Section]] = {
    name: type(section) for name, section in as_dict(Config()).items()
}

# What hooks and the drainer read, line by line.
HOT = (
    *("capture.prompts", "worker.facts", "prelude.budget"),
    "drain.linger_seconds",
    *("semantics.enabled", "semantics.wait_minutes", "history.keep_days"),
    *("notify.grace_seconds", "notify.quiet_hours", "notify.titles", "relay.auto"),
)
# The same for lists of texts.
HOT_LISTS = ("projects.ignore", "relay.share", "relay.people")
