"""install.sh: builds the environment, makes the Commander's folder and registers the hooks in
Claude Code's settings. Every step is done whole or not at all, and can be repeated. Standard
library only, since it runs from a checkout before there is an environment."""

import argparse
import contextlib
import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from commander.setup import environment, hook_entries, preconditions, settings, settings_record
from commander.setup.commander_folder import (
    HOME_TEMPLATE,
    make_commander_folder,
    write_command,
    write_hook_file,
)
from commander.setup.uninstall import installed_home, uninstall
from fleet_lib import paths, wake
from fleet_lib.errors import BadInput, FleetError
from fleet_lib.store import db, migrate

_EXAMPLES = """examples:
  ./install.sh                       install into ~/.claude (or $CLAUDE_CONFIG_DIR)
  ./install.sh --with gateway        install with the dashboard (fleet gateway)
  ./install.sh --with notify         install with messages to your phone (fleet notify)
  ./install.sh --import              install, then import the turns of the last 30 days
  ./install.sh --dry-run             show what would change
  ./install.sh --uninstall           uninstall, but keep what was captured
  ./install.sh --uninstall --purge   uninstall and delete what was captured

To upgrade Fleet, run ./install.sh again."""


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    named = options.fleet_home or os.environ.get("FLEET_HOME")
    say: Callable[[str], object] = (lambda line: None) if options.quiet else print
    try:
        claude = _folder(options.claude_dir or os.environ.get("CLAUDE_CONFIG_DIR") or "~/.claude")
        home = _folder(named) if named else installed_home(claude)
        if options.uninstall:
            uninstall(claude, home, say, purge=options.purge, dry_run=options.dry_run)
            return 0
        if options.dry_run:
            _show_changes(claude, home, say)
        else:
            is_first = not Path(paths.database(str(home))).exists()
            install(claude, home, options.extras, say, quiet=options.quiet)
            if options.import_history or (is_first and wants_history(claude, options.quiet)):
                _import_history(claude, home, options.quiet)
            _show_next_steps(home, say)
    except (FleetError, OSError) as error:
        print(f"install.sh: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("install.sh: interrupted. Run it again to continue.", file=sys.stderr)
        return 130
    return 0


def install(
    claude: Path, home: Path, extras: list[str], say: Callable[[str], object], *, quiet: bool
) -> None:
    """Install or upgrade. Raises FleetError or OSError with one line; an earlier installation then
    still works."""
    file = claude / "settings.json"
    python = home / "venv" / "bin" / "python"
    preconditions.check(claude, home, [_registration(claude, home)])
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if home.stat().st_mode & 0o077:
        home.chmod(0o700)  # it holds what the user and the model wrote
    version = ".".join(map(str, sys.version_info[:3]))
    say(f"Installing Fleet into {home} with Python {version} ...")
    environment.build(
        home / "versions",
        home / "venv",
        Path(paths.PROGRAM),
        sys.executable,
        home=home,
        extras=extras,
        check=lambda python: _show_main_job(python, quiet),
        say=say,
    )
    wake.ring(str(home), wake.LEAVE)  # a drainer of the program before
    write_command(home, python)
    write_hook_file(home, python)
    _migrate(home, say)
    for name in make_commander_folder(home, with_hooks=True):
        say(f"You edited {home / name}, so it was not changed. The new text is in {HOME_TEMPLATE}.")
    # Registered last: hooks that are registered work.
    change = _register(claude, home, say)
    if json.loads((change.after or "{}").removeprefix("\ufeff")).get("disableAllHooks"):
        say(
            f"\nWarning: disableAllHooks is set in {file}. Nothing is captured until you remove it."
        )


def _register(claude: Path, home: Path, say: Callable[[str], object]) -> settings.Change:
    """Register the hooks. What another program writes into the file meanwhile is not lost."""
    file = claude / "settings.json"

    def make() -> settings.Change:
        change = _registration(claude, home)
        # The record comes first: without it, what stood there before could not be restored.
        if change.has_effect or not settings_record.is_known(home, file):
            settings_record.write(home, file, change.was)
        return change

    change, backup = settings.apply(make)
    if change.has_effect:
        say(f"Registered the hooks in {file}." + (f" Backup: {backup.name}" if backup else ""))
    else:
        say(f"The hooks are already registered in {file}.")
    if elsewhere := [str(one) for one in settings.named_homes(file) if not one.exists()]:
        say(f"They also name {', '.join(elsewhere)}, which is not on this machine.")
    return change


def _registration(claude: Path, home: Path) -> settings.Change:
    """The change that registers the hooks of this home. Raises BadInput."""
    file = claude / "settings.json"
    # A home that is not here was chosen on another machine that has the same settings.
    elsewhere = [one for one in settings.named_homes(file) if one == home or not one.exists()]
    ours = hook_entries.registration(hook_entries.settings_example(), home, claude, elsewhere)
    return settings.with_hooks(file, ours["hooks"], settings_record.read(home, file))


def _show_changes(claude: Path, home: Path, say: Callable[[str], object]) -> None:
    file = claude / "settings.json"
    say(_registration(claude, home).diff() or f"The hooks are already registered in {file}.")
    say(
        f"\nFleet and the Commander's folder would be installed into {home}."
        "\nThis was a dry run: nothing was changed."
    )


def _show_next_steps(home: Path, say: Callable[[str], object]) -> None:
    command = home / "bin" / "fleet"
    on_path = shutil.which("fleet")
    is_linked = on_path is not None and Path(on_path).resolve() == command.resolve()
    fleet = "fleet" if is_linked else shlex.quote(str(command))
    say("\nFleet is installed. It captures every Claude Code session that you start from now on.")
    say(f"  {fleet} status       what needs your attention")
    say(f"  {fleet} commander    talk to the Commander")
    say(f"  {fleet} doctor       check the installation")
    if is_linked:
        return
    if on_path:
        say(f"\nThe `fleet` on your PATH is another program: {on_path}")
    folder = Path(os.path.expanduser("~/.local/bin"))  # noqa: PTH111  there may be no home folder
    if str(folder) not in os.environ.get("PATH", "").split(os.pathsep):
        say(f"\nTo have `fleet` on your PATH, link it into a folder of it, or add {folder} to it:")
    else:
        say("\nTo have `fleet` on your PATH:")
    say(f"  mkdir -p ~/.local/bin && ln -sf {fleet} ~/.local/bin/fleet")


def wants_history(claude: Path, quiet: bool) -> bool:
    """Ask whether to import what the transcripts hold, if a person can answer and there are some."""
    is_asked = not quiet and sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
    if not is_asked or not any((claude / "projects").glob("*/*.jsonl")):
        return False
    question = "Import the turns of the last 30 days from Claude Code's transcripts? [Y/n] "
    try:
        return input(f"\n{question}").strip().lower() in ("", "y", "yes")
    except EOFError:
        return False


def _import_history(claude: Path, home: Path, quiet: bool) -> None:
    """Run `fleet import`. Fleet is installed by now, and stays so if this fails."""
    sys.stdout.flush()
    done = subprocess.run(
        [home / "bin" / "fleet", "import"],
        check=False,
        env=os.environ | {"CLAUDE_CONFIG_DIR": str(claude), "FLEET_HOME": str(home)},
        stdout=subprocess.DEVNULL if quiet else None,
    )
    if done.returncode:
        print(
            "install.sh: The history was not imported. Run `fleet import` to try it again.",
            file=sys.stderr,
        )


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="install.sh",
        description="Install Fleet for Claude Code, upgrade it, or uninstall it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--claude-dir",
        metavar="DIR",
        help="Claude Code's folder (default: $CLAUDE_CONFIG_DIR, else ~/.claude)",
    )
    add(
        "--fleet-home",
        metavar="DIR",
        help="Fleet's folder (default: $FLEET_HOME, else the one whose hooks are registered, else"
        " `commander` in Claude Code's folder)",
    )
    add(
        "--with",
        dest="extras",
        action="append",
        default=[],
        choices=sorted(environment.EXTRAS),
        help="also install an optional part: gateway is the dashboard, mcp answers MCP clients,"
        " notify sends messages, relay joins several machines, relay-server is the server for that,"
        " studio is Datasette; upgrades keep it",
    )
    add(
        "--import",
        dest="import_history",
        action="store_true",
        help="import the turns of the last 30 days from Claude Code's transcripts (`fleet import`);"
        " without it a first installation at a terminal asks",
    )
    add("--dry-run", action="store_true", help="show what would change, and change nothing")
    add("--quiet", action="store_true", help="print only errors")
    add("--uninstall", action="store_true", help="remove the hooks and the program; keep the data")
    add("--purge", action="store_true", help="with --uninstall: delete the data too")
    options = parser.parse_args(arguments)
    if options.purge and not options.uninstall:
        parser.error("--purge needs --uninstall")
    for name in ("claude_dir", "fleet_home"):
        if getattr(options, name) == "":
            parser.error(f"--{name.replace('_', '-')} needs a folder")
    return options


