"""What every endpoint of the API has: the home, its database, the queue of jobs, who is connected."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from commander.gateway.address import Address
from commander.gateway.jobs import JobQueue
from commander.gateway.logins import Logins
from fleet_lib import paths
from fleet_lib.errors import NotFound
from fleet_lib.store import db


@dataclass(frozen=True)
class Context:
    home: str
    queue: JobQueue
    address: Address
    logins: Logins
    clients: Callable[[], int]  # how many are connected
    changed: Callable[[], None]  # tells the clients that what a session shows has changed

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(db.connect_read_only(paths.database(self.home))) as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction."""
        with (
            contextlib.closing(db.connect(paths.database(self.home))) as connection,
            db.transaction(connection),
        ):
            yield connection


def number_of(request: Request, kind: str) -> int:
    """The number in the address. Raises NotFound for a text that cannot be one."""
    text = str(request.path_params[f"{kind}_id"])
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotFound(f"there is no {kind} {text[:30]}")
    return int(text)


def text_of(request: Request, kind: str) -> str:
    """The id in the address."""
    found: Any = request.path_params[f"{kind}_id"]
    return str(found)
