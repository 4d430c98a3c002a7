"""One message to one target: `python -I send.py` with the request as JSON on stdin; the answer on
stdout is `{"error": …}`, empty if the message was sent. Apprise is imported only here, since that
takes as long as ten bare interpreters, and for the desktop not at all."""

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fleet_lib.errors import BadInput
from fleet_lib.extras import how_to_add
from fleet_lib.notify.targets import DESKTOP, host_of
from fleet_lib.redact import redact
from fleet_lib.text import clean

_ERROR_LIMIT = 400  # characters
_SHORTEST_SECRET = 4  # characters of a part of an address that is masked in an error
_DESKTOP_SECONDS = 10
_READ_MARKDOWN = {"NotifyDiscord", "NotifyMattermost", "NotifyZulip"}
_MARKDOWN = re.compile(r"[\\*_~`|\[\]]|^[#>+-]", re.MULTILINE)
# What notify-send says where no bus of a desktop runs, or nothing on it shows notifications.
_NO_SERVER = re.compile(r"ServiceUnknown|NameHasNoOwner|autolaunch|dbus-launch|Could not connect")
NO_DESKTOP = (
    "no desktop that shows notifications runs on this machine; on a server use another target, such"
    " as `fleet notify add ntfy://TOPIC` for a phone"
)
_APPLESCRIPT = "display notification {body} with title {title}"


def main() -> int:
    request = json.load(sys.stdin)
    signal.alarm(int(request["seconds"]) + 1)  # its parent may have been killed
    try:
        error = send(request["url"], request["title"], request["body"])
    except Exception as problem:  # of a service's code: the process must still answer
        error = f"{type(problem).__name__}: {problem}"
    json.dump({"error": shown(error, request["url"])}, sys.stdout)
    return 0


def send(url: str, title: str, body: str) -> str:
    """Send a message. Returns why it was not sent, "" if it was."""
    return _to_desktop(title, body) if url == DESKTOP else _with_apprise(url, title, body)


def require_usable(url: str) -> None:
    """Raises BadInput if nothing can be sent to this address from here."""
    if url == DESKTOP:
        _desktop_program()
        return
    if _apprise_of(url) is None:
        raise BadInput(
            f"Apprise cannot use this address{_hint(url)}; the forms of all services are in"
            " https://github.com/caronc/apprise#supported-notifications"
        )


def webhook_of(url: str) -> str | None:
    """The address with which Apprise posts JSON to an http:// or https:// URL; None for others."""
    parts = urlsplit(url)
    kind = {"http": "json", "https": "jsons"}.get(parts.scheme.lower())
    if kind is None or not parts.hostname:
        return None
    # Apprise takes a query's words as its own, unless they begin with `-`.
    query = urlencode([(f"-{name}", value) for name, value in parse_qsl(parts.query, True)])
    return urlunsplit((kind, parts.netloc, parts.path, query, ""))


def shown(error: str, url: str) -> str:
    """An error without the secrets of the address, in one line."""
    host = host_of(url)
    for part in sorted({*re.split(r"[/:@?&=#,+]", url.partition("://")[2])}, key=len, reverse=True):
        for form in {part, unquote(part)}:
            if len(form) >= _SHORTEST_SECRET and form not in host:
                error = error.replace(form, "…")
    return clean(redact(error), _ERROR_LIMIT)


