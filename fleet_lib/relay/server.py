"""The server's folder: who its machines are, what each may read and publish, and the nats.conf that
is written from it. The program itself is nats-server; nothing here talks to it but a signal to read
its configuration again."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import psutil
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fleet_lib.errors import BadInput, FleetError
from fleet_lib.extras import how_to_add
from fleet_lib.files import write_whole
from fleet_lib.relay import keys, names
from fleet_lib.text import clean

ROSTER, CONFIG, SEEDS = "machines.json", "nats.conf", "keys"
DEFAULT_PORT = 4222
OWNER = "owner"
_CHECK_SECONDS = 20.0
_MACHINE = Annotated[
    str, Field(pattern=f"^{names.MACHINE.pattern}$", max_length=names.MACHINE_LIMIT)
]


class Machine(BaseModel):
    model_config = ConfigDict(extra="forbid")

    public_key: Annotated[str, Field(pattern="^U[A-Z2-7]{55}$")]
    person: _MACHINE
    grants: list[str] = []


class Roster(BaseModel):
    """What machines.json holds."""

    model_config = ConfigDict(extra="forbid")

    listen: str
    port: Annotated[int, Field(ge=1, le=65535)]
    tls: bool
    machines: dict[_MACHINE, Machine] = {}


class ServerTrouble(FleetError):
    """The server's configuration cannot be used; why."""


def init(
    folder: Path, *, listen: str, port: int, hosts: list[str], tls: bool, machines: list[str]
) -> Roster:
    """Make the folder with a key for each machine, which may read and publish everything. Raises
    BadInput, ServerTrouble."""
    if (folder / ROSTER).exists():
        raise BadInput(f"{folder} has a server already; add to it with `fleet relay server`")
    roster = Roster(listen=listen, port=port, tls=tls)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise BadInput(f"{folder} cannot be made: {clean(error, 200)}; name another one") from None
    if tls:
        keys.make_certificates(folder, [*hosts, "localhost", "127.0.0.1", "::1"])
    for name in machines:
        _add(folder, roster, name, OWNER, [names.ALL])
    save(folder, roster)
    return roster


def add_machine(folder: Path, name: str, person: str, grants: list[str]) -> Path:
    """A key for one more machine; where its seed is. Raises BadInput, ServerTrouble."""
    roster = load(folder)
    seed = _add(folder, roster, name, person, grants)
    try:
        save(folder, roster)
    except FleetError:
        seed.unlink(missing_ok=True)
        raise
    return seed


def remove_machine(folder: Path, name: str) -> None:
    """Its key opens nothing any more. Raises BadInput, ServerTrouble."""
    roster = load(folder)
    _machine(roster, name)
    del roster.machines[name]
    save(folder, roster)
    (folder / SEEDS / f"{name}.seed").unlink(missing_ok=True)


def grant(folder: Path, name: str, projects: list[str]) -> list[str]:
    """Let a machine read and publish these projects too; all that it may now. Raises BadInput,
    ServerTrouble."""
    roster = load(folder)
    machine = _machine(roster, name)
    machine.grants = list(dict.fromkeys([*machine.grants, *map(_project, projects)]))
    save(folder, roster)
    return machine.grants


def revoke(folder: Path, name: str, projects: list[str]) -> list[str]:
    """The other way round."""
    roster = load(folder)
    machine = _machine(roster, name)
    gone = set(map(_project, projects))
    if missing := gone.difference(machine.grants):
        raise BadInput(f"{name} has no right to {', '.join(sorted(missing))}")
    machine.grants = [one for one in machine.grants if one not in gone]
    save(folder, roster)
    return machine.grants


def load(folder: Path) -> Roster:
    """Raises BadInput where there is no server's folder."""
    try:
        return Roster.model_validate_json((folder / ROSTER).read_bytes())
    except FileNotFoundError:
        raise BadInput(
            f"there is no server in {folder}; make one with `fleet relay server init`"
        ) from None
    except ValidationError as error:
        raise BadInput(f"{folder / ROSTER} cannot be read: {clean(error, 300)}") from None


