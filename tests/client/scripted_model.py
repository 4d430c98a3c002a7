"""A scripted Messages API on loopback for the real Claude Code client.

What lives here: the server, the steps of a script, and readers of the requests, which prove what
the model was shown. Nothing here starts the client or knows Fleet. The readers were checked with
2.1.197 and 2.1.332, with `--model sonnet` and `--model haiku`.
"""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self, TypeAlias

Request: TypeAlias = dict[str, Any]
"""One parsed body of `POST /v1/messages`."""


@dataclass(frozen=True)
class Text:
    """A final answer; `delay_seconds` holds it back, so that a test can interrupt the turn.
    `usage` is what the whole message is said to have used."""

    text: str
    delay_seconds: float = 0.0
    usage: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ToolUse:
    """A call to one of the client's tools, such as `ToolUse("Bash", {"command": "ls"})`."""

    name: str
    input: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Fail:
    """An HTTP error; the client does not retry 400."""

    status: int = 400
    message: str = "scripted failure"
    headers: Mapping[str, str] = field(default_factory=dict)


Reply: TypeAlias = Text | ToolUse | Fail | Sequence[Text | ToolUse]
"""One answer of the model; a sequence is several content blocks of one message."""

Script: TypeAlias = Callable[[Request], Reply]

SIDE_REPLY = Text("ok")


def by_prompt(steps: Mapping[str, Sequence[Reply]], otherwise: Reply = Text("done")) -> Script:
    """A script that many sessions can share: the first key inside the newest prompt has the steps.

    Step i answers the request after i rounds of tool results in that turn; the last step repeats.
    """

    def respond(request: Request) -> Reply:
        prompt = newest_prompt(request)
        for key, replies in steps.items():
            if key in prompt:
                return replies[min(tool_rounds(request), len(replies) - 1)]
        return otherwise

    return respond


class ScriptedModel:
    """A Messages API at `url`, while the context is open.

    Every body of `POST /v1/messages` is recorded in `requests`, in order of arrival. The client's
    side requests (titles, summaries) get a short text and never reach the script. A script that raises
    answers 400, and leaving the context raises the same exception.
    """

    def __init__(self, script: Script | Mapping[str, Sequence[Reply]]) -> None:
        self.use_script(script)
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._errors: list[Exception] = []
        self._server = _Server(self._answer)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        if self._errors and error is None:
            raise self._errors[0]

    def use_script(self, script: Script | Mapping[str, Sequence[Reply]]) -> None:
        """Replace the script, for steps that need a value known only later, such as a path."""
        self._script = script if callable(script) else by_prompt(script)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def requests(self) -> list[Request]:
        """A snapshot of all requests so far, including side requests."""
        with self._lock:
            return list(self._requests)

    def main_requests(self, prompt: str = "", session_id: str = "") -> list[Request]:
        """The main requests whose newest prompt contains `prompt`, of one session if named."""
        return [
            request
            for request in self.requests
            if is_conversation(request)
            and prompt in newest_prompt(request)
            and session_id in (session_of(request), "")
        ]

    def _answer(self, request: Request) -> Reply:
        with self._lock:
            self._requests.append(request)
        if not is_conversation(request):
            return SIDE_REPLY
        try:
            return self._script(request)
        except Exception as error:
            with self._lock:
                self._errors.append(error)
            return Fail(400, f"the script raised {error!r}")


# --- reading a request ---

Block: TypeAlias = tuple[int, dict[str, Any]]
_REMINDER = "<system-reminder>"
_COMPACTION = "CRITICAL: Respond with TEXT ONLY. Do NOT call any tools."
_HOOK_CONTEXT = re.compile(
    r"[A-Z][A-Za-z]+ hook (?:additional context|success): .*?"
    r"(?=\n\n[A-Z][A-Za-z]+ hook (?:additional context|success): "
    r"|\n\n# Environment\n"
    r"|\n\nToday's date is "
    r"|\n\nThe following deferred tools are now available"
    r"|\n\nAvailable agent types for the Agent tool:"
    r"|\n\nThe following skills are available for use"
    r"|\n</system-reminder>"
    r"|\Z)",
    re.DOTALL,
)


def is_conversation(request: Request) -> bool:
    """Whether this is a turn of a session or subagent: a title request has no tools, and a summary
    request forbids them."""
    return bool(request.get("tools")) and not newest_prompt(request).startswith(_COMPACTION)


def session_of(request: Request) -> str:
    """The session id, which the client sends as JSON in `metadata.user_id`, or an empty string."""
    try:
        return str(json.loads(request["metadata"]["user_id"])["session_id"])
    except (KeyError, TypeError, ValueError):
        return ""


def newest_prompt(request: Request) -> str:
    """The user's last input, without reminders; a slash command includes its expansion."""
    blocks = list(_blocks(request))
    start, end = _newest_prompt_span(blocks)
    return "\n".join(_text(block) for _, block in blocks[start:end])


def tool_rounds(request: Request) -> int:
    """How many messages of tool results followed the newest prompt."""
    blocks = list(_blocks(request))
    _, end = _newest_prompt_span(blocks)
    return len({position for position, block in blocks[end:] if block["type"] == "tool_result"})


