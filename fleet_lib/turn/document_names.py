"""Which documents have the name of a file somewhere, without reading them all again.

Of each tracked document that may describe the code, the names in it are kept, as numbers of four
bytes, for as long as the document is as it was. So a turn reads only the documents that changed
since an earlier one, and asks of the others only when they changed. This is for names with a dot
(`app.py`) and such as `Makefile`. Others are words of a language, too, so git looks for them."""

from __future__ import annotations

import os
import stat
import struct
import time
from binascii import crc32
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import accumulate

from fleet_lib import outside
from fleet_lib.compiled import checksum
from fleet_lib.files import map_regular_file, open_regular, read_regular_file
from fleet_lib.records import MutableRecord, field
from fleet_lib.turn import git_index, kept

DOCUMENT_BYTES = 512 * 1024  # of one document; what follows is not looked at
_AT_ONCE_BYTES = 12 * 1024 * 1024  # of documents that are read in one turn
_MANY_BYTES = 1024 * 1024  # that are not read if the names in them cannot be kept
_NAMES_BYTES = 6 * 1024 * 1024  # of all documents of one repository
_INDEX_BYTES = 256 * 1024 * 1024
_ENDS_BYTES = (16 * 1024, 512 * 1024)  # of an index, which usually has its trees there
_SETTLED_NS = 2_000_000_000  # a file that is younger may change again within one tick of its clock
_AGAIN_NS = 86400 * 1_000_000_000  # when a repository with too many names is tried again
_QUESTIONS = 100  # files that are asked about before the next sign of life

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.@+~-"
_FILE = b"file"  # the end of a name without a dot
_NUMBER_BYTES = 4
_FACTS_BYTES = 3 * 8

Facts = tuple[int, int, int]  # a file's number, size and time of its last change
_NO_FACTS: Facts = (0, 0, 0)  # of what is not there, or no regular file, or was not read


