"""`fleet completion`: install TAB completion in bash, zsh and fish, and remove it without a trace.
What TAB offers is in _params."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from commander.cli._display import say
from fleet_lib.errors import BadInput, FleetError
from fleet_lib.files import write_whole

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


@click.group()
def completion() -> None:
    """Install TAB completion for bash, zsh or fish.

    TAB completes commands, options, project names and briefing ids.

    \b
    Examples:
      fleet completion install          for the shell in $SHELL
      fleet completion install zsh
      fleet completion uninstall
    """


_shell_argument = click.argument(
    "shell", required=False, metavar="[SHELL]", type=click.Choice(SHELLS)
)


@completion.command()
@_shell_argument
def install(shell: str | None) -> None:
    """Install completion for SHELL.

    SHELL is bash, zsh or fish (default: the shell in $SHELL). Prints the files that it wrote.
    Installing again changes nothing.

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
        raise BadInput(f"{script} is not Fleet's file; move it away, then run this again")
    script.parent.mkdir(parents=True, exist_ok=True)
    write_whole(script, _script(shell), mode=0o644)
    say(f"Wrote {script}")
    rc, line = _start_line(shell, script)
    if rc and line:
        if _set_start_line(rc, line):
            say(f"Added one line to {rc}")
        else:
            say(f"{rc} already has Fleet's line")
    if shutil.which("fleet") is None:
        say("`fleet` is not on your PATH yet. Completion works once it is.")
    say(f"Start a new {shell} to use it. To undo: fleet completion uninstall {shell}")


@completion.command()
@_shell_argument
def uninstall(shell: str | None) -> None:
    """Remove completion from SHELL, or from every shell.

    SHELL is bash, zsh or fish.

    \b
    Examples:
      fleet completion uninstall
      fleet completion uninstall bash
    """
    done = remove([shell] if shell else SHELLS)
    for line in done:
        say(line)
    if not done:
        say("Completion is not installed.")


@completion.command()
@click.argument("shell", metavar="SHELL", type=click.Choice(SHELLS))
def show(shell: str) -> None:
    """Print the completion script for SHELL (bash, zsh or fish).

    \b
    Examples:
      fleet completion show bash > ~/.fleet-completion.bash
      fleet completion show fish | source
    """
    say(_script(shell), nl=False)


def remove(shells: "list[str] | tuple[str, ...]" = SHELLS) -> list[str]:
    """Remove completion from these shells. Returns what was done, a line each."""
    done = []
    for shell in shells:
        script = _script_file(shell)
        if script.exists() and _MARK in script.read_text("utf-8", "replace"):
            script.unlink()
            done.append(f"Removed {script}")
        rc = _start_file(shell)
        if rc and _set_start_line(rc, None):
            done.append(f"Removed Fleet's line from {rc}")
    return done


def _script(shell: str) -> str:
    kind = get_completion_class(shell)
    assert kind is not None
    maker = kind(click.Group("fleet"), {}, "fleet", "_FLEET_COMPLETE")
    # maker.source() would run bash to warn of an old one; `install` has a better message.
    script = (kind.source_template % maker.source_vars()).rstrip()
    return (
        f"{script}\n\n# Completion of `fleet` in {shell}, {_MARK}\n"  # zsh needs its own line first
    )


def _own_shell() -> str:
    shell = Path(os.environ.get("SHELL", "")).name
    if shell not in SHELLS:
        named = f"$SHELL is {shell!r}" if shell else "$SHELL is not set"
        raise BadInput(f"{named}; name the shell: `fleet completion install bash` (or zsh, fish)")
    return shell


def _require_recent_bash() -> None:
    own = os.environ.get("SHELL", "")
    bash = own if Path(own).name == "bash" and Path(own).exists() else shutil.which("bash")
    if bash is None:
        return
    done = subprocess.run(
        [bash, "--norc", "-c", 'echo "${BASH_VERSINFO[0]} ${BASH_VERSINFO[1]}"'],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=10,
    )
    found = tuple(int(word) for word in done.stdout.split() if word.isdecimal())
    if found and found < _OLDEST_BASH:
        raise FleetError(
            f"{bash} is version {'.'.join(map(str, found))}, and completion needs 4.4 or later"
            " (macOS comes with 3.2); install a newer bash, or use zsh: `fleet completion install zsh`"
        )


def _data_home() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")


def _script_file(shell: str) -> Path:
    if shell == "fish":
        config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        return Path(config) / "fish" / "completions" / "fleet.fish"
    if shell == "bash":
        # bash-completion loads it from here at the first TAB.
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
    """(the shell's start file, the line that it needs), or (None, "") if none is needed."""
    quoted = shlex.quote(str(script))
    if shell == "zsh":
        ready = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i; };"
        return _start_file(shell), f"[ -r {quoted} ] && {{ {ready} . {quoted}; }}"
    if shell == "bash" and not any(Path(path).exists() for path in _BASH_COMPLETION):
        return _start_file(shell), f"[ -r {quoted} ] && . {quoted}"
    return None, ""


def _set_start_line(rc: Path, line: str | None) -> bool:
    """Put this line into the user's start file, or remove Fleet's line if None. Returns whether the
    file changed. All other bytes, the mode and a symbolic link stay as they are."""
    before = rc.read_bytes() if rc.exists() else b""
    mark = f"# {_MARK}".encode()
    kept = b"".join(row for row in before.splitlines(keepends=True) if mark not in row)
    ours = b"" if line is None else line.encode("utf-8", "surrogateescape") + b"  " + mark + b"\n"
    if ours and kept and not kept.endswith(b"\n"):
        kept += b"\n"
    if ours in before if ours else kept == before:
        return False
    target = rc.resolve()
    if not ours and not kept:
        target.unlink()  # Fleet created it
        return True
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
    write_whole(target, kept + ours, mode=mode)
    return True
