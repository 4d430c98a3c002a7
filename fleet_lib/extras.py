"""An optional part of Fleet whose packages are not installed: the command that adds it. In an
environment that install.sh made that is install.sh, which also keeps the part in an upgrade; in a
plugin's, or a developer's, the packages themselves."""

import importlib.util
import re
import shlex
import sys
from pathlib import Path

from fleet_lib import paths

_NAME = re.compile(r"[\w.-]+(?:\[[\w,.-]+\])?")
_EXTRA = re.compile(r"extra == ['\"]([\w-]+)['\"]")


def how_to_add(extra: str) -> str:
    """`run …`, for the end of an error."""
    where = " in Fleet's checkout" if _is_by_install_sh() else ""
    return f"run `{command_to_add(extra)}`{where}"


def command_to_add(extra: str) -> str:
    """What a shell runs to add the packages of the part."""
    packages = [] if _is_by_install_sh() else _packages(extra)
    if not packages:
        return f"./install.sh --with {extra}"
    python = str(Path(sys.prefix, "bin", "python"))
    installer = [python, "-m", "pip", "install"]
    if importlib.util.find_spec("pip") is None:
        installer = ["uv", "pip", "install", "--python", python]
    return shlex.join([*installer, *packages])


def _is_by_install_sh() -> bool:
    return Path(paths.PROGRAM, "fleet-home.txt").exists()


def _packages(extra: str) -> list[str]:
    """By the program's own list, without versions: a shell would read `<`. The name `fleet` is
    another program's in the package index."""
    from importlib import metadata  # most processes need none of it

    try:
        listed = metadata.requires("fleet") or []
    except metadata.PackageNotFoundError:
        listed = []
    named = []
    for requirement in listed:
        package, _, marker = requirement.partition(";")
        if extra in _EXTRA.findall(marker) and (name := _NAME.match(package)):
            named.append(name[0])
    return named
