"""Reading JSON that another program wrote: whatever it holds, nothing raises. Not in text.py,
which hooks import and which must not import json. Python 3.9 and later, as files.py is."""

from __future__ import annotations

import json
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
        if isinstance(text, bytes) and text[:1] == b"{" and text[1:2] != b"\0":
            text = text.decode("utf-8", "surrogatepass")  # as json does, which would guess first
        return json.loads(text)  # type: ignore[arg-type]  # None raises TypeError
    except (ValueError, TypeError, RecursionError):
        return None
