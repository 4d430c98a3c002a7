"""The address of a repository as text: without its credentials, and in one form for all the ways in
which one repository is written. Nothing here reads a file or asks git; turn/remote_names.py does."""

from __future__ import annotations

import os
from collections.abc import Callable

from fleet_lib.compiled import compiled
from fleet_lib.lazy import lazy
from fleet_lib.records import Record
from fleet_lib.text import storable

# (host, user or "") as a URL has them -> (the host that ssh connects to, its port or None)
SshHost = Callable[[str, str], tuple[str, int | None]]

_DROPPED = frozenset("\t\r\n")  # urlsplit takes these out before it looks
_URL = lazy(r"(?s)(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<place>[^/?#]*)(?P<path>[^#]*)")
_SCP_FORM = lazy(r"(?s)(?:(?P<user>[^@/\s]+)@)?(?P<host>[^:/\s\[\]]{2,}):(?!//)(?P<path>.+)")
# `[user@host:port]:path` and `user@[host]:path`, which git understands too.
_SCP_BRACKETS = r"(?s)(?:(?P<user>[^@/\s]+)@)?\[(?P<place>[^\]/\s]+)\]:(?!//)(?P<path>.+)"
_SSH = ("ssh", "git+ssh", "ssh+git")
_DEFAULT_PORTS = {**dict.fromkeys(_SSH, 22), "https": 443, "http": 80, "git": 9418}

# Forges whose host also has other names. Under these, any port leads to the same place.
_OTHER_NAMES = {
    "ssh.github.com": "github.com",
    "altssh.gitlab.com": "gitlab.com",
    "altssh.bitbucket.org": "bitbucket.org",
    "hf.co": "huggingface.co",
    "ssh.dev.azure.com": "dev.azure.com",
    "heroku.com": "git.heroku.com",
}
# Two spellings of a path are one repository there. A GitLab or Gitea of one's own is not known to
# be one, and another server may tell them apart.
_IGNORING_CASE = (
    *("github.com", "gist.github.com", "gitlab.com", "bitbucket.org", "huggingface.co"),
    *("dev.azure.com", "codeberg.org", "gitea.com"),
)
_FORGES = frozenset(
    (*_IGNORING_CASE, *("git.sr.ht", "gitee.com", "source.developers.google.com", "git.heroku.com"))
)
_FORGE_PORTS = (22, 80, 443, 9418)
# Ports that only one kind of server listens on, for ssh or in front of its web pages.
_BITBUCKET_SERVER_PORTS, _GERRIT_PORT, _GOOGLE_SOURCE_PORT = (7990, 7999), 29418, 2022

# Compiled where they are needed, which is seldom.
_CODECOMMIT = r"(?i)codecommit::(?P<region>[a-z0-9-]+)://(?:[^@/]+@)?(?P<name>[^/@]+)/*"
_CODECOMMIT_HOST = (
    r"(?:vpce-[a-z0-9-]+\.)?git-codecommit(?:-fips)?\.(?P<region>[a-z0-9-]+)"
    r"\.(?:vpce\.)?amazonaws\.com(?:\.cn)?"
)


class _Address(Record):
    """A remote taken apart."""

    scheme: str
    user: str
    host: str  # as it is written: ssh tells `Work` from `work`
    port: int | None
    path: list[str]  # its parts, without empty ones


def without_credentials(remote: str) -> str:
    """The URL without its user and password; ssh's user name is no secret and stays."""
    # Most addresses have none, and the import takes a tenth of what a turn's does.
    if "@" not in remote or not ("//" in remote or _DROPPED.intersection(remote)):
        return remote
    from urllib.parse import urlsplit, urlunsplit

    try:
        parts = urlsplit(remote)
    except ValueError:
        return compiled(r"//[^/@]*@").sub("//", remote)
    if not parts.scheme:
        return remote
    if "@" not in parts.netloc:
        # A password with a slash that should have been escaped: no number stands where the port
        # would.
        has_port = parts.netloc.rpartition(":")[2].isdigit()
        if ":" not in parts.netloc or has_port or "@" not in parts.path:
            return remote
        return f"{parts.scheme}://{remote.rpartition('@')[2]}"
    user, _, host = parts.netloc.rpartition("@")
    kept = f"{user.partition(':')[0]}@{host}" if "ssh" in parts.scheme else host
    return urlunsplit(parts._replace(netloc=kept))


def _unquoted(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text)


def canonical_remote(remote: str, ssh_host: SshHost | None = None) -> str:
    """One form for what is one repository: `host/path`, from ssh, scp-like and https forms; the
    path of a local one. `ssh_host` resolves the host of the forms that ssh connects to."""
    remote = without_credentials(remote.strip())
    if "codecommit::" in remote and (found := compiled(_CODECOMMIT).fullmatch(remote)):
        return _codecommit(found["region"].lower(), found["name"])
    address = _taken_apart(remote)
    if address is None:
        return storable(_local(remote))
    if address.scheme == "codecommit" or not (address.host or address.path):
        return storable(remote)  # the user's default region is not known; or it is no address
    if address.scheme == "file" or not address.host:
        return storable("/" + "/".join(_without_suffix(address.path)))
    if ssh_host and address.scheme in _SSH:
        address = _resolved(address, ssh_host)
    return storable(_canonical(address))


