"""config.toml: valid values, errors for invalid ones, and that hooks read the same values."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT, Fleet, payload

from fleet_lib import config, hot_settings, setting_checks
from fleet_lib.errors import BadInput


@pytest.fixture
def home(tmp_path: Path) -> str:
    return str(tmp_path)


def write(home: str, text: str) -> None:
    Path(home, "config.toml").write_text(text)


def test_without_a_file_every_setting_has_its_default(home: str) -> None:
    assert all(setting.value == setting.default for setting in config.settings(home))
    assert config.load(home).prelude.budget == hot_settings.BUDGET


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("# hi\n\n[prelude]\n# why\nbudget = 50\n", 5, "a whole number from 1000 to 9800"),
        ('[prelude]\nbudget = "many"\n', 2, 'prelude.budget = "many" is not allowed'),
        ("\n\n[colours]\nx = 1\n", 3, "there is no setting colours; the settings are worker.facts"),
        ("[worker]\nfacts = true\n\n[prelude]\n\nbudget = 4000\nsize = 3\n", 7, "prelude.size"),
        ("[worker]\nfacts = 1\n", 2, "true or false"),
        ("worker = 3\n", 1, "write `[worker]`"),
        ("[claude] # a comment\n\n# another\nprogram = 7\n", 4, "a text in quotes"),
        ("claude.program = 7\n", 1, "a text in quotes"),
        ('[claude]\nprogram = """\na\n"""\n[history]\nkeep_days = -1\n', 6, "from 0 to 36500"),
        ("[prelude\n", 1, "not TOML"),
    ],
)
def test_invalid_file_error_names_file_line_and_allowed_values(
    home: str, text: str, line: int, message: str
) -> None:
    write(home, text)
    with pytest.raises(BadInput) as caught:
        config.load(home)
    error = str(caught.value)
    assert error.startswith(f"{home}/config.toml, line {line}: ")
    assert message in error and "\n" not in error


@pytest.mark.parametrize(
    "text",
    [
        "prelude.budget = 4000\n",
        "prelude = {budget = 4000}\n",
        "[prelude]\nbudget = 4_000\n",
        '[prelude]\n"budget" = 4000\n',
        "[ prelude ]\nbudget = 4000\n",
        '[claude]\nprogram = """\n[prelude]\nbudget = 4000\n"""\n',
    ],
)
def test_syntax_that_hooks_would_read_differently_is_refused(home: str, text: str) -> None:
    write(home, text)
    with pytest.raises(BadInput, match=r"write it as a line `\[prelude\]`"):
        config.load(home)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "worker.facts": st.sampled_from(["true", "false"]),
            "prelude.budget": st.integers(1000, 9800).map(str),
            "history.keep_days": st.integers(0, 36500).map(str),
            "claude.program": st.text(st.characters(exclude_categories=["C"]), max_size=30),
        },
    ),
    st.lists(st.sampled_from(config.keys()), max_size=5),
)
def test_written_settings_are_read_back_the_same_by_hooks(
    tmp_path_factory: pytest.TempPathFactory, values: "dict[str, str]", unset: "list[str]"
) -> None:
    home = str(tmp_path_factory.mktemp("home"))
    for key, value in values.items():
        config.put(home, key, value)
    for key in unset:
        config.unset(home, key)
        values.pop(key, None)
    read = {setting.key: setting for setting in config.settings(home)}
    for key, setting in read.items():
        expected = values.get(key)
        text_value = (
            str(setting.value).lower() if isinstance(setting.value, bool) else str(setting.value)
        )
        assert text_value == (
            str(setting.default).lower()
            if expected is None and isinstance(setting.default, bool)
            else str(setting.default)
            if expected is None
            else expected
        )
    assert hot_settings.budget(home) == read["prelude.budget"].value
    assert hot_settings.has_worker_facts(home) == read["worker.facts"].value


_VALUES = st.one_of(
    st.booleans(),
    st.integers(-1, 40_000),
    st.floats(-1, 2000),
    st.sampled_from(["", "edit", "opus", "22:00-07:00", "22:00-07:00x", "a, b", "x" * 301]),
    st.lists(st.one_of(st.just(""), st.text(max_size=3), st.integers()), max_size=2),
    st.just({}),
)


@given(
    st.dictionaries(
        st.sampled_from([*config.keys(), "prelude.size", "colours.x"]), _VALUES, max_size=3
    )
)
def test_what_is_read_without_pydantic_is_what_pydantic_reads(values: "dict[str, object]") -> None:
    document: dict[str, dict[str, object]] = {}
    for key, value in values.items():
        section, name = key.split(".")
        document.setdefault(section, {})[name] = value
    read = setting_checks.plainly_right(document)
    try:
        checked = setting_checks.checked(document)
    except setting_checks.Fault:
        checked = None
    assert read is None or (read == checked and repr(read) == repr(checked))


def test_right_settings_are_read_without_pydantic(fleet: Fleet) -> None:
    fleet.home.mkdir()
    write(
        str(fleet.home),
        '[projects]\nignore = ["~/customer"]\n[jobs]\nmax_usd = 5\nat_once = 2\n'
        '[notify]\nquiet_hours = "22:00-07:00"\n[gateway]\njobs = "off"\nhosts = ["a"]\n',
    )
    code = (
        "import sys; from fleet_lib import config; read = config.load(sys.argv[1]);"
        " print(read.jobs, read.projects, 'pydantic' in sys.modules)"
    )
    command = [sys.executable, "-I", "-c", code, str(fleet.home)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "max_usd=5.0" in done.stdout and done.stdout.endswith("False\n")


def test_setting_one_value_keeps_comments_order_and_other_values(home: str) -> None:
    text = "# mine\n[worker]\nfacts = true  # for now\n\n# and\n[prelude]\nbudget = 2000\n"
    write(home, text)
    config.put(home, "worker.facts", "off")
    assert Path(home, "config.toml").read_text() == text.replace("true", "false")


def test_refused_value_leaves_the_file_unchanged(home: str) -> None:
    write(home, "[prelude]\nbudget = 2000\n")
    for key, value in (("prelude.budget", "5"), ("worker.facts", "perhaps"), ("a.b", "1")):
        with pytest.raises(BadInput):
            config.put(home, key, value)
    assert Path(home, "config.toml").read_text() == "[prelude]\nbudget = 2000\n"


def test_file_is_private_and_a_symlink_is_preserved(home: str, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "fleet.toml"
    real.parent.mkdir()
    Path(home, "config.toml").symlink_to(real)
    config.put(home, "prelude.budget", "3000")
    assert Path(home, "config.toml").is_symlink()
    assert "budget = 3000" in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o600


def test_the_console_lists_gets_sets_and_unsets(fleet: Fleet) -> None:
    fleet.console("config", "set", "prelude.budget", "4000")
    listed = json.loads(fleet.console("config", "list", "--json").stdout)
    assert {setting["key"]: setting["value"] for setting in listed}["prelude.budget"] == 4000
    assert fleet.console("config", "get", "prelude.budget").stdout == "4000\n"
    assert "4000" in fleet.console("config", "list").stdout
    fleet.console("config", "unset", "prelude.budget")
    assert fleet.console("config", "get", "prelude.budget").stdout == "6000\n"
    wrong = fleet.console("config", "set", "prelude.budge", "1", check=False)
    assert wrong.returncode == 1
    assert "prelude.budget" in wrong.stderr


@pytest.mark.parametrize(
    ("text", "key", "remaining"),
    [
        ("# mine\n[prelude]\nbudget = 50\n", "prelude.budget", "# mine\n"),
        ("[prelude]\nbuget = 5\nbudget = 2000\n", "prelude.buget", "[prelude]\nbudget = 2000\n"),
        ("[colours]\nx = 1\n[worker]\nfacts = true\n", "colours", "[worker]\nfacts = true\n"),
        ("[colours]\nx = 1\n", "colours.x", ""),
        ("worker = 3\n", "worker", ""),
    ],
)
def test_invalid_or_unknown_setting_can_be_unset(
    fleet: Fleet, text: str, key: str, remaining: str
) -> None:
    fleet.home.mkdir()
    write(str(fleet.home), text)
    assert fleet.console("config", "list", check=False).returncode == 1
    fleet.console("config", "unset", key)
    assert (fleet.home / "config.toml").read_text() == remaining
    assert fleet.console("config", "list").returncode == 0


def test_unsetting_one_of_two_invalid_settings_names_the_other(fleet: Fleet) -> None:
    fleet.home.mkdir()
    write(str(fleet.home), "[prelude]\nbudget = 50\nsize = 3\n")
    first = fleet.console("config", "unset", "prelude.budget", check=False)
    assert first.returncode == 1 and "prelude.size" in first.stderr
    assert (fleet.home / "config.toml").read_text() == "[prelude]\nsize = 3\n"
    fleet.console("config", "unset", "prelude.size")
    unknown = fleet.console("config", "unset", "prelude.size", check=False)
    assert unknown.returncode == 1 and "there is no setting prelude.size" in unknown.stderr


def test_invalid_setting_can_be_replaced(home: str) -> None:
    write(home, "[prelude]\nbudget = 50\n")
    assert config.put(home, "prelude.budget", "2000").value == 2000


def test_hooks_obey_the_settings_file(fleet: Fleet) -> None:
    start = payload("SessionStart-startup")
    assert fleet.hook("session_start", start, fleet.folder).stdout
    fleet.console("config", "set", "worker.facts", "false")
    start_payload = start | {"session_id": "another"}
    assert not fleet.hook("session_start", start_payload, fleet.folder).stdout
    fleet.console("config", "set", "worker.facts", "true")
    start_payload = start | {"session_id": "a-third"}
    assert fleet.hook("session_start", start_payload, fleet.folder).stdout


def test_broken_settings_file_does_not_break_a_hook(fleet: Fleet) -> None:
    fleet.home.mkdir()
    (fleet.home / "config.toml").write_bytes(b"\xff[prelude\nbudget = \x00 many\n[worker]\nfacts")
    done = fleet.hook("session_start", payload("SessionStart-startup"), fleet.folder)
    assert done.stdout and len(fleet.waiting()) == 1
    assert hot_settings.budget(str(fleet.home)) == hot_settings.BUDGET


def test_settings_page_lists_every_setting() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    for key in config.keys():  # noqa: SIM118
        assert f"`{key}`" in page


@pytest.mark.parametrize("key", ["relay.share", "relay.people"])
def test_the_relay_reads_the_same_lists_as_the_console_or_the_file_is_refused(
    home: str, key: str
) -> None:
    section, name = key.split(".")
    globs = ["github.com/acme/*", "a # ] ,b", 'it\'s "quoted" \\ ü']
    config.put(home, key, *globs)
    assert hot_settings.texts(home, section, name) == globs
    assert list(config.get(home, key).value) == globs  # type: ignore[arg-type]
    write(home, f'{key} = ["a"]\n')
    with pytest.raises(BadInput, match=rf"the relay reads {section}\.{name} line by line"):
        config.load(home)
