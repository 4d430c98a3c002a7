"""`fleet db studio`: the database in Datasette, for looking only."""

import importlib.util
import os
import socket
import sys
from pathlib import Path

import click

from commander.cli._app import drain_waiting, existing_database
from fleet_lib import paths
from fleet_lib.errors import NotFound

_METADATA = Path(paths.PROGRAM) / "commander" / "studio.json"


@click.command("studio")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="A port of 127.0.0.1 (else a free one)."
)
@click.option("--no-browser", is_flag=True, help="Print the address, and open nothing.")
def studio(port: int | None, no_browser: bool) -> None:
    """Look into the database with a browser (Datasette, read-only). Ctrl-C ends it.

    The address that it prints has a token in it; without that nobody gets in, other programs' and
    web pages' requests included. Needs the extra fleet[studio].

    \b
    Examples:
      fleet db studio
      fleet db studio --port 8001 --no-browser
    """
    if importlib.util.find_spec("datasette") is None:
        raise NotFound(
            "Datasette is not installed: run `./install.sh --with studio` in Fleet's checkout, or"
            f" install fleet[studio] into {sys.prefix}"
        )
    drain_waiting(paths.home())
    path = existing_database()
    options = ["--host", "127.0.0.1", "--port", str(port or _free_port()), "--root"]
    options += ["--metadata", str(_METADATA), *([] if no_browser else ["--open"])]
    command = [sys.executable, "-I", "-m", "datasette", "serve", str(path), *options]
    os.execv(sys.executable, command)  # noqa: S606


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
