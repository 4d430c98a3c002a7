"""`fleet completion`: TAB in bash, zsh and fish; and what completes where (project names, briefing ids).

A TAB reads the database as it is: nothing is drained, and no trouble is ever told."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from fleet_lib import paths
from fleet_lib.errors import BadInput, FleetError
from fleet_lib.lines import BRIEFING_SUMMARY, without_front_matter
from fleet_lib.prelude.database import open_database
from fleet_lib.text import clean

SHELLS = ("bash", "zsh", "fish")
_OLDEST_BASH = (4, 4)  # click's script needs `compopt` and `complete -o nosort`
_MARK = "made by `fleet completion install`"
_BASH_COMPLETION = (
    "/usr/share/bash-completion/bash_completion",
    "/usr/local/share/bash-completion/bash_completion",
    "/usr/local/etc/profile.d/bash_completion.sh",
    "/opt/homebrew/etc/profile.d/bash_completion.sh",
    "/etc/profile.d/bash_completion.sh",
)


# --- what completes ---------------------------------------------------------------------------


def complete_project(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Repository names; the id where several have that name."""
    rows = _rows(
        "SELECT project_id, repo_name, repo_root,"
        " (SELECT count(*) FROM projects q WHERE q.repo_name = p.repo_name) FROM projects p"
        " ORDER BY updated_at DESC LIMIT 200"
    )
    named = [
        (name if times == 1 and re.fullmatch(r"[\w.+@-]+", str(name)) else project_id, root)
        for project_id, name, root, times in rows
    ]
    return [
        CompletionItem(clean(name, 200), help=clean(root, 80))
        for name, root in named
        if str(name).lower().startswith(incomplete.lower())
    ]


