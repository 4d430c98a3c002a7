"""The drainer's program in one file: it spares what imports cost, and is never older than the program."""

import marshal
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import ROOT, Fleet, make_repository, payload

from fleet_lib import paths

IMPORTING = """
import sys
sys.path.insert(0, sys.argv[1])
from fleet_lib.drain import bundle
bundle.use()
from fleet_lib import levels, text
from fleet_lib.turn import living
for module in (levels, text, living):
    print(type(module.__spec__.loader).__name__, module.__file__, getattr(module, "MARK", ""))
bundle.keep()
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program of its own."""
    shutil.copytree(
        ROOT / "fleet_lib",
        tmp_path / "program" / "fleet_lib",
        ignore=shutil.ignore_patterns("drainer.*-*-*", "patterns.*"),
    )
    return tmp_path / "program"


def started(program: Path, *flags: str) -> list[list[str]]:
    """(the loader's name, file, mark) of three modules in a new process."""
    command = [sys.executable, "-I", "-S", *flags, "-c", IMPORTING, str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [line.split(" ") for line in done.stdout.splitlines()]


def loaders(program: Path) -> list[str]:
    return [loader for loader, *_ in started(program)]


def bundles(program: Path) -> list[Path]:
    return [*program.rglob("__pycache__/drainer.*-*-*")]


def test_what_was_imported_once_is_imported_from_the_bundle(program: Path) -> None:
    first, second = started(program), started(program)

    assert [loader for loader, *_ in first] == ["SourceFileLoader"] * 3
    assert [loader for loader, *_ in second] == ["Bundle"] * 3
    assert [file for _, file, _ in first] == [file for _, file, _ in second]


def test_a_source_that_changed_is_imported_as_it_is_now(program: Path) -> None:
    started(program)
    source = program / "fleet_lib" / "levels.py"
    for mark in ("one", "two"):
        source.write_text(source.read_text() + f'\nMARK = "{mark}"\n')
        assert started(program)[0] == ["SourceFileLoader", str(source), mark]
        assert started(program)[0] == ["Bundle", str(source), mark]
    # The same size, in the same folder: another time is enough.
    source.write_text(source.read_text().replace("two", "six"))
    os.utime(source, ns=(1, 1))
    assert started(program)[0] == ["SourceFileLoader", str(source), "six"]
    source.unlink()
    with pytest.raises(subprocess.CalledProcessError):
        started(program)


def test_a_program_that_was_moved_uses_none_of_the_old_place(program: Path) -> None:
    started(program)
    moved = program.with_name("moved")
    shutil.copytree(program, moved)

    assert {file.startswith(f"{moved}/") for _, file, _ in started(moved)} == {True}
    assert loaders(moved) == ["Bundle"] * 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:100],
        lambda data: data[: len(data) // 2],
        lambda data: b"\0" * len(data),
    ],
)
def test_a_damaged_bundle_is_not_used_and_made_anew(
    program: Path, damage: Callable[[bytes], bytes]
) -> None:
    started(program)
    (file,) = bundles(program)
    file.write_bytes(damage(file.read_bytes()))

    assert loaders(program) == ["SourceFileLoader"] * 3
    assert loaders(program) == ["Bundle"] * 3


def test_where_nothing_can_be_written_there_is_no_bundle(program: Path) -> None:
    folder = program / "fleet_lib" / "drain" / "__pycache__"
    shutil.rmtree(folder)
    folder.write_text("")

    assert loaders(program) == loaders(program) == ["SourceFileLoader"] * 3
    folder.unlink()
    assert {loader for loader, *_ in started(program, "-B")} == {"SourceFileLoader"}
    assert bundles(program) == []


def test_a_drain_writes_the_bundle_once_and_the_next_one_imports_from_it(
    fleet: Fleet, program: Path
) -> None:
    project = make_repository(fleet.folder / "app")
    fleet.replace_drainer()
    files = []
    for number in range(3):
        fleet.hook("stop", payload("Stop") | {"prompt_id": f"p{number}"}, project)
        start = [sys.executable, "-I", "-S", paths.drainer_of(str(program)), str(fleet.home)]
        assert subprocess.run([*start, "--once"], env=fleet.env()).returncode == 0
        (file,) = bundles(program)
        files.append((file.stat().st_ino, file.stat().st_mtime_ns))

    assert fleet.rows("SELECT count(*) FROM briefings") == [(3,)]
    data = file.read_bytes()
    known, _ = marshal.loads(data[8 : 8 + int.from_bytes(data[:8], "big")])
    assert {"fleet_lib.drain.drainer", "fleet_lib.ingest.ingest", "fleet_lib.turn.prepare"} <= {
        *known
    }
    # It would be written again for whatever it lacks, or has in another form.
    assert files[1] == files[2]
