"""A mount that is gone: a FUSE file system whose server takes every question and answers none. Who
asks it waits without end, and not even SIGKILL ends the process, as on a dead NFS or sshfs mount."""

import contextlib
import ctypes
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_HEADER = struct.Struct("<IIQQ")  # length, operation, its number, node
_INIT = 26
_WELCOME = struct.Struct("<IIIIHHIIHHIIII")
_WELCOME_BYTES = 64
_DETACH = 2  # MNT_DETACH

# The server is a process of its own: it must not share a thread with whoever asks.
_SERVER = "import sys; sys.path.insert(0, sys.argv[1]); from torture import dead_mount as d; d.serve(int(sys.argv[2]))"


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
