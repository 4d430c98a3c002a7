"""Documents: what is one, and which living ones of a repository name which of its files.

Which documents are living is in `living.py`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence

from fleet_lib import outside
from fleet_lib.digests import sha256
from fleet_lib.errors import GitTimeout
from fleet_lib.files import read_regular_file
from fleet_lib.lazy import lazy
from fleet_lib.turn import git, living, mentions
from fleet_lib.turn.document_names import DOCUMENT_BYTES, DocumentNames

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import re

    from fleet_lib.turn.git import GitState

_DOCUMENTS_LIMIT = 2000
_ALL_DOCUMENTS_BYTES_LIMIT = 32 * 1024 * 1024
_SOURCES_LIMIT = 200  # of one turn; each is looked for in every document
_DATED_LIMIT = 50  # dated documents whose history is asked for

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


def _may_describe(path: str) -> bool:
    return is_document(path) and living.may_be_living(path)


class Documents:
    """Which living, tracked documents of one working tree mention which files. Git is asked and a
    document is read only for a file that a document could describe, and only those documents that
    have its name somewhere: a repository may have thousands. What these readings found is kept in
    the home, if one is given, for the next one."""

    def __init__(self, state: GitState, home: str = "") -> None:
        self._toplevel = state.toplevel
        self._head = state.head
        self._home = home
        self._kept: DocumentNames | None = None
        if home and state.git_folder:
            where = (home, state.toplevel, state.git_folder, state.objects)
            self._kept = DocumentNames(*where, _DOCUMENT_ENDS, _may_describe)
        self._lives_on: dict[str, bool] = {}  # of dated documents
        self._said: dict[mentions.Name, dict[str, mentions.Said]] = {}
        self._digests: dict[str, str] = {}
        self._room = _ALL_DOCUMENTS_BYTES_LIMIT
        self._looked_for: set[str] = set()  # the base names
        self._code_folders: dict[str, bool] = {}
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

    def digests(self, paths: Iterable[str]) -> dict[str, str]:
        """A fingerprint of each file's content as it is in the working tree now."""
        return {path: self._digests.get(path) or self._digest(self._read(path)) for path in paths}

    def _digest(self, data: bytes | None) -> str:
        return "absent" if data is None else sha256(data).hexdigest()

    def _read(self, path: str) -> bytes | None:
        return read_regular_file(os.path.join(self._toplevel, path), DOCUMENT_BYTES)

    def _look_for(self, sources: Sequence[str]) -> None:
        """Find what the living documents say of the base names of these files."""
        wanted = {mentions.name_of(source) for source in sources} - self._said.keys()
        wanted = {name for name in wanted if "\n" not in name[0]}
        names = {base for base, _ in wanted}
        self._looked_for |= names
        if not names:
            return
        known = self._kept.containing(sorted(names)) if self._kept else {}
        others = sorted(names - known.keys())
        found = dict.fromkeys(self._containing(others), b"") if others else {}
        texts: dict[str, bytes] = {}
        for name in sorted(wanted):
            self._said[name] = self._says(name, known.get(name[0], found), texts)

    def _says(
        self, name: mentions.Name, facts: Mapping[str, bytes], texts: dict[str, bytes]
    ) -> dict[str, mentions.Said]:
        """What the living ones of some documents say of a name; `facts` has what changes whenever
        they do, and `texts` what was read of them."""
        documents = [file for file in facts if is_document(file) and self._kind(file) != "record"]
        was = mentions.read(self._home, self._toplevel, name, facts)
        now: dict[str, mentions.Said] = {}
        for document in documents[:_DOCUMENTS_LIMIT]:
            said = was.get(document)
            if said is None:
                text = texts.get(document)
                if text is None:
                    text = texts[document] = self._read(document) or b""
                    self._room -= len(text)
                if self._room < 0:
                    break
                if not text:
                    continue
                digest = self._digests.get(document) or self._digest(text)
                said = tuple(mentions.words_around(text, name)), digest, facts[document]
            now[document] = said
            self._digests[document] = said[1]
        mentions.keep(self._home, self._toplevel, name, now, was)
        return now

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
        kind = living.kind_of(document)
        folder = document.rpartition("/")[0]
        is_other = kind != "living" and living.kind_of(document, {folder}) == "living"
        return "living" if is_other and self._has_code(folder) else kind

    def _has_code(self, folder: str) -> bool:
        """Whether source code lies in a folder directly."""
        if folder not in self._code_folders:
            path = os.path.join(self._toplevel, folder)
            outside.asking(path)
            files: list[str] = []
            try:
                files = os.listdir(path)
            except OSError as error:
                outside.require_answer(error, path)
            self._code_folders[folder] = bool(living.code_folders(files))
        return self._code_folders[folder]

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
        for document, (words, *_) in self._said.get(mentions.name_of(source), {}).items():
            is_instruction = living.is_instruction(document)
            for word in words:
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
        if source == word or source == _FORGE.sub("", word):
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
        if unknown and self._head:
            from fleet_lib.turn.dated import living_on  # few turns touch what such a document names

            lives = living_on(self._home, self._toplevel, self._head, unknown)
            self._lives_on |= {document: document in lives for document in unknown}
        return {
            document: sources
            for document, sources in found.items()
            if document not in dated or self._lives_on.get(document)
        }


def _names_in(listing: str) -> list[str]:
    return [file for file in listing.split("\0") if file]


def _escaped(match: re.Match[str]) -> str:
    return "\\" + match[0]
