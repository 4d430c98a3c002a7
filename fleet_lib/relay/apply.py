"""What came from other machines to rows, in the caller's transaction. Every row that is written here
says which machine it is from, so nothing of it is sent again, and no peer can reach a row of this
machine or of another one."""

import sqlite3
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from fleet_lib.lines import event_status, line_of
from fleet_lib.machines import marked
from fleet_lib.records import replace
from fleet_lib.relay import wire
from fleet_lib.relay.incoming import Received
from fleet_lib.relay.outgoing import digest_here
from fleet_lib.store.briefings import BriefingRepo, Turn
from fleet_lib.store.outbox import COLLEAGUE_NEWS, OutboxRepo
from fleet_lib.store.projects import ProjectRepo, generate_project_id
from fleet_lib.store.relay import Member, RelayRepo
from fleet_lib.store.relay_rows import RelayRowRepo
from fleet_lib.store.relay_sessions import Decision, Original, RelaySessionRepo
from fleet_lib.store.sessions import Session, SessionRepo

if TYPE_CHECKING:
    from fleet_lib.levels import ColleagueNews, EventType

Early = dict[str, str]  # {session: its name, which came before its state}
_EARLY_LIMIT = 10_000  # sessions


class Applier:
    """Applies the messages of one transaction. `people` are globs of machines that count as other
    people's, whatever the server says. `early` keeps the names of sessions that are not here yet,
    from one transaction to the next."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        member: Member,
        people: tuple[str, ...],
        early: Early,
    ) -> None:
        self._early = early
        self._connection = connection
        self._member = member
        self._people = people
        self._relay = RelayRepo(connection)
        self._rows = RelayRowRepo(connection)
        self._briefings = BriefingRepo(connection)
        self._outbox = OutboxRepo(connection)
        self._projects = ProjectRepo(connection)
        self._sessions = SessionRepo(connection)
        self._by_clock = RelaySessionRepo(connection)
        # What is asked again for each message of a batch.
        self._heard: dict[tuple[str, str], str] = {}  # {(machine, epoch): the newest message}
        self._received: dict[tuple[str, str], int] = {}  # {(machine, epoch): the newest event}
        self._own_machines: dict[str, bool] = {}
        self._project_ids: dict[tuple[str, wire.ProjectPart, bool], str] = {}
        self._restored: set[str] = set()
        self._is_settled = False

    def apply(self, message: Received) -> None:
        """Apply one message, or note why it cannot be applied. Raises sqlite3.Error only for trouble
        with the database itself."""
        sender = message.sender
        key = sender.machine, sender.epoch
        if key not in self._heard:
            self._relay.hear(*key, message.stored_at)
        self._heard[key] = max(self._heard.get(key, ""), message.stored_at)
        if message.is_newer:
            self._relay.count(sender.machine, sender.epoch, "newer")
            return
        if message.trouble:
            self._relay.count(sender.machine, sender.epoch, "set_aside", message.trouble)
            return
        self._connection.execute("SAVEPOINT message")
        try:
            self._apply(message)
        except (sqlite3.IntegrityError, sqlite3.DataError, ValueError, OverflowError) as error:
            self._connection.execute("ROLLBACK TO message")
            self._own_machines.clear()
            self._project_ids.clear()
            self._restored.clear()
            self._is_settled = False
            self._relay.count(sender.machine, sender.epoch, "set_aside", str(error)[:200])
        self._connection.execute("RELEASE message")

    def finish(self) -> None:
        """Note what was heard of the machines, before the transaction ends."""
        for key, at in self._heard.items():
            self._relay.hear(*key, at, received_event_id=self._received.get(key, 0))

    def _apply(self, message: Received) -> None:
        sender = message.sender
        if message.heartbeat:
            beat = message.heartbeat
            said = {} if sender.kind == "own" else _sent(beat)
            is_own = {"is_own": 1} if sender.kind == "own" else {}
            self._relay.hear(sender.machine, sender.epoch, "", **said, **is_own)
            self._own_machines.clear()
        elif message.own:
            self._relay.hear(sender.machine, sender.epoch, "", is_own=1)
            self._own_machines.clear()
            self._own(message, message.own)
        elif message.state:
            self._state(message, message.state)
        elif message.event:
            self._event(message, message.event)

    # --- events ---

    def _event(self, received: Received, message: wire.EventMessage) -> None:
        machine, epoch = received.sender.machine, received.sender.epoch
        event_id, digest = message.event_id, message.digest
        self._received[machine, epoch] = max(self._received.get((machine, epoch), 0), event_id)
        if self._rows.has_event(machine, epoch, event_id):
            return
        is_here = machine == self._member.machine and (
            digest_here(self._connection, event_id) == digest
        )
        if is_here or self._rows.has_same(machine, event_id, digest):
            # A copy of a home sent what the home itself has sent, or this home before it was set
            # back.
            self._rows.add_event(machine, epoch, event_id, digest, None)
            return
        is_own = self.is_own(machine)
        project_id = self._project(message.project, machine, is_own)
        session_id = marked(message.session_id or "", machine)
        briefing_id = self._briefing(message, machine, epoch, project_id)
        event = message.event
        payload = dict(event.payload) | {"machine": machine, "sessionId": session_id}
        kind: EventType | ColleagueNews = event.type
        level: str | None = event.level
        for part, names in (("briefing", ("briefingId", "projectId")), ("session", ("projectId",))):
            if isinstance(payload.get(part), dict):
                ids = {"briefingId": briefing_id, "projectId": project_id}
                payload[part] = payload[part] | {name: ids[name] for name in names}
        if not is_own:
            payload, level = _as_mention(kind, payload, level)
            kind = COLLEAGUE_NEWS
        elif project_id not in self._restored:
            self._projects.restore(project_id)
            self._restored.add(project_id)
        local = self._outbox.add(
            type=kind,
            payload=payload,
            project_id=project_id,
            briefing_id=briefing_id,
            broadcast_level=level,
            ts=event.ts,
        )
        self._rows.add_event(machine, epoch, event_id, digest, local)
        if message.event.type in ("briefing_added", "session_blocked"):
            self._rows.point_session(session_id, local, briefing_id)

    def _briefing(
        self, message: wire.EventMessage, machine: str, epoch: str, project_id: str
    ) -> int | None:
        """The briefing here that the event is about: what its newest revision says."""
        briefing, turn = message.briefing, message.turn
        if briefing is None:
            return None
        known = self._rows.briefing(machine, epoch, briefing.id)
        revision = turn.revision if turn else 1
        there = known.local_briefing_id if known else None
        if known and there is not None and revision < known.revision:
            return there
        session_id = marked(briefing.session_id or message.session_id or "", machine)
        fields = briefing.model_dump(exclude={"id", "session_id"})
        fields |= {"project_id": project_id, "session_id": session_id}
        if there is not None and self._briefings.get(there):
            self._briefings.update(there, **fields)
        else:
            there = self._briefings.upsert(**fields)
        usage = turn.usage.model_dump_json() if turn and turn.usage else None
        self._rows.save_briefing(machine, epoch, briefing.id, there, revision, usage)
        if turn:
            title = known.title if known else None
            self._save_turn(turn, session_id, there, briefing.ended_at or message.event.ts, title)
        return there

    def _save_turn(
        self, turn: wire.TurnPart, session_id: str, briefing_id: int, at: str, title: str | None
    ) -> None:
        taken = self._briefings.get_turn(session_id, turn.key)
        if taken and taken.briefing_id != briefing_id:
            return  # a peer gives two briefings the same turn
        self._briefings.save_turn(
            Turn(
                session_id=session_id,
                turn_key=turn.key,
                briefing_id=briefing_id,
                revision=turn.revision,
                summary=turn.summary,
                meaning="",
                source=turn.source,
                facts_partial=turn.facts_partial,
                warnings=(),
                question=turn.question,
                stopped_at=at,
                title=title or (taken.title if taken else None),
            )
        )

    # --- sessions ---

    def _state(self, received: Received, message: wire.StateMessage) -> None:
        """The session's row, unless a newer one is here. Only of the same person's machines: what
        a colleague is asked needs that colleague."""
        machine, epoch = received.sender.machine, received.sender.epoch
        if not self.is_own(machine):
            return
        session_id = marked(message.session_id, machine)
        known, before = self._sessions.get(session_id), self._by_clock.original(session_id)
        state_at, last_seen_at = received.original
        project_id = self._project(message.project, machine, is_own=True)
        # Of one session of one home the last message is the newest, whatever its clock does. A copy
        # of the home has the session as it was when the copy was made, and another project has what
        # it was when it left that.
        is_same = before and known and (before.epoch, known.project_id) == (epoch, project_id)
        if (
            before
            and not is_same
            and (last_seen_at, state_at) < (before.last_seen_at, before.state_at)
        ):
            return
        self._settle()
        self._by_clock.save_original(session_id, Original(epoch, state_at, last_seen_at))
        decision = self._by_clock.decision(session_id, state_at)
        briefing = self._rows.briefing(machine, epoch, message.briefing_id)
        event_id = self._rows.local_event(machine, epoch, message.event_id)
        self._sessions.save(
            Session(
                session_id=session_id,
                project_id=project_id,
                folder="",
                state=message.state,
                state_at=message.state_at,
                detail=message.detail,
                briefing_id=(briefing.local_briefing_id if briefing else None)
                or (known.briefing_id if known else None),
                event_id=event_id or (known.event_id if known else None),
                last_seen_at=message.last_seen_at,
                ended_at=message.ended_at,
                hidden_until=decision.hidden_until if decision else None,
                head_commit=None,
                head_at=None,
                status_digest=None,
                status_turn=None,
                title=self._early.pop(session_id, None) or (known.title if known else None),
            )
        )

    def _own(self, received: Received, message: wire.OwnMessage) -> None:
        """Titles and dismissals of one's own machines."""
        machine, epoch = received.sender.machine, received.sender.epoch
        if not self.is_own(machine):
            return
        if message.session_id and message.title is not None:
            self._name(marked(message.session_id, machine), message.title)
        if hidden := message.hidden:
            self._settle()
            is_here = hidden.machine == self._member.machine != machine
            session_id = hidden.session_id if is_here else marked(hidden.session_id, hidden.machine)
            self._by_clock.take(Decision(session_id, hidden.state_at, hidden.until, hidden.version))
        for number, title in message.titles.items():
            local = self._rows.save_title(machine, epoch, int(number), title)
            turn = self._briefings.turn_of(local) if local else None
            if turn and turn.title != title:
                self._briefings.set_title(turn.session_id, turn.turn_key, title)

    def _name(self, session_id: str, title: str) -> None:
        """The name of a session; later, if it is not here yet."""
        session = self._sessions.get(session_id)
        if session is None:
            if len(self._early) < _EARLY_LIMIT:
                self._early[session_id] = title
        elif session.title != title:
            self._sessions.save(replace(session, title=title))

    def _settle(self) -> None:
        """Note what was decided here meanwhile, before another machine's decision is taken."""
        if not self._is_settled:
            self._by_clock.settle()
            self._is_settled = True

    # --- whose it is ---

    def is_own(self, machine: str) -> bool:
        """Whether the machine belongs to the same person."""
        if machine not in self._own_machines:
            is_other = any(fnmatchcase(machine, glob) for glob in self._people)
            is_mine = machine == self._member.machine or self._relay.is_own(machine)
            self._own_machines[machine] = is_mine and not is_other
        return self._own_machines[machine]

    def _project(self, project: wire.ProjectPart, machine: str, is_own: bool) -> str:
        """The project here: of the same remote, else one of that machine. A colleague's message
        cannot become part of a project that this machine does not share."""
        key = machine, project, is_own
        if key not in self._project_ids:
            self._project_ids[key] = self._find_project(project, machine, is_own)
        return self._project_ids[key]

    def _find_project(self, project: wire.ProjectPart, machine: str, is_own: bool) -> str:
        apart = f"{project.id}@{machine}"
        found = self._projects.find_by_forms(project.remotes)
        if found:
            is_open = is_own or found.project_id == project.id or self._is_shared(found.project_id)
            project_id = found.project_id if is_open else apart
        elif not project.remotes or self._projects.get(project.id):
            project_id = apart
        else:
            made_of = generate_project_id(project.name, project.remote or "")
            project_id = project.id if is_own or made_of == project.id else apart
        remote = project.remote if project_id == project.id else None
        self._projects.add_remote_one(project_id, project.name, remote, project.remotes)
        return project_id

    def _is_shared(self, project_id: str) -> bool:
        share = self._relay.shares().get(project_id)
        return share is not None and share.is_shared is not False


def _sent(beat: wire.HeartbeatMessage) -> dict[str, object]:
    if not beat.sent_event_id:
        return {}
    return {"sent_event_id": beat.sent_event_id, "sent_event_at": beat.sent_event_at[:24]}


def _as_mention(
    kind: str, payload: dict[str, object], level: str | None
) -> tuple[dict[str, object], str | None]:
    """A colleague's event as one that may be mentioned and is never an alert: its status stands
    where only a reader looks for it."""
    status = event_status(payload)
    line = line_of(kind, payload)
    inner = {
        name: {key: value for key, value in part.items() if key != "status"}
        for name, part in payload.items()
        if isinstance(part, dict)
    }
    rest = {name: value for name, value in payload.items() if name != "status"}
    original = {"type": kind, **({"status": status} if status else {})}
    quiet = "silent" if level == "silent" else "mention"
    return rest | inner | {"colleague": original, **({"line": line} if line else {})}, quiet
