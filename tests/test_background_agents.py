"""One turn, one briefing, also where agents go on in the background after the turn's Stop."""

import itertools
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support import Fleet, captured_payloads, git, make_repository, payload
from support_agents import SESSION, Session, World, is_recovered, lasting_rows

from fleet_lib import clock
from fleet_lib.ingest import gone, provisional
from fleet_lib.store import db
from fleet_lib.store.repos import Repos
from fleet_lib.turn import follow_ups
from fleet_lib.turn.payload import Payload

DONE = "It is done."


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path / "projects", make_repository(tmp_path / "shop"))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    opened = World(tmp_path / "home")
    yield opened
    opened.close()


def start_two_agents(session: Session) -> None:
    """P1 starts the agents A and B; P2 is a person's; then A and B end, one after the other."""
    session.hook("SessionStart", source="startup")
    session.prompt("P1")
    session.edits("P1", "first.py")
    session.agent("aA", "P1")
    session.agent("aB", "P1")
    session.stop("P1", "Both are at work.", ["aA", "aB"])


def ask_between(session: Session) -> None:
    session.prompt("P2", "and what is this?")
    session.edits("P2", "second.py")
    session.stop("P2", "That is a file.", ["aA", "aB"])


def end_agent(session: Session, prompt: str, agent: str, text: str, *running: str) -> None:
    session.agent(agent, "P1", f"by_{agent}.py")
    session.notification(prompt, agent)
    session.stop(prompt, text, running)


def test_two_agents_and_a_person_between_make_two_briefings(session: Session, world: World) -> None:
    start_two_agents(session)
    ask_between(session)
    end_agent(session, "F1", "aA", "A is done, B is not.", "aB")
    end_agent(session, "F2", "aB", DONE)
    session.save()
    states = []
    for call in session.calls:
        world.apply(call)
        states.append(world.session()[0] if world.rows("SELECT 1 FROM sessions") else "")

    assert states == ["working", "working", "completed", "working", "completed"]
    assert world.briefings() == {
        "P1": ("completed", DONE, "mention", {"first.py", "by_aA.py", "by_aB.py"}),
        "P2": ("completed", "That is a file.", "mention", {"second.py"}),
    }
    first, second = (
        f"SELECT briefing_id FROM turns WHERE turn_key = '{key}'" for key in ("P1", "P2")
    )
    ((p1,),), ((p2,),) = world.rows(first), world.rows(second)
    assert world.announced() == [
        (p2, 1, "completed", "mention", "That is a file."),
        (p1, 1, "completed", "mention", DONE),
    ]
    assert world.rows("SELECT * FROM follow_ups") == [(SESSION, "F1", "P1"), (SESSION, "F2", "P1")]
    assert world.rows("SELECT * FROM provisional_turns") == []


def test_while_an_agent_runs_the_briefing_is_silent_and_no_event_says_that_the_turn_ended(
    session: Session, world: World
) -> None:
    start_two_agents(session)
    session.save()
    world.apply(*session.calls)
    assert world.briefings()["P1"] == ("completed", "Both are at work.", "silent", {"first.py"})
    assert world.announced() == []
    assert world.session() == ("working", "Both are at work.")


@pytest.mark.parametrize("how", ["SessionEnd", "a new process", "six hours", "its process is gone"])
def test_an_agent_that_never_ends_leaves_the_turns_last_words(
    tmp_path: Path, world: World, how: str
) -> None:
    age = provisional.WAIT_SECONDS + 60 if how == "six hours" else 3600
    session = Session(tmp_path / "projects", make_repository(tmp_path / "shop"), age)
    start_two_agents(session)
    session.save()
    world.apply(*session.calls)
    if how != "six hours":
        assert world.announced() == []
    if how == "SessionEnd":
        world.apply(session.hook("SessionEnd", reason="other"))
    elif how == "a new process":
        world.apply(session.hook("SessionStart", source="resume"))
    elif how == "its process is gone":
        with db.transaction(world.connection):
            provisional.session_ended(Repos(world.connection), SESSION, clock.now())

    assert world.briefings()["P1"] == ("completed", "Both are at work.", "mention", {"first.py"})
    assert world.announced() == [(1, 1, "completed", "mention", "Both are at work.")]
    assert world.session()[0] == "completed"
    assert world.rows("SELECT event_id IS NOT NULL FROM sessions") == [(1,)]


