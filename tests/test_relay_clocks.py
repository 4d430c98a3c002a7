"""Machines whose clocks are ahead or behind: what is hidden, how old a state is, and what is newer."""

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from relay_world import Machine, Server, joined

from fleet_lib import clock, rules
from fleet_lib.store.sessions import SessionRepo
from fleet_lib.views.hiding import hide

pytestmark = pytest.mark.slow

MINUTE, HOUR, DAY = 60, 3600, 86400


@contextlib.contextmanager
def at(*seconds: float) -> Iterator[None]:
    """The clock of a machine that is so far ahead of this one."""
    ahead = sum(seconds)
    shifted = SimpleNamespace(
        **{name: getattr(time, name) for name in ("strftime", "gmtime", "monotonic")},
        time=lambda: time.time() + ahead,
        time_ns=lambda: time.time_ns() + int(ahead * 1e9),
    )
    with pytest.MonkeyPatch.context() as patch:
        for module in (clock, rules):
            patch.setattr(module, "time", shifted)
        yield


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "server", ("laptop", "box", "desk"))
    made.start()
    yield made
    made.stop(signal.SIGKILL)


def waiting(home: Machine) -> list[str]:
    return [row["session_id"] for row in home.json("status")["needs_you"]]


@pytest.mark.parametrize(
    ("laptop_ahead", "box_ahead", "desk_ahead"),
    [
        (3 * MINUTE, 0, -3 * MINUTE),
        (-20 * DAY, 3, 400 * DAY),
    ],
)
def test_decisions_states_and_order_hold_whatever_the_clocks_say(
    tmp_path: Path, relay: Server, laptop_ahead: float, box_ahead: float, desk_ahead: float
) -> None:
    ahead = {"laptop": laptop_ahead, "box": box_ahead, "desk": desk_ahead}
    homes: dict[str, Machine] = {}
    later = 0.0  # seconds that have passed in this test

    def exchange(*names: str) -> None:
        for name in names * 2:
            with at(ahead[name], later):
                homes[name].once()

    def all_wait() -> dict[str, list[str]]:
        found = {}
        for name, home in homes.items():
            with at(ahead[name], later):
                found[name] = waiting(home)
        return found

    def console(name: str, *arguments: str) -> None:
        with at(ahead[name], later):
            homes[name].console(*arguments)

    for name in ahead:
        with at(ahead[name]):
            homes[name] = home = joined(tmp_path, relay, name)
            project = home.project("web")
            home.share(project)
            home.turn(project, 1, session=f"of-{name}", status="completed")
    with at(laptop_ahead):
        homes["laptop"].turn(project, 2, status="blocked")
    exchange(*homes)
    everywhere = {key: ["s1"] for key in homes}
    nowhere = {key: list[str]() for key in homes}
    assert all_wait() == everywhere
    for name, home in homes.items():
        with at(ahead[name], later):
            (row,) = home.json("status")["needs_you"]
            assert abs(clock.seconds_since(row["since"])) < 2 * MINUTE, (name, row)
    # Dismissed on a machine, shown again on another one, snoozed on a third: the last one counts.
    console("desk", "dismiss", "s1")
    exchange("desk", "laptop", "box")
    assert all_wait() == nowhere
    console("box", "dismiss", "--undo", "s1")
    exchange("box", "laptop", "desk")
    assert all_wait() == everywhere
    with at(laptop_ahead, later), homes["laptop"].writing() as made:
        session = SessionRepo(made).get("s1")
        assert session
        hide(made, session, clock.ahead(2 * HOUR))
    exchange("laptop", "box", "desk")
    assert all_wait() == nowhere
    later = 3.0 * HOUR
    assert all_wait() == everywhere
    console("desk", "dismiss", "s1")
    exchange("desk", "box")  # the laptop itself is away
    assert all_wait() == everywhere | {"desk": [], "box": []}
    # A decision may come before the state that it is about.
    with at(laptop_ahead, later):
        homes["laptop"].turn(project, 3, status="blocked")
    exchange("laptop", "desk")
    console("desk", "dismiss", "s1")
    exchange("desk", "laptop", "box")
    assert all_wait() == nowhere
    # What is read again from the beginning changes nothing.
    for home in homes.values():
        with home.writing() as made:
            made.execute("DELETE FROM relay_positions")
    exchange(*homes)
    assert all_wait() == nowhere
    # The next turn is shown, and each machine has the turns in the order in which they ended.
    later += HOUR
    with at(box_ahead, later):
        homes["box"].turn(project, 4, session="of-box", status="blocked")
    exchange(*homes)
    later += HOUR
    with at(laptop_ahead, later):
        homes["laptop"].turn(project, 5, status="waiting_for_input")
    exchange(*homes)
    assert all_wait() == {key: ["s1", "of-box"] for key in homes}
    for name, home in homes.items():
        with at(ahead[name], later):
            found = home.json("briefings", "list", "--limit", "2")
            assert [row["session_id"] for row in found] == ["s1", "of-box"], name
            ages = [clock.seconds_since(row["ended_at"]) for row in found]
            assert ages[0] < HOUR - MINUTE < ages[1] < 2 * HOUR, (name, ages)


def test_a_clock_that_is_set_back_does_not_stop_a_session_s_states(
    tmp_path: Path, relay: Server
) -> None:
    with at(2 * DAY):
        laptop = joined(tmp_path, relay, "laptop")
        project = laptop.project("web")
        laptop.share(project)
        laptop.turn(project, 1, status="blocked")
        laptop.once()
    box = joined(tmp_path, relay, "box")
    box.once()
    assert waiting(box) == ["s1"]
    laptop.turn(project, 2, status="completed")
    laptop.once()
    box.once()
    assert waiting(box) == []
    laptop.turn(project, 3, status="blocked")
    laptop.once()
    box.once()
    assert waiting(box) == ["s1"]
