"""The self-check at the end of install.sh: captures sample turns with the real hooks in a temporary
home, and shows what the Commander would be shown."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from fleet_lib import paths
from fleet_lib.drain.foreground import drain_now
from fleet_lib.errors import FleetError

_SAMPLES: tuple[tuple[str, str], ...] = (
    (
        "shop-api",
        "I cannot continue without the staging credentials.\n\n```briefing\n---\nstatus: blocked\n"
        "summary: Payment tests need the staging credentials\n"
        "blockers: [staging credentials for the payment provider]\n---\n```\n",
    ),
    (
        "web",
        "```briefing\n---\nstatus: completed\nsummary: The login form says what is wrong\n"
        "impact_level: minor\nfiles_touched: [src/login.tsx, docs/login.md]\n---\n```\n",
    ),
)


class SelfCheckFailed(FleetError):
    """The samples did not reach the Commander."""


def show_main_job(python: Path, hooks: Path) -> None:
    """Run the self-check and print what the Commander would be shown. Raises SelfCheckFailed."""
    with tempfile.TemporaryDirectory(prefix="fleet-check-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        home.mkdir(mode=0o700)
        # No drainer may linger there when the folder is removed.
        (home / "config.toml").write_text("[drain]\nlinger_seconds = 0\n")
        for number, (name, message) in enumerate(_SAMPLES, start=1):
            project = Path(folder) / name
            project.mkdir()
            session = f"00000000-0000-4000-8000-{number:012}"
            call = {"session_id": session, "cwd": str(project), "source": "startup"}
            _run(python, hooks / "session_start.py", home, project, call)
            call = {"session_id": session, "prompt_id": f"prompt-{number}", "cwd": str(project)}
            turn = {**call, "last_assistant_message": message}
            _run(python, hooks / "stop.py", home, project, turn)
            click.echo(f"  captured  a finished turn in {name}")
        drain_now(str(home))
        click.echo("  stored    in one SQLite file")
        call = {"session_id": "commander", "cwd": str(home), "source": "startup"}
        answer = _run(python, hooks / "session_start.py", home, home, call)
        try:
            prelude = json.loads(answer)["hookSpecificOutput"]["additionalContext"]
        except (ValueError, KeyError):
            raise SelfCheckFailed(
                f"the Commander was shown nothing: the hook printed {answer[:200]!r}"
            ) from None
        click.echo("  shown     to the Commander:\n")
        for line in prelude.splitlines():
            click.echo(f"    {line}")
        drain_now(str(home))  # nothing may still be writing there when the folder is removed


def _run(python: Path, hook: Path, home: Path, project: Path, call: dict[str, str]) -> str:
    inherited = {
        name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ
    }
    done = subprocess.run(
        [str(python), "-I", "-S", str(hook)],
        input=json.dumps(call),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**inherited, "FLEET_HOME": str(home), "CLAUDE_PROJECT_DIR": str(project)},
    )
    if done.returncode != 0:
        raise SelfCheckFailed(f"{hook} exited with code {done.returncode}: {done.stderr[:300]}")
    return done.stdout


def main() -> int:
    """Check the hooks of the environment that this runs in."""
    print("\nSelf-check: capturing two sample turns in a temporary folder.\n")
    try:
        show_main_job(Path(sys.executable), Path(paths.PROGRAM) / "hooks")
    except (FleetError, OSError) as error:
        print(f"Self-check: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
