"""Alerts as one message of plain text. The words are those of sessions: no tag, mention or control
character in them reaches a service."""

import re
import socket
from collections.abc import Sequence

from fleet_lib.notify.alerts import Alert
from fleet_lib.records import Record
from fleet_lib.redact import redact
from fleet_lib.text import clean

_TEXT_LIMIT, _LINE_LIMIT, _NAME_LIMIT, _TITLE_LIMIT = 400, 160, 60, 80  # characters
_LISTED = 10
# `@everyone`, `@here` and `@name` call people on some services; `me@example.org` does not.
_MENTION = re.compile(r"(?<!\w)@(?=\w)")
_BREAK = "\u2060"  # a word joiner: it is not seen, and ends the mention


class Message(Record):
    title: str
    body: str


def message_of(alerts: Sequence[Alert], *, has_titles: bool) -> Message:
    """One message for all of them."""
    machine = harmless(socket.gethostname(), _NAME_LIMIT)
    if len(alerts) == 1:
        (alert,) = alerts
        lines = [harmless(alert.text, _TEXT_LIMIT)]
        if has_titles and alert.title:
            lines.insert(0, harmless(alert.title, _TITLE_LIMIT))
        return Message(_heading(alert), "\n".join([*filter(None, lines), f"On {machine}."]))
    what = "alerts" if any(alert.is_job for alert in alerts) else "sessions need you"
    lines = [_line(alert, has_titles) for alert in alerts[:_LISTED]]
    if more := len(alerts) - _LISTED:
        lines += [f"and {more} more; `fleet status` shows them."] if more > 0 else []
    return Message(f"{len(alerts)} {what}", "\n".join([*lines, f"On {machine}."]))


def test_message() -> Message:
    machine = harmless(socket.gethostname(), _NAME_LIMIT)
    return Message("Fleet: a test", f"Messages of Fleet on {machine} arrive here.")


def harmless(text: str, limit: int) -> str:
    """Text of a session as one line that means nothing to a service."""
    line = _MENTION.sub(f"@{_BREAK}", clean(redact(text), limit))
    return line.replace("](", f"]{_BREAK}(")  # a link that says something else than where it leads


def _heading(alert: Alert) -> str:
    return f"{harmless(alert.project, _NAME_LIMIT)} {alert.says}"


def _line(alert: Alert, has_titles: bool) -> str:
    title = f" ({harmless(alert.title, _TITLE_LIMIT)})" if has_titles and alert.title else ""
    text = harmless(alert.text, _LINE_LIMIT)
    return f"{_heading(alert)}{title}{': ' if text else ''}{text}"