class _Known(MutableRecord):
    """What is known of the documents of one working tree: packed, so that thousands take no time to
    be read, compared and written."""

    documents: list[str] = field(default_factory=list)
    facts: bytes = b""  # of each of them
    names: bytes = b""  # in all of them, as numbers, one document after the other
    counts: tuple[int, ...] = ()  # how many of these bytes each document has
    too_many_ns: int = 0  # when it was found that there are too many names to keep

    def parts(self) -> list[bytes]:
        """The names in each document."""
        ends = list(accumulate(self.counts))
        pairs = zip(self.counts, ends, strict=True)
        return [self.names[end - count : end] for count, end in pairs]

    def of(self, documents: list[str]) -> _Known:
        """The same of these documents."""
        if documents == self.documents:
            return self
        cuts = range(0, len(self.facts), _FACTS_BYTES)
        facts = [self.facts[at : at + _FACTS_BYTES] for at in cuts]
        was = dict(zip(self.documents, zip(facts, self.parts(), strict=True), strict=True))
        found = [was.get(document, (bytes(_FACTS_BYTES), b"")) for document in documents]
        names = [each for _, each in found]
        return _Known(
            documents, b"".join(each for each, _ in found), b"".join(names), tuple(map(len, names))
        )

    def having(self, number: bytes) -> dict[str, bytes]:
        """{document that has a name: its facts}."""
        found: dict[str, bytes] = {}
        at = self.names.find(number)
        for place, end in enumerate(accumulate(self.counts)):
            while 0 <= at < end and at % _NUMBER_BYTES:
                at = self.names.find(number, at + 1)
            if at < 0:
                break
            if at < end:
                facts = self.facts[place * _FACTS_BYTES : (place + 1) * _FACTS_BYTES]
                found[self.documents[place]] = facts
                at = self.names.find(number, end)
        return found


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
        self._git_folder = git_folder
        self._index = os.path.join(git_folder, "index")
        self._index_data: git_index.Index | None = None
        self._objects = objects
        self._ends = [end.encode() for end in ends]
        self._is_document = is_document
        self._file = kept.name_of("documents", toplevel)
        self._tracked = kept.name_of("tracked", toplevel)

    def containing(self, names: Iterable[str]) -> dict[str, dict[str, bytes]]:
        """{name: {document that may have it: what changes whenever the document does, zeros where
        that is not known}}, without the names for which git has to look."""
        wanted = {name: word for name in names if (word := _word_of(name))}
        known = self._read() if wanted else None
        if known is None:
            return {}
        return {name: known.having(_number(word)) for name, word in wanted.items()}

    def files_named(self, name: str) -> list[str] | None:
        """The tracked files with this base name; None where git has to be asked."""
        if self._index_data is None:
            self._index_data = map_regular_file(self._index, _INDEX_BYTES)
        return None if self._index_data is None else git_index.files_named(self._index_data, name)

    def forget_index(self) -> None:
        """It may have as many megabytes as all else of a reader, and git writes a new one."""
        self._index_data = None

    def _read(self) -> _Known | None:
        """What is known now; None where git has to be asked."""
        began = time.time_ns()
        before = self._kept()
        if began - _AGAIN_NS < before.too_many_ns <= began:
            return None
        documents = self._listed(before.documents, began)
        if documents is None:
            return None
        known = before.of(documents)
        facts = _facts(self._toplevel, documents)
        if facts != known.facts:
            known, is_complete = self._read_changed(known, facts, began)
        else:
            is_complete = True
        if len(known.names) > _NAMES_BYTES:
            known, is_complete = _Known(too_many_ns=began), False
        if known != before:
            self._keep(known)
        return known if is_complete else None

    def _kept(self) -> _Known:
        found, empty = kept.read(self._home, self._file), _Known()
        if not isinstance(found, dict) or found.keys() != empty.__dict__.keys():
            return empty
        documents = found["documents"]
        return _Known(**{**found, "documents": documents.split("\0") if documents else []})

    def _keep(self, known: _Known) -> bool:
        documents = "\0".join(known.documents)
        return kept.write(self._home, self._file, {**known.__dict__, "documents": documents})

    def _listed(self, before: list[str], began: int) -> list[str] | None:
        """The documents that are tracked now. `before` are those that were. After a commit they are
        mostly the same, and all that is kept anew is where the index was."""
        index = _unpacked(_facts(self._git_folder, ["index"]))
        number = checksum("\0".join(before).encode("utf-8", "surrogateescape"))
        was = kept.read(self._home, self._tracked)
        was_index, was_tree = was[:2] if was and was[2] == number else (None, b"")
        if index in (was_index, _NO_FACTS):
            return before if index == was_index else []
        found = self._documents(before, was_tree)
        if found is None:
            return None
        documents, tree = found
        if documents != before:
            number = checksum("\0".join(documents).encode("utf-8", "surrogateescape"))
        now = (index if _is_settled(index, began) else None, tree, number)
        if now != was:
            kept.write(self._home, self._tracked, now)
        return documents

    def _documents(self, before: list[str], was_tree: bytes) -> tuple[list[str], bytes] | None:
        """(those that the index names, the tree that has the same files)."""
        ends = (git_index.root_tree(_end_of(self._index, size)) for size in _ENDS_BYTES)
        tree = next(filter(None, ends), b"")
        if tree and was_tree:
            from fleet_lib.turn import new_objects  # few turns commit, and zlib takes a millisecond

            # After most commits these trees say what is otherwise in one file with all others.
            same = tree == was_tree
            changes = {} if same else new_objects.changes(self._objects, was_tree, tree)
            if changes is not None:
                left = [file for file in before if changes.get(file, True)]
                known = set(left)
                there = (file for file, is_there in changes.items() if is_there)
                new = [file for file in there if file not in known and self._is_document(file)]
                return left + new, tree
        data = map_regular_file(self._index, _INDEX_BYTES)
        files = None if data is None else git_index.files_ending(data, self._ends)
        if data is None or files is None:
            return None
        return [file for file in files if self._is_document(file)], git_index.root_tree(data)

    def _read_changed(self, known: _Known, facts: bytes, began: int) -> tuple[_Known, bool]:
        """What is known once the documents were read that are not as they were; and whether they are
        all read, which too many are not."""
        cuts = [slice(at, at + _FACTS_BYTES) for at in range(0, len(facts), _FACTS_BYTES)]
        changed = [number for number, at in enumerate(cuts) if facts[at] != known.facts[at]]
        now = {number: _unpacked(facts[cuts[number]]) for number in changed}
        sizes = {number: min(each[1], DOCUMENT_BYTES) for number, each in now.items()}
        if sum(sizes.values()) > _MANY_BYTES and not self._keep(known):
            return known, False
        names, settled = known.parts(), bytearray(facts)
        room = _AT_ONCE_BYTES
        for number in changed:
            names[number] = b""
            if now[number] == _NO_FACTS:
                continue
            room -= sizes[number]
            if room >= 0:
                path = f"{self._toplevel}/{known.documents[number]}"
                names[number] = _names_in(read_regular_file(path, DOCUMENT_BYTES) or b"")
            if room < 0 or not _is_settled(now[number], began):
                settled[cuts[number]] = bytes(_FACTS_BYTES)
        counts = tuple(map(len, names))
        return _Known(known.documents, bytes(settled), b"".join(names), counts), room >= 0


