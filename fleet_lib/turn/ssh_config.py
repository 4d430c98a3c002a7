"""Which host an ssh alias leads to, read from the configuration files of ssh. Nothing is run: a
`Match exec` block never applies. Where ssh would ask the network (CanonicalizeHostname), the name
stays as it is."""

import os
import pwd
import re
import stat

from fleet_lib.lazy import lazy

_BYTES_LIMIT = 1 << 20  # of all files together
_FILES_LIMIT = 200
_DEPTH_LIMIT = 16  # ssh's own

_LINE = lazy(r"\s*(?P<keyword>[A-Za-z]+)(?:\s*=\s*|\s+)(?P<value>.*)")
_WORD = lazy(r"""(?:"[^"]*"|'[^']*'|[^\s"'])+""")
_OF_SECOND_PASS = ("canonical", "final")  # criteria that hold when the files are read again
_LOOPBACK = lazy(r"localhost|127\.\d+\.\d+\.\d+|::1")
_SYSTEM_FILE = "/etc/ssh/ssh_config"


def ssh_host(host: str, user: str) -> tuple[str, int | None]:
    """(the host that ssh connects to for a URL's host and user, its port or None where none is
    set). An alias of the loopback stays an alias: what listens there is a tunnel's business."""
    lookup = _Lookup(host, user)
    lookup.read_all()
    if lookup.wants_second_pass:
        lookup.is_second_pass, lookup.hostname = True, lookup.host_so_far()
        lookup.read_all()
    found = lookup.host_so_far()
    if _LOOPBACK.fullmatch(found):
        return host, None
    return found, lookup.port


class _Lookup:
    """The settings of one host. Of each setting the first value holds, as for ssh."""

    def __init__(self, host: str, user: str) -> None:
        self.host = host
        self.user = user  # of the URL, "" if it has none
        self.hostname = ""
        self.port: int | None = None
        self.configured_user = ""
        self.bytes_left = self.files_left = 0
        self.wants_second_pass = self.is_second_pass = False

    def host_so_far(self) -> str:
        return _expanded(self.hostname, self.host) or self.host

    def read_all(self) -> None:
        self.bytes_left, self.files_left = _BYTES_LIMIT, _FILES_LIMIT
        self.read(os.path.expanduser("~/.ssh/config"), "~/.ssh", 0)
        self.read(_SYSTEM_FILE, "/etc/ssh", 0)

    def read(self, path: str, folder: str, depth: int) -> None:
        """Apply one file; `folder` is where the relative names of its Include lines begin."""
        is_active = True
        for keyword, words in _directives(self._text_of(path)):
            if keyword == "host":
                is_active = _is_listed(words, self.host)
            elif keyword == "match":
                is_active = self._matches(words)
            elif is_active and keyword == "include":
                if depth < _DEPTH_LIMIT:
                    self._include(words, folder, depth)
            elif is_active and words:
                self._set(keyword, words[0])

    def _set(self, keyword: str, value: str) -> None:
        if keyword == "hostname":
            self.hostname = self.hostname or value
        elif keyword == "user":
            self.configured_user = self.configured_user or value
        elif keyword == "port" and self.port is None and value.isascii() and value.isdigit():
            self.port = int(value[:6])

    def _include(self, patterns: list[str], folder: str, depth: int) -> None:
        for pattern in patterns:
            path = os.path.join(os.path.expanduser(folder), os.path.expanduser(pattern))
            import glob  # here, since few repositories lead to a look at these files

            for file in sorted(glob.glob(path)):
                self.read(file, folder, depth + 1)

    def _text_of(self, path: str) -> str:
        """A file's text within the limits; "" for what is no regular file."""
        if self.files_left <= 0:
            return ""
        self.files_left -= 1
        try:
            # Many people keep the file elsewhere and link to it; a pipe must not be waited for.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except (OSError, ValueError):
            return ""
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return ""
            data = os.read(descriptor, self.bytes_left)
        except OSError:
            return ""
        finally:
            os.close(descriptor)
        self.bytes_left -= len(data)
        return data.decode("utf-8", "replace")

    def _matches(self, words: list[str]) -> bool:
        """Whether a Match line applies. One with a criterion that is not looked at does not."""
        if words == ["all"]:
            return True
        if not words:
            return False
        rest = iter(words)
        for word in rest:
            is_negated, criterion = word.startswith("!"), word.removeprefix("!").lower()
            criterion, is_joined, value = criterion.partition("=")
            if criterion in _OF_SECOND_PASS:
                self.wants_second_pass |= criterion == "final"
                applies = self.is_second_pass
            else:
                value = word.partition("=")[2] if is_joined else next(rest, "")
                subject = self._subject(criterion)
                if subject is None:
                    return False
                applies = _is_listed(value.lower().split(","), subject.lower())
            if applies == is_negated:
                return False
        return True

    def _subject(self, criterion: str) -> str | None:
        if criterion == "host":
            return self.host_so_far()
        if criterion == "originalhost":
            return self.host
        if criterion == "user":
            return self.user or self.configured_user or _local_user()
        return _local_user() if criterion == "localuser" else None


def _directives(text: str) -> list[tuple[str, list[str]]]:
    """(keyword in lower case, its arguments) of every line."""
    found = []
    for line in text.splitlines():
        if match := _LINE.match(line):
            words = []
            for word in _WORD.findall(match["value"]):
                if word.startswith("#"):
                    break
                words.append(word.replace('"', "").replace("'", ""))
            found.append((match["keyword"].lower(), words))
    return found


def _is_listed(patterns: list[str], name: str) -> bool:
    """Whether a list of patterns has the name: one must match, and none that begins with `!`."""
    is_found = False
    for pattern in patterns:
        if _is_like(name, pattern.removeprefix("!")):
            if pattern.startswith("!"):
                return False
            is_found = True
    return is_found


def _is_like(name: str, pattern: str) -> bool:
    quoted = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(quoted, name, re.DOTALL) is not None


def _expanded(hostname: str, host: str) -> str:
    """The value of HostName, whose tokens are `%h` and `%%`; "" for one that ssh would refuse."""
    parts = re.split(r"(%.?)", hostname)
    tokens = {"%h": host, "%%": "%"}
    if any(part.startswith("%") and part not in tokens for part in parts):
        return ""
    return "".join(tokens.get(part, part) for part in parts)


def _local_user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""
