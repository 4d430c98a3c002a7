"""Which Claude Code process called a hook. Several of them may have one session open, and each
knows only what it was shown itself. Hot path."""

from fleet_lib.small_os import os

_SHELLS = (b"sh", b"dash", b"bash", b"ash", b"zsh", b"busybox")


def client() -> str:
    """The process as PID:START, where START is in ticks since the system started; "" if it is not
    known. Newer clients name their process; else it is the parent, or the parent's parent if a
    shell runs the hook."""
    named = os.environ.get("CLAUDE_PID", "")
    pid = int(named) if named.isdecimal() else os.getppid()
    for _ in range(3):
        try:
            descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
            head, _, tail = os.read(descriptor, 4096).rpartition(b")")
            os.close(descriptor)
            fields = tail.split()
            if head.partition(b"(")[2] not in _SHELLS:
                return f"{pid}:{fields[19].decode('ascii')}"
            pid = int(fields[1])
        except (OSError, ValueError, IndexError):
            return ""
    return ""
