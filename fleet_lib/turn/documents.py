"""Documents: what is one, and which living ones of a repository name which of its files.

Which documents are living is in `living.py`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from fleet_lib.digests import sha256
from fleet_lib.errors import GitTimeout
from fleet_lib.files import read_regular_file
from fleet_lib.lazy import lazy
from fleet_lib.turn import git, living
from fleet_lib.turn.document_names import DOCUMENT_BYTES, DocumentNames

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import re

_DOCUMENTS_LIMIT = 2000
_ALL_DOCUMENTS_BYTES_LIMIT = 32 * 1024 * 1024
_SOURCES_LIMIT = 200  # of one turn; each is looked for in every document
_DATED_LIMIT = 50  # dated documents whose history is asked for
_LATER_SECONDS = 30 * 86400  # a dated document that was changed so long after it was added lives on
_REACH = 500  # bytes on each side of a file's name that may belong to its path

_DOCUMENT_SUFFIXES = (".md", ".mdx", ".markdown", ".rst", ".adoc", ".asciidoc", ".org")
_PLAIN_DOCUMENTS = ("readme", "changelog", "changes", "contributing", "install", "news")
_PLAIN_DOCUMENT = lazy(rf"(?i)^(?:{'|'.join(_PLAIN_DOCUMENTS)})(?:\.txt)?$")
_DOCUMENT_ENDS = (
    *_DOCUMENT_SUFFIXES,
    *(name + end for name in _PLAIN_DOCUMENTS for end in ("", ".txt")),
)
# For git, which compares the ends of names much faster than whole names.
_ANY_DOCUMENT = [f":(icase)*{end}" for end in _DOCUMENT_ENDS]
_SPECIAL = lazy(r"[\x00-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]")  # to PCRE, perhaps
_GLOB = lazy(r"[*?\[\]\\]")
# A path as prose has it; `[id]` is a folder's name in some web frameworks.
_PATH_LIKE = lazy(r"[\w.@+~-]*(?:/(?:[\w.@+~-]+|\[[\w.-]+\]))*")
# The scripts that put no blank between a name and the words around it.
_WITHOUT_BLANKS = lazy(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uac00-\ud7af\uff00-\uffef]+"
)
_FORGE = lazy(r".*/(?:blob|tree|raw)/[^/]+/")  # the part of a web address before the path
# A base name without a dot that is no other word: `Makefile`, but not `install`.
_FILE_NAME = lazy(r"[A-Z]\w*file|.*\..*")

# A change of these makes no document wrong: what a tool writes, and what only tests the rest.
_GENERATED = lazy(
    r"(?i)(?:.*[.-]lock(?:b|\.json|\.hcl)?|go\.sum|npm-shrinkwrap\.json|pnpm-lock\.yaml"
    r"|\.git(?:ignore|attributes)|.*\.snap|.*\.min\.(?:js|css)|.*\.map)$"
)
_TEST_FOLDER = lazy(r"(?:^|/)(?:tests?|__tests__|spec|e2e|testdata|__snapshots__|__mocks__)/")
_TEST_NAME = lazy(
    r"(?:test_.*|conftest\.py|.*(?:_test|_spec|\.test|\.spec|\.cy|\.e2e)\.\w+|.*(?:Test|Tests|Spec)\.\w+)$"
)


def is_document(path: str) -> bool:
    name = path.rpartition("/")[2].removesuffix('"')  # of a name that is stored quoted
    return name.lower().endswith(_DOCUMENT_SUFFIXES) or bool(_PLAIN_DOCUMENT.match(name))


class Documents:
    """Which living, tracked documents of one working tree mention which files. Git is asked and a
    document is read only for a file that a document could describe, and only those documents that
    have its name somewhere: a repository may have thousands. Of a repository whose git folder is
    given, what these readings found is kept in the home for the next one."""

    def __init__(
        self, toplevel: str, home: str = "", git_folder: str = "", objects: str = ""
    ) -> None:
        self._toplevel = toplevel
        self._kept: DocumentNames | None = None
        if home and git_folder:
            self._kept = DocumentNames(
                *(home, toplevel, git_folder, objects, _DOCUMENT_ENDS, is_document)
            )
        self._lives_on: dict[str, bool] = {}  # of dated documents
        self._texts: dict[str, bytes] = {}  # of the documents that have one of the names
        self._room = _ALL_DOCUMENTS_BYTES_LIMIT
        self._looked_for: set[str] = set()  # the base names
        self._named: dict[str, set[str]] = {}  # {base name: the tracked files that have it}

    def mentioning(self, source: str) -> list[str]:
        """The documents that name this file: by its path, or by a base name that is unique here."""
        self._look_for([source])
        return sorted(self._living({document: [source] for document in self._mentions(source)}))

    def stale(self, files: Sequence[str], documents: Iterable[str]) -> dict[str, list[str]]:
        """{document that a turn did not touch: the files that it touched and the document
        mentions}; first the documents that name a path, and those that mention most."""
        touched = {*files, *documents}
        found: dict[str, list[str]] = {}
        by_path: set[str] = set()
        sources = [file for file in files if self._may_be_described(file)][:_SOURCES_LIMIT]
        self._look_for(sources)
        for source in sources:
            for document, is_path in self._mentions(source).items():
                if document not in touched:
                    found.setdefault(document, []).append(source)
                    by_path.update([document] if is_path else [])
        if self._kept:
            self._kept.forget_index()
        stale = self._living(found)
        order = sorted(stale, key=lambda name: (name not in by_path, -len(stale[name]), name))
        return {document: stale[document] for document in order}

    def digest(self, path: str) -> str:
        """A fingerprint of a file's content as it is in the working tree now."""
        data = read_regular_file(os.path.join(self._toplevel, path), DOCUMENT_BYTES)
        return "absent" if data is None else sha256(data).hexdigest()

    def _look_for(self, sources: Sequence[str]) -> None:
        """Read the living documents that have the base name of one of these files."""
        names = {source.rpartition("/")[2] for source in sources} - self._looked_for
        self._looked_for |= names
        names = {name for name in names if "\n" not in name}
        if not names:
            return
        known = self._kept.containing(sorted(names)) if self._kept else {}
        documents = [document for found in known.values() for document in found]
        if names := names - known.keys():
            documents += self._containing(sorted(names))
        living = [file for file in documents if is_document(file) and self._kind(file) != "record"]
        for document in dict.fromkeys(living):
            if document in self._texts or len(self._texts) >= _DOCUMENTS_LIMIT:
                continue
            text = read_regular_file(os.path.join(self._toplevel, document), DOCUMENT_BYTES)
            self._room -= len(text or b"")
            if self._room < 0:
                break
            if text:
                self._texts[document] = text

    def _containing(self, names: Sequence[str]) -> list[str]:
        """The documents that have one of these words somewhere."""
        # One thread: more of them only cost more.
        grep = ("grep", "-lz", "--text", "--threads=1", "--no-color", "--no-recurse-submodules")
        if len(names) > 1:
            # One expression is found much faster than several words, where git has PCRE.
            either = "|".join(_SPECIAL.sub(_escaped, name) for name in names)
            with contextlib.suppress(FileNotFoundError, GitTimeout):
                done = git.run(self._toplevel, *grep, "-P", "-e", either, "--", *_ANY_DOCUMENT)
                if done and done.returncode in (0, 1):
                    return _names_in(done.stdout)
        words = [part for name in names for part in ("-e", name)]
        return self._ask(*grep, "-F", *words, "--", *_ANY_DOCUMENT)

    def _kind(self, document: str) -> living.Kind:
        """What a document is by its name, and by what lies with it where that matters."""
        folder = document.rpartition("/")[0]
        kind, beside_code = living.kind_of(document), living.kind_of(document, {folder})
        return beside_code if kind != beside_code and folder in self._code_folders else kind

    @cached_property
    def _code_folders(self) -> set[str]:
        return living.code_folders(self._ask("ls-files", "-z"))

    def _files_named(self, name: str) -> set[str]:
        """The tracked files with this base name. Git is asked for all names at once that are looked
        for."""
        files = self._kept.files_named(name) if self._kept and name not in self._named else None
        if files is not None:
            self._named[name] = set(files)
        if name not in self._named:
            missing = self._looked_for - self._named.keys()
            self._named |= {one: set() for one in missing}
            ends = [f"*{_GLOB.sub(_escaped, one)}" for one in sorted(missing)]
            for file in self._ask("ls-files", "-z", "--", *ends):
                if (base := file.rpartition("/")[2]) in missing:
                    self._named[base].add(file)
        return self._named[name]

    def _ask(self, *question: str) -> list[str]:
        """The files that git names; none where it is silent."""
        try:
            listing = git.ask(self._toplevel, *question) or ""
        except GitTimeout:
            listing = ""
        return _names_in(listing)

    def _may_be_described(self, source: str) -> bool:
        """Whether a change of this file can make a document wrong. One that is gone always can."""
        if is_document(source) or source.startswith("/"):
            return False
        name = source.rpartition("/")[2]
        if _GENERATED.match(name) or _TEST_FOLDER.search(source) or _TEST_NAME.match(name):
            return not os.path.lexists(os.path.join(self._toplevel, source))
        return True

    def _mentions(self, source: str) -> dict[str, bool]:
        """{document that names the file: whether it does by a path}."""
        name = source.rpartition("/")[2]
        is_file_name = bool(_FILE_NAME.fullmatch(name))
        found: dict[str, bool] = {}
        for document, text in self._texts.items():
            is_instruction = living.is_instruction(document)
            for word in _words_around(text, name, is_ascii=source.isascii()):
                if is_instruction and "/" not in word:
                    continue  # instructions name the files of any repository
                if self._is_path_of(word, source, document):
                    found[document] = True
                    break
                if is_file_name and word == name and self._is_unique(name):
                    found[document] = False
        return found

    def _is_unique(self, name: str) -> bool:
        return len(self._files_named(name)) <= 1

    def _is_path_of(self, word: str, source: str, document: str) -> bool:
        if source in (word, _FORGE.sub("", word)):
            return True
        if os.path.normpath(os.path.join(document.rpartition("/")[0], word)) == source:
            return True  # a link relative to the document
        name = source.rpartition("/")[2]
        if "/" in source and word.endswith("/" + source) and word not in self._files_named(name):
            return True
        return "/" in word and source.endswith("/" + word) and self._is_unique(name)

    def _living(self, found: dict[str, list[str]]) -> dict[str, list[str]]:
        """The documents among these that are living: the dated ones only if they were changed long
        after they were added."""
        dated = [document for document in found if self._kind(document) == "dated"]
        unknown = [document for document in dated if document not in self._lives_on][:_DATED_LIMIT]
        if unknown:
            changed = _changed_later(self._toplevel, unknown)
            self._lives_on |= {document: document in changed for document in unknown}
        return {
            document: sources
            for document, sources in found.items()
            if document not in dated or self._lives_on.get(document)
        }


