"""config.toml: the settings, their allowed values, and the line of a wrong one.

Importing a TOML parser would be too slow for a hook. Hooks read their settings (`HOT`) line by
line, so these must be written as this module writes them: a `[section]` line and a `name = value`
line. Another form is an error here, so that hooks never read something else than this module does.
"""

import contextlib
from collections.abc import MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

from fleet_lib import hot_settings
from fleet_lib.errors import BadInput
from fleet_lib.files import write_whole
from fleet_lib.records import Record
from fleet_lib.setting_checks import Fault, checked, plainly_right
from fleet_lib.setting_models import HOT as HOT
from fleet_lib.setting_models import HOT_LISTS, SECTIONS, Facts, facts_of
from fleet_lib.setting_models import Config as Config

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

Value = bool | int | float | str | tuple[str, ...]


class Setting(Record):
    """One setting as the console shows it."""

    key: str  # section.name
    value: Value
    default: Value
    allowed: str
    description: str


def path_of(home: str) -> Path:
    return Path(home) / "config.toml"


def load(home: str) -> Config:
    """The checked settings, or the defaults if there is no file. Raises BadInput that names the
    file, the line and the allowed values."""
    return _check(path_of(home), _read(path_of(home)))


def settings(home: str) -> list[Setting]:
    """Every setting with its value, in order. Raises BadInput."""
    config = load(home)
    return [_setting(config, key) for key in keys()]


def keys() -> list[str]:
    return [
        f"{name}.{setting}" for name, section in SECTIONS.items() for setting in facts_of(section)
    ]


def get(home: str, key: str) -> Setting:
    """One setting. Raises BadInput for an unknown key."""
    _require_known(key)
    return _setting(load(home), key)


def put(home: str, key: str, *texts: str) -> Setting:
    """Set one setting, a list to any number of texts, and keep the file's comments and order. The
    result must be valid; the file as it was need not be. Raises BadInput and leaves the file
    unchanged."""
    import tomlkit

    _require_known(key)
    path = path_of(home)
    original = _read(path)
    document = _parsed(path, original)
    section, name = key.split(".")
    if not isinstance(document.get(section), MutableMapping):
        document[section] = tomlkit.table()
    document[section][name] = _typed(key, texts)
    written = tomlkit.dumps(document)
    _check(None, written)
    _write(path, original, written)
    return get(home, key)


def unset(home: str, key: str) -> bool:
    """Remove one setting or section, which may be wrong or unknown. Returns whether it was there.
    Other faults of the file stay for `load` to report. Raises BadInput if the file is not TOML."""
    import tomlkit

    path = path_of(home)
    original = _read(path)
    document = _parsed(path, original)
    section, _, name = key.partition(".")
    table = document.get(section)
    if not name and table is not None:
        del document[section]
    elif isinstance(table, MutableMapping) and name in table:
        del table[name]
        if not document[section]:
            del document[section]
    else:
        return False
    _write(path, original, tomlkit.dumps(document))
    return True


def _write(path: Path, original: str, written: str) -> None:
    if written != original:
        target = path.resolve()  # a symbolic link stays
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(target, written)


def _parsed(path: Path | None, text: str) -> "TOMLDocument":
    import tomlkit.exceptions

    try:
        return tomlkit.parse(text)
    except tomlkit.exceptions.ParseError as error:
        raise BadInput(f"{path}, line {error.line}: this is not TOML: {error}") from None
    except tomlkit.exceptions.TOMLKitError as error:
        raise BadInput(f"{path}: this is not TOML: {error}") from None


def _check(path: Path | None, text: str) -> Config:
    document = _parsed(path, text).unwrap() if text.strip() else {}
    try:
        config = plainly_right(document) or checked(document)
    except Fault as fault:
        raise BadInput(_fault(path, text, fault)) from None
    for key in HOT:
        section, name = key.split(".")
        is_set = name in document.get(section, {})
        written = _as_toml(_value(config, key)) if is_set else ""
        if hot_settings.setting_in(text.encode(), section, name) != written:
            value = _as_toml(_value(config, key))
            raise BadInput(
                f"{path}: hooks read {key} line by line; write it as a line `[{section}]` and below"
                f" it a line `{name} = {value}`"
            )
    for key in HOT_LISTS:
        section, name = key.split(".")
        texts = list(getattr(getattr(config, section), name))
        if hot_settings.texts_in(text.encode(), section, name) != texts:
            reads = "the relay reads" if section == "relay" else "hooks read"
            raise BadInput(
                f"{path}: {reads} {key} line by line; write it as a line `[{section}]` and below it"
                f" a line `{name} = {_as_toml(texts)}`"
            )
    return config