def test_agents_end_with_a_client_that_is_gone(
    session: Session, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_two_agents(session)
    session.save()
    world.apply(*session.calls)
    world.connection.execute("INSERT INTO client_files VALUES (?, 'sessions')", (SESSION,))
    monkeypatch.setattr(gone.live, "readable_session_folders", lambda connection: ["sessions"])
    monkeypatch.setattr(gone.live, "read", lambda connection: {})

    assert gone.end_gone_sessions(world.connection) == 1
    assert world.announced() == [(1, 1, "completed", "mention", "Both are at work.")]
    assert world.session()[0] == "completed"
    assert world.rows("SELECT * FROM provisional_turns") == []


def test_a_follow_up_whose_stop_was_lost_is_found_at_the_sessions_end(
    session: Session, world: World
) -> None:
    start_two_agents(session)
    ask_between(session)
    session.save(hidden=["P2"])
    world.apply(*session.calls)
    end_agent(session, "F1", "aA", DONE)
    session.calls.pop()
    session.save()
    assert world.rows("SELECT turn_key FROM turns WHERE NOT is_placed") == [("P2",)]
    world.apply(session.hook("SessionEnd", reason="other"))

    assert world.rows("SELECT turn_key FROM turns WHERE NOT is_placed") == []
    assert world.briefings() == {
        "P1": ("completed", DONE, "mention", {"first.py", "by_aA.py"}),
        "P2": ("completed", "That is a file.", "mention", {"second.py"}),
    }
    announced = world.announced()
    assert announced[-1][2:] == ("completed", "mention", DONE)
    # The same end again, and the hook's own Stop, are no news.
    world.apply(session.hook("SessionEnd", reason="other"))
    assert world.announced() == announced


def test_nothing_is_announced_of_an_imported_turn_whose_agents_still_run(
    session: Session, world: World
) -> None:
    start_two_agents(session)
    session.save()
    start, stop = session.calls
    world.import_turn(stop)
    world.apply(start, stop)
    assert world.announced() == []
    assert world.rows("SELECT * FROM provisional_turns") == []

    end_agent(session, "F1", "aA", "A is done, B is not.", "aB")
    end_agent(session, "F2", "aB", DONE)
    session.save()
    world.apply(*session.calls[2:])
    assert world.announced() == [(1, 2, "completed", "mention", DONE)]


def test_a_drain_settles_what_has_waited_for_six_hours(fleet: Fleet) -> None:
    project = make_repository(fleet.folder / "shop")
    given = {
        "session_id": "s",
        "prompt_id": "p",
        "last_assistant_message": DONE,
        "cwd": str(project),
    }
    tasks = [{"id": "a1", "type": "subagent", "status": "running"}]
    fleet.hook("stop", {**given, "background_tasks": tasks}, project)
    fleet.drain()
    assert fleet.events() == []
    long_ago = clock.ago(provisional.WAIT_SECONDS + 1)
    connection = db.connect(fleet.home / "fleet.db")
    with db.transaction(connection):
        connection.execute("UPDATE provisional_turns SET since = ?", (long_ago,))
    connection.close()
    fleet.hook("session_start", {"session_id": "other", "source": "startup"}, project)
    fleet.drain()
    assert fleet.events() == [("session_started", "silent"), ("briefing_added", "silent")]


def test_a_question_counts_at_once(session: Session, world: World) -> None:
    session.prompt("P1")
    session.agent("aA", "P1")
    session.stop("P1", "Shall I use the table?", ["aA"])
    session.save()
    world.apply(*session.calls)
    assert world.session()[0] == "waiting_for_input"
    assert [event[1:3] for event in world.announced()] == [(1, "waiting_for_input")]

    end_agent(session, "F1", "aA", DONE)
    session.save()
    world.apply(session.calls[-1])
    assert world.session()[0] == "completed"
    assert [event[:3] for event in world.announced()] == [
        (1, 1, "waiting_for_input"),
        (1, 2, "completed"),
    ]


def test_a_session_whose_agents_run_is_not_idle(session: Session, world: World) -> None:
    start_two_agents(session)
    session.save()
    world.apply(*session.calls, session.hook("Notification", notification_type="idle_prompt"))
    assert world.session()[0] == "working"


def test_what_a_reader_set_meanwhile_stays(session: Session, world: World) -> None:
    start_two_agents(session)
    session.save()
    world.apply(*session.calls)
    with db.transaction(world.connection):
        Repos(world.connection).briefings.update_semantic_fields(1, broadcast_level="highlight")
    world.apply(session.hook("SessionEnd"))
    assert world.briefings()["P1"][2] == "highlight"
    assert [event[3] for event in world.announced()] == ["highlight"]


def test_documents_and_skills_of_a_provisional_turn_are_announced_once_it_has_ended(
    session: Session, world: World
) -> None:
    for number in range(3):
        (session.project / f"guide{number}.md").write_text("It is all in `first.py`.\n")
    git(session.project, "add", "-A")
    skill = ".claude/skills/x/SKILL.md"
    session.prompt("P1")
    session.edits("P1", "first.py", skill)
    session.agent("aA", "P1")
    session.stop("P1", "At work.", ["aA"])
    session.save()
    world.apply(*session.calls)
    kinds = "SELECT type, count(*) FROM outbox_events GROUP BY type ORDER BY type"
    assert world.rows(kinds) == []
    world.apply(session.hook("SessionEnd"))
    found_events = [("briefing_added", 1), ("doc_drift_warning", 1), ("skill_updated", 1)]
    assert world.rows(kinds) == found_events
    world.apply(*session.calls)
    assert world.rows(kinds) == found_events


@pytest.mark.parametrize("client", ["2.1.197", "2.1.332"])
def test_a_background_shell_makes_nothing_provisional(fleet: Fleet, client: str) -> None:
    project = make_repository(fleet.folder / "shop")
    given = payload("2.1.332/Stop-background_tasks-shell")
    assert given["background_tasks"][0]["type"] == "shell"
    fleet.hook("stop", {**payload(f"{client}/Stop"), **given, "cwd": str(project)}, project)
    fleet.drain()
    assert fleet.events() == [("briefing_added", "silent")]
    assert fleet.rows("SELECT state FROM sessions") == [("completed",)]


def test_the_captured_stop_with_a_running_agent_is_provisional(fleet: Fleet) -> None:
    project = make_repository(fleet.folder / "shop")
    given = payload("2.1.332/Stop-background_tasks-subagent") | {"cwd": str(project)}
    fleet.hook("stop", given, project)
    fleet.drain()
    assert fleet.events() == []
    assert fleet.rows("SELECT state FROM sessions") == [("working",)]
    # No file says whose agent it is: the next turn at whose Stop it runs did not start it.
    fleet.hook("stop", given | {"prompt_id": "another"}, project)
    fleet.drain()
    assert fleet.rows("SELECT state FROM sessions") == [("completed",)]
    assert len(fleet.events()) == 1


@pytest.mark.parametrize(
    "tasks",
    [None, 7, "x", {}, [None, 1, "x", []], [{"type": "subagent"}], [{"type": "subagent", "id": 3}]],
)
def test_any_form_of_background_tasks_is_read(tasks: Any) -> None:
    read = Payload.read({"session_id": "s", "background_tasks": tasks}).background_tasks
    assert read == (() if isinstance(tasks, list) else None)


@pytest.mark.parametrize("name", captured_payloads("Stop", "StopFailure"))
def test_only_running_subagents_of_captured_payloads_count(name: str) -> None:
    found = Payload.read(payload(name)).background_tasks
    running = ("a0000000000000001",) if name.endswith("tasks-subagent") else ()
    assert found == (running if "background_tasks" in payload(name) else None)


# --- where a prompt belongs ---


@pytest.mark.parametrize(
    ("kind", "turn"),
    [
        ("", "P1"),
        ("<teammate-message teammate_id='x'>done</teammate-message>", "P2"),
        ("<task-notification><task-id>b1</task-id></task-notification>", "P2"),
        ("<task-notification><task-id>../../x</task-id></task-notification>", "P2"),
        ("What is a <task-notification>?", "F1"),
    ],
)
def test_a_prompt_belongs_to_the_turn_that_started_its_agent(
    session: Session, kind: str, turn: str
) -> None:
    start_two_agents(session)
    ask_between(session)
    session.prompt("local", "<command-name>/cost</command-name>")  # answered by nothing
    session.notification("F1", "aA", origin=False, kind=kind)
    session.says("F1", "Yes.")
    session.save()
    assert follow_ups.place_of(str(session.path), "F1").turn == turn


def test_a_follow_up_of_a_follow_up_goes_to_the_first(session: Session, world: World) -> None:
    session.prompt("P1")
    session.agent("aA", "P1", "by_aA.py")
    session.stop("P1", "A is at work.", ["aA"])
    session.notification("F1", "aA")
    session.agent("aC", "F1", "by_aC.py")
    session.stop("F1", "Now C is at work.", ["aC"])
    session.save()
    world.apply(*session.calls)
    assert world.session()[0] == "working"
    session.notification("F2", "aC")
    session.stop("F2", DONE)
    session.save()
    world.apply(session.calls[-1])
    assert world.briefings() == {"P1": ("completed", DONE, "mention", {"by_aA.py", "by_aC.py"})}
    assert world.rows("SELECT prompt_id, turn_key FROM follow_ups") == [("F1", "P1"), ("F2", "P1")]


def test_the_captured_transcript_names_its_turns() -> None:
    path = str(Path(__file__).parent / "payloads/2.1.332/transcript-headless-async-agent.jsonl")
    prompts = dict.fromkeys(
        line["promptId"]
        for line in map(json.loads, Path(path).read_text().splitlines())
        if "promptId" in line
    )
    turns = [follow_ups.place_of(path, prompt).turn for prompt in prompts]
    assert len(set(turns)) < len(turns), "no follow-up was found"
    by_start = payload("2.1.332/UserPromptSubmit-task-notification")["prompt_id"]
    started = payload("2.1.332/Stop-background_tasks-subagent")["prompt_id"]
    assert follow_ups.place_of(path, by_start).turn == started


# --- a line that comes late ---


def events_of(world: World) -> list[tuple[int, str]]:
    return [(event[1], event[4]) for event in world.announced()]


@pytest.mark.parametrize("sees", ["the next Stop", "SessionEnd", "a replay"])
def test_a_follow_up_whose_line_comes_late_is_merged(
    session: Session, world: World, sees: str
) -> None:
    start_two_agents(session)
    session.save()
    world.apply(*session.calls)
    end_agent(session, "F1", "aA", "A is done.", "aB")
    end_agent(session, "F2", "aB", DONE)
    session.save(hidden=["F1", "F2"])
    world.apply(*session.calls[-2:])
    assert set(world.briefings()) == {"P1", "F1", "F2"}

    session.save()
    if sees == "the next Stop":
        session.prompt("P3")
        session.save()
        world.apply(session.stop("P3", "Something else."))
    elif sees == "SessionEnd":
        world.apply(session.hook("SessionEnd"))
    else:
        world.apply(*session.calls[-2:])

    found = world.briefings()
    assert found.pop("P1") == ("completed", DONE, "mention", {"first.py", "by_aA.py", "by_aB.py"})
    assert set(found) <= {"P3"}
    numbers = {number for (number,) in world.rows("SELECT briefing_id FROM briefings")}
    assert {event[0] for event in world.announced()} <= numbers, (
        "an event of a briefing that is gone"
    )
    assert world.rows("SELECT count(*) FROM briefing_derived") == [(len(numbers),)]
    assert world.rows("SELECT briefing_id FROM sessions")[0][0] in numbers
    before = (lasting_rows(world), world.announced())
    world.apply(*session.calls)
    assert (lasting_rows(world), world.announced()) == before, "a replay changed something"


def test_two_announced_briefings_that_become_one_are_not_announced_again(
    session: Session, world: World
) -> None:
    session.prompt("P1")
    session.edits("P1", "first.py")
    session.agent("aA", "P1")
    session.stop("P1", "Started.", ["aA"])
    session.notification("F1", "aA")
    session.stop("F1", DONE)
    session.save(hidden=["F1"])
    world.apply(*session.calls)
    assert events_of(world) == [(1, DONE), (1, "Started.")]

    session.save()
    world.apply(session.hook("SessionEnd"))
    assert world.briefings() == {"P1": ("completed", DONE, "mention", {"first.py"})}
    assert events_of(world) == [(1, DONE), (1, "Started.")]


# --- any order ---


@dataclass
class Plan:
    """A session that Hypothesis makes up, and what must come of it."""

    session: Session
    words: dict[str, str] = field(default_factory=dict)  # {turn: its last words}
    files: dict[str, set[str]] = field(default_factory=dict)
    turn_of: dict[str, str] = field(default_factory=dict)  # {prompt: turn}, of follow-ups too
    running: dict[str, str] = field(default_factory=dict)  # {agent: the turn that started it}


def answer(plan: Plan, prompt: str, new_agents: int, asks: bool, numbers: Iterator[int]) -> None:
    session, turn = plan.session, plan.turn_of[prompt]
    edited = f"by_{prompt}.py"
    session.edits(prompt, edited)
    plan.files.setdefault(turn, set()).add(edited)
    for _ in range(new_agents):
        agent = f"a{next(numbers)}"
        plan.running[agent] = turn
        session.agent(agent, prompt, f"by_{agent}.py")
        plan.files[turn].add(f"by_{agent}.py")
    plan.words[turn] = f"What about {prompt}?" if asks else f"{prompt} is done."
    session.stop(prompt, plan.words[turn], list(plan.running))


@st.composite
def plans(draw: st.DrawFn, *, ends: bool | None = None) -> list[Any]:
    """The steps of a session: (kind, agents to start, asks)."""
    steps = st.tuples(st.sampled_from(["person", "agent ends"]), st.integers(0, 2), st.booleans())
    chosen: list[Any] = draw(st.lists(steps, min_size=1, max_size=6))
    is_ended = draw(st.booleans()) if ends is None else ends
    return [("person", draw(st.integers(0, 2)), False), *chosen, *(["end"] if is_ended else [])]


def carried_out(steps: list[Any], folder: Path, project: Path) -> Plan:
    plan = Plan(Session(folder / "projects", project))
    numbers = itertools.count(1)
    plan.session.hook("SessionStart", source="startup")
    for step in steps:
        if step == "end":
            plan.session.hook("SessionEnd", reason="other")
            continue
        kind, new_agents, asks = step
        prompt = f"p{next(numbers)}"
        if kind == "person":
            plan.session.prompt(prompt)
            plan.turn_of[prompt] = prompt
        elif not plan.running:
            continue
        else:
            agent = next(iter(plan.running))
            plan.turn_of[prompt] = plan.running.pop(agent)
            plan.session.notification(prompt, agent)
        answer(plan, prompt, new_agents, asks, numbers)
    plan.session.save()
    return plan


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("agents") / "shop")


