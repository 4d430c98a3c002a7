"""What a shell command says about the commits that it makes: in which folders, with which messages.
A reading of the usual forms, not a shell: what it does not understand it leaves open."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator

from fleet_lib.compiled import compiled
from fleet_lib.lazy import lazy
from fleet_lib.records import Record, replace
from fleet_lib.turn.tool_calls import MAKES_COMMITS

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import re

_SUBCOMMANDS = ("commit", "cherry-pick", "revert", "am")
_SHELLS = ("sh", "bash", "zsh", "dash", "ksh")
INTERPRETER = lazy(r"(?:ba|z|da|k)?sh|python[\d.]*|node|ruby|perl|source|\.")
_BEFORE_A_COMMAND = frozenset(
    ("then", "do", "else", "if", "while", "until", "time", "command", "sudo", "exec", "nohup")
) | {"!", "{", "env", "eval", "@"}
_NAMES_ONLY = ("echo", "printf", "grep", "rg", "man", "which")
_LOOP = lazy(r"\b(?:for|while|until|xargs|parallel|foreach)\b")
_ASSIGNMENT = lazy(r"\w+=")
_HERE_DOCUMENT = lazy(
    r"(?s)(?<!<)<<-?[ \t]*(['\"\\]?)([A-Za-z_][\w-]*)['\"]?([^\n]{0,1000})\n(.*?)(?:\n[ \t]*\2[ \t]*(?=[\n)]|$)|\Z)",
)
_HERE_NAME = lazy(r"@here-document-(\d+)@")
_MESSAGE_OPTION = lazy(r"(?s)-[aqvsnepioSz]*m(.*)")
_SUBSTITUTION = lazy(r"\\?(?:\$\{[^}]*\}|\$\([^)]*\)|\$\w+|[$`][^`]*`?)")
_DECIDES = 3  # characters of a message that no variable stands for
_PART = 8  # characters of a message that is found within another: a hook may put a ticket before it
_DEPTH = 3  # sh -c within sh -c


class Message(Record):
    """The first line of a commit's message, as a command gives it."""

    text: str

    @property
    def decides(self) -> bool:
        """Whether enough of it is literal to tell one commit from another."""
        literal = compiled(r"\s").sub("", _SUBSTITUTION.sub("", self.text))
        return bool(literal) and (not self.varies or len(literal) >= _DECIDES)

    @property
    def varies(self) -> bool:
        """Whether one command can give several messages, in a loop."""
        return bool(_SUBSTITUTION.search(self.text))

    def fits(self, subject: str) -> bool:
        """Whether this is the message of the commit with that subject."""
        first, *others = [" ".join(part.split()) for part in _SUBSTITUTION.split(self.text)]
        subject = " ".join(subject.split())
        if not others:
            return first == subject or (len(first) >= _PART and first in subject)
        if not subject.startswith(first) or not subject.endswith(others[-1]):
            return False
        at = len(first)
        for part in others:
            at = subject.find(part, at) + len(part)
            if at < len(part):
                return False
        return True


class CommitCommand(Record):
    """One call of git that makes a commit."""

    folder: str
    kind: str  # one of git's subcommands
    message: Message | None = None  # None: the command does not say it
    amends: bool = False
    repeats: bool = False  # in a loop, perhaps: one command may make several commits


class Reading(Record):
    """What one command says."""

    commits: tuple[CommitCommand, ...]
    words: frozenset[str]  # the first line of every word


def read_command(command: str, folder: str, depth: int = 0) -> Reading:
    """The commits that a command run in this folder makes, as far as its text says it."""
    tokens, documents = _tokens(command)
    commits: list[CommitCommand] = []
    for here, words in _simple_commands(tokens, folder):
        if found := _commit_command(here, words, documents):
            commits.append(found)
        elif depth < _DEPTH:
            for text, is_shell in _programs(words, documents):
                if is_shell:
                    commits += read_command(text, here, depth + 1).commits
                elif MAKES_COMMITS.search(text):
                    commits.append(CommitCommand(here, "commit"))
    if not tokens and MAKES_COMMITS.search(command):
        commits.append(CommitCommand(folder, "commit"))
    if _LOOP.search(command):
        commits = [replace(each, repeats=True) for each in commits]
    return Reading(tuple(commits), frozenset(_first_line(word, documents) for word in tokens))


