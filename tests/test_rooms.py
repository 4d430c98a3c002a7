"""The rooms of the code: their order, their imports, and the maximum length of a file."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from support import ROOT

from fleet_lib.drain import program

# Lowest first: a room imports only rooms before it. Hot modules import only hot modules.
ROOMS = (
    *("fleet_lib", "fleet_lib.store", "fleet_lib.turn", "fleet_lib.history", "fleet_lib.prelude"),
    *("fleet_lib.ingest", "fleet_lib.notify", "fleet_lib.drain", "fleet_lib.views"),
    *("fleet_lib.jobs", "fleet_lib.history_import", "fleet_lib.relay"),
    *("commander.setup", "commander.doctor", "commander.mcp", "commander.gateway"),
    *("commander.cli", "hooks"),
)
HOT_GROUND = {
    f"fleet_lib.{name}"
    for name in (
        *("paths", "spool", "wake", "log", "text", "rules", "lines", "hot_settings", "live"),
        *("ignored", "machines", "small_os"),
    )
}
HOT_ROOMS = {"fleet_lib.prelude", "hooks"}
MODULE_LINES, FUNCTION_LINES = 400, 60


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    found = [
        path
        for package in ("hooks", "fleet_lib", "commander")
        for path in (ROOT / package).rglob("*.py")
    ]
    return {name_of(path): path for path in found}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text("utf-8"))


def room_of(module: str) -> str:
    """The innermost package. The program's own entry, `commander/__main__.py`, is the console's."""
    if module in ("commander", "commander.__main__"):
        return "commander.cli"
    return max([room for room in ROOMS if f"{module}.".startswith(f"{room}.")], key=len)


@cache
def imports(module: str) -> frozenset[str]:
    """Our own modules that this one imports, including imports inside functions."""
    found = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level and node.module, f"{module} has a relative import"
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in modules() else node.module for name in below}
    return frozenset(found & modules().keys())


def import_pairs() -> Iterator[tuple[str, str]]:
    for module in sorted(modules()):
        for other in sorted(imports(module)):
            yield module, other


def functions(module: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_every_folder_of_code_is_a_room() -> None:
    folders = {name for name, path in modules().items() if path.name == "__init__.py"}
    assert folders - {"commander"} == set(ROOMS)


def test_a_room_imports_only_rooms_below_it() -> None:
    violations = {
        f"{module} imports {other}"
        for module, other in import_pairs()
        if ROOMS.index(room_of(other)) > ROOMS.index(room_of(module))
    }
    assert violations == set()


def test_drainer_looks_at_the_files_of_all_rooms_that_it_may_import() -> None:
    own = {path for name, path in modules().items() if name.startswith("fleet_lib")}
    rooms = {f"fleet_lib.{name}" for name in program._OTHER_ROOMS}
    assert rooms == {r for r in ROOMS[ROOMS.index("fleet_lib.drain") + 1 :] if "fleet_lib" in r}
    expected = {path for path in own if room_of(name_of(path)) not in rooms}
    assert {Path(file) for file in program._contents(str(ROOT / "fleet_lib"))[1]} == expected


def test_library_never_imports_the_console() -> None:
    violations = [
        f"{module} imports {other}"
        for module, other in import_pairs()
        if module.startswith("fleet_lib") and other.startswith(("commander", "hooks"))
    ]
    assert violations == []


def test_hot_modules_import_only_hot_modules() -> None:
    hot = {name for name in modules() if name in HOT_GROUND or room_of(name) in HOT_ROOMS}
    allowed = hot | {"fleet_lib"}
    assert hot >= HOT_GROUND
    violations = [
        f"{module} imports {other}"
        for module, other in import_pairs()
        if module in hot and other not in allowed
    ]
    assert violations == []


def test_no_import_circles() -> None:
    remaining = {module: set(imports(module)) for module in modules()}
    while ends := [
        module
        for module, others in remaining.items()
        if not others or not any(module in imported for imported in remaining.values())
    ]:
        for module in ends:
            del remaining[module]
        for others in remaining.values():
            others.difference_update(ends)
    assert set(remaining) == set()


def test_modules_and_functions_stay_short() -> None:
    found = set()
    for module, path in modules().items():
        if len(path.read_text("utf-8").splitlines()) > MODULE_LINES:
            found.add(module)
        for node in functions(module):
            assert node.end_lineno is not None
            if node.end_lineno - node.lineno >= FUNCTION_LINES:
                found.add(f"{module}.{node.name}")
    assert found == set()


def test_the_architecture_page_names_every_room_once() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    table = page.partition("\n## The rooms\n")[2].partition("\n## ")[0]
    listed = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| `")]
    assert listed == [f"`{room.replace('.', '/')}/`" for room in ROOMS]


@pytest.mark.parametrize("module", sorted(HOT_GROUND))
def test_a_hot_module_of_the_ground_exists(module: str) -> None:
    assert module in modules()
