"""The drainer's entry: `python -I drain.py FLEET_HOME`, started detached by hooks.

Standard library only until the lock is held: most starts find another drainer at work and end here,
so they must cost next to nothing. What a drain does is drainer.py's.
"""

import _signal
import fcntl
import os
import sys

# Exit codes, for whoever waits: the spool is empty; another drainer is at work; the database cannot
# be used now, and the entries are where they were.
DONE, BUSY, UNUSABLE = 0, 75, 74


def main(home: str) -> int:
    for number in (_signal.SIGTERM, _signal.SIGHUP, _signal.SIGINT):
        if _signal.getsignal(number) == _signal.SIG_IGN:  # from the hook that started it
            _signal.signal(number, _signal.SIG_DFL)
    try:
        os.setsid()
    except PermissionError:
        pass  # a session of its own already
    os.chdir("/")
    os.umask(0o077)
    os.closerange(3, 64)  # nothing of Claude Code's may stay open in here
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    try:
        lock = os.open(os.path.join(home, "spool", "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return DONE  # no spool, so nothing waits
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return BUSY
        if root not in sys.path:
            sys.path.insert(0, root)
        try:
            from fleet_lib import spool
            from fleet_lib.drain import drainer
        except Exception as error:
            # Python too old, or without Fleet's libraries: a plugin's first turns, or a bare checkout.
            fcntl.flock(lock, fcntl.LOCK_UN)
            _make_environment(root, "--again", home)
            from fleet_lib import log

            log.write(home, "drain", f"{sys.executable} cannot drain: {error}; the entries wait")
            return UNUSABLE
        usable = drainer.drain(home)
        fcntl.flock(lock, fcntl.LOCK_UN)
        # An entry that came after the last look and before the release: its own drainer found the
        # lock held and ended, so this one looks once more.
        if not usable or not spool.pending(home):
            break
    if sys.prefix == os.path.join(os.environ.get("CLAUDE_PLUGIN_DATA", ""), "venv"):
        _make_environment(root, home)  # ends at once unless the plugin was updated
    return DONE if usable else UNUSABLE


def _make_environment(root: str, *arguments: str) -> None:
    """As a plugin: have the environment made or brought up to date, in this process's place."""
    if os.environ.get("CLAUDE_PLUGIN_DATA"):
        script = os.path.join(root, "commander", "setup", "plugin.py")
        os.execv(sys.executable, [sys.executable, "-I", script, *arguments])  # noqa: S606


if __name__ == "__main__":
    sys.exit(main(os.path.abspath(sys.argv[1])))
