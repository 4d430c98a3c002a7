"""Records: classes of typed fields, to the type checker the same as dataclasses. Importing
`dataclasses` takes almost as long as starting Python, and each class made by it half a millisecond;
a turn would pay for fifty."""

from __future__ import annotations

from collections.abc import Callable

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any, ClassVar, TypeVar, dataclass_transform

    R = TypeVar("R", bound="_Fields")
else:

    def dataclass_transform(**_):
        return lambda cls: cls


_MISSING = object()


class _Factory:
    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def field(*, default_factory: Callable[[], Any]) -> Any:
    """A default that is made anew for each record."""
    return _Factory(default_factory)


class _Fields:
    # {field: its default, or _MISSING}, in the order of definition
    _defaults: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        own = {name: getattr(cls, name, _MISSING) for name in cls.__annotations__}
        cls._defaults = {**cls._defaults, **own}

    def __init__(self, *values: Any, **named: Any) -> None:
        defaults, fields = self._defaults, self.__dict__
        fields.update(defaults)  # in the order of definition
        fields.update(zip(defaults, values, strict=False))
        fields.update(named)
        count = len(values) + len(named)
        if (
            len(values) > len(defaults)
            or len(fields) > len(defaults)
            or (values and named and not named.keys().isdisjoint(list(defaults)[: len(values)]))
        ):
            raise TypeError(f"{type(self).__name__} does not have these fields")
        if count == len(defaults):
            return
        for name, value in fields.items():
            if value is _MISSING:
                raise TypeError(f"{type(self).__name__} lacks its field {name}")
            if type(value) is _Factory:
                fields[name] = value.make()

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({fields})"


@dataclass_transform(field_specifiers=(field,))
class MutableRecord(_Fields):
    """A record whose fields may be set."""

    __hash__ = None  # type: ignore[assignment]


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Record(_Fields):
    """A record that never changes."""

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.values()))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} never changes")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} never changes")


def replace(record: R, **changes: Any) -> R:
    """A record with other values in some of its fields."""
    if not changes.keys() <= record.__dict__.keys():
        raise TypeError(f"{type(record).__name__} does not have these fields")
    made = object.__new__(type(record))
    made.__dict__.update(record.__dict__)
    made.__dict__.update(changes)
    return made


def as_dict(record: _Fields) -> dict[str, Any]:
    """{field: value}, in the order of definition."""
    return dict(record.__dict__)
