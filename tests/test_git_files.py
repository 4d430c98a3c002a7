"""What is read of git's own files, and what is kept of documents and of git's answers from one drain
to the next: it is what git says, git is left what these files do not say, and nothing of it is needed."""

import os
import random
import shutil
import stat
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from support import Fleet, git, make_repository
from support_transcripts import Session

from fleet_lib import paths
from fleet_lib.turn import (
    document_names,
    documents,
    git_process,
    kept,
    mentions,
    new_objects,
    remembered,
)
from fleet_lib.turn.documents import Documents
from fleet_lib.turn.git import GitState, read_git_state
from fleet_lib.turn.new_objects import changed_files
from fleet_lib.turn.repositories import Repositories


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A home in which answers are kept, of files that are settled at once."""
    monkeypatch.setattr(remembered, "_SETTLED_NS", 0)
    monkeypatch.setattr(document_names, "_SETTLED_NS", 0)
    monkeypatch.setattr(mentions, "_MANY", 1)
    folder = tmp_path / "home"
    remembered.keep_in(str(folder))
    yield str(folder)
    remembered.keep_in("")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The subcommands for which git was started."""
    found: list[str] = []
    real = git_process.run

    def run(command: list[str], *rest: object) -> git_process.Answer:
        found.append(command[command.index("-C") + 2])
        return real(command, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(git_process, "run", run)
    return found


def state_of(folder: Path) -> GitState:
    state = read_git_state(str(folder))
    assert state is not None
    return state


def files_read_by(module: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files of a folder that a module reads from now on."""
    found: list[str] = []
    real = module.read_regular_file

    def read(path: str, limit: int) -> bytes | None:
        found.append(os.path.relpath(path, folder))
        data: bytes | None = real(path, limit)
        return data

    monkeypatch.setattr(module, "read_regular_file", read)
    return found


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def commit(folder: Path, *options: str) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "--allow-empty", "-qm", "more", *options)
    return git(folder, "rev-parse", "HEAD").strip()


# --- documents ---

SOURCES = (
    *(
        "app.py",
        "src/app.py",
        "src/lib/a.b.c",
        "x y.py",
        "é.py",
        "Makefile",
        "app/[id].tsx",
        ".env",
    ),
    *("docs/conf.py", "a+b-1.py", "n" * 200 + "/" + "d" * 200 + ".go", "go", "src/index.ts"),
)
DOCUMENTS = ("README", "docs/a.md", "docs/B.MD", "src/Install.txt", "c.rst", "é/d.org", "docs/NEWS")
SHAPES = ("`%s`", "[x](%s#L1)", "./%s.", "看%s的", "x%s", "%sx", "https://e.org/o/r/blob/main/%s")


def text_of(chance: random.Random) -> str:
    names = [chance.choice(SOURCES) for _ in range(6)]
    words = [name if chance.random() < 0.5 else name.rpartition("/")[2] for name in names]
    return "\n".join(chance.choice(SHAPES) % word for word in words)


def _stage(folder: Path, _: random.Random) -> None:
    git(folder, "add", "-A")


def _commit(folder: Path, _: random.Random) -> None:
    commit(folder)


def _write(folder: Path, chance: random.Random) -> None:
    write(folder, {chance.choice(DOCUMENTS): text_of(chance), "docs/new.md": text_of(chance)})


def _remove(folder: Path, chance: random.Random) -> None:
    (folder / chance.choice(DOCUMENTS)).unlink(missing_ok=True)


def _link(folder: Path, _: random.Random) -> None:
    (folder / "docs/a.md").unlink(missing_ok=True)
    (folder / "docs/a.md").symlink_to("../app.py")


def _unlink(folder: Path, chance: random.Random) -> None:
    (folder / "docs/a.md").unlink(missing_ok=True)
    write(folder, {"docs/a.md": text_of(chance)})


def _intend(folder: Path, chance: random.Random) -> None:
    write(folder, {"docs/intended.md": text_of(chance)})
    git(folder, "add", "-N", "docs/intended.md")


def _untrack(folder: Path, _: random.Random) -> None:
    git(folder, "rm", "-rqf", "--cached", "--ignore-unmatch", "docs")


STEPS: tuple[Callable[[Path, random.Random], None], ...] = (
    *(_write, _write, _stage, _commit, _remove, _link, _unlink, _intend, _untrack),
)
# Git looks for the documents of the last two.
INDEXES = ("2", "4", "split", "sha256")


@pytest.mark.parametrize("index", INDEXES)
def test_documents_are_found_as_git_finds_them_however_they_change(
    tmp_path: Path, home: str, asked: list[str], index: str
) -> None:
    chance = random.Random(index)
    form = "sha256" if index == "sha256" else "sha1"
    project = make_repository(tmp_path / "app", None, f"--object-format={form}")
    git(project, "config", "core.splitIndex", str(index == "split"))
    git(project, "config", "index.version", index if index.isdigit() else "2")
    write(project, dict.fromkeys(SOURCES, "") | {name: text_of(chance) for name in DOCUMENTS})
    commit(project)
    searches = 0
    for step in (*STEPS, *chance.choices(STEPS, k=2)):
        step(project, chance)
        state = state_of(project)
        expected = Documents(state).stale(SOURCES, ())
        known = Documents(state, home)
        assert known.stale(SOURCES, ()) == expected, step
        asked.clear()
        usual = tuple(name for name in SOURCES if name != "go")
        Documents(state, home).stale(usual, ())
        searches += asked.count("grep") + asked.count("ls-files")
    assert bool(searches) == (index in INDEXES[2:])


def test_only_documents_that_changed_are_read_again(
    tmp_path: Path, home: str, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_repository(tmp_path / "app")
    write(project, {f"docs/page{number}.md": f"See m{number}.py.\n" for number in range(30)})
    write(project, {f"m{number}.py": "" for number in range(30)})
    commit(project)
    opened: list[str] = []
    real = os.open

    def noting(path: str, *rest: int) -> int:
        opened.append(os.path.relpath(path, project))
        return real(path, *rest)

    def stale(*sources: str) -> list[str]:
        state = state_of(project)
        asked.clear()
        opened.clear()
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", noting)
            found = Documents(state, home).stale(sources, ())
        assert asked == []
        return sorted(found)

    assert stale("m3.py") == ["docs/page3.md"]
    assert len({name for name in opened if name.startswith("docs")}) == 30
    assert stale("m4.py") == ["docs/page4.md"]
    assert [name for name in opened if name.startswith("docs")] == ["docs/page4.md"]
    # Others than sessions write documents, too, perhaps with the time of another file.
    page = project / "docs" / "page7.md"
    facts = page.stat()
    page.write_text("See m9.py.\n")
    os.utime(page, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert stale("m9.py") == ["docs/page7.md", "docs/page9.md"]
    write(project, {"docs/more.md": "m9.py"})
    assert stale("m9.py") == ["docs/page7.md", "docs/page9.md"]
    git(project, "add", "-A")
    assert stale("m9.py") == ["docs/more.md", "docs/page7.md", "docs/page9.md"]
    page.unlink()
    assert stale("m9.py", "nothing.py") == ["docs/more.md", "docs/page9.md"]


def test_what_many_documents_say_of_a_file_is_read_once(
    tmp_path: Path, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mentions, "_MANY", 20)
    project = make_repository(tmp_path / "app")
    pages = [f"docs/page{number}.md" for number in range(30)]
    write(project, {"src/app.py": "", "文/app.py": ""} | dict.fromkeys(pages, "See src/app.py。\n"))
    commit(project)
    read = files_read_by(documents, project, monkeypatch)

    def stale(source: str = "src/app.py") -> dict[str, str]:
        """{document: its digest}; what was read for that is in `read`."""
        found = Documents(state_of(project), home)
        read.clear()
        return found.digests(sorted(found.stale([source], ())))

    first = stale()
    assert sorted(first) == sorted(read) == sorted(pages) and len(set(first.values())) == 1
    assert stale() == first and read == []
    write(project, {pages[3]: "See src/app.py, and more.\n"})
    changed = stale()
    assert read == [pages[3]] and sorted(changed) == sorted(pages)
    assert [page for page in pages if changed[page] != first[page]] == [pages[3]]
    write(project, {pages[4]: "See app.py of another folder.\n"})
    (project / pages[5]).unlink()
    assert sorted(stale()) == sorted({*pages} - {pages[4], pages[5]}) and read == [pages[4]]
    secret = "ghp_" + "aB3" * 12
    links = [f"https://{user}@example.org/src/app.py" for user in (secret, "x:hunter2")]
    write(project, dict(zip(pages[6:8], links, strict=True)))
    stale()
    assert stale() and sorted(read) == pages[6:8]
    kept_files = b"".join(file.read_bytes() for file in Path(paths.cache(home)).iterdir())
    assert b"src/app.py" in kept_files
    assert secret.encode() not in kept_files and b"hunter2" not in kept_files
    # A path of another script does not end where its script does.
    assert stale("文/app.py") == {} and len(read) == 29
    for file in Path(paths.cache(home)).glob("mentions-*"):
        file.write_bytes(file.read_bytes()[:-1])
    assert stale("文/app.py") == {} and len(read) == 29


def test_history_of_dated_documents_is_read_once(
    tmp_path: Path, home: str, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_repository(tmp_path / "app")
    one, other = "docs/2025-03-01 how to deploy.md", "docs/2025-03-02 how to test.md"
    days = iter(range(0, 1000, 100))

    def change(*names: str) -> None:
        day = next(days)
        monkeypatch.setenv("GIT_AUTHOR_DATE", f"{1_740_800_000 + day * 86400} +0000")
        write(project, dict.fromkeys(names, f"app.py on day {day}"))
        commit(project)

    def stale() -> list[str]:
        state = state_of(project)
        asked.clear()
        return sorted(Documents(state, home).stale(["app.py"], ()))

    log = ["--literal-pathspecs"]
    write(project, {"app.py": ""})
    change(one, other)
    with monkeypatch.context() as patch:  # what git does not say is asked for again

        def silent(*_: object) -> None:
            raise TimeoutError

        state = state_of(project)
        patch.setattr(git_process, "run", silent)
        assert Documents(state, home).stale(["app.py"], ()) == {}
    assert stale() == [] and asked == log
    assert stale() == [] and asked == []
    change(one)
    assert stale() == [one] and asked == log
    assert stale() == [one] and asked == []
    write(project, {"docs/2025-03-03 more.md": "app.py"})
    git(project, "add", "-A")
    assert stale() == [one] and asked == log
    git(project, "reset", "-q", "--hard", "HEAD~1")
    assert stale() == [] and asked == log * 2
    change(other)
    assert stale() == [other] and asked == log
    git(project, "reset", "-q", "--hard", "HEAD~1")  # the commit up to which git was asked is gone
    git(project, "reflog", "expire", "--expire=now", "--all")
    git(project, "gc", "-q", "--prune=now")
    assert stale() == [] and asked == log * 2


def test_readme_beside_code_is_one_whatever_its_folder_is_called(
    tmp_path: Path, home: str, asked: list[str]
) -> None:
    project = make_repository(tmp_path / "app")
    write(project, dict.fromkeys(("plans/README.md", "src/plans/README.md"), "See src/app.py."))
    write(project, {"src/app.py": "", "src/plans/main.py": ""})
    commit(project)
    for _ in range(2):
        found = Documents(state_of(project), home)
        asked.clear()
        assert list(found.stale(["src/app.py"], ())) == ["src/plans/README.md"] and asked == []


def test_documents_that_tell_of_the_past_are_not_read(
    tmp_path: Path, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_repository(tmp_path / "app")
    names = ("CHANGELOG.md", "docs/plans/one.md", "docs/guide.md", "docs/2025-03-01 new.md")
    write(project, dict.fromkeys(names, "See app.py.") | {"app.py": ""})
    commit(project)
    read = files_read_by(document_names, project, monkeypatch)
    assert list(Documents(state_of(project), home).stale(["app.py"], ())) == ["docs/guide.md"]
    assert sorted(read) == ["docs/2025-03-01 new.md", "docs/guide.md"]


def test_documents_are_found_when_what_was_kept_of_them_is_damaged_or_cannot_be_kept(
    tmp_path: Path, home: str, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_repository(tmp_path / "app")
    write(project, {f"docs/page{number}.md": "See app.py.\n" * 20_000 for number in range(6)})
    commit(project)
    pages = [f"docs/page{number}.md" for number in range(6)]

    def stale() -> list[str]:
        state = state_of(project)
        asked.clear()
        return sorted(Documents(state, home).stale(("app.py",), ()))

    assert stale() == pages and not asked
    (file,) = Path(paths.cache(home)).glob("documents-*")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and b"app.py" not in file.read_bytes()
    whole = file.read_bytes()
    for damaged in (b"", whole[:-1], whole[:20] + b"\xff" + whole[21:], b"x" * 9_000_000):
        file.write_bytes(damaged)
        assert stale() == pages and not asked
    with monkeypatch.context() as patch:
        patch.setattr(document_names, "_NAMES_BYTES", 4)
        write(project, {pages[0]: "See app.py and more.py.\n"})
        assert stale() == pages and asked == ["grep"]
    assert stale() == pages and asked == ["grep"]  # it is tried again a day later
    file.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(document_names, "_AT_ONCE_BYTES", 700_000)
        for count in range(3):  # the rest of them in the turns that follow
            assert stale() == pages and asked == (["grep"] if count < 2 else [])
    file.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(kept, "write", lambda *_: False)
        assert stale() == pages and asked == ["grep"]


def test_what_is_kept_has_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_ALL_BYTES", 3000)
    home = str(tmp_path)
    for number in range(9):
        assert kept.write(home, f"file{number}", b"x" * 900)
        os.utime(Path(paths.cache(home)) / f"file{number}", (number, number))
    files = list(Path(paths.cache(home)).iterdir())
    assert sum(file.stat().st_size for file in files) <= 3000
    assert kept.read(home, "file8") == b"x" * 900 and kept.read(home, "file0") is None
    assert not kept.write(home, "large", b"x" * 9_000_000)
    (tmp_path / "file").touch()
    assert not kept.write(str(tmp_path / "file"), "name", 1)


# --- the files of a commit ---


@pytest.mark.parametrize("form", ["sha1", "sha256"])
def test_files_of_a_commit_are_those_that_git_names(tmp_path: Path, form: str) -> None:
    project = make_repository(tmp_path / "app", None, f"--object-format={form}")
    objects, chance = str(project / ".git" / "objects"), random.Random(form)
    names = ("a", "b", "a.b", "a-b", "é", "x y", "dir", "src")
    write(project, {f"many/file{number}": "" for number in range(300)})
    before = ""
    for number in range(10):
        for _ in range(4):
            path = project / "/".join(chance.choices(names, k=chance.randint(1, 3)))
            if chance.random() < 0.3:
                path = project / "many" / f"file{chance.randrange(400)}"
            if chance.random() < 0.3 and os.path.lexists(path):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            elif not any(parent.is_file() for parent in (path, *path.parents)):
                write(project, {str(path): str(number)} if not path.is_dir() else {})
            elif path.is_file():
                path.chmod(0o755)
        amended = ["--amend"] if before and chance.random() < 0.3 else []
        head, against = commit(project, *amended), before if amended else ""
        answer = git(
            project,
            *("diff-tree", "--stdin", "--root", "-r", "-z", "--name-status", "--no-renames"),
            input=f"{head} {against}".strip() + "\n",
        )
        expected = tuple(answer.split("\0")[2::2])
        assert changed_files(objects, head, against or None, 1000) == expected
        before = head
    assert changed_files(objects, before, None, 1) == expected[:1]


def test_git_is_asked_about_commits_that_are_packed_or_merges(
    tmp_path: Path, asked: list[str]
) -> None:
    project = make_repository(tmp_path / "app")
    git(project, "checkout", "-qb", "topic")
    write(project, {"one.py": "1"})
    commit(project)
    git(project, "checkout", "-q", "-")
    write(project, {"two.py": "2"})
    commit(project)
    git(project, "merge", "-q", "--no-ff", "-m", "both", "topic")
    write(project, {"src/three.py": "3"})
    commit(project)

    def files(count: int) -> list[tuple[str, ...]]:
        state = state_of(project)
        entries = state.reflog[:count]
        asked.clear()
        found = Repositories().files_of_commits(str(project), entries, state.objects)
        return [found[entry.commit] for entry in entries]

    assert files(1) == [("src/three.py",)] and asked == []
    assert files(2) == [("src/three.py",), ()] and asked == ["diff-tree"]
    git(project, "gc", "-q")
    assert files(1) == [("src/three.py",)] and asked == ["diff-tree"]
    write(project, {"src/four.py": "4"})
    commit(project)
    assert files(1) == [("src/four.py",)]


def test_an_object_that_unpacks_to_more_than_any_commit_is_left_to_git(tmp_path: Path) -> None:
    name = "ab" + "0" * 38
    (tmp_path / "ab").mkdir()
    bomb = zlib.compress(b"commit 1\0tree " + b"a" * (80 << 20), 1)
    (tmp_path / "ab" / name[2:]).write_bytes(bomb)
    tracemalloc.start()
    found = changed_files(str(tmp_path), name, None, 1)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found is None and most < 2.5 * new_objects.OBJECT_BYTES


# --- where a repository is, and its HEAD ---


def facts_of(folder: Path) -> tuple[object, ...]:
    state = state_of(folder)
    return (state.toplevel, state.root, state.remote, state.head, state.branch)


def test_state_is_known_without_git_as_long_as_its_files_say_the_same(
    tmp_path: Path, home: str, asked: list[str]
) -> None:
    main = make_repository(tmp_path / "app", "https://example.org/a/app.git")
    inside, linked = main / "src" / "lib", tmp_path / "linked"
    inside.mkdir(parents=True)
    git(main, "worktree", "add", "-qb", "topic", str(linked))
    unborn, bare = tmp_path / "unborn", tmp_path / "store.git"
    git(tmp_path, "init", "-qb", "main", str(unborn))
    git(tmp_path, "clone", "-q", "--bare", str(main), str(bare))
    of_bare = tmp_path / "of-bare"
    git(bare, "worktree", "add", "-qb", "other", str(of_bare))
    folders = (main, inside, linked, unborn, of_bare)

    def check() -> None:
        """Every answer without git is what git answers."""
        known = [facts_of(folder) for folder in folders]
        asked.clear()
        assert [facts_of(folder) for folder in folders] == known
        assert asked == []
        remembered.keep_in(str(tmp_path / os.urandom(4).hex()))
        assert [facts_of(folder) for folder in folders] == known
        assert asked
        remembered.keep_in(home)

    check()
    for folder in folders:
        top, branch = git(folder, "rev-parse", "--show-toplevel"), git(folder, "branch", "--show")
        head = "" if folder == unborn else git(folder, "rev-parse", "HEAD").strip()
        found = facts_of(folder)
        assert (found[0], found[3] or "", found[4]) == (top.strip(), head, branch.strip())
    for folder in (main, linked, unborn):
        write(folder, {"more.py": ""})
        head = commit(folder)
        assert facts_of(folder)[3] == head
    check()
    git(main, "pack-refs", "--all")
    assert facts_of(main)[3:] == (git(main, "rev-parse", "HEAD").strip(), "main")
    check()
    git(linked, "checkout", "-q", "--detach")
    assert facts_of(linked)[4] is None
    git(main, "remote", "set-url", "origin", "https://example.org/a/other.git")
    assert facts_of(inside)[2] == facts_of(linked)[2] == "https://example.org/a/other.git"
    git(main, "symbolic-ref", "refs/heads/alias", "refs/heads/main")
    git(main, "symbolic-ref", "HEAD", "refs/heads/alias")
    assert facts_of(main)[3] == git(main, "rev-parse", "HEAD").strip()
    git(inside, "init", "-q")
    assert facts_of(inside)[:2] == (str(inside), str(inside))
    shutil.rmtree(inside / ".git")
    assert facts_of(inside)[0] == str(main)
    (main / ".git" / "HEAD").write_text("nonsense\n")
    assert read_git_state(str(main)) is None  # as git says


def test_folder_in_no_repository_needs_no_git(tmp_path: Path, asked: list[str]) -> None:
    assert read_git_state(str(tmp_path)) is None
    assert asked == []


def test_answers_with_credentials_and_of_other_settings_are_not_kept(
    tmp_path: Path, home: str, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "ghp_" + "aB3" * 12
    project = make_repository(tmp_path / "app", f"https://x:{secret}@example.org/a/app.git")
    for _ in range(2):  # another process has to ask again
        remembered.keep_in(home)
        asked.clear()
        remote = state_of(project).remote
        assert remote is not None and secret in remote
        assert "config" in asked
    files = list(Path(paths.cache(home)).iterdir())
    assert files and not any(secret.encode() in file.read_bytes() for file in files)
    asked.clear()
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "url.https://example.net/.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://example.org/")
    state_of(project)
    assert {"config", "rev-parse"} <= set(asked)


def test_a_later_turn_that_edits_and_commits_starts_no_git(
    fleet: Fleet, home: str, asked: list[str]
) -> None:
    project = make_repository(fleet.folder / "app", None, **{"docs.md": "See src/a.py.\n"})
    session = Session(fleet, project, "s")
    for number in range(3):
        turn = session.asks().edits("src/a.py")
        turn.runs(f'git add -A; git commit -qm "part {number}"')
        asked.clear()
        assert turn.stops() == ["src/a.py"]
    assert asked == []
    risks = fleet.rows("SELECT DISTINCT doc_drift_risk FROM briefings")
    assert risks == [("medium",)]
