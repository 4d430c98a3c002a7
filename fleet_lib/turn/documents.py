"""Documents: what is one, and which of a repository's documents name which of its files."""

import hashlib
import os
import re
from collections.abc import Iterable, Sequence

from fleet_lib.errors import GitTimeout
from fleet_lib.files import read_regular_file
from fleet_lib.turn import git

_DOCUMENTS_LIMIT = 2000
_DOCUMENT_BYTES_LIMIT = 512 * 1024
_ALL_DOCUMENTS_BYTES_LIMIT = 32 * 1024 * 1024

_DOCUMENT_SUFFIXES = (".md", ".mdx", ".markdown", ".rst", ".adoc", ".asciidoc", ".org")
_PLAIN_DOCUMENT = re.compile(
    r"(?i)^(?:readme|changelog|changes|contributing|install|news)(?:\.txt)?$"
)
# A path as prose has it; `[id]` is a folder's name in some web frameworks.
_PATH_LIKE = re.compile(r"[\w.@+~-]*(?:/(?:[\w.@+~-]+|\[[\w.-]+\]))*")


def is_document(path: str) -> bool:
    name = path.rpartition("/")[2].removesuffix('"')  # of a name that is stored quoted
    return name.lower().endswith(_DOCUMENT_SUFFIXES) or bool(_PLAIN_DOCUMENT.match(name))


def is_skill(path: str) -> bool:
    return path.rpartition("/")[2] == "SKILL.md"


class Documents:
    """Which tracked documents of one working tree mention which files."""

    def __init__(self, toplevel: str) -> None:
        self._toplevel = toplevel
        try:
            listing = git.ask(toplevel, "ls-files", "-z") or ""
        except GitTimeout:
            listing = ""
        files = [file for file in listing.split("\0") if file]
        self._files = frozenset(files)
        self._names: dict[str, int] = {}
        for file in files:
            name = file.rpartition("/")[2]
            self._names[name] = self._names.get(name, 0) + 1
        # base name -> {document: the path-like words in it that end with that name}
        self._mentions: dict[str, dict[str, set[str]]] = {}
        room = _ALL_DOCUMENTS_BYTES_LIMIT
        for document in [f for f in files if is_document(f)][:_DOCUMENTS_LIMIT]:
            text = read_regular_file(os.path.join(toplevel, document), _DOCUMENT_BYTES_LIMIT)
            room -= len(text or b"")
            if room < 0:
                break
            for word in set(_PATH_LIKE.findall((text or b"").decode("utf-8", "replace"))):
                word = word.rstrip(".").removeprefix("./").removeprefix("/")
                name = word.rpartition("/")[2]
                if "." in name or name in self._names:
                    self._mentions.setdefault(name, {}).setdefault(document, set()).add(word)

    def mentioning(self, source: str) -> list[str]:
        """The documents that name this file: by its path, or by a base name that is unique here."""
        name = source.rpartition("/")[2]
        unique = self._names.get(name, 0) <= 1
        return sorted(
            document
            for document, words in self._mentions.get(name, {}).items()
            if any(
                word == source
                or (word.endswith("/" + source) and word not in self._files)
                or (unique and (word == name or source.endswith("/" + word)))
                for word in words
            )
        )

    def stale(self, files: Sequence[str], documents: Iterable[str]) -> dict[str, list[str]]:
        """{document that a turn did not touch: the files that it touched and the document
        mentions}."""
        touched = {*files, *documents}
        found: dict[str, list[str]] = {}
        for source in files:
            if is_document(source) or source.startswith("/"):
                continue
            for document in self.mentioning(source):
                if document not in touched:
                    found.setdefault(document, []).append(source)
        return found

    def digest(self, path: str) -> str:
        """A fingerprint of a file's content as it is in the working tree now."""
        data = read_regular_file(os.path.join(self._toplevel, path), _DOCUMENT_BYTES_LIMIT)
        return "absent" if data is None else hashlib.sha256(data).hexdigest()
