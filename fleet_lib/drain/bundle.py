"""The code of a drainer's modules in one file, as Python compiled it.

A turn that comes alone imports more than a hundred modules of ours. To find each, open its `.pyc`,
check and read it takes nearly a bare interpreter more than this file does. It lies beside Python's own
in `__pycache__`. As there, a module counts only while its source has the same size and time of change.
What is missing or stale is imported as ever, and the file is made anew; where it cannot be written,
there is none.

Standard library only: it is imported before all else.
"""

from __future__ import annotations

import marshal
import mmap
import os
import sys
from contextlib import suppress

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    _Size = tuple[int, int]  # of a source: bytes, time of its last change
    _Facts = tuple[str, bool, _Size | None]  # of a module: its source, whether it is a package
    _Place = tuple[int, int]  # from where to where its code is

_OURS = "fleet_lib."
_HEAD_BYTES = 8  # the length of what is known, after which the code begins


class Bundle:
    """Finds and loads modules, for `sys.meta_path`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._known: dict[str, tuple[_Facts, _Place]] = {}
        self._looked_at = 0  # modules that were imported when it was written, or need not be
        try:
            with open(path, "rb", 0) as file:
                # Mapped, so what a turn does not import costs nothing.
                data = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
            end = _HEAD_BYTES + int.from_bytes(data[:_HEAD_BYTES], "big")
            known, size = marshal.loads(data[_HEAD_BYTES:end])  # noqa: S302 (as a .pyc)
            if len(data) == end + size:
                self._known, self._code = known, data[end:]
        except (OSError, ValueError, EOFError, TypeError):
            pass  # there is none

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, _: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self._known:
            return None
        source, is_package, size = self._known[name][0]
        folder = os.path.dirname(source)
        inside = os.path.dirname(folder) if is_package else folder
        if not path or inside not in path or _size_of(source) != size:
            del self._known[name]
            return None
        spec: ModuleSpec = sys.modules["_frozen_importlib"].ModuleSpec(
            name, self, origin=source, is_package=is_package
        )
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(folder)
        return spec

    def create_module(self, _: ModuleSpec) -> None:
        """As Python makes one."""

    def exec_module(self, module: ModuleType) -> None:
        (module.__file__, *_), (begin, end) = self._known[module.__name__]
        code = marshal.loads(self._code[begin:end])  # noqa: S302 (as a .pyc)
        exec(code, module.__dict__)  # noqa: S102 (as every import)

    def keep(self) -> None:
        """Write the file anew if modules of ours were imported that it does not have."""
        if sys.dont_write_bytecode or len(sys.modules) == self._looked_at:
            return
        self._looked_at = len(sys.modules)
        names = [name for name in sys.modules if name.startswith(_OURS) and name not in self._known]
        found = {name: each for name in names if (each := _compiled(name))}
        if not found:
            return
        for name, (facts, (begin, end)) in self._known.items():
            found[name] = facts, bytes(self._code[begin:end])
        code = bytearray()
        for name, (facts, body) in found.items():
            self._known[name] = facts, (len(code), len(code) + len(body))
            code += body
        self._code = memoryview(code)
        head = marshal.dumps((self._known, len(code)))
        temporary = f"{self._path}.{os.getpid()}"
        try:
            with open(temporary, "xb") as file:
                file.write(len(head).to_bytes(_HEAD_BYTES, "big") + head + code)
                file.flush()
                os.fsync(file.fileno())  # half of it would end the interpreter
            os.replace(temporary, self._path)
        except OSError:  # another user's program, or the disk is full: there is no bundle
            with suppress(OSError):
                os.unlink(temporary)


def use() -> None:
    """From now on modules of ours are imported from the bundle, where it has them as they are."""
    if not isinstance(sys.meta_path[0], Bundle):
        sys.meta_path.insert(0, Bundle(_file()))


def keep() -> None:
    """Have the bundle know what is imported now."""
    bundle = sys.meta_path[0]
    if isinstance(bundle, Bundle):
        bundle.keep()


def _compiled(name: str) -> tuple[_Facts, bytes] | None:
    """A module as Python would import it now; None of what has no source, or is just being changed."""
    spec = sys.modules[name].__spec__
    get_code = getattr(spec and spec.loader, "get_code", None)
    if spec is None or spec.origin is None or get_code is None:
        return None
    before = _size_of(spec.origin)
    try:
        code = get_code(name)
    except (ImportError, OSError, SyntaxError):
        return None
    if code is None or before is None or before != _size_of(spec.origin):
        return None
    is_package = spec.submodule_search_locations is not None
    return (spec.origin, is_package, before), marshal.dumps(code)


def _size_of(source: str) -> _Size | None:
    try:
        facts = os.stat(source)
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns


def _file() -> str:
    """Another interpreter has another file: code is its own business."""
    magic = sys.modules["_frozen_importlib_external"].MAGIC_NUMBER.hex()
    name = f"drainer.{sys.implementation.cache_tag}-{sys.hexversion:x}-{magic}"
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "__pycache__", name)
