"""`fleet gateway`: serve the dashboard, the API and the event stream; `fleet gateway link`."""

import http.client
import importlib
import json
import socket
import webbrowser
from pathlib import Path

import click

from commander.cli._display import is_interactive, say
from commander.setup import environment
from fleet_lib import config, held, paths
from fleet_lib.errors import BadInput
from fleet_lib.extras import how_to_add
from fleet_lib.json_text import json_object
from fleet_lib.store import db

DEFAULT_PORT = 8737
_LOCAL = ("127.0.0.1", "localhost", "::1")
_ANSWER_SECONDS = 10.0


@click.group(invoke_without_command=True)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help=f"Port to listen on (default: {DEFAULT_PORT}); 0 chooses a free one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--allow-remote",
    is_flag=True,
    help="Allow an address that other machines can reach, unencrypted and protected only by a token.",
)
@click.option("--browser/--no-browser", default=True, help="Open the dashboard in a browser.")
@click.option(
    "--plain-address",
    is_flag=True,
    help="Show the page at 127.0.0.1 and a random port, for a browser that cannot open"
    " `*.localhost`.",
)
@click.option(
    "--new-token",
    is_flag=True,
    help="Create a new token; programs with the old one stop. A kept address changes too.",
)
@click.pass_context
def gateway(
    context: click.Context,
    port: int | None,
    host: str,
    allow_remote: bool,
    browser: bool,
    plain_address: bool,
    new_token: bool,
) -> None:
    """Serve the dashboard and the HTTP API.

    Only this machine can reach them, unless you add --allow-remote. A WebSocket sends every event.
    The printed link logs one browser in; it works once, for 15 minutes, and `fleet gateway link`
    prints another. A login ends with the gateway. Programs send the token in
    $FLEET_HOME/gateway.token as `Authorization: Bearer TOKEN`. Stop it with Ctrl-C; after a
    restart, programs resume from their cursors. Needs the extra fleet[gateway]:
    ./install.sh --with gateway.

    \b
    Examples:
      fleet gateway
      fleet gateway --port 9000 --no-browser
      fleet gateway --plain-address
      fleet gateway link
    """
    if context.invoked_subcommand:
        return
    if host not in _LOCAL and not allow_remote:
        raise BadInput(
            f"other machines can reach {host}, and the traffic is not encrypted;"
            " add --allow-remote if you want that"
        )
    if plain_address and port:
        raise click.UsageError("--plain-address chooses a random port; leave out --port")
    port = 0 if plain_address else DEFAULT_PORT if port is None else port
    _require_extra()
    _serve(host, port, browser=browser, is_plain=plain_address, new_token=new_token)


def _serve(host: str, port: int, *, browser: bool, is_plain: bool, new_token: bool) -> None:
    from commander.gateway import address, app, logins

    home = paths.home()
    settings = config.load(home).gateway
    db.connect(paths.database(home)).close()
    try:
        listening = app.bind(host, port)
    except OSError as error:
        raise BadInput(
            f"cannot listen on {host}:{port}: {error.strerror}; use --port 0 for a free port"
        ) from None
    port = listening[0].getsockname()[1]
    # For the installer, doctor and `fleet gateway link`. A second gateway, on another port, may run
    # without it.
    held.hold(Path(paths.gateway_lock(home)), _reached_at(listening[0]))
    environment.use()  # its page and its modules stay through two upgrades
    users = logins.Logins(logins.token_of(home, fresh=new_token))
    place = address.make(
        host,
        port,
        address.names(settings.hosts),
        is_plain=is_plain,
        kept=logins.name_of(home, fresh=new_token) if settings.keep_address else "",
    )
    say(f"Fleet's dashboard: {place.link(users.new_code())}")
    if is_interactive():
        say("`fleet gateway link` prints another link, for another browser.")
        if not is_plain:
            say("If your browser cannot open it: `fleet gateway --plain-address`.")
    if host not in _LOCAL:
        say("Other machines can reach this address. The token is the only lock.", err=True)
    if browser:
        webbrowser.open(place.link(users.new_code()))
    app.run(app.make(home, place, users), listening)


@gateway.command()
@click.option(
    "--at",
    default="",
    metavar="ADDRESS",
    help="The address that the other device uses, such as https://box.tailnet.ts.net; its name must"
    " be in the setting gateway.hosts.",
)
def link(at: str) -> None:
    """Print another link to the running gateway.

    It logs one browser in, once, within 15 minutes.

    \b
    Examples:
      fleet gateway link
      fleet gateway link --at https://box.tailnet.ts.net
    """
    home = paths.home()
    running = held.holder(Path(paths.gateway_lock(home)))
    if running is None:
        raise BadInput("no gateway is running; start one with `fleet gateway`")
    if not running.note:
        raise BadInput(
            f"the running gateway (process {running.pid}) is of an older Fleet; stop it and start"
            " `fleet gateway` again"
        )
    try:
        token = (Path(home) / "gateway.token").read_text("ascii").strip()
        connection = http.client.HTTPConnection(running.note, timeout=_ANSWER_SECONDS)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request("POST", "/api/v1/links", json.dumps({"at": at}), headers)
        answer = connection.getresponse()
        body = json_object(answer.read().decode("utf-8", "replace"))
    except (OSError, http.client.HTTPException) as error:
        raise BadInput(
            f"the gateway (process {running.pid}, at {running.note}) does not answer: {error}"
        ) from None
    if answer.status != 200:
        reason = (body.get("error") or {}).get("message") or f"status {answer.status}"
        raise BadInput(f"the gateway refused: {reason}")
    say(str(body["link"]))


def _require_extra() -> None:
    try:
        importlib.import_module("commander.gateway.app")
    except ImportError as error:
        raise BadInput(
            f"the gateway needs {error.name}, which is not installed; {how_to_add('gateway')}"
        ) from None


def _reached_at(listening: socket.socket) -> str:
    """The host and port under which a program of this machine reaches the gateway."""
    name, port = listening.getsockname()[:2]
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(str(name), str(name))  # noqa: S104
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
