"""Import time is a feature: these tests compare the modules that a hook imports with an exact list,
on every interpreter, and check that the drainer imports nothing until it has the lock."""

import ast
import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT, Fleet, make_repository, payload
from test_hooks import ALL, BLOCKED, INTERPRETERS, as_bytes, command, every_interpreter

from fleet_lib import small_os, spool
from fleet_lib.drain import drain

HOOK_FILES = [ROOT / "hooks" / f"{hook}.py" for hook in ALL]
GROUND = (
    "__init__",
    "paths",
    "small_os",
    "spool",
    "wake",
    "log",
    "text",
    "rules",
    "lines",
    "machines",
    "hot_settings",
    "ignored",
    "live",
)
HOT_PATH = [
    *HOOK_FILES,
    ROOT / "hooks" / "__init__.py",
    ROOT / "hooks" / "_hook.py",
    ROOT / "hooks" / "_printing.py",
    *(ROOT / "fleet_lib" / f"{name}.py" for name in GROUND),
    *sorted((ROOT / "fleet_lib" / "prelude").glob("*.py")),
    # A plugin may have to run these on the system's interpreter.
    ROOT / "fleet_lib" / "drain" / "drain.py",
    ROOT / "fleet_lib" / "drain" / "linger.py",
    ROOT / "commander" / "setup" / "plugin.py",
    ROOT / "commander" / "setup" / "environment.py",
]
OURS = {
    *("fleet_lib", "fleet_lib.paths", "fleet_lib.small_os", "fleet_lib.spool", "fleet_lib.wake"),
    *("hooks", "hooks._hook"),
}
# The modules of Fleet that a printing hook may import as well.
PRINTING = {
    "hooks._printing",
    *("fleet_lib.prelude", "fleet_lib.text", "fleet_lib.rules", "fleet_lib.lines"),
    *("fleet_lib.hot_settings", "fleet_lib.live", "fleet_lib.machines"),
    *(
        f"fleet_lib.prelude.{path.stem}"
        for path in (ROOT / "fleet_lib" / "prelude").glob("[a-z]*.py")
    ),
}
HEAVY = {
    *("os", "posixpath", "_collections_abc"),
    *("json", "re", "enum", "typing", "pathlib", "subprocess", "logging", "dataclasses", "select"),
    *("contextlib", "tempfile", "shutil", "threading", "socket", "signal", "random", "hashlib"),
    *("inspect", "traceback", "argparse", "uuid", "pydantic", "yaml", "click", "filelock", "site"),
}

# What the drainer imports of the standard library for an ordinary turn: each of these costs every
# turn. Not YAML, markdown-it, pydantic, hashlib (OpenSSL), subprocess, urllib, logging or dataclasses.
DRAINER = {
    *("abc", "binascii", "collections", "contextlib", "copyreg", "datetime", "enum", "errno"),
    *("faulthandler", "fcntl", "functools", "gc", "io", "itertools", "json", "keyword", "marshal"),
    *(
        "math",
        "mmap",
        "operator",
        "os",
        "pickle",
        "pwd",
        "re",
        "reprlib",
        "select",
    ),
    *("sqlite3", "stat", "struct", "time", "types", "typing", "unicodedata", "warnings"),
}
# Asked for on other systems, and not there.
ELSEWHERE = {"msvcrt", "nt", "ntpath", "org", "winreg"}


def imported(
    arguments: list[str], data: bytes = b"", env: "dict[str, str] | None" = None
) -> set[str]:
    """The modules that the interpreter imports when it is run with these arguments."""
    python, *rest = arguments
    done = subprocess.run(
        [python, "-X", "importtime", *rest], input=data, env=env, capture_output=True, text=False
    )
    lines = done.stderr.decode().splitlines()
    assert [line for line in lines if not line.startswith("import time:")] == []
    names = {line.rpartition("|")[2].strip() for line in lines}
    return names - {"imported package"}


@functools.cache
def imported_by(python: str, statement: str) -> frozenset[str]:
    return frozenset(imported([python, "-I", "-S", "-c", statement]))


def own_imports(python: str, hook: str, data: bytes, environment: dict[str, str]) -> set[str]:
    start, *rest = command(hook, python)
    return imported([start, *rest], data, environment) - imported_by(python, "pass")


