"""`install.sh --uninstall`: removes the hooks and the program, and with --purge the data too.
Standard library only, and it needs nothing of what was installed."""

import contextlib
import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from commander.setup import hook_entries, preconditions, settings, settings_record
from commander.setup.commander_folder import note_written, write_command, written_files
from fleet_lib import held, paths, wake
from fleet_lib.errors import BadInput

_HOOKS_SECONDS = 1.0
_COMMAND_SECONDS = 20.0
_LOCK_SECONDS = 60.0
_PROGRAM = ("venv", "versions", "bin", settings_record.NAME)
_DATA = (
    ".gitignore",
    "fleet.db",
    "fleet.db-wal",
    "fleet.db-shm",
    "spool",
    "log",
    "backups",
    "cache",
    "config.toml",
    "gateway.token",
    "gateway.name",
    "gateway.lock",
    "history.lock",
    "history.json",
    "jobs.lock",
    "jobs.waiting",
    "notify.json",
    "notify.lock",
)


def installed_home(claude: Path) -> Path:
    """The home whose hooks are registered, else the default."""
    with contextlib.suppress(BadInput):
        for chosen in settings.named_homes(claude / "settings.json"):
            if chosen.exists():
                return chosen
    return hook_entries.usual_home(claude)


def uninstall(
    claude: Path, home: Path, say: Callable[[str], object], *, purge: bool, dry_run: bool
) -> None:
    """Remove the hooks and the program; with `purge` the data too. Raises BadInput or OSError."""
    file, commander_file = claude / "settings.json", home / ".claude" / "settings.json"
    others = settings_record.other_files(home, file)
    changes = [settings.without_hooks(file, settings_record.read(home, file))]
    if commander_file.exists() and not purge and not others:
        changes.append(settings.without_hooks(commander_file, {}))
    if purge:
        if others:
            raise BadInput(
                f"{others[0]} has hooks of {home} too."
                f" Uninstall that first: --uninstall --claude-dir {others[0].parent}"
            )
        _require_fleet_home(home, claude)
    doomed = [] if others else _doomed(home, [file, commander_file], purge)
    if dry_run:
        _show_changes(changes, doomed, say)
        return
    preconditions.check(claude, home, changes)
    if not others:
        _require_no_jobs(home)
    was_there = home.exists()
    for planned in changes:
        was = settings_record.read(home, file) if planned.path == file else {}
        change, backup = settings.apply(partial(settings.without_hooks, planned.path, was))
        if backup and purge:
            backup.unlink()
        if planned.path == commander_file:
            note_written(home, change)
        say(
            f"Removed Fleet's hooks from {planned.path}."
            if change.has_effect
            else f"{planned.path} has no hooks of Fleet."
        )
    if not others:
        # Running sessions know the hooks still, and call them. They do nothing from here on.
        (home / hook_entries.HOOK_FILE).unlink(missing_ok=True)
        _remove_completion(home)
        _end(Path(paths.gateway_lock(str(home))), "the gateway", say)
        _end(Path(paths.notify_lock(str(home))), "the sender of messages", say)
        if was_there:
            time.sleep(_HOOKS_SECONDS)  # those that have just been started still read the program
    with _without_drainer(home, say):
        for path in doomed:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    if others:
        settings_record.forget(home, file)
        say(f"The program stays in {home}, because {others[0]} has its hooks too.")
    elif purge:
        _remove_empty_folders(home)
        _report_purge(home, was_there, say)
    else:
        _hand_over_to_plugin(claude, home)
        _report_data(home, say)


def _doomed(home: Path, settings_files: list[Path], purge: bool) -> list[Path]:
    """What uninstalling removes."""
    doomed = [home / name for name in (*_PROGRAM, *(_DATA if purge else ()))]
    if purge:
        doomed += [home / name for name in written_files(home)]
        for file in settings_files:
            doomed += settings.backups(file)
    return doomed


def _show_changes(
    changes: list[settings.Change], doomed: list[Path], say: Callable[[str], object]
) -> None:
    for change in changes:
        say(change.diff() or f"{change.path} has no hooks of Fleet.")
    for path in doomed:
        if path.exists() or path.is_symlink():
            say(f"{path} would be removed.")
    say("\nThis was a dry run: nothing was changed.")


