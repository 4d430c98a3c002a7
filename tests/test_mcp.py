"""`fleet mcp` and the gateway's /mcp, asked by the SDK's own client."""

import asyncio
import json
import os
import pty
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from gateway_world import Gateway
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, Implementation
from support import ROOT, Fleet, make_repository, payload

QUESTION = "Shall I delete the old table?"


def stop(fleet: Fleet, session: str, message: str, project: str = "shop-api") -> None:
    folder = fleet.folder / project
    if not folder.exists():
        make_repository(folder)
    fleet.hook(
        "stop", payload("Stop") | {"session_id": session, "last_assistant_message": message}, folder
    )


@asynccontextmanager
async def over_stdio(fleet: Fleet, name: str = "desk") -> AsyncIterator[Client]:
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "commander.cli", "mcp"],
        env=fleet.env(),
        cwd=str(ROOT),
    )
    client = Client(stdio_client(server), client_info=Implementation(name=name, version="1"))
    async with client:
        yield client


def text_of(result: CallToolResult) -> str:
    return "".join(getattr(part, "text", "") for part in result.content)


async def ask(client: Client, tool: str, **given: Any) -> Any:
    result = await client.call_tool(tool, given)
    assert not result.is_error, text_of(result)
    return json.loads(text_of(result)) if tool != "whats_new" else text_of(result)


def test_each_tool_answers_from_what_was_just_captured(fleet: Fleet) -> None:
    stop(fleet, "s1", f"I looked at the tables.\n\n{QUESTION}")
    stop(fleet, "s2", "Renamed the \x1b[31mbutton\x1b[0m.", "web")

    async def use() -> None:
        async with over_stdio(fleet) as client:
            tools = (await client.list_tools()).tools
            assert {tool.name for tool in tools} == {
                *("needs_you", "whats_new", "search", "briefing", "project", "usage")
            }
            assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools)
            (row,) = (await ask(client, "needs_you"))["needs_you"]
            assert (row["project"], row["reason"], row["text"]) == (
                *("shop-api", "question", QUESTION),
            )
            (found,) = (await ask(client, "search", query="renamed"))["briefings"]
            assert (found["project"], found["summary"]) == ("web", "Renamed the button.")
            whole = await ask(client, "briefing", briefing_id=found["briefing_id"])
            assert whole["text"].strip() == "Renamed the button." and whole["project"] == "web"
            project = await ask(client, "project", name="shop-api")
            assert [one["status"] for one in project["briefings"]] == ["waiting_for_input"]
            assert project["needs_you"][0]["text"] == QUESTION
            assert await ask(client, "usage") == {"usage": []}
            wrong = await client.call_tool("project", {"name": "shop-apo"})
            assert wrong.is_error and "did you mean 'shop-api'" in text_of(wrong)
            for tool, given, expected in (
                ("search", {}, "Wrong arguments for search: query is missing."),
                (
                    "search",
                    {"query": "a", "limit": 10**9},
                    "limit should be less than or equal to 100",
                ),
                ("search", {"query": ["a"]}, "query should be a valid string, not ['a']."),
                ("search", {"query": "a", "project": "none"}, "there is no project 'none'"),
                (
                    "briefing",
                    {"briefing_id": "x"},
                    "briefing_id should be a valid integer, not 'x'.",
                ),
                ("briefing", {"briefing_id": 999}, "there is no briefing 999"),
                ("usage", {"since": "never"}, "'never' is not a time; use 30m, 2h, 3d"),
            ):
                wrong = await client.call_tool(tool, given)
                assert wrong.is_error and expected in text_of(wrong)
                assert "\n" not in text_of(wrong) and "pydantic" not in text_of(wrong)
            number = f"#{found['briefing_id']}"
            assert await ask(client, "briefing", briefing_id=number) == whole
            assert await ask(client, "usage", since="monday") == {"usage": []}
            assert (await ask(client, "project", name="shop"))["project"] == "shop-api"

    asyncio.run(use())


