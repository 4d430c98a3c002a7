"""The environment in which git is asked: without what would lead it to another repository, with what
the user set for every repository."""

import contextlib
from collections.abc import Iterator, Mapping

_KEPT = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")
_MOST_SETTINGS = 1000


def git_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """All variables but git's own: an inherited GIT_DIR would override `git -C`. Which folders are
    safe and how an address is rewritten stays, whether a file or a variable says it."""
    environment = {
        name: value
        for name, value in inherited.items()
        if name in _KEPT or not name.startswith("GIT_")
    }
    settings = [pair for pair in _settings(inherited) if _is_kept(pair[0].lower())]
    for number, (key, value) in enumerate(settings):
        environment[f"GIT_CONFIG_KEY_{number}"] = key
        environment[f"GIT_CONFIG_VALUE_{number}"] = value
    if settings:
        environment["GIT_CONFIG_COUNT"] = str(len(settings))
    return environment | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1"}


def _is_kept(key: str) -> bool:
    return key == "safe.directory" or (key.startswith("url.") and key.endswith(".insteadof"))


def _settings(inherited: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(key, value) of every setting in variables: those of `git -c`, and the counted ones."""
    words = []
    if given := inherited.get("GIT_CONFIG_PARAMETERS"):
        import shlex  # few have it

        with contextlib.suppress(ValueError):
            words = shlex.split(given)
    for word in words:
        name, _, value = word.partition("=")
        yield name, value
    count = inherited.get("GIT_CONFIG_COUNT", "")
    is_number = count.isascii() and count.isdigit() and len(count) < 6
    for number in range(min(int(count), _MOST_SETTINGS) if is_number else 0):
        if key := inherited.get(f"GIT_CONFIG_KEY_{number}", ""):
            yield key, inherited.get(f"GIT_CONFIG_VALUE_{number}", "")
