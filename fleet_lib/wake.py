"""Starting Fleet's background processes: the drainer and the job runner. Hot path: starting the
drainer is the last thing that every hook does."""

import os
import sys

from fleet_lib import paths


def start_drainer(home: str) -> None:
    """Start a detached drainer if any entry waits in the spool. It is single-flight by itself: a
    caller that looked for a running one would skip a start that is needed. Raises OSError where
    none can be started."""
    try:
        with os.scandir(paths.spool(home, "new")) as entries:
            if next(entries, None) is None:
                return
    except FileNotFoundError:
        return  # no spool: nothing was ever captured here
    python = _interpreter(home)
    command = [python, "-I", paths.DRAINER, home]
    # All but git's: an inherited GIT_DIR would override `git -C`. The rest is needed where a
    # plugin's environment is built (the package index) or a job runs (the model).
    environment = {name: os.environ[name] for name in os.environ if not name.startswith("GIT_")}
    null = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_RDWR, 0) for stream in (0, 1, 2)]
    try:
        os.posix_spawn(python, command, environment, file_actions=null, setsid=True)
    except NotImplementedError:  # an old C library: then the drainer does that itself
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


def _interpreter(home: str) -> str:
    """The interpreter that has Fleet's libraries, else this one."""
    places = [os.path.join(home, "venv"), os.path.join(paths.PROGRAM, ".venv")]
    plugin = os.environ.get("CLAUDE_PLUGIN_DATA")
    if plugin:
        places.append(os.path.join(plugin, "venv"))
    for place in places:
        python = os.path.join(place, "bin", "python")
        if os.access(python, os.X_OK):
            return python
    return sys.executable
