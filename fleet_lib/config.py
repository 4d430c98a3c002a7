"""config.toml: the settings, what each may be, and where in the file a wrong one stands.

The hooks cannot afford a TOML parser: what they read (`HOT`) they read line by line, so it must be
written as this module writes it, a `[section]` line and a `name = value` line. Anything else is refused
here, rather than read differently there.
"""

import contextlib
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import tomlkit
import tomlkit.exceptions
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fleet_lib import hot_settings
from fleet_lib.errors import BadInput
from fleet_lib.files import write_whole


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class WorkerSettings(_Section):
    facts: bool = Field(
        True,
        description="Tell a starting session how to write a briefing, and who else is at work.",
    )


class PreludeSettings(_Section):
    budget: int = Field(
        hot_settings.BUDGET,
        ge=hot_settings.BUDGET_RANGE[0],
        le=hot_settings.BUDGET_RANGE[1],
        description="Maximum length of the Commander's update, in characters.",
    )


class HistorySettings(_Section):
    keep_days: int = Field(
        0, ge=0, le=36500, description="`fleet db prune`: days of history to keep; 0 keeps all."
    )
    max_megabytes: int = Field(
        0,
        ge=0,
        le=10**7,
        description="`fleet db prune`: size of the database at most; 0 is no limit.",
    )


class ClaudeSettings(_Section):
    program: str = Field(
        "", description="Where Claude Code is; empty finds `claude` on PATH.", max_length=4096
    )


class JobsSettings(_Section):
    at_once: int = Field(3, ge=1, le=50, description="How many headless jobs may run at once.")
    timeout_seconds: int = Field(
        300, ge=1, le=86400, description="How long a job may take, unless it says otherwise."
    )
    max_usd: float = Field(2.0, ge=0.01, le=1000, description="US dollars that one job may cost.")
    max_usd_per_day: float = Field(
        20.0, ge=0, le=100_000, description="US dollars that all jobs of one day may cost."
    )
    allow_bypass: bool = Field(
        False, description="Let a job that asks for it run without any permission check."
    )


class SemanticsSettings(_Section):
    enabled: bool = Field(
        False,
        description="Let a model classify briefings whose author left fields out: one call for up to ten,"
        " of some 40,000 characters (perhaps 10,000 tokens), within jobs.max_usd_per_day.",
    )
    model: Literal["haiku", "sonnet", "opus"] = Field("haiku", description="The model to use.")
    wait_minutes: int = Field(
        5, ge=0, le=720, description="How long briefings are gathered before a model is asked."
    )


class Config(_Section):
    """Everything that config.toml may say."""

    worker: WorkerSettings = WorkerSettings()  # type: ignore[call-arg]
    prelude: PreludeSettings = PreludeSettings()  # type: ignore[call-arg]
    history: HistorySettings = HistorySettings()  # type: ignore[call-arg]
    claude: ClaudeSettings = ClaudeSettings()  # type: ignore[call-arg]
    jobs: JobsSettings = JobsSettings()  # type: ignore[call-arg]
    semantics: SemanticsSettings = SemanticsSettings()  # type: ignore[call-arg]


# What hooks and the drainer read, line by line.
HOT = ("worker.facts", "prelude.budget", "semantics.enabled", "semantics.wait_minutes")


