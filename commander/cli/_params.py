"""What a person writes for a moment and for a size, as click reads it. One parser for every command."""

import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import click

from fleet_lib import clock
from fleet_lib.errors import BadInput
from fleet_lib.store.jobs import PROMPT_LIMIT

_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_BYTES = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", start=1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", start=1)},
}


class Moment(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 only
    """`90d`, `12h`, `2w` back from now, or an ISO date or time (local where no zone is named).

    Gives the database's form, `2026-11-23T06:55:16.123Z`; never later than now.
    """

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text, now = str(value).strip(), time.time()
        if match := re.fullmatch(r"(\d{1,9})\s*([mhdw])", text.lower()):
            return _iso(now - int(match[1]) * _SECONDS[match[2]])
        try:
            moment = datetime.fromisoformat(text).astimezone().timestamp()
        except (ValueError, OverflowError, OSError):
            self.fail(f"{value!r} is not a time: 30m, 12h, 90d, 2w, 2026-01-31T14:00", param, ctx)
        if moment > now:
            self.fail(f"{value!r} is not in the past", param, ctx)
        return _iso(moment)


class Size(click.ParamType):  # type: ignore[type-arg]
    """`500MB`, `2GB`, `1.5GiB` as bytes; MB is a million, MiB 1024 times 1024."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?)\s*([a-z]{0,3})", value.strip().lower())
        if not match or match[2] not in _BYTES or not float(match[1]):
            self.fail(f"{value!r} is not a size: 500MB, 2GB", param, ctx)
        return int(float(match[1]) * _BYTES[match[2]])


def human_size(size: float) -> str:
    """Bytes as a person reads them: 340 kB, 12.4 MB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(size) < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit in ("bytes", "kB") else f"{size:.1f} {unit}"


def _iso(seconds: float) -> str:
    moment = datetime.fromtimestamp(max(seconds, 0), UTC)  # nothing of ours is older than 1970
    return clock.iso(int(moment.timestamp() * 1000) * 1_000_000)


class Prompt(click.ParamType):  # type: ignore[type-arg]
    """A file's path, given as the text in it: UTF-8, at most what a job's prompt may be."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            with Path(str(value)).open("rb") as file:
                return self.read(file)
        except OSError as error:
            self.fail(f"{value}: {error.strerror}", param, ctx)

    def read(self, file: IO[bytes]) -> str:
        """Raises BadInput."""
        data = file.read(4 * PROMPT_LIMIT + 1)
        try:
            return self.checked(data.decode("utf-8"))
        except UnicodeDecodeError:
            if len(data) > 4 * PROMPT_LIMIT:
                return self.checked("x" * len(data))  # cut in the middle of a letter
            raise BadInput("the prompt is not UTF-8 text") from None

    def read_stdin(self) -> str:
        """Raises BadInput."""
        if sys.stdin is None:
            raise BadInput("there is no prompt: stdin is closed")
        return self.read(sys.stdin.buffer)

    def checked(self, text: str) -> str:
        """Raises BadInput."""
        if not text.strip():
            raise BadInput("the prompt is empty")
        if len(text) > PROMPT_LIMIT:
            raise BadInput(
                f"the prompt is longer than {PROMPT_LIMIT:,} characters, more than a model reads:"
                " name files in it rather than their contents"
            )
        return text


JOB_ID = click.IntRange(1, 2**63 - 1)  # as SQLite counts
