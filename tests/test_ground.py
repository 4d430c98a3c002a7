"""The small rules that every room uses: times, JSON of other programs, atomic file writes."""

from pathlib import Path

import pytest

from fleet_lib import clock, files
from fleet_lib.json_text import json_array_or_none, json_object, json_object_or_none


def test_ago_and_ahead_are_database_times_around_now() -> None:
    assert clock.ago(2) < clock.now() < clock.ahead(2)
    seconds = (clock.parse(clock.ahead(30)) - clock.parse(clock.ago(30.5))).total_seconds()
    assert 60.4 < seconds < 61.5
    moment = clock.ago(5)
    assert clock.normal(moment) == moment


@pytest.mark.parametrize(
    "text", ["", "null", "[1]", '"text"', "{", "[" * 100_000, b"\xff", None, "1"]
)
def test_invalid_json_object_reads_as_empty(text: str | bytes | None) -> None:
    assert json_object(text) == {}
    assert json_object_or_none(text) is None


def test_json_object_is_read_from_text_and_bytes() -> None:
    assert json_object('{"a": [1]}') == json_object(b'{"a": [1]}') == {"a": [1]}
    assert json_object_or_none("{}") == {}


@pytest.mark.parametrize("text", ["", "null", '{"a": []}', "[", "[" * 100_000, b"\xff", None])
def test_what_is_no_json_array_reads_as_none(text: str | bytes | None) -> None:
    assert json_array_or_none(text) is None
    assert json_array_or_none("[1, {}]") == [1, {}] and json_array_or_none(b"[]") == []


@pytest.mark.parametrize("durable", [True, False])
def test_file_is_replaced_atomically_without_leftovers(tmp_path: Path, durable: bool) -> None:
    aside = tmp_path / "aside"
    aside.mkdir()
    target = tmp_path / "target"
    target.write_text("old")
    files.write_whole(target, "new", folder=aside, durable=durable)
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o600
    assert list(aside.iterdir()) == []


def test_file_is_written_from_bytes_or_parts_with_a_mode(
    tmp_path: Path,
) -> None:
    target = tmp_path / "target"
    files.write_whole(target, b"\xff\r\n", mode=0o644)
    assert target.read_bytes() == b"\xff\r\n" and target.stat().st_mode & 0o777 == 0o644
    files.write_whole(target, (part for part in ("a\n", "\u00e9")), mode_of=target)
    assert target.read_bytes() == b"a\n\xc3\xa9" and target.stat().st_mode & 0o777 == 0o644


def test_file_is_unchanged_if_the_new_one_cannot_be_written(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        files.write_whole(target, "half \ud800")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    assert target.read_text() == "old"