@every_interpreter
@pytest.mark.parametrize(
    "hook", ["stop", "stop_failure", "permission_request", "notification", "session_end"]
)
def test_capturing_hook_imports_only_a_lock_and_the_spool(
    fleet: Fleet, hook: str, python: str
) -> None:
    fleet.replace_drainer()
    spool.make_folders(str(fleet.home))  # the first hook makes them, and imports os for that
    data = as_bytes(payload("Notification-permission_prompt"))

    found = own_imports(python, hook, data, fleet.env(CLAUDE_PROJECT_DIR=str(fleet.folder)))

    assert len(fleet.waiting()) == 1  # the hook ran to its end
    # SessionEnd releases the claim of SessionStart.
    claim = {"hooks._printing"} if hook == "session_end" else set()
    assert found - {"time"} == OURS | {"fcntl", "gc"} | claim


@every_interpreter
@pytest.mark.parametrize(
    ("hook", "event", "commander"),
    [
        ("session_start", "SessionStart-startup", False),
        ("session_start", "SessionStart-startup", True),
        ("user_prompt_submit", "UserPromptSubmit", False),
        ("user_prompt_submit", "UserPromptSubmit", True),
    ],
)
def test_printing_hook_imports_only_the_c_part_of_sqlite_in_addition(
    fleet: Fleet, python: str, hook: str, event: str, commander: bool
) -> None:
    fleet.hook("stop", payload("Stop") | {"last_assistant_message": BLOCKED}, fleet.folder)
    fleet.drain()
    fleet.replace_drainer()
    project = fleet.home if commander else fleet.folder
    data = as_bytes(payload(event) | {"session_id": "s-2"})

    found = own_imports(python, hook, data, fleet.env(CLAUDE_PROJECT_DIR=str(project)))

    if (hook, commander) == ("user_prompt_submit", False):
        # A plugin registers this hook for every session, so a worker's prompt has to stay cheap.
        assert found <= {"time", "gc"} | OURS
        return
    assert found - PRINTING - {"time"} == OURS | {"fcntl", "gc", "_sqlite3", "_functools"}
    assert found & HEAVY == set()


_COMPARE = f"""
import posix, sys
sys.path.insert(0, {str(ROOT)!r})
from fleet_lib.small_os import os as small
assert "os" not in sys.modules
texts = "|/|//|///|a|a/|/a|/a/|//a//b|///a/b/|a/b|./a|../a|a/..|a/../..|/..|/../a|/a/../../b".split("|")
texts += "/a/./b//c|..|.|~|~/|~/a/b|a~|/tmp|/dev/null|/nowhere|/.claude/commander".split("|")
texts += ["caf\\u00e9/\\udcff", "a\\0b"]
of_one = ("dirname", "basename", "normpath", "abspath", "expanduser", "exists", "isdir")
answers = dict()
def answer(function, *values):
    try:
        return function(*values)
    except Exception as error:
        return type(error)
for module in (small, None):
    if module is None:
        import os as module
    path = module.path
    answers[module is small] = [
        [answer(getattr(path, name), text) for name in of_one for text in texts],
        [answer(path.join, one, two) for one in texts for two in texts],
        [answer(path.join, one, two, "b") for one in texts for two in texts],
        [answer(path.samefile, one, two) for one in texts for two in texts],
        [answer(module.fsencode, text) for text in texts],
        dict(module.environ), module.devnull, path.splitext("a.b"), module.sep, module.stat,
        module.open, module._exit, module.makedirs,
    ]
assert answers[True] == answers[False]
for variables in (dict(HOME="/"), dict(HOME="/home/u/"), dict()):
    real, module.environ = module.environ, variables
    small.environ = variables
    assert small.path.expanduser("~/a") == module.path.expanduser("~/a"), variables
    module.environ = real
"""


@every_interpreter
def test_small_os_answers_as_os_does(python: str, tmp_path: Path) -> None:
    strange = {b"HOME": b"/home/u", b"LATIN": b"\xe9\xff", b"EMPTY": b"", b"PATH": b"/usr/bin"}
    for locale in (b"C", b"C.UTF-8"):
        start = [python, "-I", "-S", "-c", _COMPARE]
        subprocess.run(start, check=True, cwd=tmp_path, env=strange | {b"LC_ALL": locale})


def test_small_os_is_os_in_a_process_that_has_it() -> None:
    assert small_os.os is os


