"""What git and the transcript say about a turn. Reads only, bounded in time and size; never a model.

Git is asked, never read by hand: SHA-256 objects, reftable refs and worktrees are its business. A
repository's own configuration may name programs to run; the switches in `_git` keep them off.
"""

import contextlib
import hashlib
import json
import os
import re
import stat
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GIT_TIMEOUT_SECONDS = 5.0
TRANSCRIPT_WAIT_SECONDS = 2.0
_TRANSCRIPT_LIMIT = 64 * 1024 * 1024  # bytes read back from a transcript's end
_REFLOG_LIMIT = 500
_COMMITS_LIMIT = 100
_FILES_LIMIT = 1000
_DOCUMENTS_LIMIT = 2000
_DOCUMENT_BYTES_LIMIT = 512 * 1024
_ALL_DOCUMENTS_BYTES_LIMIT = 32 * 1024 * 1024

_DOCUMENT_SUFFIXES = (".md", ".mdx", ".markdown", ".rst", ".adoc", ".asciidoc", ".org")
_PLAIN_DOCUMENT = re.compile(
    r"(?i)^(?:readme|changelog|changes|contributing|install|news)(?:\.txt)?$"
)
_NS = 1_000_000_000
_EDIT_TOOLS = frozenset({"Edit", "Write", "MultiEdit", "NotebookEdit"})
_STATUS_FILE = re.compile(r"(?:^|/)\.claude/status\.v5\.[\w-]+\.md$")
# A path as prose has it; `[id]` is a folder's name in some web frameworks.
_PATH_LIKE = re.compile(r"[\w.@+~-]*(?:/(?:[\w.@+~-]+|\[[\w.-]+\]))*")


# --- git --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReflogEntry:
    """One movement of HEAD."""

    time: int  # Unix seconds
    commit: str  # where HEAD went
    subject: str  # e.g. "commit: message", "pull: Fast-forward"

    @property
    def is_commit(self) -> bool:
        return self.subject.startswith(("commit:", "commit ("))


@dataclass(frozen=True, slots=True)
class GitState:
    """One working tree at one moment."""

    toplevel: str  # this worktree's top folder
    root: str  # the main worktree's, or the folder that holds a bare repository
    remote: str | None  # as configured, credentials and all
    head: str | None  # commit id, None before the first commit
    branch: str | None  # None when detached
    reflog: tuple[ReflogEntry, ...]  # newest first
    objects: str  # the folder of loose objects
    read_at_ns: int

    def made_ns(self, commit: str) -> int | None:
        """When a commit was made, in Unix nanoseconds; None once it is packed. The reflog counts in
        seconds, and a turn may commit within the one in which the turn before it ended."""
        try:
            return os.stat(f"{self.objects}/{commit[:2]}/{commit[2:]}").st_mtime_ns
        except OSError:
            return None


class Repositories:
    """Git states for one drain. A state serves every entry that was received before it was read."""

    def __init__(self) -> None:
        self._states: dict[str, GitState | None] = {}
        self._read_at: dict[str, int] = {}
        self._commit_files: dict[str, tuple[str, ...]] = {}
        self._documents: dict[str, tuple[int, Documents]] = {}

    def state(self, folder: str, received_ns: int) -> GitState | None:
        """The state of the repository around a folder; None if there is none (or git has no say)."""
        if self._read_at.get(folder, -1) < received_ns:
            self._read_at[folder] = time.time_ns()
            self._states[folder] = read_git_state(folder)
        return self._states[folder]

    def files_of_commits(self, state: GitState, commits: Sequence[str]) -> tuple[str, ...]:
        """The files that these commits changed, relative to the repository, in commit order."""
        missing = [commit for commit in commits if commit not in self._commit_files]
        if missing:
            self._commit_files.update(_read_commit_files(state.toplevel, missing))
        return tuple(
            dict.fromkeys(file for commit in commits for file in self._commit_files.get(commit, ()))
        )

    def documents(self, state: GitState) -> "Documents":
        read_at, known = self._documents.get(state.toplevel, (-1, None))
        if known is None or read_at < state.read_at_ns:
            known = Documents(state.toplevel)
            self._documents[state.toplevel] = (time.time_ns(), known)
        return known


