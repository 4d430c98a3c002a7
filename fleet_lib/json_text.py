"""Reading JSON that another program wrote: whatever it holds, nothing raises. Not in text.py,
which hooks import and which must not import json. Python 3.9 and later, as files.py is."""

from __future__ import annotations

import json

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any


def json_object(text: str | bytes | None) -> dict[str, Any]:
    """The JSON object in `text`; {} if it holds anything else."""
    return json_object_or_none(text) or {}


def json_object_or_none(text: str | bytes | None) -> dict[str, Any] | None:
    """The JSON object in `text`; None if it holds anything else."""
    value = _value_or_none(text)
    return value if isinstance(value, dict) else None


def json_array_or_none(text: str | bytes | None) -> list[Any] | None:
    """The JSON array in `text`; None if it holds anything else."""
    value = _value_or_none(text)
    return value if isinstance(value, list) else None


def _value_or_none(text: str | bytes | None) -> Any:
    try:
        return json.loads(text)  # type: ignore[arg-type]  # None raises TypeError
    except (ValueError, TypeError, RecursionError):
        return None
