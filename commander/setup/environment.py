"""Fleet's own virtual environment: built in a new folder, then put in place with one rename, one
build at a time. Python 3.9 and later, standard library only: a plugin runs it with any
`python3`."""

import ast
import configparser
import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType

CANDIDATES = ("python3.14", "python3.13", "python3.12", "python3.11", "python3", sys.executable)
_IS_NEW_ENOUGH = "import sys; sys.exit(sys.version_info < (3, 11))"
_YOUNG_SECONDS = 900

# {extra: what an environment has that has it}
EXTRAS = {
    "gateway": "app/nh3",
    "mcp": "app/mcp",
    "notify": "app/apprise",
    "relay": "app/nats",
    "relay-server": "bin/nats-server",
    "studio": "app/datasette",
}


class BuildFailed(OSError):
    """The environment could not be built; one line says why. An earlier environment is
    untouched."""


def find_python(candidates: "tuple[str, ...]" = CANDIDATES) -> "str | None":
    """A Python 3.11 or later, or None."""
    for candidate in candidates:
        path = shutil.which(candidate)
        with contextlib.suppress(OSError):
            if path and not subprocess.call(
                [path, "-c", _IS_NEW_ENOUGH], stderr=subprocess.DEVNULL
            ):
                return path
    return None


def build(
    envs: Path,
    link: Path,
    source: Path,
    python: str,
    *,
    home: "Path | None" = None,
    extras: "Iterable[str]" = (),
    check: "Callable[[Path], object]" = lambda python: None,
    say: "Callable[[str], object]" = print,
) -> Path:
    """Build an environment in `envs` with the program of `source` (a checkout), and let `link`
    point to it. The previous environment stays for hooks that are running; older ones are removed.
    The program uses `home` as its FLEET_HOME. Extras of the previous environment are kept. `check`
    gets the new interpreter before anything points to it. Raises BuildFailed, or what `check`
    raises."""
    envs.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _only_build(envs / "lock", say), _interrupted_by_signals():
        new = envs / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}"
        try:
            chosen = sorted({*extras, *extras_of(link)})
            _fill(new, f"{source}[{','.join(chosen)}]" if chosen else str(source), python, say)
            site = _output([str(new / "bin" / "python"), "-c", _SITE])
            if not (Path(site) / "commander").is_dir():
                raise BuildFailed(f"a setting of pip or uv keeps the packages out of {site}")
            # Settings and running sessions hold the hooks' path: it must not depend on the version.
            (new / "app").symlink_to(os.path.relpath(site, new))
            if home:
                (Path(site) / "fleet-home.txt").write_bytes(os.fsencode(home))
            check(new / "bin" / "python")
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        previous = link.resolve() if link.is_symlink() else None
        _switch(link, new)
        _remove_old(envs, {new.resolve(), previous})
    return new


def extras_of(link: Path) -> "list[str]":
    """The extras that are installed in an environment."""
    return [name for name, place in EXTRAS.items() if (link / place).exists()]


_SITE = "import sysconfig; print(sysconfig.get_path('purelib'))"


def _fill(new: Path, source: str, python: str, say: "Callable[[str], object]") -> None:
    inside = str(new / "bin" / "python")
    if uv := shutil.which("uv"):
        say("  Installing the packages with uv ...")
        # uv reads the settings of the project around the current folder.
        _run([uv, "venv", "--quiet", "--python", python, str(new)], cwd=new.parent)
        install = [uv, "pip", "install", "--quiet", "--python", inside, "--compile-bytecode"]
        _run([*install, source], cwd=new)
        return
    say("  Creating the environment ...")
    try:
        _run([python, "-m", "venv", str(new)])
    except BuildFailed as error:
        raise BuildFailed(
            "Python could not create a virtual environment (on Debian: apt install python3-venv):"
            f" {error}"
        ) from None
    say("  Installing the packages; this takes about half a minute ...")
    pip = [inside, "-m", "pip"]
    _run(
        [*pip, "install", "--quiet", "--disable-pip-version-check", source],
        _pip_settings(pip),
    )


