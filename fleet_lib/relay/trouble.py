"""What goes wrong with the relay's server, and the words for it. Standard library only: a look at the
status needs them too."""

import errno
import re
import socket

from fleet_lib.errors import FleetError
from fleet_lib.text import clean

CONNECT_SECONDS = 3.0  # in which a connection must be there
LOST = "the connection was lost"
IN_THE_CLEAR = "the server does not encrypt"
# Of a name with several addresses, in one error.
_REFUSED = re.compile(rf"\[errno {errno.ECONNREFUSED}\] connect call failed")


class RelayTrouble(FleetError):
    """The server cannot be reached, or does not do what it is asked; why."""


class Refused(RelayTrouble):
    """The server's permissions do not allow it."""


class NoStream(RelayTrouble):
    """There is no such stream (yet)."""

    def __init__(self) -> None:
        super().__init__("the server has no stream yet: one of its owner's machines makes it")


class WrongSequence(RelayTrouble):
    """Something was published to the subject that this connection does not know of."""


class NoBatches(RelayTrouble):
    """The stream takes messages one by one only."""


def unreachable(url: str, error: BaseException, said: list[str]) -> str:
    """Why there is no connection; `said` is what the server said before it ended."""
    return f"{clean(url, 200)} cannot be reached: {_why(error, said)}"


def is_unreachable(trouble: str) -> bool:
    return " cannot be reached: " in trouble


def reason(error: BaseException) -> str:
    return clean(error, 200) or type(error).__name__


def _why(error: BaseException, said: list[str]) -> str:
    words = " ".join([*said, str(error)]).lower()
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_SECONDS:.0f} s; check host, port and firewall"
    if IN_THE_CLEAR in words:
        return f"{IN_THE_CLEAR}; with a server that has no --tls, join nats://HOST:PORT"
    if isinstance(error, socket.gaierror):
        return "there is no host of that name"
    if isinstance(error, ConnectionRefusedError) or _REFUSED.search(words):
        return "no server listens there; start it, or check host and port"
    if "expecting info" in words:
        return "what answers there is no NATS server, or it has just ended"
    if "authorization" in words:
        return "the server does not know this key; its owner adds it with `add-machine`"
    if "seed" in type(error).__name__.lower() or "seed" in words:
        return "the key is no seed of `fleet relay server`"
    if "certificate" in words:
        return f"its certificate is not the one of --ca ({clean(error, 150)})"
    return clean(error, 200) or (said[-1] if said else type(error).__name__)
