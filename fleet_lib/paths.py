"""Where everything lives under FLEET_HOME. Hot path: standard library only, nothing is created here."""

import os

# Above this a payload is not a hook's input any more; what is beyond it is read and dropped.
MAX_PAYLOAD_BYTES = 64 * 1024 * 1024


# The folder that holds the packages `hooks`, `fleet_lib` and `commander`: a checkout, or site-packages.
PROGRAM = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# What a process is started with, by path.
DRAINER = os.path.join(PROGRAM, "fleet_lib", "drain", "drain.py")
JOB_RUNNER = os.path.join(PROGRAM, "fleet_lib", "jobs", "run.py")

# install.sh writes the home that it installed into beside the packages.
_INSTALLED_HOME = os.path.join(PROGRAM, "fleet-home.txt")


def home() -> str:
    """FLEET_HOME as an absolute path: the variable, else the home that this program was installed
    into, else `commander` in Claude Code's folder."""
    named = os.environ.get("FLEET_HOME") or _installed_home()
    if not named:
        claude = os.environ.get("CLAUDE_CONFIG_DIR") or os.path.join("~", ".claude")
        named = os.path.join(claude, "commander")
    # A user without a home folder gets none called "~" in whatever project it is.
    expanded = os.path.expanduser(named)
    return os.path.abspath("/" + expanded[1:] if expanded.startswith("~") else expanded)


def _installed_home() -> str:
    try:
        with open(_INSTALLED_HOME, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def uri(path: str, mode: str) -> str:
    """A path as the `file:` URI that SQLite opens with `uri=True`; mode is `ro` or `rw`. In a URI `%`, `?`
    and `#` have meanings of their own."""
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return f"file:{quoted}?mode={mode}"


def database(home: str) -> str:
    return os.path.join(home, "fleet.db")


def spool(home: str, folder: str) -> str:
    """One of the spool's folders: `tmp`, `new` or `bad`."""
    return os.path.join(home, "spool", folder)


def lock(home: str) -> str:
    """The drainer's single-flight lock: flock(2), also by filelock on the console's side."""
    return os.path.join(home, "spool", "lock")


def journal(home: str) -> str:
    """The entries that a drainer has begun and not finished, with how often that happened."""
    return os.path.join(home, "spool", "attempts")


def log_file(home: str) -> str:
    return os.path.join(home, "log", "fleet.log")


def backups(home: str) -> str:
    return os.path.join(home, "backups")


def is_commander(project_folder: str, home: str) -> bool:
    """Whether a session of this project folder is the Commander: the folder is FLEET_HOME itself."""
    try:
        return os.path.samefile(project_folder, home)
    except (OSError, ValueError):
        return False  # one of them is not there
