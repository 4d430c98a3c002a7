"""What install.sh does once the code is in place: register the hooks, make the Commander's folder, and
show that the main job works. Everything that it writes is written whole or not at all.
"""

import contextlib
import copy
import json
import os
import re
import shlex
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from commander.folder import HOME_TEMPLATE, make_commander_folder
from commander.selfcheck import show_main_job
from fleet_lib import paths
from fleet_lib.errors import BadInput

_HERE = Path(__file__).resolve().parent
_OURS = re.compile(
    r"/hooks/(?:session_start|user_prompt_submit|stop|stop_failure|notification|session_end)\.py$"
)


@click.command()
@click.option("--claude-dir", type=click.Path(path_type=Path), help="Claude Code's folder.")
@click.option("--uninstall", is_flag=True, help="Take the hooks out again; the data stays.")
def main(claude_dir: Path | None, uninstall: bool) -> None:
    """Register Fleet's hooks in Claude Code's settings (install.sh calls this)."""
    home = Path(paths.home())
    claude = claude_dir or Path(os.environ.get("CLAUDE_CONFIG_DIR") or "~/.claude").expanduser()
    settings = claude / "settings.json"
    python, hooks = home / "venv" / "bin" / "python", home / "venv" / "app" / "hooks"
    try:
        if uninstall:
            changed = update_json(settings, without_ours)
            update_json(home / ".claude" / "settings.json", without_ours)
            click.echo(f"{settings}: " + ("Fleet's hooks are out" if changed else "has no hooks"))
            click.echo(f"The data is still in {home}")
            return
        example = registration(settings_example(), python, hooks)
        changed = update_json(settings, lambda given: merged_settings(given, example))
        kept = make_commander_folder(home, python, hooks)
    except BadInput as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{settings}: " + ("hooks registered" if changed else "hooks were registered"))
    click.echo(f"{home}: the Commander's folder")
    for name in kept:
        click.echo(f"  {name} has edits of yours and stays; this Fleet's is in {HOME_TEMPLATE}")
    click.echo("\nThe main job on a sample, in a throwaway home:\n")
    show_main_job(python, hooks)
    click.echo("\nDone. New Claude Code sessions are captured from now on.")
    fleet = shlex.quote(str(home / "bin" / "fleet"))
    click.echo(f"  {fleet} status     who needs you (link it into a folder on your PATH)")
    click.echo(f"  cd {shlex.quote(str(home))} && claude     the Commander")


def settings_example() -> Path:
    """settings.example.json: beside the package in a checkout, inside it when installed."""
    installed = _HERE / "settings.example.json"
    return installed if installed.exists() else _HERE.parent / "settings.example.json"


def registration(template: Path, python: Path, hooks: Path) -> dict[str, Any]:
    """A settings template with this installation's interpreter and hooks folder in it."""

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: fill(item) for key, item in value.items()}
        if isinstance(value, list):
            return [fill(item) for item in value]
        if isinstance(value, str):
            return value.replace("@PYTHON@", str(python)).replace("@HOOKS@", str(hooks))
        return value

    filled: dict[str, Any] = fill(json.loads(template.read_text("utf-8")))
    return filled


def merged_settings(given: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """The given settings with our hook entries, and with those of an older Fleet gone. Nothing else is
    touched: unknown keys, their order, other people's hooks."""
    settings = without_ours(given)
    hooks = settings.setdefault("hooks", {})
    if not isinstance(hooks, dict):
        raise BadInput("the settings' `hooks` is no object: mend it, then run this again")
    for event, groups in ours["hooks"].items():
        there = hooks.setdefault(event, [])
        if not isinstance(there, list):
            raise BadInput(
                f"the settings' `hooks.{event}` is no list: mend it, then run this again"
            )
        there += groups
    return settings


def without_ours(given: dict[str, Any]) -> dict[str, Any]:
    """The given settings without any hook entry of Fleet's; what that leaves empty goes too."""
    settings = copy.deepcopy(given)
    hooks = settings.get("hooks")
    if not isinstance(hooks, dict):
        return settings
    for event, groups in list(hooks.items()):
        if not isinstance(groups, list):
            continue
        kept = []
        for group in groups:
            entries = group.get("hooks") if isinstance(group, dict) else None
            if not isinstance(entries, list) or not any(_is_ours(entry) for entry in entries):
                kept.append(group)
            elif others := [entry for entry in entries if not _is_ours(entry)]:
                kept.append({**group, "hooks": others})
        if kept != groups:
            hooks[event] = kept
            if not kept:
                del hooks[event]
                if not hooks:
                    del settings["hooks"]
    return settings


def _is_ours(entry: Any) -> bool:
    """Our registration: an isolated interpreter on one of our files. The -I -S form is nobody else's."""
    arguments = entry.get("args") if isinstance(entry, dict) else None
    return (
        isinstance(arguments, list)
        and arguments[:2] == ["-I", "-S"]
        and len(arguments) == 3
        and isinstance(arguments[2], str)
        and bool(_OURS.search(arguments[2]))
    )


def update_json(path: Path, change: Any) -> bool:
    """Rewrite a JSON object file through `change`, keeping its indentation, a symlink a symlink, and a
    backup beside it. False if nothing changed; the file is not written then. Raises BadInput for a
    file that is no JSON object, which is left alone."""
    target = path.resolve()
    try:
        text = target.read_text("utf-8") if target.exists() else ""
        given = json.loads(text) if text.strip() else {}
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise BadInput(
            f"{path} is not valid JSON ({error}): mend it, then run this again"
        ) from None
    if not isinstance(given, dict):
        raise BadInput(f"{path} holds no JSON object: mend it, then run this again")
    wanted = change(given)
    if wanted == given:
        return False
    indent = re.search(r"\n([ \t]+)\S", text)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if text:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        _write_whole(target.with_name(f"{target.name}.fleet-backup-{stamp}"), text, target)
    wanted_text = json.dumps(wanted, ensure_ascii=False, indent=indent[1] if indent else 2) + "\n"
    _write_whole(target, wanted_text, target)
    return True


def _write_whole(path: Path, text: str, mode_of: Path | None) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if mode_of is not None and mode_of.exists():
            Path(temporary).chmod(mode_of.stat().st_mode & 0o7777)
        Path(temporary).replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()


if __name__ == "__main__":
    main()