def _with_apprise(url: str, title: str, body: str) -> str:
    import apprise

    reasons: list[str] = []

    class Reasons(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            reasons.append(record.getMessage())

    logger = logging.getLogger("apprise")
    logger.addHandler(Reasons(logging.WARNING))
    logger.propagate = False
    service = _apprise_of(url)
    if service is None:
        return f"Apprise cannot use this address{_hint(url)}"
    # Whatever form the address asks for, nothing in the text is markup. Telegram's class escapes
    # only what it sends as HTML; some services read Markdown in what is sent as text.
    kind = type(service).__name__
    is_html = kind == "NotifyTelegram"
    service.notify_format = apprise.NotifyFormat.HTML if is_html else apprise.NotifyFormat.TEXT
    if kind in _READ_MARKDOWN:
        body = _MARKDOWN.sub(r"\\\g<0>", body)
        if kind != "NotifyZulip":  # its title is a topic, in which nothing is markup
            title = _MARKDOWN.sub(r"\\\g<0>", title)
    sender = apprise.Apprise(asset=service.asset)
    sender.add(service)
    if sender.notify(body=body, title=title, body_format=apprise.NotifyFormat.TEXT):
        return ""
    return "; ".join(dict.fromkeys(reasons)) or "the service did not take the message"


def _apprise_of(url: str) -> Any:
    """Apprise's object for the address; None if it has none. Raises BadInput without Apprise."""
    try:
        import apprise
    except ImportError:
        raise BadInput(
            f"Apprise is not installed; {how_to_add('notify')}; `fleet notify add desktop` does"
            " without"
        ) from None
    logging.getLogger("apprise").propagate = False
    asset = apprise.AppriseAsset(
        app_id="Fleet",
        app_desc="Fleet",
        async_mode=False,
        storage_mode="memory",
        pgp_autogen=False,
        pem_autogen=False,
        image_url_mask="",
        image_url_logo="",
    )
    return apprise.Apprise.instantiate(url, asset=asset)


def _hint(url: str) -> str:
    kind = url.partition("://")[0].lower()
    if kind in ("dbus", "qt", "kde", "gnome", "glib", "notify", "macosx", "windows"):
        return "; for this machine's desktop use `fleet notify add desktop`"
    return ""


def _to_desktop(title: str, body: str) -> str:
    program = _desktop_program()
    name = Path(program).name
    script = None
    if name == "osascript":
        # The script comes on stdin, where no other user sees it.
        script = _APPLESCRIPT.format(body=_quoted(body), title=_quoted(title))
        command = [program, "-"]
    elif name == "terminal-notifier":
        command = [program, "-title", title, "-group", "fleet"]
        script = body
    else:
        # A body may have markup there; there is no `<` in it, so `&` is all that could be one.
        command = [program, "--app-name=Fleet", "--", title, body.replace("&", "&amp;")]
    try:
        done = subprocess.run(
            command,
            input=script,
            capture_output=True,
            text=True,
            timeout=_DESKTOP_SECONDS,
            check=False,
            env=_desktop_environment(),
        )
    except subprocess.TimeoutExpired:
        return f"{name} did not end within {_DESKTOP_SECONDS} s"
    if not done.returncode:
        return ""
    if _NO_SERVER.search(done.stderr):
        return f"{NO_DESKTOP} ({name}: {done.stderr.strip()})"
    return f"{name}: {done.stderr.strip() or f'exit code {done.returncode}'}"


def desktop_trouble() -> str:
    """Why no message would be seen on this machine's desktop, as far as that can be said without
    sending one; "" if nothing speaks against it."""
    try:
        _desktop_program()
    except BadInput as error:
        return str(error)
    has_bus = sys.platform == "darwin" or "DBUS_SESSION_BUS_ADDRESS" in _desktop_environment()
    return "" if has_bus else NO_DESKTOP


def _desktop_program() -> str:
    """Raises BadInput if there is none."""
    names = ("terminal-notifier", "osascript") if sys.platform == "darwin" else ("notify-send",)
    for name in names:
        if program := shutil.which(name):
            return program
    raise BadInput(
        f"{names[-1]} is not installed; on Debian and Ubuntu it is in libnotify-bin, on Fedora and"
        " Arch in libnotify"
    )


def _desktop_environment() -> dict[str, str]:
    """With the address of the user's session bus, which a session over ssh does not name."""
    bus = Path(f"/run/user/{os.getuid()}/bus")
    if "DBUS_SESSION_BUS_ADDRESS" in os.environ or not bus.exists():
        return dict(os.environ)
    return {**os.environ, "DBUS_SESSION_BUS_ADDRESS": f"unix:path={bus}"}


def _quoted(text: str) -> str:
    """A text as AppleScript writes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


if __name__ == "__main__":
    sys.exit(main())
