"""JSON as the console prints it: whatever the data, it cannot control a terminal."""

import json
import sys
from json.encoder import encode_basestring
from typing import Any


def as_json(value: Any) -> str:
    """JSON that cannot control a terminal: what is not printable becomes \\uXXXX, the value is the
    same."""
    return escaped(json.dumps(value, ensure_ascii=False))


def indented(value: Any, margin: str = "\n") -> str:
    """As `json.dumps` with an indent of 2, in a third of its time: with an indent that uses no C."""
    kind = type(value)
    inner = f"{margin}  "
    if kind is str:
        return encode_basestring(value)
    if kind is dict and set(map(type, value)) == {str}:
        items = [
            f"{inner}{encode_basestring(name)}:"
            f" {encode_basestring(item) if type(item) is str else indented(item, inner)}"
            for name, item in value.items()
        ]
        return f"{{{','.join(items)}{margin}}}"
    if kind in (list, tuple) and value:
        return f"[{','.join([inner + indented(item, inner) for item in value])}{margin}]"
    if value is None:
        return "null"
    if kind is int:
        return str(value)
    return json.dumps(value, ensure_ascii=False, indent=2).replace("\n", margin)


def escaped(text: str) -> str:
    """JSON text with its unprintable characters as \\uXXXX, and with all that are not ASCII where the
    locale is not Unicode."""
    is_unicode = (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    if text.replace("\n", "").isprintable() and (is_unicode or text.isascii()):
        return text
    return "".join(
        char
        if char == "\n" or (char.isprintable() and (is_unicode or char.isascii()))
        else json.dumps(char)[1:-1]
        for char in text
    )
