"""Import time is a feature: what a hook imports is held to an exact list, on every interpreter, and
the drainer's stub imports nothing until it has the lock."""

import ast
import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT, Fleet, payload
from test_hooks import ALL, BLOCKED, INTERPRETERS, as_bytes, command, every_interpreter

from fleet_lib.drain import drain

HOOK_FILES = [ROOT / "hooks" / f"{hook}.py" for hook in ALL]
GROUND = ("__init__", "paths", "spool", "wake", "log", "text", "rules", "lines", "hot_settings")
HOT_PATH = [
    *HOOK_FILES,
    ROOT / "hooks" / "__init__.py",
    ROOT / "hooks" / "_hook.py",
    ROOT / "hooks" / "_claim.py",
    *(ROOT / "fleet_lib" / f"{name}.py" for name in GROUND),
    *sorted((ROOT / "fleet_lib" / "prelude").glob("*.py")),
    # A plugin's user may have no other interpreter to run these.
    ROOT / "fleet_lib" / "drain" / "drain.py",
    ROOT / "commander" / "setup" / "plugin.py",
    ROOT / "commander" / "setup" / "environment.py",
]
OURS = {
    *("fleet_lib", "fleet_lib.paths", "fleet_lib.spool", "fleet_lib.wake"),
    *("hooks", "hooks._hook"),
}
# What a printing hook may have of Fleet's own beside that; nothing of it but SQLite's C half is heavy.
PRINTING = {
    *("hooks._claim", "fleet_lib.prelude", "fleet_lib.text", "fleet_lib.rules", "fleet_lib.lines"),
    "fleet_lib.hot_settings",
    *(
        f"fleet_lib.prelude.{path.stem}"
        for path in (ROOT / "fleet_lib" / "prelude").glob("[a-z]*.py")
    ),
}
# What the interpreter's own modules are allowed to be, however they come to bring one another.
PARTS_OF_OS = {
    *("os", "stat", "_stat", "posixpath", "genericpath", "_collections_abc", "abc", "_abc"),
    "time",
}
HEAVY = {
    *("json", "re", "enum", "typing", "pathlib", "subprocess", "logging", "dataclasses", "select"),
    *("contextlib", "tempfile", "shutil", "threading", "socket", "signal", "random", "hashlib"),
    *("inspect", "traceback", "argparse", "uuid", "pydantic", "yaml", "click", "filelock", "site"),
}


def imported(
    arguments: list[str], given: bytes = b"", env: "dict[str, str] | None" = None
) -> set[str]:
    """Every module that a run of the interpreter imports."""
    python, *rest = arguments
    done = subprocess.run(
        [python, "-X", "importtime", *rest], input=given, env=env, capture_output=True, text=False
    )
    lines = done.stderr.decode().splitlines()
    assert [line for line in lines if not line.startswith("import time:")] == []
    names = {line.rpartition("|")[2].strip() for line in lines}
    return names - {"imported package"}


@functools.cache
def brought_by(python: str, statement: str) -> frozenset[str]:
    return frozenset(imported([python, "-I", "-S", "-c", statement]))


def own_imports(python: str, hook: str, given: bytes, environment: dict[str, str]) -> set[str]:
    start, *rest = command(hook, python)
    return imported([start, *rest], given, environment) - brought_by(python, "pass")


@every_interpreter
@pytest.mark.parametrize("hook", ["stop", "stop_failure", "notification", "session_end"])
def test_a_capturing_hook_imports_os_and_time_and_a_lock_and_the_spool(
    fleet: Fleet, hook: str, python: str
) -> None:
    fleet.replace_drainer()
    given = as_bytes(payload("Notification-permission_prompt"))

    found = own_imports(python, hook, given, fleet.env(CLAUDE_PROJECT_DIR=str(fleet.folder)))

    assert len(fleet.waiting()) == 1  # it went all the way
    allowed = brought_by(python, "import os, time") - brought_by(python, "pass")
    # An end gives back what the session's start has claimed.
    claim = {"hooks._claim"} if hook == "session_end" else set()
    needed = OURS | {"fcntl"} | claim
    assert found == allowed - {"time"} | needed | (found & {"time"})
    assert allowed <= PARTS_OF_OS


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
def test_a_printing_hook_adds_sqlite_and_nothing_that_it_would_bring(
    fleet: Fleet, python: str, hook: str, event: str, commander: bool
) -> None:
    fleet.hook("stop", payload("Stop") | {"last_assistant_message": BLOCKED}, fleet.folder)
    fleet.drain()
    fleet.replace_drainer()
    project = fleet.home if commander else fleet.folder
    given = as_bytes(payload(event) | {"session_id": "s-2"})

    found = own_imports(python, hook, given, fleet.env(CLAUDE_PROJECT_DIR=str(project)))

    allowed = brought_by(python, "import os, time") - brought_by(python, "pass")
    if (hook, commander) == ("user_prompt_submit", False):
        # A plugin registers it for every session: a worker's prompt costs what a capture costs.
        assert found <= PARTS_OF_OS | OURS
        return
    needed = OURS | {"fcntl", "_sqlite3", "_functools"}
    assert found - PRINTING == allowed - {"time"} | needed | (found & {"time"})
    assert found & HEAVY == set()


