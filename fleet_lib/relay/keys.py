"""Keys: a machine's, by which the server knows it, and the server's certificate."""

import ipaddress
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from fleet_lib.errors import BadInput, FleetError
from fleet_lib.extras import how_to_add
from fleet_lib.files import write_whole
from fleet_lib.text import clean

_DAYS = 3650
_SECONDS = 30.0
_CONFIG = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = Fleet relay
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""


class NoKeys(FleetError):
    """A key or certificate cannot be made; why."""


def new_key() -> tuple[str, str]:
    """(seed, public key) of a machine. Raises NoKeys."""
    try:
        import nkeys
    except ImportError:
        raise NoKeys(f"the relay's packages are not installed; {how_to_add('relay')}") from None
    seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    pair = nkeys.from_seed(bytearray(seed))
    return seed.decode(), pair.public_key.decode()


def read_seed(file: Path) -> str:
    """A machine's seed from its file. Raises BadInput."""
    try:
        text = file.read_text("ascii").strip()
    except FileNotFoundError:
        raise BadInput(f"there is no file {file}; copy the machine's seed here") from None
    except (OSError, ValueError) as error:
        raise BadInput(f"{file} cannot be read: {clean(error, 200)}") from None
    if not (text.startswith("SU") and text.isalnum() and len(text) == 58):
        raise BadInput(f"{file} is no seed: it has one line that begins with SU")
    return text


def make_certificates(folder: Path, hosts: list[str]) -> None:
    """ca.pem, which machines trust, and the server's own certificate and key. Raises NoKeys."""
    openssl = shutil.which("openssl")
    if openssl is None:
        raise NoKeys("--tls needs the program openssl, which is not installed")
    alternatives = ", ".join(dict.fromkeys(map(_alternative, hosts)))
    with tempfile.TemporaryDirectory(prefix="fleet-relay-") as made:
        work = Path(made)
        (work / "config").write_text(_CONFIG.format(names=alternatives))
        common = ("-config", "config", "-days", str(_DAYS))
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        _run(
            openssl, work, "req", "-x509", *key, *common, "-extensions", "authority",
            "-keyout", "ca.key", "-out", "ca.pem",
        )  # fmt: skip
        _run(openssl, work, "req", "-new", *key, "-config", "config",
             "-keyout", "server.key", "-out", "server.csr")  # fmt: skip
        _run(
            openssl, work, "x509", "-req", "-in", "server.csr", "-CA", "ca.pem",
            "-CAkey", "ca.key", "-CAcreateserial", "-days", str(_DAYS), "-extfile", "config",
            "-extensions", "server", "-out", "server.pem",
        )  # fmt: skip
        # The authority's own key is not kept: nothing else is ever signed with it.
        for name, mode in (("ca.pem", 0o644), ("server.pem", 0o644), ("server.key", 0o600)):
            write_whole(folder / name, (work / name).read_bytes(), mode=mode)


def _run(openssl: str, folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        [openssl, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        raise NoKeys(f"openssl could not make a certificate: {clean(done.stderr[-300:], 300)}")


def _alternative(host: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(host)}"
    except ValueError:
        pass
    if not host.replace("-", "").replace(".", "").isalnum() or not host.isascii():
        raise BadInput(f"{clean(host, 100)!r} is no host's name or address")
    return f"DNS:{host}"
