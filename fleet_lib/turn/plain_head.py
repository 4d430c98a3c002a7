"""Where HEAD is, read from git's files.

Two small files cost less than a process, and HEAD moves with every commit. What is stored otherwise
(reftable, a branch that stands for another one) is left to git."""

import os

from fleet_lib.files import read_regular_file
from fleet_lib.lazy import lazy

_OBJECT_ID = lazy(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SMALL_BYTES = 4096
_PACKED_BYTES = 64 * 1024 * 1024
_BRANCHES = "ref: refs/heads/"


def read_head(git_folder: str, common: str) -> tuple[str, str] | None:
    """(commit, "" before the first one; the branch's full name, "HEAD" of a HEAD that is detached).
    None where git has to be asked. The folders are the working tree's own and the one that it shares
    with others."""
    head = _text(os.path.join(git_folder, "HEAD"))
    if _OBJECT_ID.fullmatch(head):
        return head, "HEAD"
    if not head.startswith(_BRANCHES) or "/." in head:
        return None
    branch = head.removeprefix("ref: ")
    commit = _text(os.path.join(common, branch)) or _packed(common, branch)
    return (commit, branch) if not commit or _OBJECT_ID.fullmatch(commit) else None


def _text(path: str) -> str:
    """What a small file says; "" where there is none."""
    data = read_regular_file(path, _SMALL_BYTES) or b""
    return data.decode("utf-8", "surrogateescape").removesuffix("\n")


def _packed(common: str, branch: str) -> str:
    """The same of a branch that has no file of its own."""
    data = read_regular_file(os.path.join(common, "packed-refs"), _PACKED_BYTES) or b""
    at = data.find(b" " + branch.encode("utf-8", "surrogateescape") + b"\n")
    begin = data.rfind(b"\n", 0, max(at, 0)) + 1
    return data[begin : max(at, 0)].decode("ascii", "replace")
