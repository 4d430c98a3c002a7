"""Waking or starting Fleet's background processes: the drainer, the job runner, the notifier. Hot
path: waking the drainer is the last thing that every hook does."""

import _signal
import sys
import time

from fleet_lib import paths
from fleet_lib.small_os import os

RELAY_SECONDS = 10.0  # between two exchanges that no one asked for
# What the drainer that lingers is written (drain/linger.py), a line each: look at the spool, which may
# name the hook's program; end.
WAKE, LEAVE = b"\n", b"q\n"
_STALE_NS = 10_000_000_000  # an entry of this age should have been applied
_LOOKED_AT = 100  # entries

# What a hook ignores, and what it starts must not.
_GIVEN_BACK = (_signal.SIGTERM, _signal.SIGHUP, _signal.SIGINT)

_notifiers: "list[int]" = []  # process ids of those that this process has started


def wake_drainer(home: str, program: str = paths.PROGRAM) -> None:
    """Have what waits in the spool applied: wake the drainer that lingers, or start a detached one of
    this program. Call it when the entry is durable. Raises OSError if no drainer can be started."""
    stale = f"{time.time_ns() - _STALE_NS:020d}"
    is_waiting = is_stale = False
    try:
        with os.scandir(paths.spool(home, "new")) as entries:
            for number, entry in enumerate(entries):
                is_waiting, is_stale = True, is_stale or entry.name < stale
                if number == _LOOKED_AT:
                    break  # thousands wait: looking at each would cost more than the hook
    except FileNotFoundError:
        return  # no spool: nothing was ever captured here
    if not is_waiting:
        return
    # An entry that has waited for so long shows that the one who takes the wakes applies nothing,
    # unless it waits for a place that does not answer.
    is_stale = is_stale and not os.path.exists(paths.put_off(home))
    name = b"" if "\n" in program else os.fsencode(program)
    if not ring(home, name + WAKE) or is_stale or not _is_draining(home):
        _start_drainer(home, program)


def ring(home: str, message: bytes = WAKE) -> bool:
    """Write to the drainer that lingers: to look at the spool (WAKE) or to end (LEAVE); whether one
    is there. It never waits."""
    try:
        fifo = os.open(paths.wake(home), os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False  # no drainer has it open
    try:
        is_fifo = os.fstat(fifo).st_mode & 0o170000 == 0o010000
        return is_fifo and os.write(fifo, message) == len(message)
    except OSError:
        return False  # it has just closed it, or is stopped and reads nothing
    finally:
        os.close(fifo)


def view() -> str:
    """What decides over what a process sees: its user and its mount namespace, if there are such."""
    try:
        return f"{os.geteuid()} {os.stat('/proc/self/ns/mnt').st_ino}"
    except OSError:
        return f"{os.geteuid()}"


def end_stranger(home: str) -> None:
    """End a drainer that lingers and that does not see the entry that is about to be written, or its
    folders: one of another user, or in another mount namespace, such as that of a container. Waits
    for at most 50 ms."""
    try:
        lock = os.open(paths.lock(home), os.O_RDONLY | os.O_NONBLOCK)
        try:
            holder = os.read(lock, 4096).split(b"\n")  # as held.py writes it
        finally:
            os.close(lock)
    except OSError:
        return  # the first entry
    if len(holder) > 6 and holder[5] != view().encode():
        for _ in range(50):
            if not ring(home, LEAVE):
                break
            time.sleep(0.001)


def _is_draining(home: str) -> bool:
    """Whether a drainer holds its lock. If not, another program reads the FIFO, and the caller must
    start a drainer: one that starts at this moment finds the lock held."""
    import fcntl

    try:
        lock = os.open(paths.lock(home), os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def _start_drainer(home: str, program: str) -> None:
    """Start a detached drainer. A second one ends by itself, so the caller need not look for a
    running one, and must not: one that is about to end would miss the entry."""
    python = _interpreter(home)
    command = [python, "-I", "-S", paths.drainer_of(program), home]
    # Without what would lead git to another repository: an inherited GIT_DIR would override
    # `git -C`. The others are needed to build a plugin's environment (the package index), to run a
    # job (the model), and for git's own settings, as safe.directory.
    environment = {
        name: os.environ[name]
        for name in os.environ
        if not name.startswith("GIT_") or name.startswith("GIT_CONFIG_")
    }
    null = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_RDWR, 0) for stream in (0, 1, 2)]
    try:
        os.posix_spawn(
            python, command, environment, file_actions=null, setsid=True, setsigdef=_GIVEN_BACK
        )
    except NotImplementedError:  # an old C library; then the drainer does both itself
        os.posix_spawn(python, command, environment, file_actions=null)


def start_job_runner(home: str, delay_seconds: float = 0.0) -> None:
    """Start a detached job runner, which begins after a delay and ends if it is not needed."""
    start_detached([sys.executable, "-I", paths.JOB_RUNNER, home, f"{delay_seconds:.1f}"])


def start_detached(command: "list[str]") -> None:
    """Start a program that goes on by itself, in a session of its own and with null streams."""
    # Too heavy for the hot path. Popen also reaps the many that a gateway starts.
    import subprocess

    null = subprocess.DEVNULL
    subprocess.Popen(command, stdin=null, stdout=null, stderr=null, cwd="/", start_new_session=True)


def start_relay(home: str) -> None:
    """Start a detached exchange with the other machines, unless this home has joined no relay, or
    one was tried just now. One runs at a time, and at most one more waits for its time."""
    if not os.path.exists(paths.relay(home, "seed")):
        return
    from fleet_lib import hot_settings

    try:
        ahead = os.stat(paths.relay(home, "not-before")).st_mtime - time.time()
    except OSError:
        ahead = 0.0
    # The file's time is when the next one may begin: after a failure that is later.
    if ahead > RELAY_SECONDS or hot_settings.setting(home, "relay", "auto") == "false":
        return
    start_detached([_interpreter(home), "-I", paths.RELAY, home])


def start_notifier(home: str, delay_seconds: float) -> None:
    """Start the process that sends messages, which begins after a delay and detaches itself. Its
    streams are null, so it holds up neither a hook nor the drainer."""
    for child in _notifiers[:]:  # the starter may run for long: an ended child must not stay
        try:
            is_over = os.waitpid(child, os.WNOHANG)[0] != 0
        except ChildProcessError:
            is_over = True
        if is_over:
            _notifiers.remove(child)
    null = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_RDWR, 0) for stream in (0, 1, 2)]
    command = [sys.executable, "-I", paths.NOTIFIER, home, f"{delay_seconds:.3f}"]
    _notifiers.append(os.posix_spawn(sys.executable, command, os.environ, file_actions=null))


def _interpreter(home: str) -> str:
    """The interpreter that has Fleet's dependencies, else this one."""
    places = [os.path.join(home, "venv"), os.path.join(paths.PROGRAM, ".venv")]
    plugin = os.environ.get("CLAUDE_PLUGIN_DATA")
    if plugin:
        places.append(os.path.join(plugin, "venv"))
    for place in places:
        python = os.path.join(place, "bin", "python")
        if os.access(python, os.X_OK):
            return python
    return sys.executable
