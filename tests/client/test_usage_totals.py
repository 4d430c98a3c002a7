"""The tokens and the list price of real sessions equal what the client itself says of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fleet_world import Fleet
from job_world import Jobs
from scripted_model import Text, ToolUse

LOOKED = {
    "input_tokens": 1200,
    "output_tokens": 900,
    "cache_read_input_tokens": 40_000,
    "cache_creation_input_tokens": 5_000,
    "cache_creation": {"ephemeral_5m_input_tokens": 2_000, "ephemeral_1h_input_tokens": 3_000},
}
SAID = LOOKED | {"output_tokens": 2_500, "cache_read_input_tokens": 90_000}


def usage(fleet: Fleet, by: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(fleet.console("usage", "--by", by, "--json"))
    return rows


# Of claude-sonnet-5, which `sonnet` means to 2.1.197, that client has another price than the list.
@pytest.mark.parametrize("model", ["claude-opus-4-5-20251101", "claude-haiku-4-5-20251001"])
def test_a_turns_list_price_is_the_clients_own_total(fleet: Fleet, model: str) -> None:
    turn = fleet.worker(
        fleet.repository("alpha"),
        "look and say",
        (Text("I look.", usage=LOOKED), ToolUse("Bash", {"command": "ls"})),
        Text("That is all.", usage=SAID),
        env={"ANTHROPIC_DEFAULT_SONNET_MODEL": model},
    )
    own = json.loads(turn.stdout)
    fleet.drain()

    (row,) = usage(fleet, "session")
    assert row["key"] == turn.session_id
    assert (row["input_tokens"], row["output_tokens"]) == (2400, 3400)
    assert (row["cache_read_tokens"], row["cache_write_tokens"]) == (130_000, 10_000)
    assert row["usd"] == pytest.approx(own["total_cost_usd"], rel=0.01)
    assert [used["key"] for used in usage(fleet, "model")] == list(own["modelUsage"]) == [model]


def test_a_resumed_and_a_forked_session_count_each_message_once(fleet: Fleet) -> None:
    repository = fleet.repository("alpha")
    first = fleet.worker(repository, "begin", Text("Begun.", usage=LOOKED))
    for fork in (False, True):
        prompt, said = f"go on, {'apart' if fork else 'here'}", Text("On.", usage=SAID)
        fleet.turn(repository, prompt, said, resume=first.session_id, fork=fork)
    fleet.drain()
    before = usage(fleet, "session")
    fleet.console("import")

    assert usage(fleet, "session") == before
    assert sorted(row["output_tokens"] for row in before) == [2500, 900 + 2500]
    assert [row["output_tokens"] for row in before if row["key"] == first.session_id] == [3400]


@pytest.mark.one_client
def test_a_jobs_tokens_count_beside_what_the_client_says(jobs: Jobs) -> None:
    jobs.fleet.script("do it", Text("Done.", usage=LOOKED))
    job_id = jobs.submit("do it")
    assert jobs.wait(job_id) == ["completed"]
    jobs.runners_end()

    (row,) = usage(jobs.fleet, "project")
    assert row["key"].startswith("alpha__")
    assert (row["input_tokens"], row["output_tokens"]) == (1200, 900)
    own = jobs.run_of(job_id)["cost_usd"]
    assert f"  {own:.6f}\n" in jobs.fleet.console("usage", "--by", "session")
