"""The files that a commit changed, read from git's objects.

A commit of the turn that just ended is a loose object, and so are the trees that differ from its
parent's, unless git has packed them meanwhile. What is packed, and what a merge changed, is left to
git: None."""

import os
import zlib
from collections.abc import Iterator

from fleet_lib.files import open_regular
from fleet_lib.lazy import lazy
from fleet_lib.records import Record

OBJECT_BYTES = 32 * 1024 * 1024  # packed or not; a larger tree is left to git
_TREE = b"40000"
_ENTRIES = {  # of a tree, by the bytes of an id; as many as there are
    size: lazy(rb"(?s)(?:[0-7]{5,6} [^\0]+\0.{%d})*+" % size) for size in (20, 32)
}

_PIECE_BYTES = 16 * 1024  # of a packed object

_Body = bytes | bytearray
_Entry = tuple[bytes, bytes]  # mode, id
# Unpacking a folder of 20,000 files takes milliseconds, and a turn asks for it more than once.
_large_trees: dict[bytes, _Body] = {}
_LARGE_TREES = 4
_LARGE_BYTES, _LARGEST_BYTES = 32 * 1024, 2 * 1024 * 1024


class _Reader(Record):
    """Reads the objects of one folder."""

    objects: str
    id_bytes: int

    def read(self, kind: bytes, name: str) -> bytearray:
        """Raises LookupError if there is no such loose object."""
        with open_regular(f"{self.objects}/{name[:2]}/{name[2:]}") as descriptor:
            try:
                body = _unpacked(descriptor, kind) if descriptor is not None else None
            except (OSError, ValueError, zlib.error):
                body = None
        if body is None:
            raise LookupError(name)
        return body

    def tree(self, id: bytes | None) -> _Body:
        if id is None:
            return b""
        if id in _large_trees:
            return _large_trees[id]
        body = self.read(b"tree", id.hex())
        if _LARGE_BYTES < len(body) < _LARGEST_BYTES:
            if len(_large_trees) == _LARGE_TREES:
                del _large_trees[next(iter(_large_trees))]
            _large_trees[id] = body
        return body

    def changed(
        self, before: bytes | None, after: bytes | None, folder: bytes = b""
    ) -> Iterator[tuple[bytes, bool]]:
        """(file, whether it is there now) of each that differs between two trees, None for none, in
        git's order."""
        old, new = self._different(self.tree(before), self.tree(after))
        for name in sorted(old.keys() | new.keys()):
            one, other = old.get(name), new.get(name)
            if one == other:
                continue
            if name.endswith(b"/"):
                ids = [each[1] if each else None for each in (one, other)]
                yield from self.changed(ids[0], ids[1], folder + name)
            else:
                yield folder + name, other is not None

    def _different(
        self, one: _Body, other: _Body
    ) -> tuple[dict[bytes, _Entry], dict[bytes, _Entry]]:
        """The entries of two trees without most of those that they share: a folder may have tens of
        thousands, of which one has changed. A folder's name ends with a slash, as git sorts it."""
        same = _common_beginning(one, other)
        found = _ENTRIES[self.id_bytes].match(one, 0, same)
        at = here = found.end() if found else 0
        tail = _common_end(one, other, at)
        old, new = dict[bytes, _Entry](), dict[bytes, _Entry]()
        while True:
            left, right = len(one) - at, len(other) - here
            if left == right and left <= tail:
                return old, new
            if left >= right:
                at = self._entry(one, at, old)
            else:
                here = self._entry(other, here, new)

    def _entry(self, tree: _Body, at: int, found: dict[bytes, _Entry]) -> int:
        """Note the entry that begins there; where the next one does."""
        space, end = tree.find(b" ", at), tree.find(b"\0", at)
        if not at < space < end:
            raise LookupError("no tree")
        after = end + 1 + self.id_bytes
        mode, name = bytes(tree[at:space]), bytes(tree[space + 1 : end])
        found[name + b"/" if mode == _TREE else name] = (mode, bytes(tree[end + 1 : after]))
        return after


def changed_files(
    objects: str, commit: str, against: str | None, most: int
) -> tuple[str, ...] | None:
    """The files in which a commit differs from another one (default: its parent), at most so many;
    None where git has to be asked. `objects` is the folder of loose objects."""
    reader = _Reader(objects, len(commit) // 2)
    try:
        tree, parents = _head_of(reader.read(b"commit", commit))
        if len(parents) > 1:
            return None
        base = against or next(iter(parents), None)
        before = _head_of(reader.read(b"commit", base))[0] if base else None
        found: list[str] = []
        for name, _ in reader.changed(before, tree):
            if len(found) == most:
                break
            found.append(name.decode("utf-8", "surrogateescape"))
    except (LookupError, ValueError, RecursionError):
        return None
    return tuple(found)


def changes(objects: str, before: bytes, after: bytes) -> dict[str, bool] | None:
    """{file: whether it is there now} of those that differ between two trees; None as above."""
    try:
        found = list(_Reader(objects, len(after)).changed(before, after))
    except (LookupError, RecursionError):
        return None
    return {name.decode("utf-8", "surrogateescape"): is_there for name, is_there in found}


def _unpacked(descriptor: int, kind: bytes) -> bytearray | None:
    """What follows the head of a loose object; None if it is of another kind or size than that says.
    Piece by piece into one place: every page of memory that is not needed counts here."""
    unpacking = zlib.decompressobj()
    head, _, piece = unpacking.decompress(os.read(descriptor, _PIECE_BYTES)).partition(b"\0")
    kind_found, _, size = head.partition(b" ")
    if kind_found != kind or int(size) > OBJECT_BYTES:
        return None
    body = bytearray(int(size))
    at = 0
    while piece and at + len(piece) <= len(body):
        body[at : at + len(piece)] = piece
        at += len(piece)
        piece = unpacking.decompress(os.read(descriptor, _PIECE_BYTES))
    return body if unpacking.eof and at == len(body) and not piece else None


def _head_of(commit: _Body) -> tuple[bytes, list[str]]:
    """(id of the tree, ids of the parents)."""
    lines = commit.partition(b"\n\n")[0].split(b"\n")
    if not lines[0].startswith(b"tree "):
        raise ValueError("no commit")
    parents = [line[7:].decode("ascii") for line in lines[1:] if line.startswith(b"parent ")]
    return bytes.fromhex(lines[0][5:].decode("ascii")), parents


def _common_beginning(one: _Body, other: _Body) -> int:
    """How many bytes two texts share from their beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = min(low + _PIECE_BYTES, (low + high + 1) // 2)
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _common_end(one: _Body, other: _Body, begin: int) -> int:
    """How many they share from their ends, up to `begin`."""
    low, high = 0, min(len(one), len(other)) - begin
    while low < high:
        middle = min(low + _PIECE_BYTES, (low + high + 1) // 2)
        if one[len(one) - middle : len(one) - low] == other[len(other) - middle : len(other) - low]:
            low = middle
        else:
            high = middle - 1
    return low
