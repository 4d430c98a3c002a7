"""Settings that hooks and the drainer read. Hot path: a TOML parser would take longer to import
than the whole hook, so a plain value is read as it is written. fleet_lib/config.py refuses a file
of which this would read something else."""

from fleet_lib.small_os import os

BUDGET = 6000  # characters, as Claude Code counts them (UTF-16 code units)
BUDGET_RANGE = (1000, 9800)  # of more than 10,000 Claude Code shows a file name instead
LINGER_SECONDS = 60  # that a drainer waits for the next entry
LINGER_RANGE = (0, 120)
WAIT_MINUTES = 5  # to collect briefings before a model is called
# The form of notify.quiet_hours, as a regular expression.
QUIET_HOURS = r"(?:([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-3]):([0-5]\d))?"


def budget(home: str) -> int:
    """The setting prelude.budget, held within BUDGET_RANGE; BUDGET if it is not a number."""
    written = setting(home, "prelude", "budget")
    lowest, highest = BUDGET_RANGE
    is_number = written.isdecimal() and len(written) < 10
    return max(lowest, min(highest, int(written))) if is_number else BUDGET


def linger_seconds(home: str) -> int:
    """The setting drain.linger_seconds, held within LINGER_RANGE; LINGER_SECONDS if it is not a
    number."""
    written = setting(home, "drain", "linger_seconds")
    is_number = written.isdecimal() and len(written) < 10
    return min(LINGER_RANGE[1], int(written)) if is_number else LINGER_SECONDS


def has_worker_facts(home: str) -> bool:
    """The setting worker.facts: whether a worker is shown facts when it starts."""
    return setting(home, "worker", "facts") != "false"


def keeps_prompts(home: str) -> bool:
    """The setting capture.prompts: whether a line of a prompt may be stored as its turn's title.
    A value that is not allowed counts as false: it was meant to change the default."""
    return setting(home, "capture", "prompts") in ("", "true")


def keep_days(home: str) -> int:
    """The setting history.keep_days; 0, which keeps everything, if it is not a number."""
    written = setting(home, "history", "keep_days")
    return int(written) if written.isdecimal() and len(written) < 6 else 0


def wait_minutes(home: str) -> int:
    """The setting semantics.wait_minutes; WAIT_MINUTES if it is not a number."""
    written = setting(home, "semantics", "wait_minutes")
    return int(written) if written.isdecimal() else WAIT_MINUTES


def setting(home: str, section: str, name: str) -> str:
    """A plain value of config.toml as it is written there, "" if it is not."""
    try:
        with open(os.path.join(home, "config.toml"), "rb") as file:
            return setting_in(file.read(), section, name)
    except OSError:
        return ""


def setting_in(text: bytes, section: str, name: str) -> str:
    """The same of the file's text."""
    line = text_after(text, section, name).partition(b"\n")[0]
    return line.partition(b"#")[0].strip().decode("utf-8", "replace")


def text_after(text: bytes, section: str, name: str) -> bytes:
    """The file's text from a setting's value on, b"" if it is not set."""
    inside = False
    lines = text.splitlines()
    for number, whole in enumerate(lines):
        line = whole.partition(b"#")[0].strip()
        if line.startswith(b"["):
            inside = line == b"[" + section.encode() + b"]"
        elif inside and line.partition(b"=")[0].strip() == name.encode():
            return b"\n".join([whole.partition(b"=")[2].strip(), *lines[number + 1 :]])
    return b""


def texts(home: str, section: str, name: str) -> "list[str]":
    """A list of texts as it is written in config.toml, [] if it is not."""
    try:
        with open(os.path.join(home, "config.toml"), "rb") as file:
            text = file.read()
    except OSError:
        return []
    return texts_in(text, section, name) if name.encode() in text else []


def texts_in(text: bytes, section: str, name: str) -> "list[str]":
    """The same of the file's text: an array of strings, on one line or several."""
    rest = text_after(text, section, name).decode("utf-8", "replace")
    found = []
    at = 1 if rest.startswith("[") else len(rest)
    while at < len(rest) and rest[at] != "]":
        if rest[at] == "#":
            at = (rest + "\n").index("\n", at)
        elif rest[at] in "\"'":
            value, at = _string(rest, at)
            found.append(value)
        else:
            at += 1
    return found


def _string(text: str, at: int) -> "tuple[str, int]":
    """(the TOML string that begins here, where the text goes on)."""
    quote, value = text[at], ""
    at += 1
    while at < len(text) and text[at] not in (quote, "\n"):
        if text[at] == "\\" and quote == '"' and text[at + 1 : at + 2] in ("\\", '"'):
            at += 1
        value += text[at]
        at += 1
    return value, at + 1
