"""Compiled regular expressions, kept from one process to the next.

Python keeps what it compiled of a module beside it (`__pycache__`), but compiles each regular
expression anew in every process: a quarter of what a turn costs. This keeps the compiled form in the
same folder, for the same interpreter alone. What cannot be read, or cannot be written, is compiled
as ever.
"""

from __future__ import annotations

import _imp
import marshal
import os
import sys
from collections.abc import Callable
from functools import cache

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import re
    from typing import Any, AnyStr, TypeVar

    T = TypeVar("T")
    # (flags, code, number of groups, {name: group})
    _Parts = tuple[int, bytes, int, dict[str, int]]

# A file of this size has everything many times over: something is wrong with it.
_LIMIT = 4 * 1024 * 1024
_CHECKSUM_BYTES = 8
_known: dict[Any, bytes] | None  # values as marshal has them: a turn needs a third of them


@cache
def compiled(source: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """`re.compile(source, flags)`, when it is first needed."""
    flags = int(flags)
    try:
        return _made(source, kept((source, flags), lambda: _compile(source, flags)))
    # What is not documented of `re` may be otherwise in another Python.
    except (ImportError, AttributeError, TypeError, ValueError, RuntimeError, OverflowError):
        import re

        return re.compile(source, flags)


def kept(key: Any, make: Callable[[], T]) -> T:
    """What `make` returns, which follows from the key alone. Both are plain values."""
    global _known
    if _known is None:
        _known = _read()
    if key in _known:
        found: T = marshal.loads(_known[key])  # noqa: S302 (from a file of ours)
        return found
    value: Any = make()
    _known[key] = marshal.dumps(value)
    _add(key, _known[key])
    made: T = value
    return made


def checksum(data: bytes | memoryview) -> bytes:
    """That of a `.pyc` file."""
    return _imp.source_hash(0, data)


def _file() -> str:
    """Another interpreter has another file: the code is its own business."""
    import _sre  # undocumented, as all that is imported inside functions here

    name = f"patterns.{sys.implementation.cache_tag}-{sys.hexversion:x}-{_sre.MAGIC}"
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "__pycache__", name)


def _compile(source: str | bytes, flags: int) -> _Parts:
    """What `re.compile` does, up to the code. Raises re.error as it does."""
    from re import _compiler, _parser  # type: ignore[attr-defined]

    parsed = _parser.parse(source, flags)
    code = _compiler._code(parsed, flags)
    width = _compiler._sre.CODESIZE
    data = b"".join([number.to_bytes(width, sys.byteorder) for number in code])
    state = parsed.state
    return flags | state.flags, data, state.groups - 1, dict(state.groupdict)


def _made(source: str | bytes, parts: _Parts) -> re.Pattern[Any]:
    import _sre

    flags, data, groups, names = parts
    code = memoryview(data).cast("I").tolist()
    by_number: list[str | None] = [None] * (groups + 1)
    for name, number in names.items():
        by_number[number] = name
    made: re.Pattern[Any] = _sre.compile(source, flags, code, groups, names, tuple(by_number))
    return made


def _read() -> dict[Any, bytes]:
    """What was kept. A file that was not written to its end is removed, and made anew."""
    found: dict[Any, bytes] = {}
    path = ""
    try:
        path = _file()
        with open(path, "rb", 0) as file:
            data = file.read(min(os.fstat(file.fileno()).st_size, _LIMIT) + 1)
        at = 0
        while at < len(data):
            begin = at + _CHECKSUM_BYTES + 4
            end = begin + int.from_bytes(data[begin - 4 : begin], "little")
            record = data[begin:end]
            if data[at : at + _CHECKSUM_BYTES] != checksum(record) or len(data) > _LIMIT:
                os.unlink(path)
                return {}
            key, value = marshal.loads(record)  # noqa: S302 (as Python's own files there)
            found[key] = value
            at = end
    except (OSError, ImportError, AttributeError, TypeError, ValueError, EOFError):
        pass
    return found


def _add(key: Any, value: bytes) -> None:
    """Add one value to the file, in one write, since other processes do so too."""
    if sys.dont_write_bytecode:
        return
    record = marshal.dumps((key, value))
    _waiting.append(checksum(record) + len(record).to_bytes(4, "little") + record)
    if not _is_held:
        _write()


def hold(is_held: bool) -> None:
    """While this is so, no file is written: a transaction waits for no disk but its own."""
    global _is_held
    _is_held = is_held
    if not is_held and _waiting:
        _write()


_waiting: list[bytes] = []
_is_held = False


def _write() -> None:
    record = b"".join(_waiting)
    _waiting.clear()
    try:
        descriptor = os.open(_file(), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        return  # a folder that only another user may write to
    try:
        os.write(descriptor, record)
    except OSError:
        pass
    finally:
        os.close(descriptor)


# Before a process is forked that needs it, too.
_known = _read()
