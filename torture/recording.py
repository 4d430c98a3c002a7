"""A recording of what processes write below a folder, and the disks that a power loss could leave of it.

strace says each write, sync, rename and removal in order. What was synced is on any disk; of what was not, each file's
and each folder's changes may be there in part: none, all, the first few, or any of them, a write torn in its middle.
(POSIX promises no more than that; real file systems keep more.)
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
    """One call that changed something. `what` is write, sync, create, truncate, rename, unlink, mkdir or exit."""

    what: str
    path: str
    data: bytes = b""
    offset: int | None = None  # None: at the end; of truncate: the new size
    target: str = ""


def record(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> list[Step]:
    """Run a command with all that it starts, and tell what was done below the folder, and in between which process
    exited 0 (`path` is its command line)."""
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
        return None  # it failed
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


def disk(
    steps: Sequence[Step], home: Path, mode: Mode, chosen: random.Random
) -> tuple[dict[str, bytes], set[str]]:
    """({path: content}, folders), relative to `home`, that a power loss after these steps could leave."""
    there: dict[str, _File] = {}
    folders, waiting = (
        {str(home)},
        collections.defaultdict[str, list[tuple[str, _File | None]]](list),
    )
    durable: dict[str, _File] = {}
    durable_folders = {str(home)}

    def settle(
        changes: Sequence[tuple[str, "_File | None"]], onto: dict[str, _File], made: set[str]
    ) -> None:
        for path, file in changes:
            if file is not None:
                onto[path] = file
            elif path in folders:
                made.add(path)
            else:
                onto.pop(path, None)

    for step in steps:
        parent = os.path.dirname(step.path)
        if step.what == "mkdir":
            folders.add(step.path)
            waiting[parent].append((step.path, None))
        elif step.what == "sync" and step.path in folders:
            settle(waiting.pop(step.path, []), durable, durable_folders)
        elif step.what == "sync":
            if file := there.get(step.path):
                file.synced, file.waiting = bytes(file.now), []
        elif step.what == "rename":
            if file := there.pop(step.path, None):
                there[step.target] = file
                waiting[parent].append((step.path, None))
                waiting[os.path.dirname(step.target)].append((step.target, file))
        elif step.what == "unlink":
            if there.pop(step.path, None):
                waiting[parent].append((step.path, None))
        elif step.what in ("create", "truncate", "write") and step.path not in folders:
            if step.path not in there:
                there[step.path] = _File()
                waiting[parent].append((step.path, there[step.path]))
            if step.what != "create":
                there[step.path].do(step)

    left, made = dict(durable), set(durable_folders)
    for changes in waiting.values():
        count = {"nothing": 0, "first": chosen.randint(0, len(changes))}.get(mode, len(changes))
        settle(changes[:count], left, made)
    files = {}
    for path, file in left.items():
        if not _is_reached(os.path.dirname(path), made, home) or path.endswith("-shm"):
            continue  # memory, which no power loss leaves
        content = bytearray(file.synced)
        kept: list[Step] = []
        if mode == "first":
            kept = file.waiting[: chosen.randint(0, len(file.waiting))]
        elif mode == "some":
            kept = [step for step in file.waiting if chosen.random() < 0.5]
        for step in kept:
            _change(content, _torn(step, chosen))
        files[os.path.relpath(path, home)] = bytes(content)
    return files, {os.path.relpath(path, home) for path in made if _is_reached(path, made, home)}


def _is_reached(folder: str, made: set[str], home: Path) -> bool:
    while folder != str(home):
        if folder not in made or len(folder) < len(str(home)):
            return False
        folder = os.path.dirname(folder)
    return True


def _torn(step: Step, chosen: random.Random) -> Step:
    if step.what != "write" or len(step.data) <= _SECTOR or chosen.random() > 0.2:
        return step
    end = chosen.randrange(len(step.data) // _SECTOR + 1) * _SECTOR
    return Step("write", step.path, step.data[:end], step.offset)
