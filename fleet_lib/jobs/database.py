"""The job runner's database connection, in a thread of its own: a write that has to wait for
another program must not delay reading a child's output."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from fleet_lib import paths
from fleet_lib.store import db

P = ParamSpec("P")
T = TypeVar("T")

_BUSY_SECONDS = 60.0


class Database:
    """Calls functions that take a connection, one after the other. Opened by the first call."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._thread = ThreadPoolExecutor(1)
        self._connection: sqlite3.Connection | None = None

    async def call(
        self,
        function: Callable[Concatenate[sqlite3.Connection, P], T],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> T:
        """Call a function that reads, or that opens its transactions itself."""
        return await self._in_thread(lambda: function(self._open(), *arguments, **named))

    async def transact(
        self,
        function: Callable[Concatenate[sqlite3.Connection, P], T],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> T:
        """Call a function inside one transaction."""

        def transaction() -> T:
            with db.transaction(self._open()) as connection:
                return function(connection, *arguments, **named)

        return await self._in_thread(transaction)

    async def close(self) -> None:
        if self._connection is not None:
            await self._in_thread(self._connection.close)
        self._thread.shutdown()

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            path = paths.database(self._home)
            self._connection = db.connect(path, busy_timeout=_BUSY_SECONDS)
        return self._connection
