"""Reading JSON that another program wrote: whatever it holds, nothing raises; and indenting our own.
Not in text.py, which hooks import and which must not import json. Python 3.9 and later, as files.py
is."""

from __future__ import annotations

import json
from typing import Any

_CONTAINERS = (dict, list, tuple)


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


def indented(value: Any, indent: int, gap: str = "\n") -> str:
    """As `json.dumps` indents it, which takes five times as long: only its parts are encoded in C."""
    if not isinstance(value, _CONTAINERS) or not value:
        return json.dumps(value, ensure_ascii=False)
    inner = gap + " " * indent
    parts = value.values() if isinstance(value, dict) else value
    if not any(isinstance(part, _CONTAINERS) and part for part in parts):
        text = json.dumps(value, ensure_ascii=False, separators=(f",{inner}", ": "))
        return f"{text[0]}{inner}{text[1:-1]}{gap}{text[-1]}"
    texts = [indented(part, indent, inner) for part in parts]
    if isinstance(value, dict):
        keys = [json.dumps(str(key), ensure_ascii=False) for key in value]
        texts = [f"{key}: {text}" for key, text in zip(keys, texts, strict=True)]
    first, last = "{}" if isinstance(value, dict) else "[]"
    return f"{first}{inner}{f',{inner}'.join(texts)}{gap}{last}"
