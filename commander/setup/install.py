"""install.sh: the program into an environment of its own, the hooks into Claude Code's settings, the
Commander's folder; or all of that out again. Standard library only: it runs from a checkout, before there
is an environment and after there was one. Every step is whole or not done, and can be done again.
"""

import argparse
import contextlib
import fcntl
import glob
import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(SOURCE))

from commander.setup import environment, settings  # noqa: E402
from commander.setup.commander_folder import (  # noqa: E402
    HOME_TEMPLATE,
    make_commander_folder,
    note_written,
    write_command,
    written_files,
)
from fleet_lib import paths  # noqa: E402
from fleet_lib.errors import BadInput, FleetError  # noqa: E402
from fleet_lib.files import write_whole  # noqa: E402
from fleet_lib.store import db, migrate  # noqa: E402

_RECORD = "settings-record.json"
_PROGRAM = ("venv", "versions", "bin", _RECORD)
_DATA = (
    "fleet.db",
    "fleet.db-wal",
    "fleet.db-shm",
    "spool",
    "log",
    "backups",
    "config.toml",
    "gateway.token",
    "jobs.lock",
    "jobs.waiting",
)

_EXAMPLES = """examples:
  ./install.sh                       into ~/.claude, or $CLAUDE_CONFIG_DIR
  ./install.sh --with gateway        with the dashboard (fleet gateway)
  ./install.sh --dry-run             what would be changed, and change nothing
  ./install.sh --uninstall           take it out; what was captured stays
  ./install.sh --uninstall --purge   take it out with everything that was captured

Run it again to upgrade."""


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    claude = _folder(options.claude_dir or os.environ.get("CLAUDE_CONFIG_DIR") or "~/.claude")
    say: Callable[[str], object] = (lambda line: None) if options.quiet else print
    try:
        if options.uninstall:
            uninstall(claude, _installed_home(options, claude), options, say)
        else:
            named = options.fleet_home or os.environ.get("FLEET_HOME")
            install(claude, _folder(named or str(claude / "commander")), options, say)
    except (FleetError, OSError) as error:
        print(f"install.sh: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("install.sh: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


def install(
    claude: Path, home: Path, options: argparse.Namespace, say: Callable[[str], object]
) -> None:
    """Install or upgrade. Raises FleetError or OSError with one line; what was there still works."""
    file = claude / "settings.json"
    python, hooks = home / "venv" / "bin" / "python", home / "venv" / "app" / "hooks"
    ours = settings.registration(settings.settings_example(), python, hooks)["hooks"]
    # Before anything is made: a settings file that we cannot edit.
    change = settings.with_hooks(file, ours, _read_record(home, file))
    if options.dry_run:
        say(change.diff() or f"{file}: hooks already registered")
        say(f"\nThe program and the Commander's folder would be in {home}. Nothing was changed.")
        return
    if home.exists() and not home.is_dir():
        raise BadInput(f"{home} is not a folder: name another one with --fleet-home")
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if home.stat().st_mode & 0o077:
        home.chmod(0o700)  # it holds what you and the model said
    version = ".".join(map(str, sys.version_info[:3]))
    say(f"Installing Fleet into {home} with Python {version} ...")
    environment.build(
        home / "versions",
        home / "venv",
        SOURCE,
        sys.executable,
        home=home,
        extras=options.extras,
        say=say,
    )
    write_command(home, python)
    _migrate(home, say)
    for name in make_commander_folder(home, python, hooks):
        say(
            f"{home / name} was edited by you and left unchanged; the new version is in"
            f" {HOME_TEMPLATE}"
        )
    change = settings.with_hooks(file, ours, _read_record(home, file))
    if change.is_one:
        # The record first: without it nobody could tell what was there before us.
        _write_record(home, file, change.was)
        backup = settings.write(change)
        say(f"{file}: hooks registered" + (f" (before: {backup.name})" if backup else ""))
    else:
        say(f"{file}: hooks already registered")
    if json.loads((change.after or "{}").removeprefix("\ufeff")).get("disableAllHooks"):
        say(f"\n{file} has disableAllHooks: nothing is captured until you take that out.")
    _show_main_job(home, options.quiet)
    fleet = shlex.quote(str(home / "bin" / "fleet"))
    say("\nDone. Claude Code sessions that start from now on are captured.")
    say(f"  {fleet} status       who needs you")
    say(f"  {fleet} commander    the Commander")
    say(f"  mkdir -p ~/.local/bin && ln -s {fleet} ~/.local/bin/    for `fleet` on your PATH")


def uninstall(
    claude: Path, home: Path, options: argparse.Namespace, say: Callable[[str], object]
) -> None:
    """Take the hooks and the program out; with `purge` the data too."""
    file = claude / "settings.json"
    changes = [settings.without_hooks(file, _read_record(home, file))]
    commanders = home / ".claude" / "settings.json"
    if commanders.exists() and not options.purge:
        changes.append(settings.without_hooks(commanders, {}))
    doomed = [home / name for name in (*_PROGRAM, *(_DATA if options.purge else ()))]
    others = _other_users(home, file)
    if others and options.purge:
        raise BadInput(
            f"{home} is used by {others[0]} too: uninstall that first (--claude-dir {others[0].parent})"
        )
    if others:
        doomed = []
    if options.purge:
        _require_fleet_home(home, claude)
        doomed += [home / name for name in written_files(home)]
        doomed += [*_backups(file), *_backups(commanders)]
    was_there = home.exists()
    if options.dry_run:
        for change in changes:
            say(change.diff() or f"{change.path}: has no hooks of Fleet's")
        for path in doomed:
            if path.exists() or path.is_symlink():
                say(f"would be removed: {path}")
        return
    for change in changes:
        backup = settings.write(change)
        if backup and options.purge:
            backup.unlink()
        if change.path == commanders:
            note_written(home, change)
        say(
            f"{change.path}: "
            + ("removed Fleet's hooks" if change.is_one else "has no hooks of Fleet's")
        )
    _take_out_completion(home)
    with _no_drainer(home):
        for path in doomed:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    if others:
        _write_record(home, file, None)
        say(f"The program stays in {home}: {others[0]} has its hooks too.")
        return
    if not options.purge:
        plugin = claude / "plugins" / "data"
        for python in sorted(plugin.glob("fleet-*/venv/bin/python")):
            write_command(home, python)  # it goes on as a plugin
        if home.exists():
            size = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
            say(
                f"What was captured is still in {home} ({size / 1e6:.1f} MB). To remove it too:\n"
                f"  ./install.sh --uninstall --purge --fleet-home {shlex.quote(str(home))}"
            )
        return
    for folder in sorted((home / ".claude").glob("**/"), reverse=True):
        with contextlib.suppress(OSError):
            folder.rmdir()
    with contextlib.suppress(OSError):
        home.rmdir()
    if home.exists():
        left = ", ".join(sorted(path.name for path in home.iterdir()))
        say(f"{home} stays: it holds what is not Fleet's ({left})")
    elif was_there:
        say(f"{home} is gone")
    else:
        say(f"There is no {home}. If Fleet's data is elsewhere, name it with --fleet-home.")


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="install.sh",
        description="Install Fleet into Claude Code, upgrade it, or take it out.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--claude-dir", metavar="DIR", help="Claude Code's folder ($CLAUDE_CONFIG_DIR, ~/.claude)")
    add("--fleet-home", metavar="DIR", help="Fleet's folder ($FLEET_HOME, commander/ in that one)")
    add(
        "--with",
        dest="extras",
        action="append",
        default=[],
        choices=sorted(environment.EXTRAS),
        help="what not everybody needs: the dashboard (gateway), Datasette (studio); upgrades keep it",
    )
    add("--dry-run", action="store_true", help="show what would change, and change nothing")
    add("--quiet", action="store_true", help="print errors only")
    add("--uninstall", action="store_true", help="take hooks and program out; the data stays")
    add("--purge", action="store_true", help="with --uninstall: remove the data too")
    options = parser.parse_args(arguments)
    if options.purge and not options.uninstall:
        parser.error("--purge goes with --uninstall")
    for name in ("claude_dir", "fleet_home"):
        if getattr(options, name) == "":
            parser.error(f"--{name.replace('_', '-')} needs a folder")
    return options


