"""The names under which the gateway is reached, and which of them a browser's page may have.

The page's name is random at each start. Storage and service workers of a browser belong to a name
and a port, so with a fixed name the next program on the same port would read the page's storage,
and an earlier one could have left a service worker that answers in the gateway's place. A browser's
permission to show notifications belongs to them too, so a user may choose to keep the name: it is a
secret then, and the port is what must be watched (docs/security.md)."""

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from fleet_lib.errors import BadInput

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
ANY = frozenset({"0.0.0.0", "::"})  # noqa: S104
_HOST = re.compile(r"(?P<name>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


@dataclass(frozen=True)
class Address:
    page: str  # the name in the links that the gateway prints
    port: int
    hosts: frozenset[str] = frozenset()  # names that the user has allowed

    def serves(self, host: str) -> bool:
        """Whether a request with this Host header is meant for the gateway. A name that another page
        can point at this machine is not among these."""
        name = _split(host)[0]
        return name in LOOPBACK or self.has_page(host)

    def has_page(self, host: str) -> bool:
        """Whether the page may log in under this Host header."""
        name, port = _split(host)
        if name == self.page and name in LOOPBACK:
            return port == str(self.port)  # nothing but the port is random here
        return name == self.page or name in self.hosts

    def is_own_page(self, origin: str, host: str) -> bool:
        """Whether the Origin header is that of a page which this Host itself has served."""
        scheme, separator, place = origin.partition("://")
        name, port = _split(place)
        host_name, host_port = _split(host)
        schemes = ("http", "https") if host_name in self.hosts else ("http",)
        if not (separator and name) or scheme not in schemes or name != host_name:
            return False
        default = _DEFAULT_PORTS[scheme]
        return (port or default) == (host_port or default)

    def link(self, code: str, at: str = "") -> str:
        """The link that logs a browser in once, under the page's own name or at another address.
        Raises BadInput for one under which the page cannot log in."""
        if not at:
            return f"http://{self.page}:{self.port}/#code={code}"
        scheme, _, rest = at.rpartition("://")
        scheme, place = scheme or "http", rest.partition("/")[0]
        if scheme not in _DEFAULT_PORTS or not self.has_page(place):
            raise BadInput(
                f"{at} is not an address of this gateway; add its name to the setting gateway.hosts"
                " with `fleet config set gateway.hosts NAME` and start the gateway again"
            )
        return f"{scheme}://{place}/#code={code}"


def make(host: str, port: int, hosts: Iterable[str], *, is_plain: bool, kept: str = "") -> Address:
    """The address of a gateway that listens on `host`; `hosts` are the names of the setting, `kept`
    is what stays the same in the page's name."""
    allowed = set(hosts)
    written = f"[{host}]" if ":" in host else host
    if is_plain:
        page = written if written in LOOPBACK else "127.0.0.1"
    elif written in LOOPBACK or host in ANY:
        page = f"fleet-{kept or secrets.token_hex(8)}.localhost"
    else:
        page = written.lower()
        allowed.add(page)
    return Address(page, port, frozenset(allowed))


def names(setting: Iterable[str]) -> list[str]:
    """The names of the setting gateway.hosts, which may be written as addresses or with a port."""
    places = [word.partition("://")[2] or word for word in setting]
    found = [_split(place.partition("/")[0])[0] for place in places]
    return [name for name in found if name]


def _split(host: str) -> tuple[str, str]:
    """(name, port) of a Host header, the port without leading zeros; ("", "") if it is none."""
    found = _HOST.fullmatch(host.lower())
    return (found["name"], (found["port"] or "").lstrip("0")) if found else ("", "")
