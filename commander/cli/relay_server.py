"""`fleet relay server`: the folder of a relay's server, with its keys and permissions."""

import contextlib
from pathlib import Path

import click

from commander.cli._display import say
from fleet_lib import paths
from fleet_lib.errors import BadInput
from fleet_lib.files import write_whole

_folder_option = click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="The server's folder (default: that of the last `init` on this machine).",
)


@click.group()
def server() -> None:
    """Make and change the relay's server.

    The server is NATS (nats-server 2.12 or later). These commands write its configuration and keys
    into one folder; a running server takes each change at once.

    \b
    Examples:
      fleet relay server init ~/relay --tls --host box.example.org --machine laptop --machine box
      fleet relay server add-machine carol
      fleet relay server grant carol api-svc__1a2b3c4d
    """


@server.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--port", type=click.IntRange(1, 65535), default=4222, show_default=True, help="Port."
)
@click.option("--machine", "machines", multiple=True, help="One of your machines; may be repeated.")
@click.option("--tls", is_flag=True, help="Encrypt connections, with a certificate of its own.")
@click.option(
    "--host",
    "hosts",
    multiple=True,
    help="Name or address under which machines reach the server; may be repeated.",
)
@click.option(
    "--listen",
    help="Address to listen on (default: all with --tls, 127.0.0.1 without).",
)
def init(
    folder: Path,
    port: int,
    machines: tuple[str, ...],
    tls: bool,
    hosts: tuple[str, ...],
    listen: str | None,
) -> None:
    """Write a new server's configuration and keys into FOLDER.

    The machines that you name here are one person's: each reads and publishes every project.
    Colleagues come with `add-machine`.

    \b
    Examples:
      fleet relay server init ~/relay --tls --host box.example.org --machine laptop --machine box
    """
    from fleet_lib.relay import server as made

    folder = folder.expanduser().absolute()
    roster = made.init(
        folder,
        listen=listen or ("0.0.0.0" if tls else "127.0.0.1"),  # noqa: S104 (keys and TLS guard it)
        port=port,
        hosts=list(hosts),
        tls=tls,
        machines=list(machines),
    )
    home = Path(paths.home())
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(home / "relay-server", str(folder), mode=0o600)
    say(f"The server's configuration is {folder / made.CONFIG}.")
    program = made.program() or "nats-server"
    say(f"Start the server:  {program} -c {folder / made.CONFIG}")
    host = next(iter(hosts), "127.0.0.1")
    for name in roster.machines:
        seed = folder / made.SEEDS / f"{name}.seed"
        ca = f" --ca {folder / 'ca.pem'}" if tls else ""
        scheme = "tls" if tls else "nats"
        say(f"On {name}:  fleet relay join {scheme}://{host}:{port} --seed-file {seed}{ca}")
    if roster.machines:
        files = "its seed and ca.pem" if tls else "its seed"
        say(f"Copy {files} to each machine first, by a way that no one else can read.")
    if not tls and (listen or "127.0.0.1") not in ("127.0.0.1", "::1", "localhost"):
        say("Without --tls others on the network can read what is sent.", err=True)


@server.command("add-machine")
@click.argument("name")
@click.option("--person", help="Whose machine it is (default: NAME, a person of their own).")
@click.option("--project", "projects", multiple=True, help="A project that it is granted.")
@_folder_option
def add_machine(
    name: str, person: str | None, projects: tuple[str, ...], folder: Path | None
) -> None:
    """Add machine NAME, and write its key.

    The machines of one person see each other's titles and dismissals. It may read and publish
    nothing until you grant it projects.

    \b
    Examples:
      fleet relay server add-machine carol
      fleet relay server add-machine carol-box --person carol --project api-svc__1a2b3c4d
    """
    from fleet_lib.relay import server as made

    place = _folder(folder)
    grants = [_project_id(project) for project in projects]
    seed = made.add_machine(place, name, person or name, grants)
    say(f"{name} is added. Its key is {seed}; hand it over by a way that no one else can read.")
    if not grants:
        say(f"Grant it projects: `fleet relay server grant {name} PROJECT`.")
    _say_state(place)


@server.command("remove-machine")
@click.argument("name")
@_folder_option
def remove_machine(name: str, folder: Path | None) -> None:
    """Remove machine NAME: its key opens nothing any more.

    \b
    Examples:
      fleet relay server remove-machine carol
    """
    from fleet_lib.relay import server as made

    place = _folder(folder)
    made.remove_machine(place, name)
    say(f"{name} is removed. What it sent stays on the server for up to 90 days.")
    _say_state(place)


@server.command()
@click.argument("name")
@click.argument("projects", nargs=-1, required=True, metavar="PROJECT…")
@_folder_option
def grant(name: str, projects: tuple[str, ...], folder: Path | None) -> None:
    """Let machine NAME read and publish these projects.

    PROJECT is a project's id, or its name on this machine; '*' is every project. What was
    published before can be read from its beginning.

    \b
    Examples:
      fleet relay server grant carol api-svc__1a2b3c4d web__5e6f7a8b
      fleet relay server grant laptop2 '*'
    """
    from fleet_lib.relay import server as made

    place = _folder(folder)
    grants = made.grant(place, name, [_project_id(project) for project in projects])
    say(f"{name} may read and publish: {', '.join(grants)}.")
    _say_state(place)


@server.command()
@click.argument("name")
@click.argument("projects", nargs=-1, required=True, metavar="PROJECT…")
@_folder_option
def revoke(name: str, projects: tuple[str, ...], folder: Path | None) -> None:
    """Take these projects from machine NAME again.

    What it has received already stays there.

    \b
    Examples:
      fleet relay server revoke carol web__5e6f7a8b
    """
    from fleet_lib.relay import server as made

    place = _folder(folder)
    grants = made.revoke(place, name, [_project_id(project) for project in projects])
    say(f"{name} may read and publish: {', '.join(grants) or 'nothing'}.")
    _say_state(place)


def _folder(given: Path | None) -> Path:
    if given:
        return given.expanduser().absolute()
    try:
        return Path((Path(paths.home()) / "relay-server").read_text("utf-8").strip())
    except OSError:
        raise BadInput("no server was made on this machine; name its folder with --dir") from None


def _say_state(folder: Path) -> None:
    from fleet_lib.relay import server as made

    if made.running_pid(folder) is None:
        say("No server runs from this folder now; it reads this when it starts.")


def _project_id(text: str) -> str:
    """A project's id, or the id of the project that this machine knows by that name."""
    from fleet_lib.relay import names
    from fleet_lib.store import db
    from fleet_lib.views.projects import find_project

    database = Path(paths.database(paths.home()))
    if text == names.ALL or names.PROJECT.fullmatch(text) or not database.exists():
        return text
    with contextlib.closing(db.connect_read_only(database)) as connection:
        return find_project(connection, text).project_id
