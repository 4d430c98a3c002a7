"""Which file system a path lies on, by the system's list of mounts: none of them is asked, since one
that is gone never answers.

Standard library only: the drainer looks before it imports the rest.
"""

import os

# File systems that several kernels may have mounted: what one of them does, the others do not notice.
_SHARED = (
    *("9p", "afs", "beegfs", "ceph", "cifs", "fakeowner", "fuse.", "gfs", "gluster", "grpcfuse"),
    *("lustre", "ncp", "nfs", "ocfs", "orangefs", "prl_fs", "smb", "vboxsf", "virtiofs", "vmhgfs"),
)


def mount_of(path: str) -> tuple[str, str]:
    """(where the file system of a path without symbolic links is mounted, what kind it is); empty if
    the system does not say."""
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return "", ""
    longest, kind = b"", b""
    for line in lines:
        mount, _, rest = line.partition(b" - ")
        place = _unescaped(mount.split(b" ")[4])
        inside = place.rstrip(b"/") + b"/"
        # A later one at the same place hides the one before it.
        if (os.fsencode(path) + b"/").startswith(inside) and len(place) >= len(longest):
            longest, kind = place, rest.partition(b" ")[0]
    return os.fsdecode(longest), kind.decode("ascii", "replace")


def is_shared(path: str) -> bool:
    """Whether another kernel may use what is there, where the system says it."""
    return mount_of(os.path.realpath(path))[1].startswith(_SHARED)


def _unescaped(name: bytes) -> bytes:
    for code, character in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n")):
        name = name.replace(code, character)
    return name.replace(b"\\134", b"\\")