@every_interpreter
def test_what_is_imported_after_the_prelude_is_whole(python: str) -> None:
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
def test_a_hook_that_is_off_imports_no_more(fleet: Fleet, python: str) -> None:
    for hook in ALL:
        found = own_imports(python, hook, b"{}", fleet.env(FLEET_HOOKS="off"))

        assert found <= PARTS_OF_OS | OURS, hook


def test_a_drainer_that_finds_another_at_work_has_imported_nothing_but_the_lock(
    fleet: Fleet,
) -> None:
    lock = fleet.hold_lock()
    assert lock is not None
    start = [sys.executable, "-I", str(drain.__file__), str(fleet.home)]
    try:
        found = imported(start, env=fleet.env())
        code = subprocess.run(start, env=fleet.env()).returncode
    finally:
        os.close(lock)

    bare = imported([sys.executable, "-I", "-c", "pass"])
    assert code == drain.BUSY
    assert found - bare <= {"fcntl"}


def test_a_drainer_that_has_the_lock_imports_the_rest(fleet: Fleet) -> None:
    # The test above would also hold for a stub that never does anything.
    fleet.hook("stop", payload("Stop"), fleet.folder)
    found = imported([sys.executable, "-I", str(drain.__file__), str(fleet.home)], env=fleet.env())

    assert {"sqlite3", "json", "fleet_lib.drain.drainer", "fleet_lib.ingest.ingest"} <= found


@pytest.mark.parametrize("path", HOOK_FILES, ids=lambda path: path.name)
def test_a_hook_is_under_forty_lines_and_knows_no_sql(path: Path) -> None:
    text = path.read_text()

    assert len(text.splitlines()) < 40
    assert [word for word in ("SELECT", "sqlite3", "json_") if word in text] == []


@pytest.mark.skipif("3.9" not in INTERPRETERS, reason="no Python 3.9 here")
def test_the_hot_path_compiles_on_the_oldest_interpreter() -> None:
    compile_all = "import sys; [compile(open(p, 'rb').read(), p, 'exec') for p in sys.argv[1:]]"
    done = subprocess.run(
        [INTERPRETERS["3.9"], "-I", "-c", compile_all, *map(str, HOT_PATH)],
        capture_output=True,
        text=True,
    )

    assert done.stderr == ""


@pytest.mark.parametrize("name", ["fleet_lib", "hooks"])
def test_a_package_that_every_import_runs_is_empty(name: str) -> None:
    assert (ROOT / name / "__init__.py").read_text() == ""


def evaluated_annotations(body: list[ast.stmt]) -> Iterator[ast.expr]:
    """The annotations that run when a module is imported: not those of a function's own variables."""
    for node in body:
        if isinstance(node, ast.FunctionDef):
            every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            yield from filter(None, [node.returns, *(one.annotation for one in every)])
        elif isinstance(node, ast.ClassDef):
            yield from evaluated_annotations(node.body)
        elif isinstance(node, ast.AnnAssign):
            yield node.annotation


@pytest.mark.parametrize("path", HOT_PATH, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_an_old_interpreter_is_not_asked_to_evaluate_a_new_kind_of_annotation(path: Path) -> None:
    """`int | None` compiles on 3.9 and fails when the function is defined; in quotes it is text."""
    unions = [
        f"line {annotation.lineno}"
        for annotation in evaluated_annotations(ast.parse(path.read_text()).body)
        if any(isinstance(part, ast.BinOp) for part in ast.walk(annotation))
    ]

    assert unions == []