def _programs(words: list[str], documents: list[str]) -> Iterator[tuple[str, bool]]:
    """(text, whether it is a shell's) of the programs that a command brings with it."""
    name = os.path.basename(words[0])
    if name == "git" and "foreach" in words:
        yield words[-1], True
    if not INTERPRETER.fullmatch(name):
        return
    options = (at for at, word in enumerate(words) if compiled(r"-\w*[ce]").fullmatch(word))
    texts = [words[at + 1] for at in options if at + 1 < len(words)]
    texts += [documents[int(found[1])] for word in words if (found := _HERE_NAME.search(word))]
    yield from ((text, name in _SHELLS) for text in texts)


def simple_commands(command: str, folder: str) -> list[tuple[str, list[str]]]:
    """(folder, words) of each simple command in a shell's command."""
    return list(_simple_commands(_tokens(command)[0], folder))


def _tokens(command: str) -> tuple[list[str], list[str]]:
    """(the words and operators of a command, the here-documents that the words name); no words
    where a quotation mark lacks its pair."""
    documents: list[str] = []

    def name(found: re.Match[str]) -> str:
        documents.append(found[4])
        return f" @here-document-{len(documents) - 1}@ {found[3]}\n"

    text = _HERE_DOCUMENT.sub(name, command.replace("\\\n", " "))
    text = compiled(r"(?m)^\s*#.*$").sub("", text)
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|()\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    try:
        return list(lexer), documents
    except ValueError:
        return [], documents


def _simple_commands(tokens: list[str], folder: str) -> Iterator[tuple[str, list[str]]]:
    """(folder, words) of each simple command; a `cd` holds for those after it, up to the end of
    its parentheses."""
    folders, words, before = [folder], list[str](), folder
    for token in [*tokens, ";"]:
        if not token or token.strip(";&|()\n"):
            if words or not (token in _BEFORE_A_COMMAND or _ASSIGNMENT.match(token)):
                words.append(token)
            continue
        if words and words[0] in ("cd", "pushd", "popd"):
            target = next((word for word in words[1:] if not word.startswith("-")), ".")
            if words[0] == "popd" or words[1:] == ["-"]:
                target = before
            before, folders[-1] = folders[-1], _joined(folders[-1], target)
        elif words:
            yield folders[-1], words
        words = []
        for mark in token:
            if mark == "(":
                folders.append(folders[-1])
            elif mark == ")" and len(folders) > 1:
                folders.pop()


def _commit_command(here: str, words: list[str], documents: list[str]) -> CommitCommand | None:
    # Another program may run it (`timeout 60 git …`), or only name it.
    at = next((at for at, word in enumerate(words[:6]) if os.path.basename(word) == "git"), None)
    if at is None or words[0] in _NAMES_ONLY:
        return None
    at += 1
    while at < len(words) and words[at].startswith("-"):
        if words[at] == "-C" and at + 1 < len(words):
            here = _joined(here, words[at + 1])
        elif words[at].startswith("--work-tree="):
            here = _joined(here, words[at].partition("=")[2])
        at += 2 if words[at] in ("-C", "-c", "--git-dir", "--work-tree") else 1
    if at >= len(words) or words[at] not in _SUBCOMMANDS or "--dry-run" in words:
        return None
    kind, options = words[at], words[at + 1 :]
    message = _message(options, documents) if kind == "commit" else None
    return CommitCommand(here, kind, message, "--amend" in options)


def _message(options: list[str], documents: list[str]) -> Message | None:
    for at, option in enumerate(options):
        following = options[at + 1] if at + 1 < len(options) else ""
        glued = _MESSAGE_OPTION.fullmatch(option)
        if glued or option == "--message":
            text = _first_line((glued[1] if glued else "") or following, documents)
        elif option.startswith("--message="):
            text = _first_line(option.partition("=")[2], documents)
        elif (option, following) in (("-F", "-"), ("--file", "-")) or option == "--file=-":
            text = _first_line(next(filter(_HERE_NAME.search, options), ""), documents)
        else:
            continue
        message = Message(" ".join(text.split()))
        return message if message.decides else None
    return None


def _first_line(word: str, documents: list[str]) -> str:
    if found := _HERE_NAME.search(word):
        word = documents[int(found[1])]
    return next((line.strip() for line in word.splitlines() if line.strip()), "")


def _joined(here: str, target: str) -> str:
    if "$" in target or "`" in target:
        return here  # only a shell knows
    return os.path.normpath(os.path.join(here, os.path.expanduser(target)))
