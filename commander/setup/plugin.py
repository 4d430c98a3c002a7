"""A plugin's environment: made once, in the background, in the folder that Claude Code keeps for the
plugin, by the drainer's stub when it finds that it cannot drain. Standard library, Python 3.9 and
later: it runs with whatever `python3` there is. The hooks need none of it; they only spool.

    python3 -I bootstrap.py FLEET_HOME             make it if it is not of this plugin, then drain
    python3 -I bootstrap.py --again FLEET_HOME     the same; also where it is, and cannot drain
    python3 -I bootstrap.py --explain FLEET_HOME   say how far it is, for a `fleet` that is not there yet
"""

import fcntl
import json
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from commander.setup import environment  # noqa: E402
from fleet_lib import log, paths, spool  # noqa: E402

RETRY_SECONDS = 600  # after a failure; each hook would try again otherwise


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
            return 0  # another one is at it
        is_broken = arguments[0] == "--again" and sys.prefix == str(data / "venv")
        if _is_settled(data, is_broken):
            return 0
        _write_state(data, "building")
        try:
            _make(data, home)
        except OSError as error:
            log.write(home, "plugin", f"the environment could not be made: {error}")
            _write_state(data, "failed", str(error))
            return 1
        _write_state(data, "ready")
    python = str(data / "venv" / "bin" / "python")
    return os.execv(python, [python, "-I", str(ROOT / "fleet_lib" / "drain" / "drain.py"), home])  # noqa: S606


def _make(data: Path, home: str) -> None:
    python = environment.find_python()
    if not python:
        raise environment.BuildFailed("Fleet needs Python 3.11 or later, and none was found")
    environment.build(data / "versions", data / "venv", ROOT, python, say=lambda line: None)
    made = str(data / "venv" / "bin" / "python")
    if os.spawnv(os.P_WAIT, made, [made, "-I", "-m", "commander.setup.commander_folder", home]):  # noqa: S606
        raise environment.BuildFailed(f"the Commander's folder in {home} could not be made")


def explain(home: str) -> str:
    """Why there is no console yet, and what becomes of what was captured."""
    waiting = len(spool.pending(home))
    kept = f"{waiting} captured entries wait safely in {paths.spool(home, 'new')}."
    states = [state for state in map(read_state, data_folders()) if state]
    for state in sorted(states, key=lambda state: state["at"], reverse=True):
        if state["state"] == "building":
            return f"fleet: the environment is being made (since {state['at']}). {kept}"
        if state["state"] == "failed":
            return (
                f"fleet: the environment could not be made ({state['at']}): {state['reason']}\n"
                f"  The end of a turn tries again, {RETRY_SECONDS // 60} minutes later. {kept}"
            )
    return (
        "fleet: the environment is made in the background after the first turn. Finish a turn in"
        f" any Claude Code session, then look again. {kept}"
    )


def data_folders() -> "list[Path]":
    """Where Claude Code keeps this plugin's data, whoever the marketplace is."""
    if named := os.environ.get("CLAUDE_PLUGIN_DATA"):
        return [Path(named)]
    claude = Path(os.environ.get("CLAUDE_CONFIG_DIR") or "~/.claude").expanduser()
    return sorted((claude / "plugins" / "data").glob("fleet-*"))


def read_state(data: Path) -> "dict[str, str]":
    """bootstrap.json of a plugin's data folder: state (building, ready, failed), at (ISO 8601), source
    (the plugin's folder), reason. {} if there is none."""
    try:
        value = json.loads((data / "bootstrap.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return {"state": "", "at": "", "source": "", "reason": "", **value} if value else {}


def _write_state(data: Path, state: str, reason: str = "") -> None:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    value = {"state": state, "at": at, "source": _source(), "reason": reason}
    (data / "bootstrap.json.new").write_text(json.dumps(value), "utf-8")
    (data / "bootstrap.json.new").replace(data / "bootstrap.json")


def _is_settled(data: Path, is_broken: bool) -> bool:
    """Whether there is nothing to do: made from this very plugin and sound, or tried a moment ago."""
    known = read_state(data)
    if known.get("source") != _source():
        return False
    age = time.time() - (data / "bootstrap.json").stat().st_mtime
    is_recent = 0 <= age < RETRY_SECONDS
    if known["state"] == "ready":
        is_there = os.access(data / "venv" / "bin" / "python", os.X_OK)
        return is_there and (is_recent or not is_broken)
    return known["state"] == "failed" and is_recent


def _source() -> str:
    """The plugin's folder, and when its list of dependencies was changed."""
    return f"{ROOT} {(ROOT / 'pyproject.toml').stat().st_mtime_ns}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
