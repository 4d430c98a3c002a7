"""`fleet gateway`: the dashboard, the API and the event stream."""

import secrets
import sys
import webbrowser

import click

from fleet_lib import paths
from fleet_lib.errors import BadInput
from fleet_lib.store import db

DEFAULT_PORT = 8737


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="The port to listen on; 0 takes any free one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--allow-remote",
    is_flag=True,
    help="Allow an address that other machines can reach: unencrypted, with the token as the only lock.",
)
@click.option("--browser/--no-browser", default=True, help="Open the dashboard in a browser.")
@click.option(
    "--new-token", is_flag=True, help="Make a new token; old links and logins stop working."
)
def gateway(port: int, host: str, allow_remote: bool, browser: bool, new_token: bool) -> None:
    """Serve the dashboard, an API and a WebSocket with every event, to this machine only.

    It prints a link that logs your browser in. Programs send the token in $FLEET_HOME/gateway.token as
    `Authorization: Bearer TOKEN`. Ctrl-C stops it; clients resume from their cursors when it is back. Needs
    the extra fleet[gateway] (./install.sh --with gateway).

    \b
    Examples:
      fleet gateway
      fleet gateway --port 9000 --no-browser
      fleet gateway --new-token
    """
    try:
        from commander.gateway import access, app
    except ImportError as error:
        raise BadInput(
            f"the gateway is an extra, and {error.name} is not installed: run"
            f" `./install.sh --with gateway` in Fleet's checkout, or install fleet[gateway] into {sys.prefix}"
        ) from None

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
            f"cannot listen on {host}:{port}: {error.strerror}; --port 0 takes any free port"
        ) from None
    port = listening.getsockname()[1]
    address = "127.0.0.1" if host == "localhost" else str(listening.getsockname()[0])
    shown = f"[{address}]" if ":" in address else address
    base = f"http://{shown}:{port}/"
    click.echo(f"Fleet's dashboard: {base}?token={token}")
    if not is_local:
        click.echo(
            "Other machines can reach this address; anyone with the token can get in.", err=True
        )
    once = secrets.token_urlsafe(24)
    if browser:
        webbrowser.open(f"{base}?once={once}")
    app.run(app.make(home, token, port, host, once), listening)
