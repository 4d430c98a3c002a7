"""`fleet gateway`: serve the dashboard, the API and the event stream."""

import importlib
import secrets
import socket
import sys
import webbrowser
from pathlib import Path

import click

from commander.cli._display import say
from commander.setup import environment
from fleet_lib import held, paths
from fleet_lib.errors import BadInput
from fleet_lib.store import db

DEFAULT_PORT = 8737


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port to listen on; 0 chooses a free one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--allow-remote",
    is_flag=True,
    help="Allow an address that other machines can reach, unencrypted and protected only by a token.",
)
@click.option("--browser/--no-browser", default=True, help="Open the dashboard in a browser.")
@click.option(
    "--new-token", is_flag=True, help="Create a new token; old links and logins stop working."
)
def gateway(port: int, host: str, allow_remote: bool, browser: bool, new_token: bool) -> None:
    """Serve the dashboard and the HTTP API.

    Only this machine can reach them, unless you add --allow-remote. A WebSocket sends every event.
    The printed link logs your browser in. Programs send the token in $FLEET_HOME/gateway.token as
    `Authorization: Bearer TOKEN`. Stop it with Ctrl-C; after a restart, clients resume from their
    cursors. Needs the extra fleet[gateway]: ./install.sh --with gateway.

    \b
    Examples:
      fleet gateway
      fleet gateway --port 9000 --no-browser
      fleet gateway --new-token
    """
    _require_extra()
    from commander.gateway import access, app

    is_local = host in ("127.0.0.1", "localhost", "::1")
    if not is_local and not allow_remote:
        raise BadInput(
            f"other machines can reach {host}, and the traffic is not encrypted;"
            " add --allow-remote if you want that"
        )
    home = paths.home()
    db.connect(paths.database(home)).close()
    token = access.token_of(home, fresh=new_token)
    try:
        listening = app.bind(host, port)
    except OSError as error:
        raise BadInput(
            f"cannot listen on {host}:{port}: {error.strerror}; use --port 0 for a free port"
        ) from None
    # For the installer and doctor. A second gateway, on another port, may run without it.
    held.hold(Path(paths.gateway_lock(home)))
    environment.use()  # its page and its modules stay through two upgrades
    base = _address(host, listening)
    say(f"Fleet's dashboard: {base}?token={token}")
    if not is_local:
        say("Other machines can reach this address. The token is the only lock.", err=True)
    once = secrets.token_urlsafe(24)
    if browser:
        webbrowser.open(f"{base}?once={once}")
    port = listening.getsockname()[1]
    app.run(app.make(home, token, port, host, once), listening)


def _require_extra() -> None:
    try:
        importlib.import_module("commander.gateway.app")
    except ImportError as error:
        raise BadInput(
            f"the gateway needs {error.name}, which is not installed; run"
            f" `./install.sh --with gateway` in Fleet's checkout, or install fleet[gateway] into"
            f" {sys.prefix}"
        ) from None


def _address(host: str, listening: socket.socket) -> str:
    """The URL that a browser on this machine opens."""
    name, port = listening.getsockname()[:2]
    address = "127.0.0.1" if host == "localhost" else str(name)
    return f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"
