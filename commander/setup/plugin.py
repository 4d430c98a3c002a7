"""The environment of Fleet as a plugin. A drainer that lacks Fleet's libraries starts this file,
which builds the environment in the background, in the folder that Claude Code keeps for the
plugin's data. The hooks do not need it, since they only write into the spool. Python 3.9 and later,
standard library only: it runs with any `python3`.

    python3 -I plugin.py FLEET_HOME             build it unless this plugin has built it, then drain
    python3 -I plugin.py --again FLEET_HOME     the same, but also build it again if it cannot drain
    python3 -I plugin.py --explain FLEET_HOME   print why there is no `fleet` command yet
"""

import fcntl
import json
import os
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from commander.setup import environment
from fleet_lib import log, paths, spool, wake
from fleet_lib.files import read_json_object, write_whole

RETRY_SECONDS = 600  # after a failure; otherwise each hook would try again


def main(arguments: "list[str]") -> int:
    home = str(Path(arguments[-1]).absolute())
    if arguments[0] == "--explain":
        print(explain(home), file=sys.stderr)
        return 1
    data = Path(os.environ["CLAUDE_PLUGIN_DATA"])
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (data / "bootstrap.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0  # another process is building it
        is_broken = arguments[0] == "--again" and sys.prefix == str(data / "venv")
        if _is_settled(data, is_broken):
            return 0
        _write_state(data, "building")
        try:
            _build(data, home)
        except OSError as error:
            log.write(home, "plugin", f"the environment could not be built: {error}")
            _write_state(data, "failed", str(error))
            return 1
        _write_state(data, "ready")
    wake.ring(home, wake.LEAVE)  # a drainer of the program before
    python = str(data / "venv" / "bin" / "python")
    return os.execv(python, [python, "-I", paths.DRAINER, home])  # noqa: S606


def _build(data: Path, home: str) -> None:
    python = environment.find_python()
    if not python:
        raise environment.BuildFailed("Fleet needs Python 3.11 or later, but none was found")
    source = Path(paths.PROGRAM)
    environment.build(data / "versions", data / "venv", source, python, say=lambda line: None)
    built = str(data / "venv" / "bin" / "python")
    make_folder = [built, "-I", "-m", "commander.setup.commander_folder", home]
    if os.spawnv(os.P_WAIT, built, make_folder):  # noqa: S606
        raise environment.BuildFailed(f"the Commander's folder {home} could not be made")


def explain(home: str) -> str:
    """Why there is no `fleet` command yet, and where captured turns are meanwhile."""
    number = len(spool.pending(home))
    waiting = f"Captured entries that wait safely in {paths.spool(home, 'new')}: {number}."
    states = [state for state in map(read_state, data_folders()) if state]
    for state in sorted(states, key=lambda state: state["at"], reverse=True):
        if state["state"] == "building":
            return (
                f"fleet: The environment is being built (since {state['at']}). This takes about"
                f" half a minute.\n  {waiting}"
            )
        if state["state"] == "failed":
            return (
                f"fleet: The environment could not be built ({state['at']}): {state['reason']}\n"
                f"  Fleet tries again at the end of a turn, after {RETRY_SECONDS // 60} minutes.\n"
                f"  {waiting}"
            )
    return (
        "fleet: The environment is built in the background after the first turn. Finish a turn in"
        f" any Claude Code session, then try again.\n  {waiting}"
    )


def data_folders() -> "list[Path]":
    """Where Claude Code keeps this plugin's data, from whatever marketplace it was installed."""
    if named := os.environ.get("CLAUDE_PLUGIN_DATA"):
        return [Path(named)]
    claude = Path(os.environ.get("CLAUDE_CONFIG_DIR") or "~/.claude").expanduser()
    return sorted((claude / "plugins" / "data").glob("fleet-*"))


def read_state(data: Path) -> "dict[str, str]":
    """bootstrap.json in a plugin's data folder: state (building, ready or failed), at (ISO 8601),
    source (see _source) and reason. {} if there is none."""
    value = read_json_object(data / "bootstrap.json")
    return {"state": "", "at": "", "source": "", "reason": "", **value} if value else {}


def _write_state(data: Path, state: str, reason: str = "") -> None:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    value = {"state": state, "at": at, "source": _source(), "reason": reason}
    write_whole(data / "bootstrap.json", json.dumps(value))


def _is_settled(data: Path, is_broken: bool) -> bool:
    """Whether there is nothing to do: it was built from this plugin and works, or building it has
    just failed."""
    known = read_state(data)
    if known.get("source") != _source():
        return False
    age = time.time() - (data / "bootstrap.json").stat().st_mtime
    is_recent = 0 <= age < RETRY_SECONDS
    if known["state"] == "ready":
        exists = os.access(data / "venv" / "bin" / "python", os.X_OK)
        return exists and (is_recent or not is_broken)
    return known["state"] == "failed" and is_recent


def _source() -> str:
    """The plugin's folder, and when its list of dependencies was changed last."""
    return f"{paths.PROGRAM} {Path(paths.PROGRAM, 'pyproject.toml').stat().st_mtime_ns}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
