"""What came from another machine, made harmless before it is written: read by strict models, redacted
again, without control characters and terminal escapes, never of the future. Needs no database."""

from functools import lru_cache
from typing import Any

from fleet_lib import clock
from fleet_lib.machines import MARK
from fleet_lib.records import Record
from fleet_lib.relay import names, payloads, wire
from fleet_lib.relay.consumer import Message
from fleet_lib.relay.scrub import redacted
from fleet_lib.relay.sharing import is_address
from fleet_lib.remotes import canonical_remote, without_credentials
from fleet_lib.rules import DISMISSED
from fleet_lib.store.relay_sessions import SHOWN
from fleet_lib.text import one_line, printable

_SUMMARY, _DETAIL, _ITEM, _PATH, _TITLE = 500, 300, 1000, 1000, 120


class Received(Record):
    """One message: whose it is by its subject, and what it says or why that cannot be read."""

    sender: names.Sender
    stored_at: str
    event: wire.EventMessage | None = None
    state: wire.StateMessage | None = None
    heartbeat: wire.HeartbeatMessage | None = None
    own: wire.OwnMessage | None = None
    original: tuple[str, str] = (
        "",
        "",
    )  # state_at and last_seen_at as the session's machine has them
    trouble: str = ""
    is_newer: bool = False


class Times:
    """A sender's times as this machine's clock has them. No time is later than when its message was
    stored, which another clock says that was ahead."""

    def __init__(self, message: Message, ahead_ns: int) -> None:
        self._stored_ns = message.stored_ns + ahead_ns
        self._shift_ns = 0
        try:
            shift = self._stored_ns - clock.nanoseconds(message.headers.get(names.SENT_HEADER, ""))
        except (ValueError, OverflowError):
            return
        if abs(shift) >= clock.SKEW_NANOSECONDS:
            self._shift_ns = shift

    @property
    def stored_at(self) -> str:
        return clock.iso(self._stored_ns)

    def past(self, moment: str) -> str:
        return clock.iso(min(self._shifted(moment), self._stored_ns))

    def until(self, moment: str) -> str:
        """Until when something is hidden; for good and not at all stay what they are."""
        normal = _normal(moment)
        if SHOWN < normal < DISMISSED:
            return min(max(clock.iso(self._shifted(moment)), SHOWN), DISMISSED)
        return min(max(normal, SHOWN), DISMISSED)

    def _shifted(self, moment: str) -> int:
        return _nanoseconds(moment) + self._shift_ns


def _normal(moment: str) -> str:
    """A time in the database's form."""
    return clock.iso(_nanoseconds(moment))


def _nanoseconds(moment: str) -> int:
    """Since 1970."""
    try:
        return clock.nanoseconds(moment)
    except (ValueError, OverflowError):
        raise wire.Unreadable(f"this is no time: {moment}") from None


def received(
    message: Message, machine: str = "", epoch: str = "", ahead_ns: int = 0
) -> Received | None:
    """The message as it may be applied. None for a subject that no Fleet publishes to, and for what
    this machine in this epoch has sent itself. `ahead_ns` is how far this machine's clock is ahead
    of the server's. Whatever the message holds, nothing raises."""
    sender = names.sender_of(message.subject)
    if sender is None or (sender.machine, sender.epoch) == (machine, epoch):
        return None
    times = Times(message, ahead_ns)
    try:
        return _read(message.data, sender, times)
    except wire.NewerVersion:
        return Received(sender, times.stored_at, is_newer=True)
    except wire.Unreadable as error:
        return Received(sender, times.stored_at, trouble=clean_line(str(error), 200))
    except Exception as error:  # a peer must not stop the others
        words = clean_line(f"{type(error).__name__}: {error}", 200)
        return Received(sender, times.stored_at, trouble=words)


def _read(body: bytes, sender: names.Sender, times: Times) -> Received:
    at = times.stored_at
    if sender.session == names.HEARTBEAT:
        return Received(sender, at, heartbeat=_heartbeat(wire.read_heartbeat(body), times))
    if sender.kind == "own":
        return Received(sender, at, own=_own(wire.read_own(body), times))
    if sender.kind == "state":
        state = wire.read_state(body, sender)
        original = _normal(state.state_at), _normal(state.last_seen_at)
        return Received(sender, at, state=_state(state, times), original=original)
    return Received(sender, at, event=_event(wire.read_event(body, sender), times))


