"""JSON: reading what another program wrote, where whatever it holds, nothing raises; and `json` itself
by its C half, since the import of the rest takes half as long as starting Python. Not in text.py,
which hooks import and which must not import even that. Python 3.9 and later, as files.py is."""

from __future__ import annotations

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_BLANKS = " \t\n\r"


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
    if not text:
        return None
    try:
        return loads(text)
    except (ValueError, TypeError, RecursionError):
        return None


def loads(text: str | bytes) -> Any:
    """`json.loads`. Raises ValueError and RecursionError."""
    if isinstance(text, bytes) and text[:1] in b"{[" and text[1:2] != b"\0":  # else UTF-16, or so
        text = text.decode("utf-8", "surrogatepass")
    if isinstance(text, str) and _scan:
        bare = text.strip(_BLANKS)
        try:
            value, end = _scan(bare, 0)
        except (StopIteration, ValueError):
            end = -1
        if end == len(bare):
            return value
    import json  # it says what is wrong

    return json.loads(text)


def dumps(
    value: object,
    *,
    ensure_ascii: bool = True,
    sort_keys: bool = False,
    separators: tuple[str, str] = (", ", ": "),
) -> str:
    """`json.dumps`."""
    if _make_encoder is None:
        import json

        return json.dumps(
            value, ensure_ascii=ensure_ascii, sort_keys=sort_keys, separators=separators
        )
    quote = _quote_ascii if ensure_ascii else _quote
    comma, colon = separators
    encode = _make_encoder({}, _refuse, quote, None, colon, comma, sort_keys, False, True)
    return "".join(encode(value, 0))


def _refuse(value: object) -> None:
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


class _Decoding:
    """As `json.JSONDecoder()` decodes."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int = float, int
    parse_constant = {
        "-Infinity": float("-inf"),
        "Infinity": float("inf"),
        "NaN": float("nan"),
    }.__getitem__


_scan: Callable[[str, int], tuple[Any, int]] | None
_make_encoder: Any
try:
    from _json import encode_basestring as _quote
    from _json import encode_basestring_ascii as _quote_ascii
    from _json import make_encoder as _make_encoder
    from _json import make_scanner

    _scan = make_scanner(_Decoding)  # type: ignore[arg-type]
    _make_encoder({}, _refuse, _quote, None, ":", ",", False, False, True)
except (ImportError, AttributeError, TypeError):  # another Python has other private names
    _scan = _make_encoder = None