def read_git_state(folder: str) -> GitState | None:
    read_at_ns = time.time_ns()
    answer = _rev_parse(folder, "--is-bare-repository", "--absolute-git-dir", "--git-common-dir")
    objects = _git(folder, "rev-parse", "--git-path", "objects")
    if answer is None or objects is None:
        return None
    bare, git_dir = answer[0] == "true", answer[1]
    here = os.path.realpath(folder)
    objects = os.path.join(here, objects.removesuffix("\n"))
    common = os.path.normpath(os.path.join(here, answer[2]))
    toplevel = (_rev_parse(folder, "--show-toplevel") or [""])[0]
    if os.path.realpath(git_dir) == os.path.realpath(common) and toplevel:
        root = toplevel  # the main worktree, or a submodule: its own top level
    elif not toplevel or bare or Path(common).name == ".git":
        root = str(Path(common).parent)
    else:
        root = _main_worktree(folder, common)
    remotes = _git(folder, "config", "-z", "--get-regexp", r"^remote\..*\.url$") or ""
    remote = _origin(remotes)
    if remote and remote.startswith("."):
        remote = os.path.normpath(os.path.join(toplevel or root, remote))
    head, branch, reflog = _read_head(folder)
    return GitState(toplevel or root, root, remote, head, branch, reflog, objects, read_at_ns)


def commits_since(
    state: GitState, known_head: str | None, known_at_ns: int, until_ns: int
) -> list[str]:
    """The commits made after HEAD was `known_head` at `known_at_ns` and until `until_ns` (both Unix
    nanoseconds), oldest first: reflog entries of kind commit. A pull in between brings commits that
    do not count."""
    found: list[str] = []
    for entry in state.reflog:
        if entry.time < known_at_ns // _NS:
            break
        if not entry.is_commit or entry.commit in found:
            continue
        made_ns = state.made_ns(entry.commit)
        if _is_after(entry, made_ns, until_ns):
            continue
        if entry.time == known_at_ns // _NS and (
            entry.commit == known_head if made_ns is None else made_ns <= known_at_ns
        ):
            break
        found.append(entry.commit)
    return found[:_COMMITS_LIMIT][::-1]


def head_at(state: GitState, moment_ns: int) -> str | None:
    """Where HEAD was at a moment (Unix nanoseconds), for an entry that is applied later."""
    for entry in state.reflog:
        made_ns = state.made_ns(entry.commit) if entry.is_commit else None
        if not _is_after(entry, made_ns, moment_ns):
            return entry.commit
    return None if state.reflog else state.head


def _is_after(entry: ReflogEntry, made_ns: int | None, moment_ns: int) -> bool:
    if entry.time == moment_ns // _NS and made_ns is not None:
        return made_ns > moment_ns
    return entry.time > moment_ns // _NS


