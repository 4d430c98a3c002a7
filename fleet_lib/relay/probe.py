"""Whether the relay's server takes a machine's key, in the protocol's first few lines. The client's
library and what it needs take longer to import than all else that a look at the status does."""

import base64
import json
import socket
import ssl
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fleet_lib.extras import how_to_add
from fleet_lib.relay.trouble import CONNECT_SECONDS, IN_THE_CLEAR, RelayTrouble, unreachable

_PORT = 4222
_LINE_LIMIT = 64 * 1024  # bytes
_NO_NATS = "expecting INFO"  # as the library says it


def trouble_with(url: str, seed: Path, ca: Path) -> str:
    """Why the server cannot be used with this key, "" if it can. `ca` need not be there. Takes three
    seconds at most, also where a resolver hangs."""
    try:
        import nkeys
    except ImportError:
        return f"the relay's packages are not installed; {how_to_add('relay')}"
    found: list[str] = []

    def look() -> None:
        try:
            pair = nkeys.from_seed(bytearray(seed.read_bytes().strip()))
            _greet(url, ca if ca.exists() else None, pair)
            found.append("")
        except Exception as error:
            found.append(unreachable(url, error, []))

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    looking.join(CONNECT_SECONDS)
    return found[0] if found else unreachable(url, TimeoutError(), [])


def _greet(url: str, ca: Path | None, pair: Any) -> None:
    """Raises OSError, ValueError, RelayTrouble."""
    parts = urlsplit(url)
    address = parts.hostname or "", parts.port or _PORT
    with socket.create_connection(address, timeout=CONNECT_SECONDS) as plain:
        verb, _, rest = _line(plain).partition(b" ")
        if verb.upper() != b"INFO":
            raise RelayTrouble(_NO_NATS)
        info = json.loads(rest)
        encrypts = bool(info.get("tls_required") or info.get("tls_available"))
        if not (ca or url.startswith("tls://") or info.get("tls_required")):
            return _sign_in(plain, info, pair)
        if not encrypts:
            raise RelayTrouble(IN_THE_CLEAR)
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
        with context.wrap_socket(plain, server_hostname=address[0]) as encrypted:
            return _sign_in(encrypted, info, pair)


def _sign_in(stream: socket.socket, info: dict[str, Any], pair: Any) -> None:
    signature = base64.b64encode(pair.sign(str(info.get("nonce", "")).encode())).decode()
    options = {
        "verbose": False,
        "pedantic": False,
        "lang": "python3",
        "version": "1",
        "protocol": 1,
        "nkey": pair.public_key.decode(),
        "sig": signature,
    }
    stream.sendall(b"CONNECT " + json.dumps(options).encode() + b"\r\nPING\r\n")
    while (line := _line(stream)) != b"PONG":
        if line.startswith(b"-ERR"):
            raise RelayTrouble(line[4:].decode("utf-8", "replace").strip())


def _line(stream: socket.socket) -> bytes:
    """The next line, byte by byte: what comes after it may be encrypted."""
    line = b""
    while not line.endswith(b"\n") and len(line) < _LINE_LIMIT:
        byte = stream.recv(1)
        if not byte:
            raise RelayTrouble(_NO_NATS)
        line += byte
    return line.strip()
