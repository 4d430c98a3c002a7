"""The Commander's headless turns: what each is told, and when its cursor moves."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from fleet_world import Fleet, blocked_by
from scripted_model import Fail, Request, Text, newest_prompt


def _mentioning(preludes: Sequence[str], words: str) -> int:
    return sum(words in prelude for prelude in preludes)


def test_a_new_session_after_a_failed_turn_is_told_the_same_again(fleet: Fleet) -> None:
    fleet.worker(fleet.repository("alpha"), "get stuck", blocked_by("a key"))

    failed = fleet.commander("first try", Fail(400))
    assert (failed.exit_code, fleet.cursor()) == (1, 0)

    fleet.commander("second try")
    assert "Stuck on a key" in fleet.told("first try")[0]
    assert fleet.told("second try") == fleet.told("first try"), "not byte for byte the same"
    assert fleet.cursor() == fleet.last_event()

    fleet.commander("third try")
    (recap,) = fleet.told("third try")
    assert "Projects:" in recap
    assert "Alerts:" not in recap, "the same alert was new twice"


def test_a_failed_turn_that_is_resumed_is_told_the_same_again(fleet: Fleet) -> None:
    fleet.worker(fleet.repository("alpha"), "get stuck", blocked_by("a key"))

    failed = fleet.commander("first try", Fail(400))
    again = fleet.commander("second try", Fail(400), resume=failed.session_id)
    assert again.session_id == failed.session_id
    assert fleet.cursor() == 0
    assert _mentioning(fleet.told("second try"), "Stuck on a key") >= 1

    # Now the client has the resumed session's delta already, byte for byte, and drops the copy.
    fleet.commander("third try", resume=failed.session_id)
    assert _mentioning(fleet.held("third try"), "Stuck on a key") >= 1
    assert fleet.cursor() == fleet.last_event()

    fleet.commander("fourth try", resume=failed.session_id)
    assert fleet.told("fourth try") == []
    assert len(fleet.held("fourth try")) == len(fleet.held("third try"))


def test_a_failed_turn_that_is_resumed_is_told_it_only_once(fleet: Fleet) -> None:
    fleet.worker(fleet.repository("alpha"), "get stuck", blocked_by("a key"))

    failed = fleet.commander("first try", Fail(400))
    fleet.commander("second try", resume=failed.session_id)
    assert _mentioning(fleet.told("second try"), "Stuck on a key") == 1


def test_what_is_new_between_two_resumed_turns_is_told_exactly_once(fleet: Fleet) -> None:
    alpha = fleet.repository("alpha")
    fleet.worker(alpha, "get stuck", blocked_by("a key"))
    session_id = fleet.commander("first").session_id

    fleet.worker(fleet.repository("beta"), "wait for somebody", blocked_by("a review"))
    fleet.commander("second", resume=session_id)
    (delta,) = fleet.told("second")
    assert "Stuck on a review" in delta
    assert "Stuck on a key" not in delta
    assert "Projects:" not in delta, "a resumed session was given a recap"
    assert fleet.cursor() == fleet.last_event()

    fleet.commander("third", resume=session_id)
    assert fleet.told("third") == []
    for words in ("Stuck on a key", "Stuck on a review"):
        assert _mentioning(fleet.held("third"), words) == 1


def test_what_happens_while_a_turn_runs_is_left_for_the_next(fleet: Fleet) -> None:
    alpha, beta = fleet.repository("alpha"), fleet.repository("beta")
    fleet.worker(alpha, "get stuck", blocked_by("a key"))
    seen_by_first = fleet.last_event()

    def work_meanwhile(request: Request) -> None:
        if "a long look" in newest_prompt(request):
            fleet.worker(beta, "wait for somebody", blocked_by("a review"))
            fleet.drain()

    fleet.before_answer = work_meanwhile
    session_id = fleet.commander("a long look", Text("I see.")).session_id
    assert fleet.cursor() == seen_by_first < fleet.last_event()

    fleet.commander("and now", resume=session_id)
    (delta,) = fleet.told("and now")
    assert "Stuck on a review" in delta
    assert "Stuck on a key" not in delta


def test_two_commander_sessions_have_a_cursor_each(fleet: Fleet) -> None:
    fleet.worker(fleet.repository("alpha"), "get stuck", blocked_by("a key"))
    one = fleet.commander("one looks").session_id
    two = fleet.commander("two looks").session_id

    fleet.worker(fleet.repository("beta"), "wait for somebody", blocked_by("a review"))
    for prompt, session_id in (("the first once more", one), ("the second once more", two)):
        fleet.commander(prompt, resume=session_id)
        assert _mentioning(fleet.told(prompt), "Stuck on a review") == 1
        assert _mentioning(fleet.told(prompt), "Stuck on a key") == 0


def test_a_forked_session_is_told_what_is_new_once(fleet: Fleet, client_version: str) -> None:
    fleet.worker(fleet.repository("alpha"), "get stuck", blocked_by("a key"))
    original = fleet.commander("the original").session_id
    fleet.worker(fleet.repository("beta"), "wait for somebody", blocked_by("a review"))

    fork = fleet.commander("the other way", resume=original, fork=True)
    assert fork.session_id != original
    # 2.1.197 gives a fork's SessionStart the id of the session that it was forked from: nothing says that the
    # prompt's session was shown the same at its start.
    times = 2 if client_version == "2.1.197" else 1
    assert _mentioning(fleet.held("the other way"), "Stuck on a review") == times

    fleet.commander("back here", resume=original)
    assert _mentioning(fleet.held("back here"), "Stuck on a review") == 1