def check_announcements(world: World) -> None:
    """Each briefing that is at its end was announced as it is; no change was announced twice."""
    by_briefing: dict[int, list[tuple[int, str, str, str]]] = {}
    for number, *rest in world.announced():
        by_briefing.setdefault(number, []).append(tuple(rest))  # type: ignore[arg-type]
    waiting = {key for (key,) in world.rows("SELECT turn_key FROM provisional_turns")}
    for number, key, status, level, summary, revision in world.rows(
        "SELECT b.briefing_id, turn_key, b.status, b.broadcast_level, summary, revision"
        " FROM briefings b JOIN turns USING (briefing_id)"
    ):
        found_events = by_briefing.pop(number, [])
        assert [event[0] for event in found_events] == list(range(1, revision + 1))
        if key in waiting:
            assert level == "silent"
        else:
            assert found_events[-1][1:] == (status, level, summary)
    assert by_briefing == {}


PROPERTY = settings(
    max_examples=25,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)


@PROPERTY
@given(steps=plans(), data=st.data())
def test_any_order_gives_the_same_rows(shop: Path, steps: list[Any], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as given_folder:
        folder = Path(given_folder).resolve()
        plan = carried_out(steps, folder, shop)
        calls = plan.session.calls
        in_order, shuffled = World(folder / "in order"), World(folder / "shuffled")
        in_order.apply(*calls)
        mixed = data.draw(st.permutations(calls))
        again = data.draw(st.lists(st.sampled_from(calls), max_size=3))
        shuffled.apply(*mixed, *again)

        found = in_order.briefings()
        assert {turn: row[1] for turn, row in found.items()} == plan.words
        assert {turn: row[3] for turn, row in found.items()} == plan.files
        if steps[-1] == "end":
            assert in_order.rows("SELECT * FROM provisional_turns") == []
            assert "working" not in in_order.session()
        with_last_stop = not is_recovered(shuffled)
        assert lasting_rows(shuffled, with_last_stop=with_last_stop) == lasting_rows(
            in_order, with_last_stop=with_last_stop
        )
        for world in (in_order, shuffled):
            check_announcements(world)
            world.close()


@PROPERTY
@given(steps=plans(ends=True), data=st.data())
def test_lines_that_come_late_change_nothing_in_the_end(
    shop: Path, steps: list[Any], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as given_folder:
        folder = Path(given_folder).resolve()
        plan = carried_out(steps, folder, shop)
        calls = plan.session.calls
        in_time, late = World(folder / "in time"), World(folder / "late")
        prompts = list(plan.turn_of)
        in_time.apply(*calls)
        for call in calls:
            shown = data.draw(st.integers(0, len(prompts))) if call is not calls[-1] else None
            plan.session.save(hidden=[] if shown is None else prompts[shown:])
            late.apply(call)

        assert lasting_rows(late) == lasting_rows(in_time)
        numbers = {number for (number,) in late.rows("SELECT briefing_id FROM briefings")}
        assert {event[0] for event in late.announced()} == numbers
        for world in (in_time, late):
            world.close()
