"""A recording of what processes write below a folder, and the disks that a power loss could leave
of it.

strace records each write, sync, rename and removal in order. What was synced is on every disk. Of
the rest, the changes of each file and folder may be there in part: none, all, the first few, or any
of them, a write cut in its middle. (POSIX promises no more than that; real file systems keep more.)
"""

import collections
import os
import random
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Mode = Literal["nothing", "names", "first", "some"]
MODES: tuple[Mode, ...] = ("nothing", "names", "first", "some")
_SECTOR = 512
_CALLS = (
    "execve,openat,open,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,"
    "mkdir,mkdirat,ftruncate,exit_group"
)


@dataclass(frozen=True)
class Step:
    """One system call that changed something: write, sync, create, truncate, rename, unlink, mkdir
    or exit."""

    what: str
    path: str
    data: bytes = b""
    offset: int | None = None  # None: at the end; of truncate: the new size
    target: str = ""


def record(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> list[Step]:
    """Run a command and all that it starts; what was done below the folder, and in between which
    processes exited with 0 (`path` is then the command line)."""
    trace = folder.parent / "strace.txt"
    subprocess.run(
        ["strace", "-f", "-y", "-xx", "-s", "1000000", "-e", f"trace={_CALLS}", "-o", str(trace), *command],
        env=dict(environment),
        timeout=300,
        check=True,
    )  # fmt: skip
    steps: list[Step] = []
    unfinished: dict[str, str] = {}
    scripts: dict[str, str] = {}
    for line in trace.read_text(errors="replace").splitlines():
        pid, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            unfinished[pid] = call.removesuffix("<unfinished ...>").rstrip()
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", call):
            call = unfinished.pop(pid, "") + resumed[1]
        name = call.partition("(")[0]
        if name == "execve" and call.endswith("= 0"):
            scripts[pid] = " ".join(_strings(call))
        elif name == "exit_group":
            if call.startswith("exit_group(0)"):
                steps.append(Step("exit", scripts.get(pid, "")))
        elif (step := _step(name, call)) and step.path.startswith(str(folder)):
            steps.append(step)
    return steps


def _step(name: str, call: str) -> Step | None:
    answer = call.rpartition("= ")[2].split()
    if not answer or not answer[0].split("<")[0].isdecimal():
        return None  # the call failed
    opened = re.match(r"\w+\(\d+<([^>]*)>", call)
    path = _plain(opened[1]).removesuffix(" (deleted)") if opened else ""
    if name in ("write", "pwrite64"):
        data = _bytes(call)[: int(answer[0])]
        at = re.search(r", (\d+)\)\s+= ", call) if name == "pwrite64" else None
        return Step("write", path, data, int(at[1]) if at else None)
    if name in ("fsync", "fdatasync"):
        return Step("sync", path)
    if name == "ftruncate":
        size = re.search(r", (\d+)\)", call)
        return Step("truncate", path, offset=int(size[1]) if size else 0)
    named = _strings(call)
    if name in ("open", "openat"):
        if "O_TRUNC" in call:
            return Step("truncate", named[0], offset=0)
        return Step("create", named[0]) if "O_CREAT" in call else None
    if name.startswith("rename"):
        return Step("rename", named[0], target=named[1])
    if name.startswith("unlink"):
        return Step("unlink", named[-1])
    return Step("mkdir", named[-1]) if name.startswith("mkdir") else None


def _bytes(call: str) -> bytes:
    found = re.search(r'"((?:\\x[0-9a-f]{2})*)"', call)
    return _unescaped(found[1]) if found else b""


def _strings(call: str) -> list[str]:
    return [os.fsdecode(_unescaped(text)) for text in re.findall(r'"((?:\\x[0-9a-f]{2})*)"', call)]


def _plain(text: str) -> str:
    return os.fsdecode(_unescaped(text)) if "\\x" in text else text


def _unescaped(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


# --- disks ---


@dataclass
class _File:
    now: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    waiting: list[Step] = field(default_factory=list)

    def do(self, step: Step) -> None:
        if step.what == "write" and step.offset is None:
            step = Step("write", step.path, step.data, len(self.now))
        _change(self.now, step)
        self.waiting.append(step)


def _change(content: bytearray, step: Step) -> None:
    at = step.offset or 0
    if len(content) < at:
        content.extend(bytes(at - len(content)))
    if step.what == "truncate":
        del content[at:]
    else:
        content[at : at + len(step.data)] = step.data


class _Replay:
    """The files and folders below `home` after some steps: as processes see them, and what is
    durable."""

    def __init__(self, home: Path) -> None:
        self.files: dict[str, _File] = {}
        self.folders = {str(home)}
        self.durable: dict[str, _File] = {}
        self.durable_folders = {str(home)}
        # {folder: its changes that were not synced}; a change is (path, its new file or None).
        self.waiting = collections.defaultdict[str, list[tuple[str, _File | None]]](list)

    def do(self, step: Step) -> None:
        parent = os.path.dirname(step.path)
        if step.what == "mkdir":
            self.folders.add(step.path)
            self.waiting[parent].append((step.path, None))
        elif step.what == "sync" and step.path in self.folders:
            changes = self.waiting.pop(step.path, [])
            self.settle(changes, self.durable, self.durable_folders)
        elif step.what == "sync":
            if file := self.files.get(step.path):
                file.synced, file.waiting = bytes(file.now), []
        elif step.what == "rename":
            if file := self.files.pop(step.path, None):
                self.files[step.target] = file
                self.waiting[parent].append((step.path, None))
                self.waiting[os.path.dirname(step.target)].append((step.target, file))
        elif step.what == "unlink":
            if self.files.pop(step.path, None):
                self.waiting[parent].append((step.path, None))
        elif step.what in ("create", "truncate", "write") and step.path not in self.folders:
            if step.path not in self.files:
                self.files[step.path] = _File()
                self.waiting[parent].append((step.path, self.files[step.path]))
            if step.what != "create":
                self.files[step.path].do(step)

    def settle(
        self,
        changes: Sequence[tuple[str, _File | None]],
        files: dict[str, _File],
        folders: set[str],
    ) -> None:
        """Make changes of a folder to `files` and `folders`."""
        for path, file in changes:
            if file is not None:
                files[path] = file
            elif path in self.folders:
                folders.add(path)
            else:
                files.pop(path, None)


def disk(
    steps: Sequence[Step], home: Path, mode: Mode, chosen: random.Random
) -> tuple[dict[str, bytes], set[str]]:
    """({path: content}, folders), relative to `home`, that a power loss after these steps could
    leave."""
    replay = _Replay(home)
    for step in steps:
        replay.do(step)
    left, folders = dict(replay.durable), set(replay.durable_folders)
    for changes in replay.waiting.values():
        count = {"nothing": 0, "first": chosen.randint(0, len(changes))}.get(mode, len(changes))
        replay.settle(changes[:count], left, folders)
    files = {}
    for path, file in left.items():
        if not _is_reached(os.path.dirname(path), folders, home) or path.endswith("-shm"):
            continue  # shared memory does not survive a power loss
        content = bytearray(file.synced)
        kept: list[Step] = []
        if mode == "first":
            kept = file.waiting[: chosen.randint(0, len(file.waiting))]
        elif mode == "some":
            kept = [step for step in file.waiting if chosen.random() < 0.5]
        for step in kept:
            _change(content, _torn(step, chosen))
        files[os.path.relpath(path, home)] = bytes(content)
    reached = {path for path in folders if _is_reached(path, folders, home)}
    return files, {os.path.relpath(path, home) for path in reached}


def _is_reached(folder: str, folders: set[str], home: Path) -> bool:
    while folder != str(home):
        if folder not in folders or len(folder) < len(str(home)):
            return False
        folder = os.path.dirname(folder)
    return True


def _torn(step: Step, chosen: random.Random) -> Step:
    if step.what != "write" or len(step.data) <= _SECTOR or chosen.random() > 0.2:
        return step
    end = chosen.randrange(len(step.data) // _SECTOR + 1) * _SECTOR
    return Step("write", step.path, step.data[:end], step.offset)
