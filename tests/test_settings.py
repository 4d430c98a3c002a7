"""The settings file: Fleet's entries are added and removed, and no other byte changes."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from commander.setup import settings
from commander.setup.hook_entries import registration, settings_example
from fleet_lib.errors import BadInput

FLEET_HOOKS = registration(settings_example(), Path("/home/p"), Path("/home/u/.claude"))["hooks"]

REAL = """{
  "$schema": "https://json.schemastore.org/claude-code-settings.json",
  "permissions": {
    "allow": ["Bash(npm run lint)", "Bash(git diff:*)"],
    "deny": [ "Read(./.env)" ],
    "defaultMode": "acceptEdits"
  },
  "env": {"FOO": "b\\u00e4r", "N": "1"},
  "statusLine": { "type": "command", "command": "~/bin/line.sh", "padding": 0 },
  "hooks": {
    "Stop": [
      { "hooks": [ { "type": "command", "command": "notify-send done" } ] }
    ],
    "PreToolUse": [
      {"matcher": "Bash", "hooks": [{"type": "command", "command": "guard", "timeout": 5.0}]}
    ],
    "SessionStart": []
  },
  "enabledPlugins": {},
  "cleanupPeriodDays": 3650
}
"""

FILES = [
    None,
    "",
    "\n\n",
    "{}",
    "{}\n",
    "{ }",
    "{\n}\n",
    '{"a":1}',
    '{"a": 1, "hooks": {}}',
    '{"hooks":null}',
    '{\n\t"x": [],\n\t"hooks": {\n\t\t"Stop": []\n\t}\n}',
    '\ufeff{\r\n    "a": {"b":[1, 2]}\r\n}\r\n',
    '{"hooks": {"Stop": [ {"hooks":[{"type":"command","command":"x"}]} ] } }',
    '{"hooks":{"Stop":null}, "z":1e5}',
    '{\n "hooks": {\n  "Stop": [{"hooks": []}]\n }\n}',
    '{"hooks":{},"hooks":{"Stop":[]}}',
    '  {"a":"\\u00e9 } ] ,"}  ',
    REAL,
    REAL.replace("\n", "\r\n"),
    REAL.replace("  ", "\t"),
    REAL.replace("\n", ""),
]


def put(path: Path, text: "str | None") -> None:
    if text is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(text.encode())


def register(path: Path, was: "settings.Was | None" = None) -> settings.Change:
    change = settings.with_hooks(path, FLEET_HOOKS, was or {})
    settings.write(change)
    return change


def parsed(path: Path) -> Any:
    return json.loads(path.read_text("utf-8-sig"))


@pytest.mark.parametrize("text", FILES)
def test_add_then_remove_restores_the_same_bytes(tmp_path: Path, text: "str | None") -> None:
    path = tmp_path / "settings.json"
    put(path, text)
    change = register(path)
    registered = parsed(path)
    for event, groups in FLEET_HOOKS.items():
        assert registered["hooks"][event][-len(groups) :] == groups
    settings.write(settings.without_hooks(path, change.was))
    assert (path.read_bytes().decode() if path.exists() else None) == text


@pytest.mark.parametrize("text", FILES)
def test_adding_twice_equals_adding_once(tmp_path: Path, text: "str | None") -> None:
    path = tmp_path / "settings.json"
    put(path, text)
    change = register(path)
    before = path.read_bytes()
    again = register(path, change.was)
    assert not again.has_effect and again.was == change.was
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", FILES)
def test_entries_of_an_older_fleet_are_replaced_and_others_kept(
    tmp_path: Path, text: "str | None"
) -> None:
    path = tmp_path / "settings.json"
    put(path, text)
    older = json.loads(json.dumps(FLEET_HOOKS).replace("/home/hooks", "/old/checkout/hooks"))
    del older["StopFailure"]
    change = settings.with_hooks(path, older, {})
    settings.write(change)
    change = register(path, change.was)
    assert "/old/checkout" not in path.read_text()
    assert sum(1 for _ in settings.our_entries(parsed(path))) == len(FLEET_HOOKS)
    settings.write(settings.without_hooks(path, change.was))
    assert (path.read_bytes().decode() if path.exists() else None) == text


def test_only_fleet_lines_are_added_to_a_real_file(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    put(path, REAL)
    changed = register(path).diff().splitlines()[2:]
    removed = [line.strip() for line in changed if line.startswith("-")]
    assert (
        removed
        == [
            '-      { "hooks": [ { "type": "command", "command": "notify-send done" } ] }',  # gains a comma
            '-    "SessionStart": []',
        ]
    )


def test_shell_form_entries_of_an_older_version_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    old = {"type": "command", "command": "python3 -I -S '/x y/hooks/stop.py'"}
    foreign = {"type": "command", "command": "python3 /x/hooks/stop.py"}
    put(path, json.dumps({"hooks": {"Stop": [{"hooks": [old, foreign]}]}}))
    register(path)
    assert parsed(path)["hooks"]["Stop"] == [{"hooks": [foreign]}, *FLEET_HOOKS["Stop"]]


keys = st.sampled_from(["hooks", "Stop", "SessionStart", "a", "b é", "x/y"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
groups = st.lists(
    st.fixed_dictionaries({"hooks": st.lists(st.fixed_dictionaries({"command": st.text()}))})
)
events = st.dictionaries(
    st.sampled_from([*FLEET_HOOKS, "PreToolUse"]), groups | st.none(), max_size=5
)
objects = st.dictionaries(keys.filter(lambda key: key != "hooks"), values, max_size=4)


@examples(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    objects,
    st.none() | events,
    st.booleans(),
    st.sampled_from([None, 0, 1, 2, 3, 4, "\t", " \t"]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.sampled_from(["", "\n", "\n\n", "  "]),
)
def test_any_settings_file_is_unchanged_after_add_and_remove(
    tmp_path_factory: pytest.TempPathFactory,
    rest: "dict[str, Any]",
    hooks: "dict[str, Any] | None",
    has_hooks: bool,
    indent: "int | str | None",
    line_end: str,
    as_ascii: bool,
    tail: str,
) -> None:
    path = tmp_path_factory.mktemp("x") / "settings.json"
    value = {"first": 1, **({"hooks": hooks} if has_hooks else {}), **rest}
    text = json.dumps(value, indent=indent, ensure_ascii=as_ascii).replace("\n", line_end) + tail
    put(path, text)
    change = register(path)
    expected = json.loads(text)
    expected["hooks"] = expected.get("hooks") or {}
    for event, entries in FLEET_HOOKS.items():
        expected["hooks"][event] = (expected["hooks"].get(event) or []) + entries
    assert parsed(path) == expected
    settings.write(settings.without_hooks(path, change.was))
    assert path.read_bytes().decode() == text


@pytest.mark.parametrize("text", FILES)
def test_user_changes_between_add_and_remove_are_kept(tmp_path: Path, text: "str | None") -> None:
    path = tmp_path / "settings.json"
    put(path, text)
    change = register(path)
    now = parsed(path)
    now["theme"] = "dark"
    now["hooks"]["Stop"].append({"hooks": [{"type": "command", "command": "new"}]})
    put(path, json.dumps(now, indent=4))
    settings.write(settings.without_hooks(path, change.was))
    remaining = parsed(path)
    assert list(settings.our_entries(remaining)) == []
    assert remaining["theme"] == "dark"
    assert remaining["hooks"]["Stop"][-1]["hooks"][0]["command"] == "new"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n  "a": 1,\n}', "line 3 column 1"),
        ('{"a": 1 // no\n}', "line 1 column 9"),
        ("[]", "not a JSON object"),
        ('{"hooks": []}', "`hooks` is not an object"),
        ('{"hooks": {"Stop": {}}}', "`hooks.Stop` is not a list"),
        ('{"a": "\udcff"}', "UTF-8"),
        ("[" * 100_000, "JSON"),
    ],
)
def test_invalid_settings_file_is_refused_and_left_alone(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "settings.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    before = path.read_bytes()
    with pytest.raises(BadInput) as caught:
        register(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    if message != "JSON":
        assert message in str(caught.value)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_symlink_and_file_mode_are_preserved(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "claude.json"
    real.parent.mkdir()
    real.write_text(REAL)
    real.chmod(0o640)
    (tmp_path / "between").symlink_to(real)
    path = tmp_path / "settings.json"
    path.symlink_to("between")
    change = register(path)
    assert path.is_symlink() and (tmp_path / "between").is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert "fleet_hook=session_start" in real.read_text()
    settings.write(settings.without_hooks(path, change.was))
    assert real.read_text() == REAL and path.is_symlink()


def test_dangling_symlink_is_written_through_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.symlink_to(tmp_path / "later.json")
    change = register(path)
    assert path.is_symlink() and (tmp_path / "later.json").exists()
    settings.write(settings.without_hooks(path, change.was))
    assert path.is_symlink() and not (tmp_path / "later.json").exists()


def test_backups_hold_the_old_content_and_are_limited_in_number(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    put(path, REAL)
    path.chmod(0o600)
    for _ in range(5):
        change = register(path)
        settings.write(settings.without_hooks(path, change.was))
    backups = sorted(tmp_path.glob("settings.json.fleet-backup-*"))
    assert len(backups) == settings.BACKUPS_KEPT
    assert REAL in [backup.read_text() for backup in backups]
    assert {backup.stat().st_mode & 0o777 for backup in backups} == {0o600}


@pytest.mark.parametrize(
    "text", [*FILES, '{"a":1}\r\n', '{"a": "\u2028",\r\n "b": 1}', '{\r"a": 1\r}']
)
def test_dry_run_diff_can_be_applied_as_a_patch(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "settings.json"
    if text is None:
        return  # a patch needs an existing file
    file.write_bytes(text.encode())
    change = settings.with_hooks(file, FLEET_HOOKS, {})
    diff = settings.Change(Path("settings.json"), change.before, change.after).diff() + "\n"
    applying = ["git", "apply", "-p0", "--whitespace=nowarn", "-"]
    subprocess.run(applying, input=diff.encode(), cwd=tmp_path, check=True)
    assert file.read_bytes() == (change.after or "").encode()