@every_interpreter
def test_printing_hook_finds_the_modules_that_python_would_find(python: str) -> None:
    script = f"""
import sys
sys.path.append({str(ROOT)!r})
from hooks import _printing
names = ("fleet_lib.live", "fleet_lib.prelude.delta", "fleet_lib.prelude", "json", "_json")
def described(name):
    __import__(name)
    module = sys.modules.pop(name)
    spec = module.__spec__
    return [module.__file__, module.__package__, spec.name, spec.cached, spec.has_location,
        type(spec.loader), spec.loader.path, spec.submodule_search_locations]
usual = [described(name) for name in names]
sys.meta_path.insert(0, _printing._Finder)
assert [described(name) for name in names] == usual
assert _printing._Finder.find_spec("fleet_lib.live", ["/folder"]).origin == "/folder/live.py"
assert _printing._Finder.find_spec("fleet_lib", None) is None
"""
    subprocess.run([python, "-I", "-S", "-c", script], check=True)


@every_interpreter
def test_modules_imported_after_the_prelude_are_complete(python: str) -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from fleet_lib.prelude import commander\n"
        "import functools, sqlite3\n"
        "assert functools.lru_cache(4)(abs)(-1) == 1 and functools.partial(abs, -1)() == 1\n"
        "connection = sqlite3.connect(':memory:', cached_statements=3)\n"
        "for _ in range(2):\n"
        "    for number in range(5):\n"
        "        assert connection.execute(f'SELECT {number}').fetchone() == (number,)\n"
    )
    subprocess.run([python, "-I", "-S", "-c", script], check=True)


@every_interpreter
def test_disabled_hook_imports_nothing_more(fleet: Fleet, python: str) -> None:
    for hook in ALL:
        found = own_imports(python, hook, b"{}", fleet.env(FLEET_HOOKS="off"))

        assert found <= {"time", "gc"} | OURS, hook


def test_drainer_that_finds_the_lock_held_imports_only_fcntl(
    fleet: Fleet,
) -> None:
    lock = fleet.hold_lock()
    assert lock is not None
    start = [sys.executable, "-I", str(drain.__file__), str(fleet.home), "--once"]
    try:
        found = imported(start, env=fleet.env())
        code = subprocess.run(start, env=fleet.env()).returncode
    finally:
        os.close(lock)

    bare = imported([sys.executable, "-I", "-c", "pass"])
    assert code == drain.BUSY
    assert found - bare <= {"fcntl"}


def test_drainer_that_finds_nothing_to_do_imports_only_fcntl(fleet: Fleet) -> None:
    fleet.hook("stop", payload("Stop"), fleet.folder)
    fleet.drain()
    found = imported([sys.executable, "-I", str(drain.__file__), str(fleet.home)], env=fleet.env())

    assert found - imported([sys.executable, "-I", "-c", "pass"]) <= {"fcntl"}


def test_drainer_that_has_the_lock_imports_the_rest(fleet: Fleet) -> None:
    # Without this test, a stub that never does anything would pass the test above.
    fleet.hook("stop", payload("Stop"), fleet.folder)
    found = imported(
        [sys.executable, "-I", str(drain.__file__), str(fleet.home), "--once"], env=fleet.env()
    )

    assert {"sqlite3", "json", "fleet_lib.drain.drainer", "fleet_lib.ingest.ingest"} <= found


def of_an_ordinary_turn(fleet: Fleet, message: str) -> set[str]:
    """What the drainer imports for one Stop in a repository, beside what Python itself does."""
    project = make_repository(fleet.folder / "app", "https://example.com/a/app.git")
    transcript = fleet.folder / "transcript.jsonl"
    transcript.write_text('{"type": "user", "promptId": "p", "message": {"content": "Fix it"}}\n')
    stop = {"prompt_id": "p", "transcript_path": str(transcript), "cwd": str(project)}
    stop["last_assistant_message"] = message
    fleet.drain()  # makes the database
    fleet.hook("stop", payload("Stop") | stop, project)
    # The reader, too, says here what it imports: elsewhere it keeps no stream open.
    start = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from fleet_lib.drain import drain, reader_child
real = reader_child._close_all_but
def close_all_but(*kept):
    stderr = os.dup(2)
    real(*kept, stderr)
    os.dup2(stderr, 2)
