"""The Commander's headless turns: what each one is shown, and when its cursor moves."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from fleet_world import Fleet, blocked_by
from scripted_model import Fail, Request, Text, newest_prompt


def _mentioning(preludes: Sequence[str], text: str) -> int:
    return sum(text in prelude for prelude in preludes)


def _failed_turn(fleet: Fleet, prompt: str) -> str:
    """The session of a failed turn whose hook came to its end: 2.1.332 kills one that takes longer
    than a second and a half."""
    for _ in range(5):
        fleet.drain()
        with fleet.drainers_held_off():
            failed = fleet.turn(fleet.home, prompt, Fail(400))
            if any((fleet.home / "spool" / "new").glob("*.StopFailure.*")):
                return failed.session_id
    raise AssertionError("no hook of a failure came to its end")


@pytest.mark.one_client
def test_new_session_after_a_failed_turn_shows_the_same_events_again(fleet: Fleet) -> None:
    fleet.worker(fleet.repository("alpha"), "get stuck", blocked_by("a key"))

    failed = fleet.commander("first try", Fail(400))
    assert (failed.exit_code, fleet.cursor()) == (1, 0)

    fleet.commander("second try")
    assert "Stuck on a key" in fleet.preludes_with("first try")[0]
    assert fleet.preludes_with("second try") == fleet.preludes_with("first try"), (
        "not byte for byte the same"
    )
    assert fleet.cursor() == fleet.last_event()

    fleet.commander("third try")
    (recap,) = fleet.preludes_with("third try")
    assert "Projects:" in recap
    assert "Alerts:" not in recap, "the same alert was shown as new twice"


def test_resumed_failed_turn_shows_the_same_events_again(fleet: Fleet) -> None:
    fleet.worker(fleet.repository("alpha"), "get stuck", blocked_by("a key"))

    failed = fleet.commander("first try", Fail(400))
    again = fleet.commander("second try", Fail(400), resume=failed.session_id)
    assert again.session_id == failed.session_id
    assert fleet.cursor() == 0
    assert _mentioning(fleet.preludes_with("second try"), "Stuck on a key") >= 1

    # The client already has the resumed session's delta, byte for byte, and drops the copy.
    fleet.commander("third try", resume=failed.session_id)
    assert _mentioning(fleet.preludes_up_to("third try"), "Stuck on a key") >= 1
    assert fleet.cursor() == fleet.last_event()

    fleet.commander("fourth try", resume=failed.session_id)
    assert fleet.preludes_with("fourth try") == []
    assert len(fleet.preludes_up_to("fourth try")) == len(fleet.preludes_up_to("third try"))


def test_resumed_failed_turn_holds_each_event_only_once(fleet: Fleet) -> None:
    fleet.worker(fleet.repository("alpha"), "get stuck", blocked_by("a key"))

    fleet.commander("second try", resume=_failed_turn(fleet, "first try"))
    assert _mentioning(fleet.preludes_with("second try"), "Stuck on a key") == 1


def test_events_between_resumed_turns_are_shown_exactly_once(fleet: Fleet) -> None:
    alpha = fleet.repository("alpha")
    fleet.worker(alpha, "get stuck", blocked_by("a key"))
    session_id = fleet.commander("first").session_id

    fleet.worker(fleet.repository("beta"), "wait for the reviewer", blocked_by("a review"))
    fleet.commander("second", resume=session_id)
    (delta,) = fleet.preludes_with("second")
    assert "Stuck on a review" in delta
    assert "Stuck on a key" not in delta
    assert "Projects:" not in delta, "a resumed session was shown a recap"
    assert fleet.cursor() == fleet.last_event()

    fleet.commander("third", resume=session_id)
    assert fleet.preludes_with("third") == []
    for text in ("Stuck on a key", "Stuck on a review"):
        assert _mentioning(fleet.preludes_up_to("third"), text) == 1


@pytest.mark.one_client
def test_events_during_a_turn_are_left_for_the_next_turn(fleet: Fleet) -> None:
    alpha, beta = fleet.repository("alpha"), fleet.repository("beta")
    fleet.worker(alpha, "get stuck", blocked_by("a key"))
    last_event_before = fleet.last_event()

    def work_during_the_turn(request: Request) -> None:
        if "a long look" in newest_prompt(request):
            fleet.worker(beta, "wait for the reviewer", blocked_by("a review"))
            fleet.drain()

    fleet.before_answer = work_during_the_turn
    session_id = fleet.commander("a long look", Text("I see.")).session_id
    assert fleet.cursor() == last_event_before < fleet.last_event()

    fleet.commander("and now", resume=session_id)
    (delta,) = fleet.preludes_with("and now")
    assert "Stuck on a review" in delta
    assert "Stuck on a key" not in delta


@pytest.mark.one_client
def test_two_commander_sessions_have_separate_cursors(fleet: Fleet) -> None:
    fleet.worker(fleet.repository("alpha"), "get stuck", blocked_by("a key"))
    first_session = fleet.commander("one looks").session_id
    second_session = fleet.commander("two looks").session_id

    fleet.worker(fleet.repository("beta"), "wait for the reviewer", blocked_by("a review"))
    for prompt, session_id in (
        ("the first once more", first_session),
        ("the second once more", second_session),
    ):
        fleet.commander(prompt, resume=session_id)
        assert _mentioning(fleet.preludes_with(prompt), "Stuck on a review") == 1
        assert _mentioning(fleet.preludes_with(prompt), "Stuck on a key") == 0


def test_forked_session_shows_new_events_once(fleet: Fleet, client_version: str) -> None:
    fleet.worker(fleet.repository("alpha"), "get stuck", blocked_by("a key"))
    original = fleet.commander("the original").session_id
    fleet.worker(fleet.repository("beta"), "wait for the reviewer", blocked_by("a review"))

    fork = fleet.commander("the other way", resume=original, fork=True)
    assert fork.session_id != original
    # 2.1.197 gives a fork's SessionStart the id of the original session, so Fleet cannot know that
    # the prompt's session was shown the same events at its start.
    times = 2 if client_version == "2.1.197" else 1
    assert _mentioning(fleet.preludes_up_to("the other way"), "Stuck on a review") == times

    fleet.commander("back here", resume=original)
    assert _mentioning(fleet.preludes_up_to("back here"), "Stuck on a review") == 1
