"""`fleet db studio`: browse the database in Datasette, read-only."""

import importlib.util
import os
import socket
import sys
from pathlib import Path

import click

from commander.cli._database import drain_spool, existing_database
from fleet_lib import paths
from fleet_lib.errors import NotFound
from fleet_lib.extras import how_to_add

_METADATA = Path(paths.PROGRAM) / "commander" / "studio.json"


@click.command("studio")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Port on 127.0.0.1 (default: a free one)."
)
@click.option("--no-browser", is_flag=True, help="Print the address without opening a browser.")
def studio(port: int | None, no_browser: bool) -> None:
    """Browse the database with Datasette, read-only.

    Stop it with Ctrl-C. The printed address contains a token. Requests without it, from other
    programs or web pages, are refused. Needs the extra fleet[studio]: ./install.sh --with studio.

    \b
    Examples:
      fleet db studio
      fleet db studio --port 8001 --no-browser
    """
    if importlib.util.find_spec("datasette") is None:
        raise NotFound(f"Datasette is not installed; {how_to_add('studio')}")
    drain_spool(paths.home())
    path = existing_database()
    options = ["--host", "127.0.0.1", "--port", str(port or _free_port()), "--root"]
    options += ["--metadata", str(_METADATA), *([] if no_browser else ["--open"])]
    command = [sys.executable, "-I", "-m", "datasette", "serve", str(path), *options]
    os.execv(sys.executable, command)  # noqa: S606


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