reader_child._close_all_but = close_all_but
sys.exit(drain.main({str(fleet.home)!r}))
"""
    found = imported([sys.executable, "-I", "-c", start], env=fleet.env())
    assert fleet.rows("SELECT count(*) FROM briefings") == [(1,)]
    return found - imported([sys.executable, "-I", "-c", "pass"])


def test_drainer_imports_for_an_ordinary_turn_nothing_that_is_not_listed(fleet: Fleet) -> None:
    found = of_an_ordinary_turn(fleet, "The parser reads empty lines now, and its tests pass.")

    packages = {name.partition(".")[0] for name in found}
    assert {name for name in packages if name[0] != "_"} - ELSEWHERE - DRAINER == {"fleet_lib"}
    rooms = {name.split(".")[1] for name in found if name.startswith("fleet_lib.")}
    assert rooms & {"jobs", "views", "history", "history_import", "config", "processes"} == set()
    # A turn that touched no file and made no commit, in a home without targets of messages.
    elsewhere = "documents living shell_commits scripts ssh_config transcript_turns notifications"
    assert {name.rpartition(".")[2] for name in found} & {*elsewhere.split(), "targets"} == set()


def test_drainer_imports_for_markdown_the_block_rules_alone(fleet: Fleet) -> None:
    found = of_an_ordinary_turn(
        fleet, "## Done\n\n- The parser reads **empty** lines.\n- So do I.\n"
    )

    rules = {name for name in found if name.startswith("fleet_lib.turn.block_rules")}
    packages = {name.partition(".")[0] for name in found - rules}
    assert "fleet_lib.turn.block_rules.rules_block.list" in rules
    assert {name for name in packages if name[0] != "_"} - ELSEWHERE - DRAINER == {"fleet_lib"}


def test_drainer_imports_a_parser_for_a_message_that_needs_it(fleet: Fleet) -> None:
    # Without this test, a drainer that never reads markdown would pass the tests above.
    block = "Done.\n\n```briefing\n---\nstatus: completed\n---\n## Summary\nParsed.\n```\n"
    found = of_an_ordinary_turn(fleet, f"{block}\n[a]: /link\n")
    assert {"yaml", "markdown_it"} <= found


def test_help_of_the_console_imports_no_command(fleet: Fleet) -> None:
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom commander.cli import main; main()"
    found = imported([sys.executable, "-I", "-c", start, "--help"], env=fleet.env())

    ours = {name for name in found if name.startswith("commander.")}
    assert ours == {f"commander.cli{name}" for name in ("", "._app", "._cells", "._display")}


@pytest.mark.parametrize("path", HOOK_FILES, ids=lambda path: path.name)
def test_hook_is_under_forty_lines_and_contains_no_sql(path: Path) -> None:
    text = path.read_text()

    assert len(text.splitlines()) < 40
    assert [word for word in ("SELECT", "sqlite3", "json_") if word in text] == []


@pytest.mark.skipif("3.9" not in INTERPRETERS, reason="no Python 3.9 here")
def test_hot_path_compiles_on_the_oldest_interpreter() -> None:
    compile_all = "import sys; [compile(open(p, 'rb').read(), p, 'exec') for p in sys.argv[1:]]"
    done = subprocess.run(
        [INTERPRETERS["3.9"], "-I", "-c", compile_all, *map(str, HOT_PATH)],
        capture_output=True,
        text=True,
    )

    assert done.stderr == ""


@pytest.mark.parametrize("name", ["fleet_lib", "hooks"])
def test_package_init_files_are_empty(name: str) -> None:
    assert (ROOT / name / "__init__.py").read_text() == ""


def evaluated_annotations(body: list[ast.stmt]) -> Iterator[ast.expr]:
    """The annotations that are evaluated on import of the module: not those of local variables."""
    for node in body:
        if isinstance(node, ast.FunctionDef):
            parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            yield from filter(None, [node.returns, *(each.annotation for each in parameters)])
        elif isinstance(node, ast.ClassDef):
            yield from evaluated_annotations(node.body)
        elif isinstance(node, ast.AnnAssign):
            yield node.annotation


@pytest.mark.parametrize("path", HOT_PATH, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_annotation_needs_a_newer_interpreter_to_evaluate(path: Path) -> None:
    """`int | None` compiles on 3.9 but fails when the function is defined, unless it is quoted."""
    unions = [
        f"line {annotation.lineno}"
        for annotation in evaluated_annotations(ast.parse(path.read_text()).body)
        if any(isinstance(part, ast.BinOp) for part in ast.walk(annotation))
    ]

    assert unions == []
