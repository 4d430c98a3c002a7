"""The code of a drainer's modules in one file, as Python compiled it.

A turn imports more than a hundred modules of ours. To find each, open its `.pyc`, check and read it
takes as long as half a bare interpreter, and one file a tenth of that. It lies beside Python's own in
`__pycache__`. As there, a module counts only while its source has the same size and time of change.
What is missing or stale is imported as ever, and the file is made anew; where it cannot be written,
there is none.

Standard library only: it is imported before all else.
"""

from __future__ import annotations

import marshal
import mmap
import os
import sys

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType

    # {module: (its source, whether it is a package, size and time of its source, its code)}
    _Known = dict[str, tuple[str, bool, tuple[int, int], CodeType]]

_OURS = "fleet_lib."


class Bundle:
    """Finds and loads modules, for `sys.meta_path`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.known: _Known = {}
        self.looked_at = 0  # modules that were imported when it was written, or need not be
        try:
            with (
                open(path, "rb", 0) as file,
                mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data,
            ):
                self.known = marshal.loads(data)  # noqa: S302 (as a .pyc)
        except (OSError, ValueError, EOFError, TypeError):
            pass  # there is none, or it was being written when the machine stopped

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, _: ModuleType | None = None
    ) -> ModuleSpec | None:
        source, is_package, facts, _code = self.known.get(name, ("", False, None, None))
        folder = os.path.dirname(source)
        inside = os.path.dirname(folder) if is_package else folder
        if not source or not path or inside not in path or _facts_of(source) != facts:
            self.known.pop(name, None)
            return None
        spec = sys.modules["_frozen_importlib"].ModuleSpec(
            name, self, origin=source, is_package=is_package
        )
        if is_package:
            spec.submodule_search_locations.append(folder)
        found: ModuleSpec = spec
        return found

    def create_module(self, _: ModuleSpec) -> None:
        """As Python makes one."""

    def exec_module(self, module: ModuleType) -> None:
        module.__file__, _, _, code = self.known[module.__name__]
        exec(code, module.__dict__)  # noqa: S102 (as every import)

    def keep(self) -> None:
        """Write the file anew if modules of ours were imported that it does not have."""
        if sys.dont_write_bytecode or len(sys.modules) == self.looked_at:
            return
        self.looked_at = len(sys.modules)
        names = [name for name in sys.modules if name.startswith(_OURS) and name not in self.known]
        found = {name: each for name in names if (each := _read(name))}
        if not found:
            return
        self.known.update(found)
        try:
            temporary = f"{self.path}.{os.getpid()}"
            with open(temporary, "xb") as file:
                marshal.dump(self.known, file)
                file.flush()
                os.fsync(file.fileno())  # half of it would end the interpreter
            os.replace(temporary, self.path)
        except OSError:
            pass  # another user's program: there is no bundle


def use() -> None:
    """From now on modules of ours are imported from the bundle, where it has them as they are."""
    if not isinstance(sys.meta_path[0], Bundle):
        sys.meta_path.insert(0, Bundle(_file()))


def keep() -> None:
    """Have the bundle know what is imported now."""
    bundle = sys.meta_path[0]
    if isinstance(bundle, Bundle):
        bundle.keep()


def _read(name: str) -> tuple[str, bool, tuple[int, int], CodeType] | None:
    """A module as Python would import it now; None of what has no source, or is just being changed."""
    spec = sys.modules[name].__spec__
    get_code = getattr(spec and spec.loader, "get_code", None)
    if spec is None or spec.origin is None or get_code is None:
        return None
    before = _facts_of(spec.origin)
    try:
        code = get_code(name)
    except (ImportError, OSError, SyntaxError):
        return None
    if code is None or before is None or before != _facts_of(spec.origin):
        return None
    return spec.origin, spec.submodule_search_locations is not None, before, code


def _facts_of(path: str) -> tuple[int, int] | None:
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns


def _file() -> str:
    """Another interpreter has another file: code is its own business."""
    magic = sys.modules["_frozen_importlib_external"].MAGIC_NUMBER.hex()
    name = f"drainer.{sys.implementation.cache_tag}-{sys.hexversion:x}-{magic}"
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "__pycache__", name)