def _fault(path: Path | None, text: str, fault: Fault) -> str:
    """The first fault in one line: where (if there is a file), what is wrong, what is allowed."""
    where = f"{path}, line {_line_of(text, fault.place)}: " if path else ""
    key = ".".join(fault.place)
    if fault.is_unknown:
        return f"{where}{_unknown(key)}"
    if len(fault.place) == 1:
        return f"{where}{key} is a section; write `[{key}]` and its settings below it"
    return f"{where}{_not_allowed(key, _as_toml(fault.value))}"


def _line_of(text: str, place: list[str]) -> int:
    """The number of a key's line, from 1. Every item of a parsed document prints as it was read, so
    the lines before the key can be counted."""
    import tomlkit

    line = 1
    container: Any = tomlkit.parse(text)
    for depth, part in enumerate(place):
        for key, item in container.body if hasattr(container, "body") else container.value.body:
            if key is not None and key.key == part:
                if depth == len(place) - 1:
                    return line + str(item.trivia.indent).count("\n")
                # A table has a header line before its items; a dotted key has none.
                line += _as_read(key, item).lstrip("\n").startswith("[")
                container = item
                break
            line += _as_read(key, item).count("\n")
        else:
            return line
    return line


def _as_read(key: Any, item: Any) -> str:
    import tomlkit

    part = tomlkit.container.Container()
    part.append(key, item) if key is not None else part.add(item)
    return str(part.as_string())


def _setting(config: Config, key: str) -> Setting:
    facts = _facts(key)[1]
    return Setting(key, _value(config, key), facts.default, _allowed(key), facts.description)


def _value(config: Config, key: str) -> Value:
    section, name = key.split(".")
    value: Value = getattr(getattr(config, section), name)
    return value


def _facts(key: str) -> tuple[Any, Facts]:
    """(the type of a setting, its facts)."""
    section, name = key.split(".")
    return SECTIONS[section].__annotations__[name], facts_of(SECTIONS[section])[name]


def _allowed(key: str) -> str:
    """The allowed values of a setting in words."""
    kind, facts = _facts(key)
    if kind is bool:
        return "true or false"
    if kind in (int, float):
        whole = "whole " if kind is int else ""
        return f"a {whole}number from {facts.lowest} to {facts.highest}"
    if get_origin(kind) is tuple:
        return "a list of texts in quotes"
    if choices := get_args(kind):
        return "one of " + ", ".join(choices)
    return f"a text in quotes{f', such as {facts.example}' if facts.example else ''}"


def _typed(key: str, texts: tuple[str, ...]) -> Value | list[str]:
    """The typed texts as a value of the setting's type. Raises BadInput."""
    kind = _facts(key)[0]
    if get_origin(kind) is tuple:
        return list(texts)
    if len(texts) != 1:
        raise BadInput(f"{key} takes one value, not {len(texts)}")
    text = texts[0]
    if kind is bool:
        known = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}
        if text.lower() in known:
            return known[text.lower()]
    elif kind in (int, float):
        with contextlib.suppress(ValueError):
            return int(text) if kind is int else float(text)
    else:
        return text
    raise BadInput(_not_allowed(key, text))


def _not_allowed(key: str, value: str) -> str:
    return f"{key} = {value} is not allowed; use {_allowed(key)}"


def _unknown(key: str) -> str:
    import difflib  # nothing else here needs it

    near = difflib.get_close_matches(key, keys(), 3, 0.5)
    near = near or [name for name in keys() if key and key in name]
    if not near:
        return f"there is no setting {key}; the settings are {', '.join(keys())}"
    return f"there is no setting {key} (did you mean {' or '.join(near)}?)"


def _as_toml(value: object) -> str:
    import tomlkit

    try:
        return tomlkit.item(value).as_string()
    except (ValueError, TypeError):
        return str(value)


def _require_known(key: str) -> None:
    if key not in keys():
        raise BadInput(_unknown(key))


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from None
