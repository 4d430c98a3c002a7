"""The names on the server: streams, subjects, consumers, and what a machine may do with them. Both
sides use these, so what a client asks for is what the server's configuration allows."""

import re
from collections.abc import Iterable, Iterator

from fleet_lib.records import Record

EVENTS, STATES = "FLEET", "FLEET_STATE"
EVENT_DAYS, STATE_DAYS = 90, 7
MACHINE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")  # no `--`, which stands between a consumer's parts
MACHINE_LIMIT = 32  # characters
PROJECT = re.compile(r"[a-z0-9-]{1,200}__[0-9a-f]{8}")
EPOCH = re.compile(r"[0-9a-f]{16}")
SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")  # as a part of a subject
HEARTBEAT = "_heartbeat"  # in the place of a session
NO_PROJECT = "_"
ALL = "*"  # every project
SENT_HEADER = "Fleet-Sent"  # when, by the sender's clock
_DAY_NS = 86400 * 10**9


class Filter(Record):
    """The subjects that one consumer reads, and the consumer's name."""

    stream: str
    consumer: str
    subjects: str

    @property
    def create_subject(self) -> str:
        return f"$JS.API.CONSUMER.CREATE.{self.stream}.{self.consumer}.{self.subjects}"

    @property
    def next_subject(self) -> str:
        return f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self.consumer}"

    @property
    def delete_subject(self) -> str:
        return f"$JS.API.CONSUMER.DELETE.{self.stream}.{self.consumer}"


def stream_config(stream: str) -> dict[str, object]:
    """A stream as the owner's machines create it."""
    is_events = stream == EVENTS
    return {
        "name": stream,
        "subjects": ["fleet.v1.>"] if is_events else ["fleet.state.v1.>", "fleet.own.v1.>"],
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "num_replicas": 1,
        "max_age": (EVENT_DAYS if is_events else STATE_DAYS) * _DAY_NS,
        "max_msgs_per_subject": -1 if is_events else 1,
        "deny_delete": True,
        "deny_purge": True,
        "allow_atomic": is_events,  # many events are stored together, with one sync to the disk
    }


def create_stream_subject(stream: str) -> str:
    return f"$JS.API.STREAM.CREATE.{stream}"


def event_subject(machine: str, epoch: str, project_id: str) -> str:
    return f"fleet.v1.{machine}.{epoch}.{project_id}"


def state_subject(machine: str, epoch: str, project_id: str, session: str) -> str:
    return f"fleet.state.v1.{machine}.{epoch}.{project_id}.{session}"


def own_subject(person: str, machine: str, epoch: str, project_id: str, session: str) -> str:
    """Of what only the machines of one person read: titles and dismissals."""
    return f"fleet.own.v1.{person}.{machine}.{epoch}.{project_id}.{session}"


def events_of(machine: str, grant: str) -> Filter:
    """The events of a project, or of all."""
    if grant == ALL:
        return Filter(EVENTS, f"{machine}--all", "fleet.v1.>")
    return Filter(EVENTS, f"{machine}--{grant}", f"fleet.v1.*.*.{grant}")


def states_of(machine: str, grant: str) -> Filter:
    if grant == ALL:
        return Filter(STATES, f"{machine}--all", "fleet.state.v1.>")
    return Filter(STATES, f"{machine}--{grant}", f"fleet.state.v1.*.*.{grant}.*")


def own_of(machine: str, person: str) -> Filter:
    return Filter(STATES, f"{machine}--own", f"fleet.own.v1.{person}.>")


def sent_events(machine: str) -> Filter:
    """What the machine itself has sent."""
    return Filter(EVENTS, f"{machine}--sent", f"fleet.v1.{machine}.>")


def sent_states(machine: str) -> Filter:
    return Filter(STATES, f"{machine}--sent", f"fleet.state.v1.{machine}.>")


def sent_own(machine: str, person: str) -> Filter:
    return Filter(STATES, f"{machine}--sent-own", f"fleet.own.v1.{person}.{machine}.>")


def inbox(machine: str) -> str:
    return f"_INBOX_{machine}"


def allowed_subjects(
    machine: str, person: str, grants: Iterable[str], *, is_owner: bool
) -> list[str]:
    """The subjects to which a machine may publish. Every request to the server is one, so this is
    all that it may do: no subject here reads, deletes or creates anything of another machine."""
    filters = [sent_events(machine), sent_states(machine)]
    filters += [sent_own(machine, person), own_of(machine, person)]
    allowed = ["$SYS.REQ.USER.INFO"]
    if is_owner:
        allowed += [create_stream_subject(stream) for stream in (EVENTS, STATES)]
    allowed.append(own_subject(person, machine, "*", NO_PROJECT, HEARTBEAT))
    for grant in grants:
        filters += [events_of(machine, grant), states_of(machine, grant)]
        allowed += [
            event_subject(machine, "*", grant),
            state_subject(machine, "*", grant, "*"),
            own_subject(person, machine, "*", grant, "*"),
        ]
    for one in filters:
        allowed += [one.create_subject, one.next_subject, one.delete_subject]
    return allowed


def rights_in(allowed: Iterable[str]) -> tuple[str, str, list[str]]:
    """(machine, person, grants) that a list of allowed subjects says; the other way round."""
    machine = person = ""
    grants = []
    for subject in allowed:
        parts = subject.split(".")
        if subject.startswith("fleet.own.v1.") and len(parts) == 8 and parts[7] == HEARTBEAT:
            person, machine = parts[3], parts[4]
        elif subject.startswith("fleet.v1.") and len(parts) == 5:
            grants.append(parts[4])
    return machine, person, grants


class Sender(Record):
    """What a subject says of its message: the server vouches for the machine."""

    kind: str  # event|state|own
    machine: str
    epoch: str
    project_id: str
    session: str  # "" for an event


def sender_of(subject: str) -> Sender | None:
    """None for a subject that no Fleet publishes to."""
    found = next(_senders(subject.split(".")), None)
    if (
        found is None
        or not MACHINE.fullmatch(found.machine)
        or not EPOCH.fullmatch(found.epoch)
        or not (PROJECT.fullmatch(found.project_id) or found.project_id == NO_PROJECT)
        or (found.session and found.session != HEARTBEAT and not SESSION.fullmatch(found.session))
    ):
        return None
    return found


def _senders(parts: list[str]) -> Iterator[Sender]:
    if parts[:2] == ["fleet", "v1"] and len(parts) == 5:
        yield Sender("event", parts[2], parts[3], parts[4], "")
    elif parts[:3] == ["fleet", "state", "v1"] and len(parts) == 7:
        yield Sender("state", parts[3], parts[4], parts[5], parts[6])
    elif parts[:3] == ["fleet", "own", "v1"] and len(parts) == 8:
        yield Sender("own", parts[4], parts[5], parts[6], parts[7])
