"""Starting Fleet's background processes: the drainer, the job runner and the notifier. Hot path: starting the
drainer is the last thing that every hook does."""

import _signal
import os
import sys

from fleet_lib import paths

# What a hook ignores, and what it starts must not.
_GIVEN_BACK = (_signal.SIGTERM, _signal.SIGHUP, _signal.SIGINT)

_notifiers: "list[int]" = []  # process ids of those that this process has started


def start_drainer(home: str) -> None:
    """Start a detached drainer if an entry waits in the spool. A second drainer ends by itself, so
    the caller need not look for a running one, and must not: one that is about to end would miss
    the entry. Raises OSError if no drainer can be started."""
    try:
        with os.scandir(paths.spool(home, "new")) as entries:
            if next(entries, None) is None:
                return
    except FileNotFoundError:
        return  # no spool: nothing was ever captured here
    python = _interpreter(home)
    command = [python, "-I", paths.DRAINER, home]
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
    # Too heavy for the hot path. Popen also reaps the many that a gateway starts.
    import subprocess

    subprocess.Popen(
        [sys.executable, "-I", paths.JOB_RUNNER, home, f"{delay_seconds:.1f}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )


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
