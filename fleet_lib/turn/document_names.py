"""Which documents have the name of a file somewhere, without reading them all again.

Of each tracked document the names in it are kept, as numbers of four bytes, for as long as the
document is as it was. So a turn reads only the documents that changed since an earlier one, and asks
of the others only when they changed. This is for names as most files have them (`app.py`). Others
need not be words of their own in a document, so git looks for them."""

import os
import stat
import time
from binascii import crc32
from collections.abc import Callable, Iterable, Sequence
from functools import cache

from fleet_lib import outside
from fleet_lib.files import open_regular, read_regular_file
from fleet_lib.records import MutableRecord, field
from fleet_lib.turn import git_index, kept, new_objects

DOCUMENT_BYTES = 512 * 1024  # of one document; what follows is not looked at
_AT_ONCE_BYTES = 12 * 1024 * 1024  # of documents that are read in one turn
_MANY_BYTES = 1024 * 1024  # that are not read if the names in them cannot be kept
_NAMES_BYTES = 6 * 1024 * 1024  # of all documents of one repository
_INDEX_BYTES = 256 * 1024 * 1024
_END_BYTES = 512 * 1024  # of an index, which usually has its trees there
_SETTLED_NS = 2_000_000_000  # a file that is younger may change again within one tick of its clock
_AGAIN_NS = 86400 * 1_000_000_000  # when a repository with too many names is tried again
_QUESTIONS = 100  # files that are asked about before the next sign of life

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.@+~-"
_NUMBER_BYTES = 4

Facts = tuple[int, ...]  # a file's number, size and time of its last change


class _Known(MutableRecord):
    """What is known of the documents of one working tree."""

    index: Facts | None = None  # how the index was when it named these documents
    tree: bytes = b""  # that has the same files, if there is one
    documents: list[str] = field(default_factory=list)
    facts: list[Facts | None] = field(default_factory=list)  # None: not there, or not read
    names: list[bytes] = field(default_factory=list)  # in each of them, as numbers
    too_many_ns: int = 0  # when it was found that there are too many names to keep


