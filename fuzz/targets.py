"""The targets. A target gets bytes and raises if a promise is broken: by an exception that is not
expected, or by a wrong answer. Its caller checks that it takes less than a second."""

import atexit
import json
import shutil
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from commander.gateway import messages
from commander.gateway.markdown import to_html
from commander.gateway.socket import error_for
from commander.setup import settings
from commander.setup.hook_entries import registration, settings_example
from fleet_lib import spool
from fleet_lib.errors import BadEntry, BadInput
from fleet_lib.ingest.ingest import Ingest
from fleet_lib.jobs.stream import StreamCollector, partial_text, readable_parts
from fleet_lib.json_text import json_object
from fleet_lib.records import as_dict
from fleet_lib.redact import redact
from fleet_lib.store import db
from fleet_lib.text import clean
from fleet_lib.turn import briefing_parser, transcript
from fleet_lib.turn.asks import question_of
from fleet_lib.turn.prepare import prepare, read_more
from fleet_lib.turn.prepared import NotRead
from fleet_lib.turn.repositories import Repositories
from fleet_lib.turn.summary import summary_of

Target = Callable[[bytes], None]

_FOLDER = Path(tempfile.mkdtemp(prefix="fleet-fuzz-"))
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)
_HOME = _FOLDER / "home"
_connection = db.connect(_HOME / "fleet.db")
_connection.execute("PRAGMA synchronous = OFF")
_repositories = Repositories()
_EVENTS = (
    "Stop", "StopFailure", "PermissionRequest", "Notification", "SessionStart", "SessionEnd", "UserPromptSubmit"
)  # fmt: skip


def payload(data: bytes) -> None:
    """A hook's payload: applied, or refused with a reason; never anything else."""
    # Everything depends on the input and nothing is kept, so a failure can be repeated.
    event = _EVENTS[zlib.crc32(data) % len(_EVENTS)]
    shown = (0, len(data)) if event == "UserPromptSubmit" else None
    folder = str(_HOME if shown else _FOLDER)
    entry = spool.Entry(f"1.{event}.-.1", event, 10**18, folder, "", shown, data, data[:200])
    try:
        prepared = prepare(entry, str(_HOME), _repositories, lambda seconds: None)
        while True:
            _connection.execute("BEGIN IMMEDIATE")
            try:
                Ingest(_connection, str(_HOME)).apply(prepared)
                break
            except NotRead as missing:
                prepared = read_more(prepared, missing, _repositories)
            finally:
                _connection.execute("ROLLBACK")
    except BadEntry as error:
        assert str(error)


def briefing(data: bytes) -> None:
    """Front matter and markdown: always a briefing, with allowed values or none."""
    text = data.decode("utf-8", "replace")
    block = briefing_parser.find_block(text)
    for words in (text, f"---\n{text}\n---\n## Summary\nx", block or ""):
        parsed = briefing_parser.parse(words)
        assert len(parsed.raw_markdown) <= briefing_parser.RAW_LIMIT
        json.dumps(as_dict(parsed))
    assert all(isinstance(line, str) for line in (question_of(text) or "", summary_of(text)))


def transcript_file(data: bytes) -> None:
    """A transcript: always facts, complete or partial."""
    path = _FOLDER / "transcript.jsonl"
    path.write_bytes(data)
    for prompt in ("p1", None):
        turn = transcript.read_turn(str(path), prompt, "done", 0)
        assert all(isinstance(file, str) for file in turn.files)


def settings_file(data: bytes) -> None:
    """A settings file: refused in one line and left alone; or our entries are added and removed and
    leave the same bytes."""
    path = _FOLDER / "settings.json"
    path.write_bytes(data)
    ours = registration(settings_example(), Path("/home/p"), Path("/home/u/.claude"))["hooks"]
    try:
        change = settings.with_hooks(path, ours, {})
        settings.write(change)
        settings.write(settings.without_hooks(path, change.was))
    except BadInput as error:
        assert "\n" not in str(error)
        assert path.read_bytes() == data
        return
    assert path.read_bytes() == data, "adding and removing our entries changed the file"


def message(data: bytes) -> None:
    """A WebSocket message: accepted, or answered with an error and its code."""
    text = data.decode("utf-8", "replace")
    try:
        messages.client_message.validate_json(text)
    except ValidationError as error:
        reply = error_for(text, error)
        assert reply.code and reply.message
        reply.model_dump_json()


def markdown(data: bytes) -> None:
    """A briefing in the dashboard: HTML without anything active."""
    html = to_html(data.decode("utf-8", "replace")).lower()
    for word in (
        "<script",
        "<img",
        "<iframe",
        "<svg",
        "<style",
        "<form",
        'href="javascript',
        'href="data',
    ):
        assert word not in html, word


def stream(data: bytes) -> None:
    """The output of a job's client: lines that can be stored and shown."""
    kept = StreamCollector()
    for line in data.split(b"\n"):
        chunk = kept.add(line)
        if chunk is not None:
            chunk.encode()
            value = json_object(chunk)
            for _, text in readable_parts(value):
                assert isinstance(text, str)
            assert isinstance(partial_text(value), str)
    kept.outcome("failed", error="x")


def words(data: bytes) -> None:
    """Any text: one line without control characters or tags; masking it twice is masking it
    once."""
    text = data.decode("utf-8", "replace")
    line = clean(text, 200)
    assert len(line) <= 200 and "\n" not in line and "<" not in line and ">" not in line
    assert line.isprintable(), line
    masked = redact(text)
    assert redact(masked) == masked


def entry(data: bytes) -> None:
    """A file in the spool: an entry, or refused with a reason."""
    path = _FOLDER / "entry"
    path.write_bytes(data)
    try:
        spool.read(str(path))
    except spool.Malformed as error:
        assert str(error)


TARGETS: dict[str, Target] = {
    "payload": payload,
    "briefing": briefing,
    "transcript": transcript_file,
    "settings": settings_file,
    "message": message,
    "markdown": markdown,
    "stream": stream,
    "words": words,
    "entry": entry,
}
