"""A mount that is gone, and what it does to a drain: a FUSE file system whose server takes every question and answers none. Who
asks it waits without end, and not even SIGKILL ends the process, as on a dead NFS or sshfs mount."""

import contextlib
import ctypes
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from fleet_lib import spool
from torture.ground import DRAINER, PYTHON, Broken, Ground

_HEADER = struct.Struct("<IIQQ")  # length, operation, its number, node
_INIT = 26
_WELCOME = struct.Struct("<IIIIHHIIHHIIII")
_WELCOME_BYTES = 64
_DETACH = 2  # MNT_DETACH

# The server is a process of its own: it must not share a thread with what asks it.
_SERVER = "import sys; sys.path.insert(0, sys.argv[1]); from torture import dead_mount as d; d.serve(int(sys.argv[2]))"


def dead_folders(ground: Ground, size: int) -> str:
    """The folder of every second session lies on a mount that is gone. Turns of the others are
    applied within seconds, `size` times, drainers that hang or not are killed at random, and when
    the mount is back nothing is lost."""
    if not is_possible():
        return "not possible here: it needs Linux, root and FUSE"
    dead, alive = ground.project("dead"), ground.project("alive")
    slowest = 0.0
    with dead_mount(dead):
        for number in range(size):
            with ground.drainer_lock():
                _capture(ground, "d", number, dead / f"p{number % 3}")
                ground.turn("a", number, alive)
            ground.end_all()
            began = time.monotonic()
            if number % 3 == 2:  # a drainer that may be waiting for the dead folder is killed
                drainer = subprocess.Popen(
                    [PYTHON, "-I", DRAINER, str(ground.home), "--once", "--now"],
                    env=ground.environment(),
                )
                time.sleep(ground.random.random() * 4)
                drainer.kill()
                drainer.wait()
            subprocess.run(
                [PYTHON, "-I", DRAINER, str(ground.home), "--once"],
                env=ground.environment(),
                timeout=120,
                check=False,
            )
            slowest = max(slowest, time.monotonic() - began)
            waiting = [path.name for path in (ground.home / "spool" / "new").iterdir()]
            if any(".a." in name for name in waiting):
                raise Broken(f"a turn of a healthy folder waits after {slowest:.1f} s")
        report = ground.console("status")
        if str(dead) not in "".join(report.stdout.split("\n")):
            raise Broken(f"status does not name the folder: {report.stdout[-300:]}")
    ground.check()
    return f"{size} turns each, the slowest drain {slowest:.1f} s"


def _capture(ground: Ground, session: str, number: int, folder: Path) -> None:
    """What the Stop hook of a turn left in the spool before the mount was gone: a hook that begins
    afterwards hangs with its client."""
    prompt = f"{session}-p{number}"
    payload = {"session_id": session, "prompt_id": prompt, "cwd": str(folder)}
    payload |= {"last_assistant_message": f"Turn {number} of {session} is done."}
    data = json.dumps(payload).encode()
    spool.put(str(ground.home), "Stop", data, session, str(folder), str(folder))
    ground.sent.add((session, prompt))
    ground.kept.add((session, prompt))


def is_possible() -> bool:
    """Whether such a mount can be made here: Linux, root, and FUSE."""
    return sys.platform == "linux" and os.geteuid() == 0 and os.access("/dev/fuse", os.R_OK)


@contextlib.contextmanager
def dead_mount(folder: Path) -> Iterator[None]:
    """Within the block, no question about the folder is answered. Afterwards it is an ordinary one
    again, and what hung there is let go. Raises OSError where that is not possible."""
    library = ctypes.CDLL(None, use_errno=True)
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()},allow_other"
    name = os.fsencode(folder)
    if library.mount(b"dead", name, b"fuse", 0, options.encode()):
        os.close(device)
        raise OSError(ctypes.get_errno(), "mount")
    root = str(Path(__file__).resolve().parent.parent)
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER, root, str(device)],
        pass_fds=[device],
        stdout=subprocess.PIPE,
    )
    os.close(device)
    try:
        assert server.stdout is not None
        server.stdout.readline()
        yield
    finally:
        server.kill()
        server.wait()
        library.umount2(name, _DETACH)
        time.sleep(0.1)


def serve(device: int) -> None:
    """Greet the kernel, then take questions and never answer."""
    while True:
        question = os.read(device, 1 << 20)
        _, operation, number, _ = _HEADER.unpack_from(question)
        if operation == _INIT:
            welcome = _WELCOME.pack(7, 31, 0, 0, 12, 8, 16384, 1, 0, 0, 0, 0, 0, 0)
            welcome = welcome.ljust(_WELCOME_BYTES, b"\0")
            os.write(device, struct.pack("<IiQ", 16 + len(welcome), 0, number) + welcome)
            print("serving", flush=True)
