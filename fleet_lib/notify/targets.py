"""The targets that messages are sent to: `notify.json` in Fleet's home, a private file, since an
address holds passwords and tokens. Also what may be shown of an address. The drainer reads the file,
so nothing heavy is imported here."""

import json
import os
import re

from fleet_lib import paths
from fleet_lib.errors import BadInput, NotFound
from fleet_lib.files import read_json_object, write_whole
from fleet_lib.lazy import lazy
from fleet_lib.records import Record

DESKTOP = "desktop"
NAME = lazy(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_ADDRESS = lazy(r"([A-Za-z][A-Za-z0-9.+-]{0,30})://(.*)", re.DOTALL)
# In these, what follows `//` is a login and then a host; elsewhere it may be a token.
_WITH_HOST = {
    *("http", "https", "json", "jsons", "xml", "xmls", "form", "forms", "mailto", "mailtos"),
    *("ntfy", "ntfys", "gotify", "gotifys", "matrix", "matrixs", "mmost", "mmosts"),
    *("rocket", "rockets", "apprise", "apprises", "nctalk", "nctalks", "ncloud", "nclouds"),
    *("hassio", "hassios", "signal", "signals", "mqtt", "mqtts", "workflow", "workflows"),
}
_USUAL_NAMES = {
    **dict.fromkeys(("json", "jsons", "xml", "xmls", "form", "forms"), "webhook"),
    **dict.fromkeys(("http", "https"), "webhook"),
    **dict.fromkeys(("mailto", "mailtos"), "mail"),
    **dict.fromkeys(("mmost", "mmosts"), "mattermost"),
    "tgram": "telegram",
    "ntfys": "ntfy",
    "matrixs": "matrix",
    "gotifys": "gotify",
    "pover": "pushover",
}
_KNOWN_HOSTS = {"slack": "slack", "discord": "discord", "telegram": "telegram"}


class Target(Record):
    """One place that messages are sent to."""

    id: str  # unlike the name, it is never used again
    name: str
    url: str  # an address of Apprise's, or DESKTOP; it may hold secrets

    @property
    def shown(self) -> str:
        return masked(self.url)


def exist(home: str) -> bool:
    """Whether there may be a target: most homes have none, and the drainer asks after each turn."""
    return os.path.exists(paths.notify_targets(home))  # noqa: PTH110  no Path for each turn


def read(home: str) -> list[Target]:
    """The targets, in the order in which they were added. What is no target is left out."""
    found = read_json_object(paths.notify_targets(home)).get("targets")
    return [
        Target(one["id"], one["name"], one["url"])
        for one in (found if isinstance(found, list) else [])
        if isinstance(one, dict)
        and all(isinstance(one.get(name), str) and one[name] for name in ("id", "name", "url"))
    ]


def add(home: str, url: str, name: str | None) -> Target:
    """Add a target. Raises BadInput for a name or an address that is there already."""
    before = read(home)
    path = paths.notify_targets(home)
    if exist(home) and not read_json_object(path):
        raise BadInput(f"{path} holds no JSON; repair it, or remove it")
    names = {target.name for target in before}
    if name is not None and not NAME.fullmatch(name):
        raise BadInput(f"{name!r} is not a name; use letters, digits, `-`, `_` and `.`")
    if name in names:
        raise BadInput(f"there is a target {name!r} already; remove it, or use another --name")
    for target in before:
        if target.url == url:
            raise BadInput(f"this is the address of {target.name!r}, which is there already")
    target = Target(os.urandom(6).hex(), name or _free_name(url, names), url)
    _write(home, [*before, target])
    return target


def remove(home: str, name: str) -> Target:
    """Remove a target. Raises NotFound."""
    target = find(home, name)
    _write(home, [other for other in read(home) if other.id != target.id])
    return target


def find(home: str, name: str) -> Target:
    """The target of this name. Raises NotFound."""
    targets = read(home)
    for target in targets:
        if target.name == name:
            return target
    names = ", ".join(target.name for target in targets)
    known = (
        f"the targets are {names}" if names else "there are none; add one with `fleet notify add`"
    )
    raise NotFound(f"there is no target {name!r}; {known}")


def masked(url: str) -> str:
    """An address as it may be shown: its kind, and its host where that is no secret."""
    match = _ADDRESS.fullmatch(url)
    if not match:
        return DESKTOP if url == DESKTOP else "…"
    kind, rest = match[1].lower(), match[2]
    host = host_of(url)
    if not host:
        return f"{kind}://…"
    login = "…@" if "@" in rest.partition("/")[0] else ""
    return f"{kind}://{login}{host}{'/…' if re.search(r'[/?]', rest) else ''}"


def host_of(url: str) -> str:
    """The host and port in an address, "" where they may be something else."""
    match = _ADDRESS.fullmatch(url)
    if not match or match[1].lower() not in _WITH_HOST:
        return ""
    place, slash, path = re.split(r"[?#]", match[2], maxsplit=1)[0].partition("/")
    host = place.rpartition("@")[2]
    is_topic = not (slash and path.strip("/")) or not re.search(r"[.:]|^localhost$", host)
    if match[1].lower().startswith("ntfy") and is_topic:
        return ""  # who knows a topic can read it
    return host if re.fullmatch(r"[A-Za-z0-9.-]+(?::\d+)?|\[[0-9A-Fa-f:]+\](?::\d+)?", host) else ""


def _free_name(url: str, taken: set[str]) -> str:
    kind = url.partition("://")[0].lower()
    host = host_of(url) if kind in ("http", "https") else ""
    known = [name for word, name in _KNOWN_HOSTS.items() if word in host]
    usual = known[0] if known else _USUAL_NAMES.get(kind, kind)
    name, number = usual, 1
    while name in taken:
        number += 1
        name = f"{usual}{number}"
    return name


def _write(home: str, targets: list[Target]) -> None:
    from pathlib import Path  # here: the drainer imports this module, and only reads

    path = Path(paths.notify_targets(home))
    if not targets:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    rows = [{"id": one.id, "name": one.name, "url": one.url} for one in targets]
    write_whole(path, json.dumps({"targets": rows}, indent=2) + "\n", mode=0o600)