def _git(folder: str, *arguments: str, stdin: str | None = None) -> str | None:
    """Git's answer, None where it says no or takes too long."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1"}
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false"]
    command += ["-c", "log.showSignature=false", "-C", folder, *arguments]
    try:
        done = subprocess.run(
            command,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=GIT_TIMEOUT_SECONDS,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
    return done.stdout if done.returncode == 0 else None


def _rev_parse(folder: str, *options: str) -> list[str] | None:
    """rev-parse's answers, one an option; a folder's name may hold a line break."""
    answer = _git(folder, "rev-parse", *options)
    if answer is None:
        return None
    lines = answer.removesuffix("\n").split("\n")
    if len(lines) == len(options):
        return lines
    return [(_git(folder, "rev-parse", option) or "").removesuffix("\n") for option in options]


def _main_worktree(folder: str, common: str) -> str:
    """The main worktree where the git folder lies apart from it (a submodule's linked worktree)."""
    named = (_git(folder, "config", "--file", f"{common}/config", "core.worktree") or "").strip()
    return os.path.normpath(os.path.join(common, named)) if named else str(Path(common).parent)


def _origin(listing: str) -> str | None:
    """origin's URL out of `config -z --get-regexp`, else the first remote's."""
    urls: dict[str, str] = {}
    for pair in filter(None, listing.split("\0")):
        key, _, url = pair.partition("\n")
        urls.setdefault(key, url)
    return urls.get("remote.origin.url") or next(iter(urls.values()), None) or None


def _read_head(folder: str) -> tuple[str | None, str | None, tuple[ReflogEntry, ...]]:
    branch = (_git(folder, "symbolic-ref", "-q", "--short", "HEAD") or "").strip() or None
    head = (_git(folder, "rev-parse", "-q", "--verify", "HEAD^{commit}") or "").strip() or None
    entries: list[ReflogEntry] = []
    if head:
        text = _git(
            folder,
            "log",
            "-g",
            f"-n{_REFLOG_LIMIT}",
            "-z",
            "--date=raw",
            "--format=%H%n%gd%n%gs",
            "HEAD",
        )
        for record in filter(None, (text or "").split("\0")):
            commit, _, rest = record.partition("\n")
            selector, _, subject = rest.partition("\n")
            if match := re.search(r"@\{(\d+)", selector):
                entries.append(ReflogEntry(int(match[1]), commit, subject.strip()))
    return head, branch, tuple(entries)


def _read_commit_files(folder: str, commits: Sequence[str]) -> dict[str, tuple[str, ...]]:
    # --cc: of a merge, only what was resolved by hand.
    answer = _git(
        folder,
        *("diff-tree", "--stdin", "--root", "-r", "-z", "--cc", "--name-only", "--no-renames"),
        stdin="".join(f"{commit}\n" for commit in commits),
    )
    found: dict[str, list[str]] = {commit: [] for commit in commits}
    current: list[str] = []
    for part in (answer or "").split("\0"):
        part = part.strip("\n")
        if part in found:
            current = found[part]
        elif part and len(current) < _FILES_LIMIT:
            current.append(part)
    return {commit: tuple(files) for commit, files in found.items()}


# --- documents --------------------------------------------------------------------------------


def is_document(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name.lower().endswith(_DOCUMENT_SUFFIXES) or bool(_PLAIN_DOCUMENT.match(name))


def is_skill(path: str) -> bool:
    return path.rpartition("/")[2] == "SKILL.md"


class Documents:
    """Which tracked documents of one working tree mention which files."""

    def __init__(self, toplevel: str) -> None:
        self._toplevel = toplevel
        files = [f for f in (_git(toplevel, "ls-files", "-z") or "").split("\0") if f]
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

    def digest(self, path: str) -> str:
        """A fingerprint of a file's content as it is in the working tree now."""
        data = read_regular_file(os.path.join(self._toplevel, path), _DOCUMENT_BYTES_LIMIT)
        return "absent" if data is None else hashlib.sha256(data).hexdigest()


def read_regular_file(path: str, limit: int) -> bytes | None:
    """At most `limit` bytes of a regular file; None for anything else: no link, no device, no pipe."""
    with _open_regular(path) as descriptor:
        if descriptor is None:
            return None
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(limit)


@contextlib.contextmanager
def _open_regular(path: str) -> Iterator[int | None]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError):
        yield None
        return
    try:
        yield descriptor if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    finally:
        os.close(descriptor)


# --- transcript -------------------------------------------------------------------------------


@dataclass(slots=True)
class TurnFacts:
    """What the transcript says about one turn."""

    files: list[str] = field(default_factory=list)  # absolute paths, as edited, in order
    started_at: str | None = None  # the prompt's timestamp
    final_text: str = ""  # the last text of the assistant
    prompt_key: str = ""  # what stands for the prompt: prompt_id, or the prompt line's uuid
    partial: bool = True  # the end of the turn was not there yet, or not at all


def read_turn(
    transcript: str, prompt_id: str | None, last_message: str | None, wait_until: float
) -> TurnFacts:
    """The facts of the turn that `prompt_id` opened; of the last turn where that is None.

    The transcript is written behind Claude Code's back: until `wait_until` (Unix time, seconds) this
    looks again for the turn's final text, and what is missing then leaves the facts partial.
    """
    while True:
        lines = _turn_lines(transcript, prompt_id)
        if lines is None:
            return TurnFacts()
        facts = _turn_facts(lines, last_message)
        remaining = wait_until - time.time()
        if not facts.partial or remaining <= 0:
            for sidechain in _subagent_transcripts(transcript):
                _add_subagent_files(facts, sidechain, prompt_id)
            return facts
        time.sleep(min(0.02, remaining))


def _turn_lines(transcript: str, prompt_id: str | None) -> list[dict[str, Any]] | None:
    """The lines of one turn, parsed, or None where there is no such file. Read from the end back:
    the turn is nearly always the last one, and a transcript may be large."""
    with _open_regular(transcript) as descriptor:
        if descriptor is None or os.fstat(descriptor).st_size == 0:
            return None
        lines: list[dict[str, Any]] = []
        opened = False
        for raw in _lines_backwards(descriptor):
            line = _json_object(raw)
            if prompt_id is None:
                lines.append(line)
                if _opens_turn(line):
                    opened = True
                    break
                continue
            prompt = line.get("promptId") if line.get("type") == "user" else None
            if prompt == prompt_id:
                opened = True
            elif isinstance(prompt, str):
                if opened:
                    break  # the turn before it
                lines.clear()  # a later turn
                continue
            lines.append(line)
        if not opened:
            return []
        lines.reverse()
        if prompt_id is not None:
            # What stands before the turn's first line of its own is the end of the turn before.
            while lines[0].get("promptId") != prompt_id or lines[0].get("type") != "user":
                del lines[0]
        return lines


def _opens_turn(line: dict[str, Any]) -> bool:
    """Whether a user line is a prompt, and no tool result, hook feedback or summary."""
    if line.get("type") != "user" or line.get("isMeta") or line.get("isCompactSummary"):
        return False
    message = line.get("message")
    if isinstance(message, dict) and isinstance(message.get("content"), str):
        return True
    return any(block.get("type") != "tool_result" for block in _content(line))


def _lines_backwards(descriptor: int) -> Iterator[bytes]:
    position = os.fstat(descriptor).st_size
    first = max(0, position - _TRANSCRIPT_LIMIT)
    parts: list[bytes] = []  # of the line that a block's beginning cuts, last part first
    while position > first:
        size = min(1 << 18, position - first)
        position -= size
        head, *complete = os.pread(descriptor, size, position).split(b"\n")
        if complete:
            yield b"".join([complete.pop(), *reversed(parts)])
            yield from reversed(complete)
            parts = []
        parts.append(head)
    if first == 0:
        yield b"".join(reversed(parts))


def _turn_facts(lines: list[dict[str, Any]], last_message: str | None) -> TurnFacts:
    facts = TurnFacts()
    failed = _failed_tool_calls(lines)
    for line in lines:
        if not facts.prompt_key and _opens_turn(line):
            facts.prompt_key = str(line.get("uuid") or "")
            facts.started_at = _text_or_none(line.get("timestamp"))
        if line.get("type") != "assistant" or _is_synthetic(line):
            continue
        for block in _content(line):
            if block.get("type") == "text" and isinstance(block.get("text"), str):
                facts.final_text = block["text"]
                if last_message is None or facts.final_text.strip() == last_message.strip():
                    facts.partial = False
            elif path := _edited_path(block, line):
                facts.partial = True  # more is to come: an edit never ends a turn
                if str(block.get("id")) not in failed and path not in facts.files:
                    facts.files.append(path)
    return facts


def _subagent_transcripts(transcript: str) -> list[str]:
    folder = transcript.removesuffix(".jsonl") + "/subagents"
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 (once a turn, mostly of what is not there)
    except (OSError, ValueError):
        return []
    agents = [name for name in names if name.startswith("agent-") and name.endswith(".jsonl")]
    return [f"{folder}/{name}" for name in agents[:200]]


def _add_subagent_files(facts: TurnFacts, transcript: str, prompt_id: str | None) -> None:
    lines = _turn_lines(transcript, prompt_id)
    for path in _turn_facts(lines or [], None).files:
        if path not in facts.files:
            facts.files.append(path)


def _failed_tool_calls(lines: list[dict[str, Any]]) -> set[str]:
    return {
        str(block.get("tool_use_id"))
        for line in lines
        if line.get("type") == "user"
        for block in _content(line)
        if block.get("type") == "tool_result" and block.get("is_error") is True
    }


def _edited_path(block: dict[str, Any], line: dict[str, Any]) -> str | None:
    if block.get("type") != "tool_use" or str(block.get("name")) not in _EDIT_TOOLS:
        return None
    given = block.get("input")
    if not isinstance(given, dict):
        return None
    path = given.get("file_path") or given.get("notebook_path")
    if not isinstance(path, str) or not path or "\0" in path or len(path) > 4096:
        return None
    return os.path.normpath(os.path.join(str(line.get("cwd") or "/"), path))


def _is_synthetic(line: dict[str, Any]) -> bool:
    """Whether Claude Code itself wrote this assistant line (an API error, an empty answer)."""
    message = line.get("message")
    return isinstance(message, dict) and message.get("model") == "<synthetic>"


def _content(line: dict[str, Any]) -> list[dict[str, Any]]:
    message = line.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    return (
        [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    )


def _json_object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


# --- derived ----------------------------------------------------------------------------------


def relative_files(paths: Sequence[str], state: GitState | None, folder: str) -> list[str]:
    """Edited paths relative to the repository (or the folder, where there is none); what lies
    elsewhere stays absolute. The worker's own status file is not work."""
    if not paths:
        return []
    bases = [state.toplevel, state.root] if state else [folder]
    bases += [os.path.realpath(base) for base in bases]
    found: list[str] = []
    for path in paths:
        if _STATUS_FILE.search(path):
            continue
        name = path
        for candidate in (path, os.path.realpath(path)):
            inside = next((b for b in bases if candidate.startswith(b.rstrip("/") + "/")), None)
            if inside:
                name = os.path.relpath(candidate, inside)
                break
        if name not in found:
            found.append(name)
    return found


def impact_of(files: Sequence[str]) -> str:
    """impact_level by the number of files touched."""
    if not files:
        return "trivial"
    return "minor" if len(files) <= 5 else "moderate" if len(files) <= 20 else "major"


def broadcast_of(impact: str) -> str:
    """broadcast_level by impact_level."""
    return {"trivial": "silent", "major": "highlight"}.get(impact, "mention")


def risk_of(stale_documents: int) -> str:
    """doc_drift_risk by the number of documents left behind."""
    return "low" if stale_documents == 0 else "medium" if stale_documents == 1 else "high"
