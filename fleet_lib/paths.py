"""Where everything lives under FLEET_HOME. Nothing is created here. Hot path."""

from fleet_lib.small_os import os

# No hook's input is larger. What is beyond it is read and dropped.
MAX_PAYLOAD_BYTES = 64 * 1024 * 1024

# The folder of the packages `hooks`, `fleet_lib` and `commander`: a checkout or site-packages.
PROGRAM = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def drainer_of(program: str) -> str:
    """The drainer's file, by which a room that stands below it starts it as a process."""
    return os.path.join(program, "fleet_lib", "drain", "drain.py")


DRAINER = drainer_of(PROGRAM)
JOB_RUNNER = os.path.join(PROGRAM, "fleet_lib", "jobs", "run.py")
NOTIFIER = os.path.join(PROGRAM, "fleet_lib", "notify", "run.py")
RELAY = os.path.join(PROGRAM, "fleet_lib", "relay", "process.py")

# install.sh writes the home that it installed into to this file beside the packages.
_INSTALLED_HOME = os.path.join(PROGRAM, "fleet-home.txt")


def home() -> str:
    """Fleet's home as an absolute path: the variable FLEET_HOME, else the home that this program
    was installed into, else `commander` in Claude Code's folder."""
    named = os.environ.get("FLEET_HOME") or _installed_home()
    if not named:
        claude = os.environ.get("CLAUDE_CONFIG_DIR") or os.path.join("~", ".claude")
        named = os.path.join(claude, "commander")
    # For a user without a home folder `~` stays; it must not become a folder called "~" here.
    expanded = os.path.expanduser(named)
    return os.path.abspath("/" + expanded[1:] if expanded.startswith("~") else expanded)


def _installed_home() -> str:
    try:
        with open(_INSTALLED_HOME, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def uri(path: str, mode: str) -> str:
    """A path as the `file:` URI that SQLite opens with `uri=True`; the mode is `ro` or `rw`.
    `%`, `?` and `#` have meanings of their own in a URI."""
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return f"file:{quoted}?mode={mode}"


def database(home: str) -> str:
    return os.path.join(home, "fleet.db")


def spool(home: str, folder: str) -> str:
    """One of the spool's folders: `tmp`, `new` or `bad`."""
    return os.path.join(home, "spool", folder)


def lock(home: str) -> str:
    """The lock that lets only one drainer run: flock(2), which the console takes with filelock."""
    return os.path.join(home, "spool", "lock")


def wake(home: str) -> str:
    """The FIFO through which a drainer that lingers is woken (wake.ring)."""
    return os.path.join(home, "spool", "wake")


def put_off(home: str) -> str:
    """The places that do not answer, and the entries that wait for them."""
    return os.path.join(home, "spool", "put-off")


def log_file(home: str) -> str:
    return os.path.join(home, "log", "fleet.log")


def backups(home: str) -> str:
    return os.path.join(home, "backups")


def cache(home: str) -> str:
    """What may be lost: see turn/kept.py."""
    return os.path.join(home, "cache")


def relay(home: str, name: str) -> str:
    """A file of the home's membership in a relay: its key, its locks."""
    return os.path.join(home, "relay", name)


def history_lock(home: str) -> str:
    """The lock that the daily prune of the history holds."""
    return os.path.join(home, "history.lock")


def gateway_lock(home: str) -> str:
    """The lock that a running gateway holds (held.py)."""
    return os.path.join(home, "gateway.lock")


def notify_targets(home: str) -> str:
    """Where messages are sent to; private, since addresses hold secrets."""
    return os.path.join(home, "notify.json")


def notify_lock(home: str) -> str:
    """The lock that lets only one process send messages (held.py)."""
    return os.path.join(home, "notify.lock")


def is_commander(project_folder: str, home: str) -> bool:
    """Whether a session of this folder is a Commander: the folder is Fleet's home itself."""
    try:
        return os.path.samefile(project_folder, home)
    except (OSError, ValueError):
        return False  # one of them is not there