def _folder(text: str) -> Path:
    return Path(os.path.abspath(Path(text).expanduser()))  # noqa: PTH100  links stay as named


def _installed_home(options: argparse.Namespace, claude: Path) -> Path:
    """The home to uninstall: as named, else where the registered hooks are, else the default."""
    if named := options.fleet_home or os.environ.get("FLEET_HOME"):
        return _folder(named)
    text = settings.read(claude / "settings.json")
    with contextlib.suppress(ValueError):
        for _, _, _, entry in settings.our_entries(json.loads((text or "").removeprefix("\ufeff"))):
            hook = Path((entry.get("args") or [""])[-1])
            if hook.parts[-4:-1] == ("venv", "app", "hooks"):
                return hook.parents[3]
    return claude / "commander"


def _migrate(home: Path, say: Callable[[str], object]) -> None:
    """Bring an older database to this schema; one that cannot be used now is no reason to stop."""
    path = Path(paths.database(str(home)))
    if not path.exists():
        return
    try:
        with contextlib.closing(db.open_as_it_is(path)) as connection:
            before = migrate.version_of(connection)
        db.connect(path).close()
    except (FleetError, sqlite3.Error) as error:
        say(f"{path}: not migrated: {error}. What is captured waits; fleet doctor says more.")
        return
    if before != migrate.latest_version():
        backup = max(Path(paths.backups(str(home))).glob("fleet-*.db"), default=None)
        say(f"{path}: schema {before} → {migrate.latest_version()}; backup: {backup}")