# Settings of the user's pip and uv that say where packages go or which are allowed: they are meant
# for other environments than ours. Where packages come from stays the user's business.
_MISLEADING = re.compile(
    r"(?:PIP|UV)_(?:USER|PREFIX|TARGET|ROOT|REQUIRE_HASHES|REQUIRE_VIRTUALENV|NO_DEPS|CONSTRAINT"
    r"|NO_BINARY|ONLY_BINARY|EDITABLE|SYSTEM_PYTHON|DRY_RUN|NO_BUILD|OVERRIDE|EXCLUDE_NEWER)S?\Z"
)


def _pip_settings(pip: "list[str]") -> "dict[str, str]":
    """What pip's configuration files say, as variables, without what would mislead. pip has no
    other way to leave a single setting of a file out."""
    found = {"PIP_CONFIG_FILE": os.devnull}
    listed = subprocess.run([*pip, "config", "list"], check=False, capture_output=True, text=True)
    settings = []
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")
        with contextlib.suppress(ValueError, SyntaxError):
            settings.append((*name.partition(".")[::2], str(ast.literal_eval(value))))
    # Some versions of pip do not list the file that the variable names.
    named = configparser.RawConfigParser(strict=False)
    with contextlib.suppress(configparser.Error, UnicodeDecodeError):
        named.read(os.environ.get("PIP_CONFIG_FILE", ""), "utf-8")
    settings += [
        (name, key, value) for name in named.sections() for key, value in named[name].items()
    ]
    for section in ("global", "install"):  # the second one wins
        for where, key, value in settings:
            variable = "PIP_" + key.upper().replace("-", "_")
            if where == section and variable not in os.environ:
                found[variable] = value
    return {name: text for name, text in found.items() if not _MISLEADING.match(name)}


def _run(
    command: "list[str]", variables: "dict[str, str] | None" = None, cwd: "Path | None" = None
) -> None:
    inherited = {name: text for name, text in os.environ.items() if not _MISLEADING.match(name)}
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**inherited, **(variables or {})},
        cwd=cwd,
    )
    if done.returncode:
        raise BuildFailed(_reason(done.stderr or done.stdout))


def _reason(output: str) -> str:
    """The line of an installer's output that says why it failed."""
    lines = [line.strip(" │╰─>×") for line in output.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("note:", "hint:", "[notice]"))]
    unreachable = (
        *("Connection", "connection", "resolve", "No matching distribution", "dns error"),
        *("Network connectivity is disabled", "Failed to fetch", "Could not fetch"),
    )
    for line in lines:
        if any(word in line for word in unreachable):
            return f"the package index is not reachable or lacks a package: {line[:300]}"
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["the installer printed no reason"])[-1][:300]


def _output(command: "list[str]") -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _switch(link: Path, new: Path) -> None:
    aside = link.with_name(f"{link.name}.new")
    aside.unlink(missing_ok=True)
    aside.symlink_to(os.path.relpath(new, link.parent))
    if link.is_dir() and not link.is_symlink():
        link.rename(new.parent / "before")  # an environment that the user made there by hand
    aside.replace(link)


def _remove_old(envs: Path, keep: "set[Path | None]") -> None:
    for path in envs.iterdir():
        # Hooks that are still running may have been started from a young one.
        is_young = time.time() - path.lstat().st_mtime < _YOUNG_SECONDS
        if path.is_dir() and path.resolve() not in keep and not is_young and not _is_in_use(path):
            shutil.rmtree(path, ignore_errors=True)


def use() -> "int | None":
    """Keep the environment that this process runs in, for as long as it runs: an upgrade does not
    remove it. Returns a descriptor to keep open; None where it is not one of Fleet's."""
    prefix = Path(sys.prefix).resolve()
    if not (prefix / "app").is_symlink():
        return None
    with contextlib.suppress(OSError):
        descriptor = os.open(prefix / "in-use", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return descriptor
    return None


def _is_in_use(path: Path) -> bool:
    try:
        with (path / "in-use").open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


@contextlib.contextmanager
def _only_build(path: Path, say: "Callable[[str], object]") -> "Iterator[None]":
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another installation is running. Waiting for it to finish ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _interrupted_by_signals() -> "Iterator[None]":
    """Within the block, SIGTERM and SIGHUP act like Ctrl-C, so that a half-built environment is
    removed."""

    def end(number: int, _frame: "FrameType | None") -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
