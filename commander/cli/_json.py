"""JSON as the console prints it: whatever the data, it cannot control a terminal."""

import json
import sys
from typing import Any


def as_json(value: Any) -> str:
    """JSON that cannot control a terminal: what is not printable becomes \\uXXXX, the value is the
    same."""
    return escaped(json.dumps(value, ensure_ascii=False))


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