def _folder(text: str) -> Path:
    """Raises BadInput if `~` stands for no folder."""
    try:
        return Path(os.path.abspath(Path(text).expanduser()))  # noqa: PTH100  links are not resolved
    except RuntimeError:
        raise BadInput(
            f"{text}: this user has no home folder. Set HOME, or name the folders with --claude-dir"
            " and --fleet-home."
        ) from None


def _migrate(home: Path, say: Callable[[str], object]) -> None:
    """Migrate an older database. One that cannot be used now does not stop the installation."""
    path = Path(paths.database(str(home)))
    if not path.exists():
        return
    try:
        with contextlib.closing(db.open_as_it_is(path)) as connection:
            before = migrate.version_of(connection)
        db.connect(path).close()
    except (FleetError, sqlite3.Error) as error:
        say(
            f"Warning: {path} was not migrated: {error}\n"
            "  New captures wait in the spool. Run `fleet doctor` to see what is wrong."
        )
        return
    if before != migrate.latest_version():
        backup = max(Path(paths.backups(str(home))).glob("fleet-*.db"), default=None)
        say(
            f"Migrated {path} from schema version {before} to {migrate.latest_version()}."
            f" Backup: {backup}"
        )


def _show_main_job(python: Path, quiet: bool) -> None:
    """Run the self-check in a new environment. Raises BadInput if it fails."""
    sys.stdout.flush()
    done = subprocess.run(
        [python, "-I", "-m", "commander.setup.selfcheck"],
        check=False,
        text=True,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
    )
    if done.returncode:
        raise BadInput(f"The self-check failed. {(done.stdout or '').strip()}".strip())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
