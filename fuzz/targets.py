"""What is fuzzed. A target takes bytes, and raises where the promise is broken: an exception that nobody expects, or
an answer that must not be. What takes longer than a second is found by whoever calls it."""

import atexit
import json
import shutil
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from commander.gateway import messages
from commander.gateway.api import Api
from commander.gateway.jobs import JobDesk
from commander.gateway.socket import _complaint
from commander.setup import settings
from fleet_lib import spool
from fleet_lib.errors import BadEntry, BadInput
from fleet_lib.ingest.ingest import Ingest
from fleet_lib.jobs import stream as reading
from fleet_lib.jobs.runner import _Stream
from fleet_lib.redact import redact
from fleet_lib.store import db
from fleet_lib.text import clean
from fleet_lib.turn import briefing_parser, transcript
from fleet_lib.turn.prepare import NotRead, prepare, read_more
from fleet_lib.turn.repositories import Repositories

Target = Callable[[bytes], None]

_FOLDER = Path(tempfile.mkdtemp(prefix="fleet-fuzz-"))
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)
_HOME = _FOLDER / "home"
_connection = db.connect(_HOME / "fleet.db")
_connection.execute("PRAGMA synchronous = OFF")
_api = Api(str(_HOME), JobDesk(str(_HOME)), lambda: 0)
_repositories = Repositories()
_EVENTS = (
    "Stop", "StopFailure", "PermissionRequest", "Notification", "SessionStart", "SessionEnd", "UserPromptSubmit"
)  # fmt: skip


def payload(data: bytes) -> None:
    """A payload as a hook got it: applied, or refused with a reason; never anything else."""
    # All of it comes from the input, and nothing stays: what breaks it breaks it again.
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
    """Front matter and markdown: always a briefing, with fields that are allowed or none."""
    text = data.decode("utf-8", "replace")
    block = briefing_parser.find_block(text)
    for words in (text, f"---\n{text}\n---\n## Summary\nx", block or ""):
        parsed = briefing_parser.parse(words)
        assert len(parsed.raw_markdown) <= briefing_parser.RAW_LIMIT
        json.dumps(parsed.model_dump())


def transcript_file(data: bytes) -> None:
    """A transcript: facts, whole or partial."""
    path = _FOLDER / "transcript.jsonl"
    path.write_bytes(data)
    for prompt in ("p1", None):
        turn = transcript.read_turn(str(path), prompt, "done", 0)
        assert all(isinstance(file, str) for file in turn.files)


def settings_file(data: bytes) -> None:
    """A settings file: refused in one line and left alone, or our entries go in and out and leave the same bytes."""
    path = _FOLDER / "settings.json"
    path.write_bytes(data)
    ours = settings.registration(settings.settings_example(), Path("/home/p"), Path("/home/hooks"))[
        "hooks"
    ]
    try:
        change = settings.with_hooks(path, ours, {})
        settings.write(change)
        settings.write(settings.without_hooks(path, change.was))
    except BadInput as error:
        assert "\n" not in str(error)
        assert path.read_bytes() == data
        return
    assert path.read_bytes() == data, "not the same bytes after in and out"


def message(data: bytes) -> None:
    """A WebSocket message: a message, or one error with a code."""
    text = data.decode("utf-8", "replace")
    try:
        messages.client_message.validate_json(text)
    except ValidationError as error:
        complaint = _complaint(text, error)
        assert complaint.code and complaint.message
        complaint.model_dump_json()


def markdown(data: bytes) -> None:
    """A briefing in the dashboard: HTML in which nothing acts."""
    html = _api.rendered(data.decode("utf-8", "replace")).lower()
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
    """What a job's client prints: lines that can be stored and shown."""
    kept = _Stream()
    for line in data.split(b"\n"):
        chunk = kept.take(line)
        if chunk is not None:
            chunk.encode()
            for _, words in reading.words_of(reading.value_of(chunk)):
                assert isinstance(words, str)
            assert isinstance(reading.delta_of(reading.value_of(chunk)), str)
    kept.outcome("failed", error="x")


def words(data: bytes) -> None:
    """Somebody's words: one line without controls or tags; masked twice is masked once."""
    text = data.decode("utf-8", "replace")
    line = clean(text, 200)
    assert len(line) <= 200 and "\n" not in line and "<" not in line and ">" not in line
    assert line.isprintable(), line
    masked = redact(text)
    assert redact(masked) == masked


def entry(data: bytes) -> None:
    """A file in the spool: an entry, or malformed."""
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
