"""Which files git tracks in a working tree, read from its index.

Git would answer too, but takes as long for a list of 2,000 documents as a third of a bare interpreter,
and the list is needed after every edit. What this does not know (SHA-256, a split index, a newer
version) it leaves to git: None.
"""

from __future__ import annotations

from collections.abc import Collection

_ID_BYTES = 20
_TAIL_BYTES = 3  # of a name
_HEAD_BYTES = 62  # of an entry, before its name: times, numbers, size, id, flags
_EXTENDED, _LONGEST = 0x40, 0xFFF  # in the flags
_MODES = (0o100644, 0o100755, 0o120000, 0o160000)
_MORE_FILES = frozenset((b"link", b"sdir"))  # extensions of an index that does not name each file


_Found = tuple[list[bytes], int]  # names, and where the entries end
TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from mmap import mmap

    Index = bytes | mmap


def files_ending(data: Index, ends: Collection[bytes]) -> list[str] | None:
    """The files whose names end, in any letter case, with the last three bytes of one of these.
    `data` is a whole index."""
    version, count = (int.from_bytes(data[at : at + 4], "big") for at in (4, 8))
    if data[:4] != b"DIRC" or version not in (2, 3, 4):
        return None
    tails = frozenset(end[-_TAIL_BYTES:].lower() for end in ends)
    try:
        found, end = (_compressed if version == 4 else _plain)(data, count, tails)
    except IndexError:
        return None
    if not _is_whole(data, end):
        return None
    names = (name.decode("utf-8", "surrogateescape") for name in found)
    return list(dict.fromkeys(names))  # of a conflict there are several entries


def files_named(data: Index, name: str) -> list[str] | None:
    """The files with this base name. `data` is a whole index."""
    wanted = name.encode("utf-8", "surrogateescape")
    if len(wanted) < _TAIL_BYTES or not _names_each_file(data):
        return None
    names = None if data[4:8] == b"\0\0\0\4" else _ending(data, wanted)
    if names is None:
        files = files_ending(data, [wanted])
    else:
        files = [each.decode("utf-8", "surrogateescape") for each in names]
    return files and [file for file in dict.fromkeys(files) if file.rpartition("/")[2] == name]


def root_tree(data: Index) -> bytes:
    """The id of the tree that has the same files as the index, whose last bytes these are; b"" if
    there is none, or it is not known."""
    at = _trees_at(data)
    counts, _, rest = data[at + 8 + 1 :].partition(b"\n") if at >= 0 else (b"-", b"", b"")
    return b"" if counts.startswith(b"-") else rest[:_ID_BYTES]


def _trees_at(data: Index) -> int:
    """Where the extension begins that has the ids of trees, -1 if there is none."""
    at = data.rfind(b"TREE")
    while at >= 0 and not _is_whole(data, at):
        at = data.rfind(b"TREE", 0, at)
    return at


def _names_each_file(data: Index) -> bool:
    """Whether the index is neither split nor sparse. Looking for the signs of that everywhere would
    take most of the time, so it is done only where they may be."""
    at = _trees_at(data)
    found = _extensions(data, at) if at >= 0 and _ends_an_entry(data, at) else None
    if found is None:
        return all(data.find(sign + b"\0") < 0 for sign in _MORE_FILES)
    return _MORE_FILES.isdisjoint(found)


def _ends_an_entry(data: Index, at: int) -> bool:
    """Whether the last entry, of version 2 or 3, ends there: no other extension lies before."""
    end = at - 1
    while data[end : end + 1] == b"\0":
        end -= 1
    name = data.rfind(b"\0", 0, end) + 2
    mode = int.from_bytes(data[name - 38 : name - 34], "big")
    is_name = data[name - 1] == end + 1 - name and name % 8 == (12 + _HEAD_BYTES) % 8
    return is_name and mode in _MODES and at - end <= 9


def _ending(data: Index, wanted: bytes) -> list[bytes] | None:
    """The names of version 2 and 3 that end so, found by what stands before them; None if one has
    something else there than almost every name: a zero byte and its length."""
    found: list[bytes] = []
    end = 0
    while (at := data.find(wanted + b"\0", end)) >= 0:
        end = at + len(wanted)
        begin = data.rfind(b"\0", 0, end) + 2
        if data[begin - 1] != end - begin or begin % 8 != (12 + _HEAD_BYTES) % 8:
            return None
        found.append(data[begin:end])
    return found


def _plain(data: Index, count: int, tails: frozenset[bytes]) -> _Found:
    """Of version 2 and 3. This loop is most of what reading an index costs."""
    last = frozenset(byte for tail in tails for byte in (tail[-1:] + tail[-1:].upper()))
    names: list[bytes] = []
    at = 12
    for _ in range(count):
        begin, high = at + _HEAD_BYTES, data[at + 60]
        length = data[at + 61]
        if high:
            length |= (high & 0x0F) << 8
            begin += 2 if high & _EXTENDED else 0
            if length == _LONGEST:
                length = data.find(b"\0", begin) - begin
                if length < 0:
                    raise IndexError
        end = begin + length
        if data[end - 1] in last and data[end - 3 : end].lower() in tails:
            names.append(data[begin:end])
        at += (end - at + 8) & ~7
    return names, at


def _compressed(data: Index, count: int, tails: frozenset[bytes]) -> _Found:
    """Of version 4, where a name says how much of the one before it to leave out."""
    names: list[bytes] = []
    at, name = 12, b""
    for _ in range(count):
        begin = at + _HEAD_BYTES + (2 if data[at + 60] & _EXTENDED else 0)
        byte = data[begin]
        left_out = byte & 0x7F
        while byte & 0x80:
            begin += 1
            byte = data[begin]
            left_out = ((left_out + 1) << 7) | (byte & 0x7F)
        end = data.find(b"\0", begin + 1)
        if end < 0:
            raise IndexError
        name = name[: len(name) - left_out] + data[begin + 1 : end]
        if name[-3:].lower() in tails:
            names.append(name)
        at = end + 1
    return names, at


def _is_whole(data: Index, at: int) -> bool:
    """Whether nothing but extensions, of which none names more files, follows up to the checksum."""
    found = _extensions(data, at)
    return found is not None and b"link" not in found


def _extensions(data: Index, at: int) -> list[bytes] | None:
    """The signs of the extensions that follow up to the checksum; None if something else does."""
    found: list[bytes] = []
    while 0 <= at < len(data) - _ID_BYTES:
        found.append(data[at : at + 4])
        at += 8 + int.from_bytes(data[at + 4 : at + 8], "big")
    return found if at == len(data) - _ID_BYTES else None