def clean_line(text: str, limit: int) -> str:
    """One redacted, harmless line."""
    return one_line(redacted(one_line(text, 4 * limit)), limit)


def _event(message: wire.EventMessage, times: Times) -> wire.EventMessage:
    event, briefing, turn = message.event, message.briefing, message.turn
    payload = payloads.kept(event.type, event.payload, clean_line)
    changes: dict[str, Any] = {
        "project": _project(message.project),
        "session_id": _id(message.session_id),
        "event": event.model_copy(update={"ts": times.past(event.ts), "payload": payload}),
    }
    if briefing:
        changes["briefing"] = _briefing(briefing, times)
    if turn:
        question = clean_line(turn.question, _SUMMARY) if turn.question else None
        changes["turn"] = turn.model_copy(
            update={
                "key": _harmless_id(turn.key) or "-",
                "summary": clean_line(turn.summary, _SUMMARY),
                "question": question or None,
                "source": turn.source if turn.source in _SOURCES else "message",
            }
        )
    return message.model_copy(update=changes)


_SOURCES = ("block", "status_file", "message")


def _briefing(briefing: wire.BriefingPart, times: Times) -> wire.BriefingPart:
    changes: dict[str, Any] = {
        "session_id": _id(briefing.session_id),
        "raw_markdown": printable(redacted(printable(briefing.raw_markdown))),
        "started_at": times.past(briefing.started_at) if briefing.started_at else None,
        "ended_at": times.past(briefing.ended_at) if briefing.ended_at else None,
    }
    for name in ("task_id", "branch", "base_commit", "head_commit"):
        value = getattr(briefing, name)
        changes[name] = clean_line(value, _DETAIL) or None if value is not None else None
    for name, limit in (
        ("blockers", _ITEM),
        ("next_steps", _ITEM),
        ("docs_touched", _PATH),
        ("files_touched", _PATH),
    ):
        changes[name] = tuple(clean_line(one, limit) for one in getattr(briefing, name))
    return briefing.model_copy(update=changes)


def _state(message: wire.StateMessage, times: Times) -> wire.StateMessage:
    return message.model_copy(
        update={
            "project": _project(message.project),
            "session_id": _id(message.session_id) or "-",
            "state_at": times.past(message.state_at),
            "last_seen_at": times.past(message.last_seen_at),
            "ended_at": times.past(message.ended_at) if message.ended_at else None,
            "detail": clean_line(message.detail, _DETAIL),
        }
    )


def _own(message: wire.OwnMessage, times: Times) -> wire.OwnMessage:
    hidden = message.hidden
    if hidden:
        hidden = hidden.model_copy(
            update={
                "session_id": _id(hidden.session_id) or "-",
                "state_at": _normal(hidden.state_at),
                "until": times.until(hidden.until),
            }
        )
    return message.model_copy(
        update={
            "session_id": _id(message.session_id),
            "title": clean_line(message.title, _TITLE) or None if message.title else None,
            "titles": {
                number: clean_line(title, _TITLE)
                for number, title in message.titles.items()
                if number.isdecimal() and len(number) < 17
            },
            "hidden": hidden,
        }
    )


def _heartbeat(beat: wire.HeartbeatMessage, times: Times) -> wire.HeartbeatMessage:
    if not beat.sent_event_at:
        return beat
    return beat.model_copy(update={"sent_event_at": times.past(beat.sent_event_at)})


@lru_cache(maxsize=256)
def _project(project: wire.ProjectPart) -> wire.ProjectPart:
    remote = without_credentials(one_line(project.remote, 1000)) if project.remote else None
    forms = [canonical_remote(remote)] if remote else []
    forms += [one_line(form, 500) for form in project.remotes]
    usable = tuple(dict.fromkeys(form for form in forms if is_address(form)))
    return project.model_copy(
        update={
            "name": clean_line(project.name, 100) or "project",
            "remote": clean_line(remote, 500) if remote and usable else None,
            "remotes": usable,
        }
    )


def _id(session_id: str | None) -> str | None:
    """A session's id, in which nothing can pass for another machine's mark."""
    return _harmless_id(session_id) or None if session_id is not None else None


def _harmless_id(text: str) -> str:
    """An id as it is, or what stands for it if it holds a secret."""
    harmless = one_line(text, 200).replace(MARK, "-")
    return harmless if redacted(harmless) == harmless else wire.token_of(harmless)