def _taken_apart(remote: str) -> _Address | None:
    """None for a local path."""
    if found := _URL.match(remote):
        scheme = found["scheme"].lower()
        user, _, place = found["place"].rpartition("@")
        host, port, more = _host_and_port(place)
        # As git does; a `file:` URL stays as it was always read.
        path = found["path"] if scheme == "file" else _unquoted(found["path"])
        return _Address(scheme, user, host, port, _parts(f"{more}/{path}"))
    if "[" in remote and (found := compiled(_SCP_BRACKETS).fullmatch(remote)):
        user, _, place = found["place"].rpartition("@")
        host, port, _ = _host_and_port(f"[{place}]" if place.count(":") > 1 else place)
        return _Address("ssh", found["user"] or user, host, port, _parts(found["path"]))
    if found := _SCP_FORM.fullmatch(remote):
        host, _, _ = _host_and_port(found["host"])
        return _Address("ssh", found["user"] or "", host, None, _parts(found["path"]))
    return None


def _host_and_port(place: str) -> tuple[str, int | None, str]:
    """(host, port, the beginning of a path that was written where the port belongs)."""
    if place.startswith("["):
        host, _, rest = place[1:].partition("]")
        rest = rest.removeprefix(":")
    else:
        host, _, rest = place.partition(":")
    host = host.rstrip(".")
    if rest.isascii() and rest.isdigit() and len(rest) < 6:
        return host, int(rest), ""
    return host, None, rest


def _parts(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part]
    return parts[1:] if parts[:1] == ["~"] else parts  # of the user's home, where scp forms begin


def _without_suffix(path: list[str]) -> list[str]:
    last = path[-1].removesuffix(".git") if path else ""
    return [*path[:-1], last] if last else path[:-1]


def _local(remote: str) -> str:
    path = os.path.normpath(remote).removesuffix(".git")
    return path.rstrip("/") or "/"


def _resolved(address: _Address, ssh_host: SshHost) -> _Address:
    host, port = ssh_host(address.host, address.user)
    return _Address(
        address.scheme, address.user, host.rstrip("."), address.port or port, address.path
    )


def _canonical(address: _Address) -> str:
    host, port = address.host.lower(), address.port
    path = _without_suffix(address.path)
    if "codecommit" in host and (found := compiled(_CODECOMMIT_HOST).fullmatch(host)):
        return _codecommit(found["region"], path[-1] if path else "")
    if azure := _azure(host, address.user, [_unquoted(part) for part in path]):
        return "/".join(("dev.azure.com", *azure)).lower()
    if host.removeprefix("www.") in _FORGES:
        host = host.removeprefix("www.")
        port = None if port in _FORGE_PORTS else port
    if host in _OTHER_NAMES:
        host, port = _OTHER_NAMES[host], None
    if port == _DEFAULT_PORTS.get(address.scheme):
        port = None
    host, port, path = _of_one_kind_of_server(host, port, path)
    ignores_case = host in _IGNORING_CASE or host.endswith(".ghe.com")
    text = "/".join(path)
    shown_host = f"[{host}]" if ":" in host else host
    shown_port = f":{port}" if port else ""
    return f"{shown_host}{shown_port}/{text.lower() if ignores_case else text}"


def _of_one_kind_of_server(
    host: str, port: int | None, path: list[str]
) -> tuple[str, int | None, list[str]]:
    """The same with what only this server's web address, or its ssh address, has."""
    if host == "gist.github.com":
        return host, port, path[-1:]  # its owner may be left out
    if host == "huggingface.co" and len(path) == 3 and path[0] == "models":
        return host, port, path[1:]
    if host in ("github.com", "bitbucket.org") and len(path) == 3 and path[0] in ("22", "443"):
        return host, port, path[1:]  # `git@ssh.github.com:443/owner/name`: it was meant as a port
    if host.startswith("ssh.") and host.endswith(".ghe.com"):
        return host.removeprefix("ssh."), None, path
    if host.endswith(".googlesource.com") and path[:1] == ["a"]:
        return host, port, path[1:]
    if port == _GERRIT_PORT or (host, port) == (
        "source.developers.google.com",
        _GOOGLE_SOURCE_PORT,
    ):
        return host, None, path
    # Bitbucket Server: /scm/KEY/name on the web, perhaps below a context path; KEY/name by ssh.
    is_scm = len(path) in (3, 4) and path[-3] == "scm"
    if is_scm or (port in _BITBUCKET_SERVER_PORTS and len(path) == 2):
        port = None if port in _BITBUCKET_SERVER_PORTS else port
        return host, port, [part.lower() for part in path[-2:]]
    return host, port, path


def _azure(host: str, user: str, path: list[str]) -> list[str] | None:
    """[organisation, project, repository] of Azure DevOps; None for another kind of address."""
    if not host.endswith((".visualstudio.com", "dev.azure.com")):
        return None
    if "ssh" in host.partition(".")[0] and path[:1] == ["v3"]:
        return path[1:] if len(path) == 4 else None
    if host.endswith(".visualstudio.com"):
        name = host.removesuffix(".visualstudio.com")
        organisation = user if name == "vs-ssh" else name
    else:
        organisation, path = (path or [""])[0], path[1:]
    if path and path[0].lower() == "defaultcollection":
        path = path[1:]
    path = [part for part in path if part not in ("_full", "_optimized")]
    if len(path) < 2 or len(path) > 3 or path[-2] not in ("_git", "_ssh") or not organisation:
        return None
    # A repository with its project's name is written without the project.
    return [organisation, path[0] if len(path) == 3 else path[-1], path[-1]]


def _codecommit(region: str, name: str) -> str:
    return f"git-codecommit.{region}.amazonaws.com/v1/repos/{name}"
