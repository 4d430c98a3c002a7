"""`fleet mcp`: answer an MCP client over stdin and stdout."""

import importlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from commander.cli._display import say
from fleet_lib import paths
from fleet_lib.errors import BadInput
from fleet_lib.extras import how_to_add


@click.command()
@click.option(
    "--config",
    "is_config",
    is_flag=True,
    help="Print the entry for a client's JSON configuration, with this command's path.",
)
def mcp(is_config: bool) -> None:
    """Answer an MCP client: who needs you, what is new, search, usage.

    The client starts this command and speaks to it over stdin and stdout; its tools only read. A
    running gateway answers at /mcp too, to the token in $FLEET_HOME/gateway.token. Needs the extra
    fleet[mcp]: ./install.sh --with mcp.

    \b
    Examples:
      claude mcp add fleet -- fleet mcp
      fleet mcp --config
    """
    _require_extra()
    if is_config:
        say(json.dumps({"mcpServers": {"fleet": _entry(Path(paths.home()))}}, indent=2))
        return
    if sys.stdin.isatty():
        raise BadInput(
            "an MCP client starts this command, and speaks to it over stdin;"
            " add it with `claude mcp add fleet -- fleet mcp`"
        )
    from commander.mcp import server

    server.make(paths.home()).run("stdio")


def _entry(home: Path) -> dict[str, Any]:
    """How a client starts this command: by its path, since a desktop program has another PATH."""
    program = home / "bin" / "fleet"
    if not program.exists():
        program = Path(shutil.which("fleet") or sys.argv[0]).resolve()
    entry: dict[str, Any] = {"command": str(program), "args": ["mcp"]}
    if "FLEET_HOME" in os.environ:
        entry["env"] = {"FLEET_HOME": str(home)}
    return entry


def _require_extra() -> None:
    try:
        importlib.import_module("mcp.server")
    except ImportError as error:
        raise BadInput(
            f"fleet mcp needs {error.name}, which is not installed; {how_to_add('mcp')}"
        ) from None