def injected_context(request: Request) -> list[str]:
    """Every `<Event> hook additional context: …` in the request, in order, each with its heading.

    A hook's plain stdout arrives as `<Event> hook success: …`. A resumed conversation replays the
    old contexts. The contexts of several SessionStart hooks arrive as one text, joined by newlines;
    those of several UserPromptSubmit hooks arrive as separate texts.
    """
    return _contexts(_blocks(request))


def last_prompt_context(request: Request) -> list[str]:
    """The hook context of the newest prompt, without what a resume replays.

    A SessionStart's context counts when its session started, or was resumed, for this prompt. On
    resume the client drops a SessionStart context whose bytes the conversation already holds.
    """
    blocks = list(_blocks(request))
    start, _ = _newest_prompt_span(blocks)
    while start and _is_reminder(blocks[start - 1][1]):
        start -= 1
    return _contexts(blocks[start:])


def _blocks(request: Request) -> Iterator[Block]:
    """Every content block with its message's position and role; a bare string is a text block."""
    for position, message in enumerate(request.get("messages", [])):
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for block in blocks:
            yield position, {**block, "role": message["role"]}


def _newest_prompt_span(blocks: Sequence[Block]) -> tuple[int, int]:
    """The last user text that is not a reminder, with a preceding slash command; else (0, 0).

    Only the last block: the client joins a failed prompt and the next one in one message.
    """
    end = len(blocks)
    while end and not _is_prompt(blocks[end - 1][1]):
        end -= 1
    start = max(end - 1, 0)
    if start and _text(blocks[start - 1][1]).startswith("<command-message>"):
        start -= 1
    return start, end


def _is_prompt(block: Mapping[str, Any]) -> bool:
    return block["role"] == "user" and block["type"] == "text" and not _is_reminder(block)


def _is_reminder(block: Mapping[str, Any]) -> bool:
    """Context inside a user message: older models get no system messages between the turns."""
    return block["role"] == "user" and _text(block).lstrip().startswith(_REMINDER)


def _contexts(blocks: Iterable[Block]) -> list[str]:
    return [
        match.group(0).rstrip()
        for _, block in blocks
        if block["role"] == "system" or _is_reminder(block)
        for match in _HOOK_CONTEXT.finditer(_text(block))
    ]


def _text(block: Mapping[str, Any]) -> str:
    return str(block.get("text", ""))


# --- the wire ---


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # ten clients may connect at once

    def __init__(self, answer: Callable[[Request], Reply]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore it: a client that was interrupted or killed hangs up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._send(200, b"", "application/json")

    def do_GET(self) -> None:
        self._send(200, b"{}", "application/json")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        if path == "/v1/messages/count_tokens":
            return self._send(200, b'{"input_tokens": 1}', "application/json")
        if path != "/v1/messages":
            return self._send(200, b"{}", "application/json")
        request = json.loads(body)
        reply = self.server.answer(request)
        if isinstance(reply, Fail):
            error = {"type": "invalid_request_error", "message": reply.message}
            text = _json({"type": "error", "error": error})
            return self._send(reply.status, text, "application/json", reply.headers)
        blocks = list(reply) if isinstance(reply, Sequence) else [reply]
        time.sleep(sum(block.delay_seconds for block in blocks if isinstance(block, Text)))
        message = _message(str(request.get("model", "scripted")), blocks)
        if request.get("stream"):
            return self._send(200, _server_sent_events(message), "text/event-stream")
        return self._send(200, _json(message), "application/json")

    def _send(
        self, status: int, body: bytes, content_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _message(model: str, blocks: Sequence[Text | ToolUse]) -> dict[str, Any]:
    calls = any(isinstance(block, ToolUse) for block in blocks)
    usages = [block.usage for block in blocks if isinstance(block, Text) and block.usage]
    return {
        "id": _unique_id("msg"),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [_content(block) for block in blocks],
        "stop_reason": "tool_use" if calls else "end_turn",
        "stop_sequence": None,
        "usage": next(iter(usages), {"input_tokens": 10, "output_tokens": 5}),
    }


def _content(block: Text | ToolUse) -> dict[str, Any]:
    if isinstance(block, Text):
        return {"type": "text", "text": block.text}
    return {
        "type": "tool_use",
        "id": _unique_id("toolu"),
        "name": block.name,
        "input": dict(block.input),
    }


def _unique_id(prefix: str) -> str:
    """Ids are unique, because the client matches results to calls by id, even after a resume."""
    return f"{prefix}_{uuid.uuid4().hex}"


def _server_sent_events(message: Mapping[str, Any]) -> bytes:
    ending = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    usage = message["usage"]
    start = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
    for index, block in enumerate(message["content"]):
        if block["type"] == "text":
            empty, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            partial = json.dumps(block["input"])
            empty, delta = (
                {**block, "input": {}},
                {"type": "input_json_delta", "partial_json": partial},
            )
        events += [
            {"type": "content_block_start", "index": index, "content_block": empty},
            {"type": "content_block_delta", "index": index, "delta": delta},
            {"type": "content_block_stop", "index": index},
        ]
    events += [
        {
            "type": "message_delta",
            "delta": ending,
            "usage": {"output_tokens": usage["output_tokens"]},
        },
        {"type": "message_stop"},
    ]
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (event["type"].encode(), _json(event)) for event in events
    )


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