def _facts(folder: str, files: Sequence[str]) -> bytes:
    """Of each regular file in a folder, what changes whenever the file does, packed. For thousands of
    files this loop is most of what a turn costs here, so each is looked for from the folder itself
    and not along the whole path to it."""
    outside.asking(folder)
    try:
        here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        outside.require_answer(error, folder)
        return bytes(_FACTS_BYTES * len(files))
    try:
        cuts = range(0, len(files), _QUESTIONS)
        return b"".join([_packed(folder, here, files[at : at + _QUESTIONS]) for at in cuts])
    finally:
        os.close(here)


def _packed(folder: str, here: int, files: Sequence[str]) -> bytes:
    """The same of a few files: the numbers of thousands would take many pages of memory."""
    outside.asking(f"{folder}/{files[0]}")
    found: list[int] = []
    stat_of, is_regular = os.stat, stat.S_ISREG
    for file in files:
        try:
            facts = stat_of(file, dir_fd=here, follow_symlinks=False)
        except OSError as error:
            outside.require_answer(error, f"{folder}/{file}")
            found += _NO_FACTS
            continue
        # A program may set the other times.
        now = (facts.st_ino, facts.st_size, facts.st_ctime_ns)
        found += now if is_regular(facts.st_mode) else _NO_FACTS
    try:
        return struct.pack(f"<{len(found)}Q", *found)
    except struct.error:  # some file systems have times before 1970
        return struct.pack(f"<{len(found)}Q", *(max(number, 0) for number in found))


def _unpacked(facts: bytes) -> Facts:
    number, size, changed_ns = struct.unpack("<3Q", facts)
    return number, size, changed_ns


def _end_of(path: str, most: int) -> bytes:
    """The last bytes of a file, b"" of none."""
    with open_regular(path) as descriptor:
        if descriptor is None:
            return b""
        size = os.fstat(descriptor).st_size
        return os.pread(descriptor, most, max(0, size - most))


def _is_settled(facts: Facts, began: int) -> bool:
    return facts[2] < began - _SETTLED_NS


def _word_of(name: str) -> bytes:
    """What is a word of its own in every text that names this file: the name itself, or its longest
    part that is kept, as `.tsx` of `[id].tsx`. b"" if there is none."""
    parts = name.encode("utf-8", "surrogateescape").translate(_only_names()).split()
    return max(filter(_is_name, parts), key=len, default=b"")


def _is_name(word: bytes) -> bool:
    """Whether a word may be a file's name, and not one of a language: `app.py`, `Makefile`."""
    return word[-1:] != b"." and (b"." in word or (word.endswith(_FILE) and word[:1].isupper()))


@cache
def _only_names() -> bytes:
    """Of each byte that can be part of such a name itself, of all others a blank."""
    letters = _LETTERS.encode()
    return bytes(code if code in letters else ord(" ") for code in range(256))


def _names_in(text: bytes) -> bytes:
    """The names in a text, as numbers in ascending order. Splitting it into all its words would take
    three times as long."""
    plain = text.translate(_only_names())
    words: set[bytes] = set()
    for sign in (b".", _FILE):
        at = plain.find(sign)
        while at >= 0:
            end = plain.find(b" ", at)
            end = len(plain) if end < 0 else end
            # A full stop ends a sentence.
            words.add(plain[plain.rfind(b" ", 0, at) + 1 : end].rstrip(b"."))
            at = plain.find(sign, end)
    return b"".join(sorted({_number(word) for word in words if _is_name(word)}))


def _number(name: bytes) -> bytes:
    return crc32(name).to_bytes(_NUMBER_BYTES, "little")