Value = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as a person sees it."""

    key: str  # section.name
    value: Value
    default: Value
    allowed: str
    description: str


def path_of(home: str) -> Path:
    return Path(home) / "config.toml"


def load(home: str) -> Config:
    """The checked settings; the defaults where there is no file. Raises BadInput with file, line, and
    what is allowed."""
    return _check(path_of(home), _read(path_of(home)))


def settings(home: str) -> list[Setting]:
    """Every setting with its value, in order. Raises BadInput."""
    config = load(home)
    return [_setting(config, key) for key in keys()]


def keys() -> list[str]:
    return [
        f"{section}.{name}"
        for section, field in Config.model_fields.items()
        for name in _model(field).model_fields
    ]


def get(home: str, key: str) -> Setting:
    """One setting. Raises BadInput for an unknown key."""
    _require_known(key)
    return _setting(load(home), key)


def put(home: str, key: str, text: str) -> Setting:
    """Write one setting, the file's comments and order kept. What the file becomes must be right, not what
    it was. Raises BadInput, and the file is as it was."""
    _require_known(key)
    path = path_of(home)
    original = _read(path)
    document = _parsed(path, original)
    section, name = key.split(".")
    if not isinstance(document.get(section), MutableMapping):
        document[section] = tomlkit.table()
    document[section][name] = _typed(key, text)
    written = tomlkit.dumps(document)
    _check(None, written)
    _write(path, original, written)
    return get(home, key)


def unset(home: str, key: str) -> bool:
    """Take one setting or section out, also one that is wrong or that Fleet does not know; whether it was
    there. Anything else that is wrong stays for `load` to say. Raises BadInput for what is not TOML."""
    path = path_of(home)
    original = _read(path)
    document = _parsed(path, original)
    section, _, name = key.partition(".")
    there = document.get(section)
    if not name and there is not None:
        del document[section]
    elif isinstance(there, MutableMapping) and name in there:
        del there[name]
        if not document[section]:
            del document[section]
    else:
        return False
    _write(path, original, tomlkit.dumps(document))
    return True


def _write(path: Path, original: str, written: str) -> None:
    if written != original:
        target = path.resolve()  # a link stays one
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(target, written)


def _parsed(path: Path | None, text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except tomlkit.exceptions.ParseError as error:
        raise BadInput(f"{path}, line {error.line}: this is not TOML: {error}") from None
    except tomlkit.exceptions.TOMLKitError as error:
        raise BadInput(f"{path}: this is not TOML: {error}") from None


def _check(path: Path | None, text: str) -> Config:
    document = _parsed(path, text)
    try:
        config = Config.model_validate(document.unwrap())
    except ValidationError as error:
        raise BadInput(_fault(path, text, error)) from None
    for key in HOT:
        section, name = key.split(".")
        meant = _value(config, key)
        is_set = name in document.get(section, {})
        said = hot_settings.setting_in(text.encode(), section, name)
        if said != (_spelled(meant) if is_set else ""):
            raise BadInput(
                f"{path}: hooks read {key} line by line: write it as a line `[{section}]` and below"
                f" it a line `{name} = {_spelled(meant)}`"
            )
    return config


def _fault(path: Path | None, text: str, error: ValidationError) -> str:
    """The first fault in one line: where (unless there is no such file), what, what would be right."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    where = f"{path}, line {_line_of(text, place)}: " if path else ""
    key = ".".join(place)
    if first["type"] == "extra_forbidden":
        return f"{where}there is no setting {key}. There are: {', '.join(keys())}"
    if len(place) == 1:
        return f"{where}{key} is a section: write `[{key}]` and its settings below it"
    return f"{where}{key} = {_spelled(first['input'])} is not allowed: {_allowed(key)}"


def _line_of(text: str, place: list[str]) -> int:
    """The line (from 1) on which a key stands. Every item of a parsed document prints as it was read, so
    the lines before it can be counted."""
    line = 1
    container: Any = tomlkit.parse(text)
    for depth, part in enumerate(place):
        for key, item in container.body if hasattr(container, "body") else container.value.body:
            if key is not None and key.key == part:
                if depth == len(place) - 1:
                    return line + str(item.trivia.indent).count("\n")
                # A table's own header line comes before what is in it; a dotted key has none.
                line += _as_read(key, item).lstrip("\n").startswith("[")
                container = item
                break
            line += _as_read(key, item).count("\n")
        else:
            return line
    return line


def _as_read(key: Any, item: Any) -> str:
    part = tomlkit.container.Container()
    part.append(key, item) if key is not None else part.add(item)
    return str(part.as_string())


def _setting(config: Config, key: str) -> Setting:
    section, name = key.split(".")
    field = _model(Config.model_fields[section]).model_fields[name]
    return Setting(
        key,
        _value(config, key),
        field.default,
        _allowed(key),
        field.description or "",
    )


def _value(config: Config, key: str) -> Value:
    section, name = key.split(".")
    value: Value = getattr(getattr(config, section), name)
    return value


def _model(field: Any) -> type[BaseModel]:
    model: type[BaseModel] = field.annotation
    return model


def _allowed(key: str) -> str:
    """What a setting may be, in words."""
    section, name = key.split(".")
    field = _model(Config.model_fields[section]).model_fields[name]
    kind = field.annotation
    if kind is bool:
        return "true or false"
    if kind in (int, float):
        bounds = {type(fact).__name__: fact for fact in field.metadata}
        whole = "whole " if kind is int else ""
        return f"a {whole}number from {bounds['Ge'].ge} to {bounds['Le'].le}"
    if choices := get_args(kind):
        return "one of " + ", ".join(choices)
    return "a text in quotes"


def _typed(key: str, text: str) -> Value:
    """What a person typed as the setting's own type. Raises BadInput."""
    section, name = key.split(".")
    kind = _model(Config.model_fields[section]).model_fields[name].annotation
    if kind is bool:
        known = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}
        if text.lower() in known:
            return known[text.lower()]
    elif kind in (int, float):
        with contextlib.suppress(ValueError):
            return int(text) if kind is int else float(text)
    else:
        return text
    raise BadInput(f"{key} = {text} is not allowed: {_allowed(key)}")


def _spelled(value: object) -> str:
    try:
        return tomlkit.item(value).as_string()
    except (ValueError, TypeError):
        return str(value)


def _require_known(key: str) -> None:
    if key not in keys():
        raise BadInput(f"there is no setting {key}. There are: {', '.join(keys())}")


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
