"""A hook that prints nothing and records its input, for tests of the client itself.

`python dumping_hook.py FOLDER LABEL` with the payload on stdin; the files sort by time.
"""

import json
import os
import sys
import time
from pathlib import Path


def main() -> None:
    payload = sys.stdin.buffer.read()
    parent = Path(f"/proc/{os.getppid()}/cmdline")
    now = time.time_ns()
    record = {
        "time": now / 1e9,
        "label": sys.argv[2],
        "parent_pid": os.getppid(),
        "parent_command": parent.read_bytes().split(b"\0")[0].decode() if parent.exists() else "",
        "working_folder": str(Path.cwd()),
        "environment": dict(os.environ),
        "stdin": payload.decode(errors="replace"),
        "payload": json.loads(payload),
    }
    path = Path(sys.argv[1], f"{now}-{os.getpid()}.json")
    path.with_suffix(".tmp").write_text(json.dumps(record))
    path.with_suffix(".tmp").rename(path)


main()