def _names_in(listing: str) -> list[str]:
    return [file for file in listing.split("\0") if file]


def _escaped(match: re.Match[str]) -> str:
    return "\\" + match[0]


def _words_around(text: bytes, name: str, is_ascii: bool) -> Iterator[str]:
    """The path-like words of a text that end with this base name."""
    needle = os.fsencode(name)
    at = text.find(needle)
    while at >= 0:
        begin = max(text.rfind(b"\n", max(at - _REACH, 0), at) + 1, at - _REACH, 0)
        end = text.find(b"\n", at, at + _REACH)
        end = min(at + _REACH, len(text)) if end < 0 else end
        line = text[begin:end].decode("utf-8", "replace")
        if is_ascii:
            line = _WITHOUT_BLANKS.sub(" ", line)
        for word in _PATH_LIKE.findall(line):
            word = word.rstrip(".").removeprefix("./").removeprefix("/")
            if word.rpartition("/")[2] == name:
                yield word
        at = text.find(needle, max(end, at + 1))


def _changed_later(toplevel: str, documents: Sequence[str]) -> set[str]:
    """The documents that were changed long after they were added; none where git does not say."""
    try:
        answer = git.ask(
            toplevel,
            *("--literal-pathspecs", "log", "-z", "--format=%x02%at", "--name-only"),
            *("--no-renames", "--", *documents),
        )
    except GitTimeout:
        return set()
    times: dict[str, list[int]] = {}
    moment = 0
    for part in (answer or "").split("\0"):
        part = part.strip("\n")
        if part.startswith("\x02"):
            moment = int(part[1:])
        elif part:
            times.setdefault(part, []).append(moment)
    return {
        document
        for document, moments in times.items()
        if max(moments) - min(moments) >= _LATER_SECONDS
    }