def save(folder: Path, roster: Roster) -> None:
    """Write the roster and the configuration, once nats-server has accepted it, and let a running
    server read it. Raises ServerTrouble; the files are then as they were."""
    candidate = folder / f"{CONFIG}.new"
    write_whole(candidate, config_text(folder, roster), mode=0o600)
    try:
        _check(candidate)
        candidate.replace(folder / CONFIG)
    finally:
        candidate.unlink(missing_ok=True)
    write_whole(folder / ROSTER, roster.model_dump_json(indent=2) + "\n", mode=0o600)
    if pid := running_pid(folder):
        os.kill(pid, signal.SIGHUP)


def config_text(folder: Path, roster: Roster) -> str:
    """The text of nats.conf. JSON values are values there too."""
    owners = {name for name, one in roster.machines.items() if one.person == OWNER}
    users = [
        {
            "nkey": machine.public_key,
            "permissions": {
                "publish": {
                    "allow": names.allowed_subjects(
                        name, machine.person, machine.grants, is_owner=name in owners
                    )
                },
                "subscribe": {"allow": [f"{names.inbox(name)}.>"]},
            },
        }
        for name, machine in sorted(roster.machines.items())
    ]
    values: dict[str, object] = {
        "listen": f"{_bracketed(roster.listen)}:{roster.port}",
        "server_name": "fleet-relay",
        "pid_file": str(folder / "nats.pid"),
        "max_payload": 1024 * 1024,
        # JetStream acknowledges before it syncs unless it is asked not to.
        "jetstream": {"store_dir": str(folder / "jetstream"), "sync_interval": "always"},
        "authorization": {"users": users},
    }
    if roster.tls:
        values["tls"] = {
            "cert_file": str(folder / "server.pem"),
            "key_file": str(folder / "server.key"),
            "timeout": 3,
        }
    lines = [f"{name}: {json.dumps(value, indent=2)}" for name, value in values.items()]
    head = "# Written by `fleet relay server`; what you change here is overwritten.\n"
    return head + "\n".join(lines) + "\n"


def program() -> str | None:
    """nats-server: that of the extra relay-server, which is beside this Python; else that of the
    system."""
    beside = Path(sys.prefix) / "bin" / "nats-server"
    return str(beside) if beside.exists() else shutil.which("nats-server")


def running_pid(folder: Path) -> int | None:
    """The running server's process, if its pid file names one that is a nats-server."""
    try:
        pid = int((folder / "nats.pid").read_text())
        is_server = "nats-server" in " ".join(psutil.Process(pid).cmdline()[:1])
    except (OSError, ValueError, psutil.Error):
        return None
    return pid if is_server else None


def _check(config: Path) -> None:
    server = program()
    if server is None:
        raise ServerTrouble(
            f"nats-server was not found; {how_to_add('relay-server')}, or install it as your system"
            " has it (2.12 or later)"
        )
    done = subprocess.run(
        [server, "-t", "-c", str(config)],
        capture_output=True,
        text=True,
        timeout=_CHECK_SECONDS,
        check=False,
    )
    if done.returncode:
        raise ServerTrouble(f"nats-server does not accept it: {clean(done.stderr, 300)}")


def _add(folder: Path, roster: Roster, name: str, person: str, grants: list[str]) -> Path:
    for one in (name, person):
        if not names.MACHINE.fullmatch(one) or len(one) > names.MACHINE_LIMIT:
            raise BadInput(
                f"{clean(one, 60)!r} is no name for a machine; use small letters, digits and single"
                f" dashes, at most {names.MACHINE_LIMIT} characters"
            )
    if name in roster.machines:
        raise BadInput(
            f"{name} is a machine of this server already; `remove-machine` it first if it needs a"
            " new key"
        )
    seed, public = keys.new_key()
    roster.machines[name] = Machine(
        public_key=public, person=person, grants=list(map(_project, grants))
    )
    seeds = folder / SEEDS
    seeds.mkdir(mode=0o700, exist_ok=True)
    path = seeds / f"{name}.seed"
    write_whole(path, seed + "\n", mode=0o600)
    return path


def _machine(roster: Roster, name: str) -> Machine:
    if name not in roster.machines:
        known = ", ".join(sorted(roster.machines)) or "none"
        raise BadInput(f"{clean(name, 60)!r} is no machine of this server; it has: {known}")
    return roster.machines[name]


def _project(text: str) -> str:
    if text == names.ALL or re.fullmatch(names.PROJECT, text):
        return text
    raise BadInput(
        f"{clean(text, 80)!r} is no project's id, as `fleet relay status` and"
        " `fleet projects list --json` show it, and not '*'"
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
