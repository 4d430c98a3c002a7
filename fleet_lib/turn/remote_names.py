"""Which address git uses for a repository's remote, and the forms by which that remote is known. Git
is not asked here: its settings are given."""

import os

from fleet_lib.redact import redact
from fleet_lib.remotes import canonical_remote, without_credentials

# For `git config -z --get-regexp`: everything that decides over a remote's address.
SETTINGS = r"^(remote\..*\.url|url\..*\.insteadof)$"

_FORM_LIMIT = 1000  # characters


def remote_of(listing: str, folder: str) -> tuple[str | None, tuple[str, ...]]:
    """(origin's address as it is configured, the forms by which it is known) out of a listing of
    SETTINGS; of the first remote where there is no origin, (None, ()) without any. A path relative
    to the working tree, which is `folder`, is made absolute."""
    urls: dict[str, str] = {}
    rewrites: list[tuple[str, str]] = []  # (beginning of an address, what stands there instead)
    for pair in filter(None, listing.split("\0")):
        key, _, value = pair.partition("\n")
        if key.startswith("url."):
            rewrites.append((value, key.removeprefix("url.").removesuffix(".insteadof")))
        elif value:
            urls.setdefault(key, value)
    configured = urls.get("remote.origin.url") or next(iter(urls.values()), None)
    if configured is None:
        return None, ()
    used = _absolute(_rewritten(configured, rewrites), folder)
    configured = _absolute(configured, folder)
    # The surest first: where git and ssh really go. Then the address as it is written, which is all
    # that is known where the user's settings are not at hand, as in a container.
    forms = (canonical_remote(_public(used), _ssh_host), canonical_remote(_public(configured)))
    return configured, tuple(dict.fromkeys(form[:_FORM_LIMIT] for form in forms))


def _ssh_host(host: str, user: str) -> tuple[str, int | None]:
    from fleet_lib.turn.ssh_config import ssh_host  # an address of the web needs no ssh

    return ssh_host(host, user)


def _public(url: str) -> str:
    """The address as it may be stored: its path may hold a token, too."""
    return redact(without_credentials(url))


def _rewritten(url: str, rewrites: list[tuple[str, str]]) -> str:
    """The longest beginning counts, of two of one length the first, as for git."""
    fitting = [rewrite for rewrite in rewrites if url.startswith(rewrite[0])]
    if not fitting:
        return url
    beginning, base = max(fitting, key=lambda rewrite: len(rewrite[0]))
    return base + url[len(beginning) :]


def _absolute(url: str, folder: str) -> str:
    return os.path.normpath(os.path.join(folder, url)) if url.startswith(".") else url
