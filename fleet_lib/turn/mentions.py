"""What documents say of a file's base name: the words around it that may be a path.

Some names are in hundreds of documents (`package.json`, `Makefile`). What those say is kept, for as
long as each is as it was, so that the next turn which touches such a file reads none of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from fleet_lib.lazy import lazy
from fleet_lib.redact import redact
from fleet_lib.turn import kept

# (a base name, whether the whole path is ASCII: then it ends where another script begins)
Name = tuple[str, bool]
# (the words, the document's SHA-256, what changes whenever it does: zeros or nothing if unknown)
Said = tuple[tuple[str, ...], str, bytes]

_MANY = 20  # documents, from which on reading them costs more than what is kept
_REACH = 500  # bytes on each side of a file's name that may belong to its path

# A path as prose has it; `[id]` is a folder's name in some web frameworks.
_PATH_LIKE = lazy(r"[\w.@+~-]*(?:/(?:[\w.@+~-]+|\[[\w.-]+\]))*")
# The scripts that put no blank between a name and the words around it.
_WITHOUT_BLANKS = lazy(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uac00-\ud7af\uff00-\uffef]+"
)
_USER = lazy(r"[^/]@")  # of a web address, perhaps with a password


def name_of(source: str) -> Name:
    return source.rpartition("/")[2], source.isascii()


def words_around(text: bytes, name: Name) -> Iterator[str]:
    """The path-like words of a text that end with this base name."""
    base, is_ascii = name
    needle = os.fsencode(base)
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
            if word.rpartition("/")[2] == base:
                yield word
        at = text.find(needle, max(end, at + 1))


def read(home: str, toplevel: str, name: Name, facts: Mapping[str, bytes]) -> dict[str, Said]:
    """{document that is as it was: what it says}. `facts` has what changes whenever they do."""
    if len(facts) < _MANY or not all(facts.values()):
        return {}
    value = kept.read(home, _file(toplevel, name)) or {}
    return {
        document: said
        for document, said in value.items()
        if any(said[2]) and facts.get(document) == said[2]
    }


def keep(
    home: str, toplevel: str, name: Name, said: Mapping[str, Said], was: Mapping[str, Said]
) -> None:
    """Keep what documents say, without those in which it may be a secret (`token@host/app.py`), unless
    that is what `read` gave before."""
    if len(said) < _MANY or said == was or not all(facts for _, _, facts in said.values()):
        return
    said = {document: each for document, each in said.items() if not _may_be_secret(each[0])}
    if said != was:
        kept.write(home, _file(toplevel, name), said)


def _may_be_secret(words: Sequence[str]) -> bool:
    return any(_USER.search(word) or redact(word) != word for word in words)


def _file(toplevel: str, name: Name) -> str:
    base, is_ascii = name
    return kept.name_of("mentions", f"{toplevel}/{base}/{is_ascii}")