def complete_briefing(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The newest briefings' numbers, each with its project and summary."""
    rows = _rows(
        f"SELECT b.briefing_id, p.repo_name, {BRIEFING_SUMMARY}"
        " FROM briefings b LEFT JOIN projects p ON p.project_id = b.project_id"
        " WHERE CAST(b.briefing_id AS TEXT) LIKE ? ORDER BY b.briefing_id DESC LIMIT 30",
        f"{incomplete}%" if incomplete.isdecimal() or not incomplete else "",
    )
    return [
        CompletionItem(
            str(number), help=f"{clean(name, 30)}: {clean(without_front_matter(text), 60)}"
        )
        for number, name, text in rows
    ]


def _rows(sql: str, *values: str) -> list[tuple[object, ...]]:
    try:
        connection = open_database(paths.home())
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()
    except Exception:  # a TAB is no place for an error of any kind
        return []


# --- the command ------------------------------------------------------------------------------


@click.group()
def completion() -> None:
    """Complete commands, options, project names and briefing ids with TAB.

    \b
    Examples:
      fleet completion install          for the shell that $SHELL names
      fleet completion install zsh
      fleet completion uninstall
    """


_shell_argument = click.argument(
    "shell", required=False, metavar="[SHELL]", type=click.Choice(SHELLS)
)


@completion.command()
@_shell_argument
def install(shell: str | None) -> None:
    """Install completion for SHELL (bash, zsh or fish; without one, for the shell in $SHELL).

    It says which files it wrote; doing it again changes nothing.

    \b
    Examples:
      fleet completion install
      fleet completion install fish
    """
    shell = shell or _own_shell()
    if shell == "bash":
        _require_recent_bash()
    script = _script_file(shell)
    if script.exists() and _MARK not in script.read_text("utf-8", "replace"):
        raise BadInput(f"{script} is not Fleet's: move it away, then run this again")
    script.parent.mkdir(parents=True, exist_ok=True)
    _replace(script, _script(shell).encode(), 0o644)
    click.echo(f"wrote {script}")
    rc, line = _start_line(shell, script)
    if rc and line:
        if _set_start_line(rc, line):
            click.echo(f"added one line to {rc}")
        else:
            click.echo(f"{rc} already has the line")
    if shutil.which("fleet") is None:
        click.echo("`fleet` is not on your PATH yet; it completes once it is")
    click.echo(f"Start a new {shell} for it. To undo: fleet completion uninstall {shell}")


@completion.command()
@_shell_argument
def uninstall(shell: str | None) -> None:
    """Take completion out again: for SHELL (bash, zsh or fish), or for every shell that has it.

    \b
    Examples:
      fleet completion uninstall
      fleet completion uninstall bash
    """
    done = remove([shell] if shell else SHELLS)
    for told in done:
        click.echo(told)
    if not done:
        click.echo("no completion is installed")


@completion.command()
@click.argument("shell", metavar="SHELL", type=click.Choice(SHELLS))
def show(shell: str) -> None:
    """Print the script for SHELL (bash, zsh or fish), for those who keep such files themselves.

    \b
    Examples:
      fleet completion show bash > ~/.fleet-completion.bash
      fleet completion show fish | source
    """
    click.echo(_script(shell), nl=False)


def remove(shells: "list[str] | tuple[str, ...]" = SHELLS) -> list[str]:
    """Take completion out of these shells; what was done, a line each."""
    done = []
    for shell in shells:
        script = _script_file(shell)
        if script.exists() and _MARK in script.read_text("utf-8", "replace"):
            script.unlink()
            done.append(f"removed {script}")
        rc = _start_file(shell)
        if rc and _set_start_line(rc, None):
            done.append(f"took our line out of {rc}")
    return done


def _script(shell: str) -> str:
    kind = get_completion_class(shell)
    assert kind is not None
    maker = kind(click.Group("fleet"), {}, "fleet", "_FLEET_COMPLETE")
    # Not maker.source(): that runs bash and warns on stderr; install says it better.
    script = (kind.source_template % maker.source_vars()).rstrip()
    return (
        f"{script}\n\n# Completion of `fleet` in {shell}, {_MARK}\n"  # zsh wants its own line first
    )


def _own_shell() -> str:
    shell = Path(os.environ.get("SHELL", "")).name
    if shell not in SHELLS:
        named = f"$SHELL is {shell!r}" if shell else "$SHELL is not set"
        raise BadInput(f"{named}: name one, as in `fleet completion install bash` (or zsh, fish)")
    return shell


def _require_recent_bash() -> None:
    own = os.environ.get("SHELL", "")
    bash = own if Path(own).name == "bash" and Path(own).exists() else shutil.which("bash")
    if bash is None:
        return
    asked = subprocess.run(
        [bash, "--norc", "-c", 'echo "${BASH_VERSINFO[0]} ${BASH_VERSINFO[1]}"'],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=10,
    )
    found = tuple(int(word) for word in asked.stdout.split() if word.isdecimal())
    if found and found < _OLDEST_BASH:
        raise FleetError(
            f"{bash} is version {'.'.join(map(str, found))}, and completion needs 4.4 or later (macOS"
            " brings 3.2): install a newer bash, or use zsh: `fleet completion install zsh`"
        )


def _data_home() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")


def _script_file(shell: str) -> Path:
    if shell == "fish":
        config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        return Path(config) / "fish" / "completions" / "fleet.fish"
    if shell == "bash":
        # bash-completion finds it here by itself, at the first TAB.
        named = os.environ.get("BASH_COMPLETION_USER_DIR")
        folder = Path(named) if named else _data_home() / "bash-completion"
        return folder / "completions" / "fleet"
    return _data_home() / "zsh" / "fleet-completion.zsh"


def _start_file(shell: str) -> Path | None:
    if shell == "bash":
        return Path.home() / ".bashrc"
    if shell == "zsh":
        return Path(os.environ.get("ZDOTDIR") or Path.home()) / ".zshrc"
    return None


def _start_line(shell: str, script: Path) -> tuple[Path | None, str]:
    """(the shell's start file, the line that it needs), "" where it needs none."""
    quoted = shlex.quote(str(script))
    if shell == "zsh":
        ready = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i; };"
        return _start_file(shell), f"[ -r {quoted} ] && {{ {ready} . {quoted}; }}"
    if shell == "bash" and not any(Path(path).exists() for path in _BASH_COMPLETION):
        return _start_file(shell), f"[ -r {quoted} ] && . {quoted}"
    return None, ""


def _set_start_line(rc: Path, line: str | None) -> bool:
    """Have this line of ours, or none, in a start file that is somebody's own; whether that changed it.
    All other bytes, the mode and a symbolic link stay."""
    before = rc.read_bytes() if rc.exists() else b""
    mark = f"# {_MARK}".encode()
    kept = b"".join(each for each in before.splitlines(keepends=True) if mark not in each)
    ours = b"" if line is None else line.encode("utf-8", "surrogateescape") + b"  " + mark + b"\n"
    if ours and kept and not kept.endswith(b"\n"):
        kept += b"\n"
    if ours in before if ours else kept == before:
        return False
    target = rc.resolve()
    if not ours and not kept:
        target.unlink()  # there was none before
        return True
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
    _replace(target, kept + ours, mode)
    return True


def _replace(target: Path, data: bytes, mode: int) -> None:
    """Put a whole new file in place, or none at all."""
    aside = target.with_name(f".{target.name}.fleet-{os.getpid()}")
    try:
        aside.write_bytes(data)
        aside.chmod(mode)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