@pytest.mark.slow
def test_each_client_is_shown_what_is_new_once(fleet: Fleet) -> None:
    stop(fleet, "s1", "Made the first page. ### Blocked\nNothing.")

    async def new(name: str) -> str:
        async with over_stdio(fleet, name) as client:
            return str(await ask(client, "whats_new"))

    assert "Made the first page." in asyncio.run(new("desk"))
    assert asyncio.run(new("desk")) == "Nothing new."
    stop(fleet, "s2", QUESTION)
    assert QUESTION in asyncio.run(new("desk"))
    assert QUESTION in asyncio.run(new("editor"))
    assert asyncio.run(new("desk")) == "Nothing new."


def test_client_that_dies_before_it_could_read_is_shown_the_same_again(fleet: Fleet) -> None:
    stop(fleet, "s1", QUESTION)

    async def die() -> str:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "commander.cli", "mcp"),
            cwd=ROOT,
            env=fleet.env(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin and process.stdout
        info = {"name": "desk", "version": "1"}
        start = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": info}
        for message in (
            {"id": 1, "method": "initialize", "params": start},
            {"method": "notifications/initialized"},
            {"id": 2, "method": "tools/call", "params": {"name": "whats_new", "arguments": {}}},
        ):
            process.stdin.write(json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n")
            await process.stdin.drain()
            if "id" in message:
                line = await process.stdout.readline()
        process.kill()
        await process.wait()
        return line.decode()

    assert QUESTION in asyncio.run(die())

    async def again() -> str:
        async with over_stdio(fleet) as client:
            return str(await ask(client, "whats_new"))

    assert QUESTION in asyncio.run(again())


@pytest.mark.slow
def test_empty_home_is_no_error(fleet: Fleet) -> None:
    async def use() -> None:
        async with over_stdio(fleet) as client:
            assert (await ask(client, "needs_you"))["needs_you"] == []
            assert await ask(client, "whats_new") == "Nothing new."
            assert (await ask(client, "search", query="x"))["briefings"] == []

    asyncio.run(use())


def test_terminal_is_shown_how_to_add_the_command(fleet: Fleet) -> None:
    main, other = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "commander.cli", "mcp"],
        cwd=ROOT,
        env=fleet.env(),
        stdin=other,
        capture_output=True,
        text=True,
    )
    for end in (main, other):
        os.close(end)
    assert done.returncode == 1 and "claude mcp add fleet -- fleet mcp" in done.stderr


def test_configuration_entry_starts_the_command(fleet: Fleet) -> None:
    entry = json.loads(fleet.console("mcp", "--config").stdout)["mcpServers"]["fleet"]
    assert entry["args"] == ["mcp"] and entry["env"] == {"FLEET_HOME": str(fleet.home)}
    assert os.path.isabs(entry["command"])


# --- over HTTP ---


@pytest.fixture
def gateway(fleet: Fleet) -> Iterator[Gateway]:
    stop(fleet, "s1", QUESTION)
    made = Gateway(fleet)
    made.start()
    yield made
    made.stop()


def over_http(gateway: Gateway, use: Callable[[Client], Awaitable[None]], **headers: str) -> None:
    async def run() -> None:
        async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
            transport = streamable_http_client(f"{gateway.base}/mcp", http_client=http)
            async with Client(transport) as client:
                await use(client)

    asyncio.run(run())


def test_gateway_answers_with_the_token_and_refuses_without(gateway: Gateway) -> None:
    async def use(client: Client) -> None:
        assert (await ask(client, "needs_you"))["needs_you"][0]["text"] == QUESTION
        assert QUESTION in await ask(client, "whats_new")
        assert await ask(client, "whats_new") == "Nothing new."

    over_http(gateway, use, Authorization=f"Bearer {gateway.token}")
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accepts = {"Accept": "application/json, text/event-stream"}
    assert gateway.post("/mcp", body, Authorization="Bearer wrong", **accepts).status_code == 401
    assert gateway.post("/mcp", body, Host="evil.example", **accepts).status_code == 403
    assert gateway.post("/mcp", body, Origin="http://evil.example", **accepts).status_code == 403
    assert "jsonrpc" in gateway.post("/mcp", body, **accepts).text