def _show_main_job(home: Path, quiet: bool) -> None:
    sys.stdout.flush()
    python = home / "venv" / "bin" / "python"
    done = subprocess.run(
        [python, "-I", "-m", "commander.setup.selfcheck"],
        check=False,
        text=True,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
    )
    if done.returncode:
        raise BadInput(f"self-check failed. {(done.stdout or '').strip()}".strip())


def _read_record(home: Path, file: Path) -> settings.Was:
    """What stood in a settings file where we put our entries."""
    return dict(_record(home).get(str(file.resolve())) or {})


def _write_record(home: Path, file: Path, was: settings.Was | None) -> None:
    """Note it; None: our entries are out."""
    record = _record(home) | {str(file.resolve()): was}
    kept = {path: what for path, what in record.items() if what is not None}
    write_whole(home / _RECORD, json.dumps(kept) + "\n")


def _record(home: Path) -> dict[str, settings.Was]:
    """{settings file: what stood there}, of all that our entries were put into."""
    try:
        record = json.loads((home / _RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _other_users(home: Path, file: Path) -> list[Path]:
    """The other settings files that have hooks of this home's program."""
    found = []
    for name in _record(home):
        other = Path(name)
        if other != file.resolve() and str(home / "venv" / "app") in (settings.read(other) or ""):
            found.append(other)
    return found


def _backups(file: Path) -> list[Path]:
    """The copies that we made of a settings file, beside what it links to."""
    file = file.resolve()
    return sorted(file.parent.glob(f"{glob.escape(file.name)}.fleet-backup-*"))


def _take_out_completion(home: Path) -> None:
    """What `fleet completion install` has put into the shells' files, while there is a console to ask."""
    python = home / "venv" / "bin" / "python"
    if python.exists():
        command = [str(python), "-I", "-m", "commander", "completion", "uninstall"]
        subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL)


def _require_fleet_home(home: Path, claude: Path) -> None:
    """Never remove what is not Fleet's."""
    real = home.resolve()
    if real in (Path.home().resolve(), claude.resolve(), *claude.resolve().parents):
        raise BadInput(f"{home} is not a folder of Fleet's own; nothing was removed")
    marks = ("fleet.db", "spool", *_PROGRAM, *written_files(home))
    if home.exists() and not any((home / mark).exists() for mark in marks):
        raise BadInput(f"{home} holds no Fleet; nothing was removed")


@contextlib.contextmanager
def _no_drainer(home: Path):  # type: ignore[no-untyped-def]
    """While no drainer is at work: it ends within a moment, and the hooks are out already."""
    try:
        lock = Path(paths.lock(str(home))).open("a")  # noqa: SIM115
    except OSError:
        yield
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
