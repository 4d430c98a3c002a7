"""The small rules that every room uses: times, JSON of other programs, atomic file writes."""

import json
import math
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_lib import clock, files, json_text, levels
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


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
_SETTINGS: list[dict[str, Any]] = [
    {},
    {"ensure_ascii": False},
    {"sort_keys": True, "separators": (",", ":")},
]


@given(_JSON)
def test_json_is_written_and_read_as_python_itself_does(value: Any) -> None:
    for settings in _SETTINGS:
        text = json_text.dumps(value, **settings)
        assert text == json.dumps(value, **settings)
        for form in (text, f"\n\t {text} \r", text.encode("utf-8", "surrogatepass")):
            assert repr(json_text.loads(form)) == repr(json.loads(form))


@given(st.text(alphabet='[]{}",:\\eu0-1. \n\ufeff\ud800taNf') | st.binary())
def test_text_that_may_be_no_json_is_read_or_refused_as_python_itself_does(
    text: str | bytes,
) -> None:
    def outcome(read: Any) -> str:
        try:
            return repr(read(text))
        except ValueError as error:
            return f"{type(error).__name__}: {error}"

    assert outcome(json_text.loads) == outcome(json.loads)


def test_json_of_other_encodings_and_numbers_is_read_and_odd_values_are_refused() -> None:
    for encoding in ("utf-8-sig", "utf-16", "utf-16-be", "utf-32-le"):
        assert json_text.loads('{"a": "é"}'.encode(encoding)) == {"a": "é"}
    assert math.isnan(json_text.loads("NaN")) and json_text.loads("-Infinity") == -math.inf
    circle: list[Any] = []
    circle.append(circle)
    for value, error in ((object(), TypeError), (circle, ValueError)):
        with pytest.raises(error):
            json_text.dumps(value)


def test_values_that_a_running_turn_knows_are_those_of_the_types() -> None:
    from fleet_lib.store import briefings
    from fleet_lib.turn import briefing_parser

    kinds = (levels.Status, levels.ImpactLevel, levels.BroadcastLevel, levels.DocDriftRisk)
    assert [*briefing_parser._ENUMS.values()] == [get_args(kind) for kind in kinds]
    own = {"briefing_id", "created_at"}
    assert {*briefings.FIELDS} == {*briefings.BriefingRecord.__annotations__} - own


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