def _remove_completion(home: Path) -> None:
    """Undo `fleet completion install` while there still is a console that can do it."""
    python = home / "venv" / "bin" / "python"
    if python.exists():
        command = [str(python), "-I", "-m", "commander", "completion", "uninstall"]
        subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL)


def _remove_empty_folders(home: Path) -> None:
    for folder in (*sorted((home / ".claude").glob("**/"), reverse=True), home):
        with contextlib.suppress(OSError):
            folder.rmdir()


def _report_purge(home: Path, was_there: bool, say: Callable[[str], object]) -> None:
    if home.exists():
        left = ", ".join(sorted(path.name for path in home.iterdir()))
        say(f"{home} stays, because it holds files that are not Fleet's: {left}")
    elif was_there:
        say(f"Removed {home}.")
    else:
        say(f"{home} does not exist. If Fleet's data is elsewhere, name it with --fleet-home.")


def _hand_over_to_plugin(claude: Path, home: Path) -> None:
    """If Fleet is a plugin too, `bin/fleet` goes on with the plugin's environment."""
    for python in sorted((claude / "plugins" / "data").glob("fleet-*/venv/bin/python")):
        write_command(home, python)


def _report_data(home: Path, say: Callable[[str], object]) -> None:
    if home.exists():
        size = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
        say(
            f"What was captured is still in {home} ({size / 1e6:.1f} MB). To delete it:\n"
            f"  ./install.sh --uninstall --purge --fleet-home {shlex.quote(str(home))}"
        )


def _require_fleet_home(home: Path, claude: Path) -> None:
    """Never remove what is not Fleet's. Raises BadInput."""
    real = home.resolve()
    users = Path(os.path.expanduser("~")).resolve()  # noqa: PTH111  there may be none
    if real in (users, claude.resolve(), *claude.resolve().parents):
        raise BadInput(f"{home} is not a folder of Fleet, so nothing was removed.")
    marks = ("fleet.db", "spool", *_PROGRAM, *written_files(home))
    if home.exists() and not any((home / mark).exists() for mark in marks):
        raise BadInput(f"There is no Fleet in {home}, so nothing was removed.")


def _require_no_jobs(home: Path) -> None:
    """Raises BadInput while a job runs: its program may not be taken away under it."""
    command = [str(home / "bin" / "fleet"), "jobs", "list", "--status", "running", "--json"]
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        done = subprocess.run(
            command,
            check=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"FLEET_HOME": str(home)},
            timeout=_COMMAND_SECONDS,
        )
        if numbers := " ".join(str(job["job_id"]) for job in json.loads(done.stdout)):
            raise BadInput(
                f"Jobs are running ({numbers}). Wait for them, or run"
                f" `{shlex.quote(command[0])} jobs cancel {numbers}`, then run this again."
            )


def _end(lock: Path, what: str, say: Callable[[str], object]) -> None:
    """End the process that holds a lock."""
    running = held.holder(lock)
    if running is None:
        return
    say(f"Ending {what} (process {running.pid}).")
    with contextlib.suppress(OSError):
        os.kill(running.pid, signal.SIGTERM)
    deadline = time.monotonic() + _COMMAND_SECONDS
    while held.holder(lock) and time.monotonic() < deadline:
        time.sleep(0.1)


def _holder_words(home: Path) -> str:
    holder = held.named(Path(paths.lock(str(home))))
    return f" ({holder.trouble() or holder.in_words()})" if holder else ""


@contextlib.contextmanager
def _without_drainer(home: Path, say: Callable[[str], object]) -> Iterator[None]:
    """Within the block no drainer is working. One that is ends soon, since the hooks are removed
    already. Raises BadInput if it does not."""
    try:
        lock = Path(paths.lock(str(home))).open("a")  # noqa: SIM115
    except OSError:
        yield
        return
    deadline = time.monotonic() + _LOCK_SECONDS
    with lock:
        has_said = False
        while True:
            lingers = wake.ring(str(home), wake.LEAVE)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not has_said and not lingers:
                    has_said = True
                    say("A drainer is applying what was captured. Waiting for it to finish ...")
                if time.monotonic() > deadline:
                    raise BadInput(
                        f"The drainer of {home} has not finished in {_LOCK_SECONDS:.0f} s"
                        f"{_holder_words(home)}. The"
                        " hooks are removed; run this again later to remove the program."
                    ) from None
                time.sleep(0.1)
        yield
