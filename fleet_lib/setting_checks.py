"""Whether a parsed config.toml is right. A file that is plainly so is read without pydantic, whose
import takes as long as ten interpreters; pydantic judges every other one, and says what is wrong."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from fleet_lib.setting_models import SECTIONS, Config, Facts, facts_of

if TYPE_CHECKING:
    from pydantic import BaseModel


class Fault(Exception):
    """The first fault: the section and the setting, or the section alone."""

    def __init__(self, place: list[str], *, is_unknown: bool, value: object) -> None:
        self.place = place
        self.is_unknown = is_unknown
        self.value = value


def plainly_right(document: Mapping[str, Any]) -> Config | None:
    """The settings, None for values that pydantic has to look at."""
    sections: dict[str, Any] = {}
    for name, table in document.items():
        section = SECTIONS.get(name)
        if section is None or not isinstance(table, dict):
            return None
        kinds, facts, values = section.__annotations__, facts_of(section), {}
        for key, value in table.items():
            if key not in facts or not _fits(value, kinds[key], facts[key]):
                return None
            is_list = isinstance(value, list)
            values[key] = (
                tuple(value) if is_list else float(value) if kinds[key] is float else value
            )
        sections[name] = section(**values)
    return Config(**sections)


def checked(document: Mapping[str, Any]) -> Config:
    """The settings. Raises Fault."""
    from pydantic import ValidationError

    try:
        model = _model().model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = [str(part) for part in first["loc"][:2]]  # without the place in a list
        is_unknown = first["type"] == "extra_forbidden"
        raise Fault(place, is_unknown=is_unknown, value=first["input"]) from None
    sections: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        sections[name] = section(**dict(getattr(model, name)))
    return Config(**sections)


def _fits(value: Any, kind: Any, facts: Facts) -> bool:
    if kind is bool:
        return type(value) is bool
    if kind in (int, float):
        low, high = facts.lowest, facts.highest
        is_number = type(value) is int or type(value) is kind
        return is_number and low is not None and high is not None and low <= value <= high
    if get_origin(kind) is tuple:
        return type(value) is list and all(_is_text(item, facts) and item for item in value)
    if choices := get_args(kind):
        return type(value) is str and value in choices
    return _is_text(value, facts)


def _is_text(value: Any, facts: Facts) -> bool:
    return (
        type(value) is str
        and (facts.longest is None or len(value) <= facts.longest)
        and (facts.pattern is None or re.fullmatch(facts.pattern, value) is not None)
    )


def _model() -> "type[BaseModel]":
    from pydantic import ConfigDict, create_model

    options = ConfigDict(extra="forbid", strict=True)
    sections: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        fields: dict[str, Any] = {
            key: (_annotated(section.__annotations__[key], facts), facts.default)
            for key, facts in facts_of(section).items()
        }
        model = create_model(name, __config__=options, **fields)
        sections[name] = (model, model())
    return create_model("Config", __config__=options, **sections)


def _annotated(kind: Any, facts: Facts) -> Any:
    from pydantic import BeforeValidator, Field

    if get_origin(kind) is tuple:
        item = Annotated[str, Field(min_length=1, max_length=facts.longest)]
        texts: Any = Annotated[tuple[item, ...], Field(strict=False)]  # TOML has lists
        return Annotated[texts, BeforeValidator(_as_list)] if facts.is_split else texts
    if kind in (int, float):
        return Annotated[kind, Field(ge=facts.lowest, le=facts.highest)]
    if kind is str:
        pattern = f"^{facts.pattern}$" if facts.pattern else None
        return Annotated[str, Field(max_length=facts.longest, pattern=pattern)]
    return kind


def _as_list(value: object) -> object:
    return value.replace(",", " ").split() if isinstance(value, str) else value