class DocumentNames:
    """The names in the tracked documents of one working tree. `ends` are the ends of documents'
    names."""

    def __init__(
        self,
        home: str,
        toplevel: str,
        git_folder: str,
        objects: str,
        ends: Sequence[str],
        is_document: Callable[[str], bool],
    ) -> None:
        self._home = home
        self._toplevel = toplevel
        self._index = os.path.join(git_folder, "index")
        self._index_data: bytes | None = None
        self._objects = objects
        self._ends = [end.encode() for end in ends]
        self._is_document = is_document
        self._file = kept.name_of("documents", toplevel)

    def containing(self, names: Iterable[str]) -> dict[str, list[str]]:
        """{name: the documents that may have it}, without the names for which git has to look."""
        wanted = [name for name in names if _is_usual(name)]
        known = self._read() if wanted else None
        if known is None:
            return {}
        found = {}
        for name in wanted:
            number = _number(name.encode())
            pairs = zip(known.documents, known.names, strict=True)
            found[name] = [document for document, numbers in pairs if number in numbers]
        return found

    def files_named(self, name: str) -> list[str] | None:
        """The tracked files with this base name; None where git has to be asked."""
        if self._index_data is None:
            self._index_data = read_regular_file(self._index, _INDEX_BYTES)
        return None if self._index_data is None else git_index.files_named(self._index_data, name)

    def forget_index(self) -> None:
        """It may have as many megabytes as all else of a reader."""
        self._index_data = None

    def _read(self) -> _Known | None:
        """What is known now; None where git has to be asked."""
        began = time.time_ns()
        before = self._kept()
        if began - _AGAIN_NS < before.too_many_ns <= began:
            return None
        known = self._listed(before, began)
        if known is None:
            return None
        facts = self._facts_of(known.documents)
        is_complete = facts == known.facts or self._read_changed(known, facts, began)
        if sum(map(len, known.names)) > _NAMES_BYTES:
            known, is_complete = _Known(too_many_ns=began), False
        if known != before:
            self._keep(known)
        return known if is_complete else None

    def _kept(self) -> _Known:
        found, empty = kept.read(self._home, self._file), _Known()
        is_ours = isinstance(found, dict) and found.keys() == empty.__dict__.keys()
        return _Known(**found) if is_ours else empty

    def _keep(self, known: _Known) -> bool:
        return kept.write(self._home, self._file, dict(known.__dict__))

    def _listed(self, before: _Known, began: int) -> _Known | None:
        """The documents that are tracked now, each with what was known of it."""
        (index,) = _facts([self._index])
        if index is not None and index == before.index:
            return _Known(*before.__dict__.values())
        found = self._documents(before) if index is not None else ([], b"")
        if found is None:
            return None
        documents, tree = found
        index = index if _is_settled(index, began) else None
        if documents == before.documents:
            return _Known(index, tree, documents, before.facts, before.names)
        was = dict(zip(before.documents, zip(before.facts, before.names, strict=True), strict=True))
        old = [was.get(document, (None, b"")) for document in documents]
        return _Known(index, tree, documents, [each for each, _ in old], [each for _, each in old])

    def _documents(self, before: _Known) -> tuple[list[str], bytes] | None:
        """(those that the index names, the tree that has the same files)."""
        tree = git_index.root_tree(_end_of(self._index))
        if tree and before.tree:
            # After most commits these trees say what is otherwise in one file with all others.
            changes = new_objects.changes(self._objects, before.tree, tree)
            if changes is not None:
                left = [file for file in before.documents if changes.get(file, True)]
                known = set(left)
                there = (file for file, is_there in changes.items() if is_there)
                new = [file for file in there if file not in known and self._is_document(file)]
                return left + new, tree
        data = read_regular_file(self._index, _INDEX_BYTES)
        files = None if data is None else git_index.files_ending(data, self._ends)
        if data is None or files is None:
            return None
        return [file for file in files if self._is_document(file)], git_index.root_tree(data)

    def _facts_of(self, documents: Sequence[str]) -> list[Facts | None]:
        return _facts([f"{self._toplevel}/{document}" for document in documents])

    def _read_changed(self, known: _Known, facts: list[Facts | None], began: int) -> bool:
        """Read the documents that are not as they were. False if they are too many."""
        changed = [at for at, now in enumerate(facts) if now is None or now != known.facts[at]]
        sizes = {at: min(now[1], DOCUMENT_BYTES) for at in changed if (now := facts[at])}
        if sum(sizes.values()) > _MANY_BYTES and not self._keep(known):
            return False
        known.facts, known.names = facts[:], known.names[:]
        room = _AT_ONCE_BYTES
        for at in changed:
            known.names[at] = b""
            if at not in sizes:
                continue
            room -= sizes[at]
            if room >= 0:
                path = f"{self._toplevel}/{known.documents[at]}"
                known.names[at] = _names_in(read_regular_file(path, DOCUMENT_BYTES) or b"")
            if room < 0 or not _is_settled(facts[at], began):
                known.facts[at] = None
        return room >= 0


def _facts(paths: Sequence[str]) -> list[Facts | None]:
    """Of each regular file, what changes whenever the file does; None of what is no such file."""
    found: list[Facts | None] = []
    for first in range(0, len(paths), _QUESTIONS):
        outside.asking(paths[first])
        for path in paths[first : first + _QUESTIONS]:
            try:
                facts = os.lstat(path)
            except OSError as error:
                outside.require_answer(error, path)
                found.append(None)
                continue
            # A program may set the other times.
            now = (facts.st_ino, facts.st_size, facts.st_ctime_ns)
            found.append(now if stat.S_ISREG(facts.st_mode) else None)
    return found


def _end_of(path: str) -> bytes:
    """The last bytes of a file, b"" of none."""
    with open_regular(path) as descriptor:
        if descriptor is None:
            return b""
        size = os.fstat(descriptor).st_size
        return os.pread(descriptor, _END_BYTES, max(0, size - _END_BYTES))


def _is_settled(facts: Facts | None, began: int) -> bool:
    return facts is not None and facts[2] < began - _SETTLED_NS


def _is_usual(name: str) -> bool:
    """Whether the name is a word of its own in every text that has it, and no word of a language."""
    return "." in name and name[-1] != "." and not name.strip(_LETTERS)


@cache
def _only_names() -> bytes:
    """Of each byte that can be part of such a name itself, of all others a blank."""
    letters = _LETTERS.encode()
    return bytes(code if code in letters else ord(" ") for code in range(256))


def _names_in(text: bytes) -> bytes:
    """The names in a text, as numbers in ascending order."""
    words = {word for word in set(text.translate(_only_names()).split()) if b"." in word}
    ended = (word.rstrip(b".") for word in words)  # a full stop ends a sentence
    return b"".join(sorted({_number(word) for word in ended if b"." in word}))


def _number(name: bytes) -> bytes:
    return crc32(name).to_bytes(_NUMBER_BYTES, "little")
